#!/usr/bin/env bash
# Trains a linear classifier on the frozen mixture of several encoders' weights, on one or several datasets.
set -euo pipefail

usage() {
    cat <<'END'
usage: run_scripts/run_downstream_average_lp.sh GPU_ID MIXTURE RUN,RUN[,...] [DATASET ...] [key=value ...]
           [options of eval.py]

  GPU_ID     number of the GPU, as nvidia-smi counts, cpu, or slurm (SBATCH_OPTIONS says what the job gets)
  MIXTURE    equal: the plain mean; model: learned, a share for each encoder; layer: a share for each encoder and layer
  RUN        folders of runs whose encoders have one form
  DATASET    as for run_downstream_lp.sh
  key=value  changes a value of the first run's config: evaluations.averaged_probe.settings.epochs=50

The plain mean as an encoder of its own, to be fine-tuned, too: average.py RUN RUN --out FOLDER

example: run_scripts/run_downstream_average_lp.sh 0 model outputs/aligned,outputs/mae datasets/ucf101
END
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_downstream_average_lp
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/starting.sh
. "$root/run_scripts/starting.sh"

help_if_asked "$@"
(($# >= 3)) || refuse "GPU_ID, MIXTURE and runs are needed"
slurm_if_asked "${BASH_SOURCE[0]}" "$@"
check_gpu_id "$1"
[[ $2 =~ ^(equal|model|layer)$ ]] || refuse "MIXTURE is equal, model or layer, not '$2'"
IFS=, read -ra runs <<<"$3"
((${#runs[@]} >= 2)) || refuse "a mixture is of two runs at least: RUN,RUN"
others=$(printf ', "%s"' "${runs[@]:1}")
split_arguments "${@:4}"
read_datasets ${names[@]+"${names[@]}"}
find_gpu "$1"
python=$("$root/run_scripts/setup_environment.sh")
settings=evaluations.averaged_probe.settings
evaluate "${runs[0]}" --protocol averaged_probe "${datasets[@]}" ${options[@]+"${options[@]}"} \
    --set window.eval_windows=2 eval_crop=three "$settings.average=logits" "$settings.mixture=$2" \
    "$settings.others=[${others#, }]" ${values[@]+"${values[@]}"}
