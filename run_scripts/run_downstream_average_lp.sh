#!/usr/bin/env bash
# Trains a linear classifier on the frozen mixture of several encoders' weights, on one or several datasets.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_downstream_average_lp protocol=averaged_probe
first_names="MIXTURE RUN,RUN[,...]"
first="  MIXTURE    equal: the plain mean; model: learned, a share for each encoder; layer: a share for each encoder and layer
  RUN        folders of runs whose encoders have one form; values are those of the first one's config"
more="
The plain mean as an encoder of its own, to be fine-tuned, too: average.py RUN RUN --out FOLDER"
example="run_scripts/$program.sh 0 model outputs/aligned,outputs/mae datasets/ucf101"
# shellcheck source=run_scripts/downstream.sh
. "$root/run_scripts/downstream.sh"

help_if_asked "$@"
(($# >= 3)) || refuse "GPU_ID, MIXTURE and runs are needed"
slurm_if_asked "${BASH_SOURCE[0]}" "$@"
check_gpu_id "$1"
[[ $2 =~ ^(equal|model|layer)$ ]] || refuse "MIXTURE is equal, model or layer, not '$2'"
IFS=, read -ra runs <<<"$3"
((${#runs[@]} >= 2)) || refuse "a mixture is of two runs at least: RUN,RUN"
others=$(printf ', "%s"' "${runs[@]:1}")
split_arguments "${@:4}"
settings=evaluations.averaged_probe.settings
score_downstream "$1" "${runs[0]}" "$settings.average=logits" "$settings.mixture=$2" "$settings.others=[${others#, }]"
