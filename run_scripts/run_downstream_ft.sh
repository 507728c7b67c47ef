#!/usr/bin/env bash
# Fine-tunes an encoder on one or several datasets as PPMA does: tested on two windows of three crops, logits averaged.
set -euo pipefail

usage() {
    cat <<'END'
usage: run_scripts/run_downstream_ft.sh GPU_ID RUN [DATASET ...] [key=value ...] [options of eval.py]

  GPU_ID     number of the GPU, as nvidia-smi counts, cpu, or slurm (SBATCH_OPTIONS says what the job gets)
  RUN        folder of the run whose encoder is scored
  DATASET    YAML file with keys of data_config.yaml, or the folder of a prepared dataset. Where CATALOG names a catalog
             of .npy lists and VIDEOS the folder of its videos: names in it, by default
             ucf101 hmdb51 diving48 ikea uav mini_ssv2
  key=value  changes a value of the run's config: evaluations.finetune.settings.epochs=50

One table has all datasets; docs/datasets.md describes it.

example: CATALOG=catalog.yaml VIDEOS=/data run_scripts/run_downstream_ft.sh 0 outputs/aligned ucf101 hmdb51
END
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_downstream_ft
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/starting.sh
. "$root/run_scripts/starting.sh"

help_if_asked "$@"
(($# >= 2)) || refuse "GPU_ID and RUN are needed"
slurm_if_asked "${BASH_SOURCE[0]}" "$@"
check_gpu_id "$1"
split_arguments "${@:3}"
read_datasets ${names[@]+"${names[@]}"}
find_gpu "$1"
python=$("$root/run_scripts/setup_environment.sh")
settings=evaluations.finetune.settings
evaluate "$2" --protocol finetune "${datasets[@]}" ${options[@]+"${options[@]}"} \
    --set window.eval_windows=2 eval_crop=three "$settings.average=logits" "$settings.mixup=0.8" \
    "$settings.cutmix=1" ${values[@]+"${values[@]}"}
