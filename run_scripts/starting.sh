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
