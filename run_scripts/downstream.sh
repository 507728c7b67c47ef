# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the scripts that score an encoder on one or several datasets. Whoever sources it sets `root`, `program`,
# `protocol` and `example`; and `first_names`, `first` and `more` where its arguments are others than GPU_ID and RUN.

usage() {
    cat <<END
usage: run_scripts/$program.sh GPU_ID ${first_names:-RUN} [DATASET ...] [key=value ...] [options of eval.py]

  GPU_ID     number of the GPU, as nvidia-smi counts, cpu, or slurm (SBATCH_OPTIONS says what the job gets)
${first:-  RUN        folder of the run whose encoder is scored}
  DATASET    YAML file with keys of data_config.yaml, or the folder of a prepared dataset. Where CATALOG names a catalog
             of .npy lists and VIDEOS the folder of its videos: names in it, by default
             ucf101 hmdb51 diving48 ikea uav mini_ssv2
  key=value  changes a value of the run's config: evaluations.$protocol.settings.epochs=50

One table has all datasets; docs/datasets.md describes it.${more:-}

example: $example
END
}

# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/starting.sh
. "$root/run_scripts/starting.sh"

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

# score_downstream GPU_ID RUN [key=value ...]: by eval.py, on two windows of three crops, with these values of the config
# and after them those of the command line; `split_arguments` has been called
score_downstream() {
    local python
    read_datasets ${names[@]+"${names[@]}"}
    find_gpu "$1"
    python=$("$root/run_scripts/setup_environment.sh")
    export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$gpu
    start "$python" "$root/eval.py" "$2" --protocol "$protocol" "${datasets[@]}" ${options[@]+"${options[@]}"} \
        --set window.eval_windows=2 eval_crop=three "${@:3}" ${values[@]+"${values[@]}"}
}
