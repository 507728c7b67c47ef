# shellcheck shell=bash disable=SC2154
# Sourced by the scripts that start runs: waits for a run so that signals reach it, goes on with one that was stopped,
# and hands the whole script to Slurm. Whoever sources it has sourced arguments.sh, and sets `root`.

# start COMMAND ...: in the background, so that a signal to the script alone reaches the run, which then saves
start() {
    local status=0
    "$@" </dev/null &
    child=$!
    trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM HUP
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # `wait` returns when a signal comes
        status=0
        wait "$child" || status=$?
    done
    trap - INT TERM HUP
    return "$status"
}

# check_gpu_ids GPU_ID[,GPU_ID ...] or slurm
check_gpu_ids() {
    local device devices
    [[ $1 != slurm ]] || return 0
    IFS=, read -ra devices <<<"$1,"
    for device in "${devices[@]}"; do check_gpu_id "$device"; done
}

# train GPU_ID CONFIG [key=value ...]: begins the run, or goes on where it was stopped; sets `run` to its folder. Where
# GPU_ID is `slurm`, it is submitted; LAUNCH_SLURM_OPTIONS says what it gets, as launch_slurm.py takes it.
train() {
    local options
    run=$(PYTHONPATH=$root "$python" -m config.run_folder "${@:2}")
    if [[ -f $run/summary.json ]]; then
        say "the run has ended: $run"
    elif [[ $1 == slurm ]]; then
        read -ra options <<<"${LAUNCH_SLURM_OPTIONS:-}"
        "$python" "$root/launch_slurm.py" "${@:2}" ${options[@]+"${options[@]}"}
    elif [[ -f $run/checkpoints/last.pt ]]; then
        say "the run goes on: $run"
        start "$root/launcher.sh" "$@" resume=true
    else
        start "$root/launcher.sh" "$@"
    fi
}

# slurm_if_asked SCRIPT GPU_ID ARGUMENTS: where GPU_ID is `slurm`, the script becomes a job and nothing else is done.
# SBATCH_OPTIONS says what the job gets, as sbatch takes it.
slurm_if_asked() {
    [[ $2 == slurm ]] || return 0
    command -v sbatch >/dev/null || fail "there is no sbatch on the PATH: start this on a machine of the cluster"
    local quoted options
    printf -v quoted '%q ' "$1" 0 "${@:3}"
    read -ra options <<<"${SBATCH_OPTIONS:---gpus=1 --time=1-00:00:00}"
    sbatch --job-name="$program" "${options[@]}" --wrap "exec $quoted"
    exit
}

# read_datasets [DATASET ...]: sets `datasets` to options of eval.py. With CATALOG and VIDEOS, names are those of the
# catalog, by default the six of PPMA; without, each is a YAML file or the folder of a prepared dataset.
read_datasets() {
    local name
    datasets=()
    if [[ -z ${CATALOG:-} ]]; then
        (($#)) || refuse "name datasets: YAML files, or folders of prepared datasets; or set CATALOG and VIDEOS"
        for name in "$@"; do datasets+=(--dataset "$name"); done
        return
    fi
    [[ -n ${VIDEOS:-} ]] || refuse "CATALOG is set, and VIDEOS is not: the folder that holds all videos of the catalog"
    lists=$(mktemp -d)
    trap 'rm -rf "$lists"' EXIT
    (($#)) || set -- ucf101 hmdb51 diving48 ikea uav mini_ssv2
    for name in "$@"; do
        printf 'dataset: {name: npy, lists: "%s", catalog: "%s", root: "%s"}\n' "$name" "$CATALOG" "$VIDEOS" \
            >"$lists/$name.yaml"
        datasets+=(--dataset "$lists/$name.yaml")
    done
}

# split_arguments ARGUMENT ...: sets `names` to those before the first option or key=value, `values` to the key=value
# ones and `options` to all that follows the first option
split_arguments() {
    names=() values=() options=()
    while (($#)); do
        case $1 in
            -*) options=("$@"); return ;;
            *=*) values+=("$1") ;;
            *) names+=("$1") ;;
        esac
        shift
    done
}

# evaluate RUNS_AND_OPTIONS_OF_EVAL.PY
evaluate() {
    export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$gpu
    start "$python" "$root/eval.py" "$@"
}
