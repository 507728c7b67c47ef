#!/usr/bin/env bash
# Stage 2 of OmniMAE and PPMA: the encoder of a masked autoencoder learns the labels of one or several datasets. The same
# command goes on where it was stopped.
set -euo pipefail

usage() {
    cat <<'END'
usage: run_scripts/run_align.sh GPU_ID MAE CONFIG [key=value ...]

  GPU_ID     number of the GPU, as nvidia-smi counts, or several, 0,1; cpu; or slurm: a job of launch_slurm.py, which
             LAUNCH_SLURM_OPTIONS are for ("--nodes 2 --gpus 4")
  MAE        folder of the run whose encoder is aligned, or none: from random weights
  CONFIG     ppma_align.yaml, align.yaml (the embedded data), or one of your own
  key=value  changes a value of the config

example: run_scripts/run_align.sh 0 outputs/mae_inpk150 ppma_align.yaml model_name=aligned
END
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_align
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/starting.sh
. "$root/run_scripts/starting.sh"

help_if_asked "$@"
(($# >= 3)) || refuse "GPU_ID, MAE and CONFIG are needed"
check_gpu_ids "$1"
check_config "${@:3}"
python=$("$root/run_scripts/setup_environment.sh")
if [[ $2 == none ]]; then
    start_from=()
else
    encoder=$2/checkpoints/encoder.safetensors
    [[ -f $encoder ]] || fail "$2 has no checkpoints/encoder.safetensors, which a run leaves at its end"
    start_from=("encoder_checkpoint=$encoder")
fi
train "$1" "$3" ${start_from[@]+"${start_from[@]}"} "${@:4}"
say "next: run_scripts/run_downstream_lp.sh $1 $run DATASET"
