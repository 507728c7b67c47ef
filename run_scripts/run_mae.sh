#!/usr/bin/env bash
# Stage 1 of OmniMAE and PPMA: trains a masked autoencoder. The same command goes on where it was stopped.
set -euo pipefail

usage() {
    cat <<'END'
usage: run_scripts/run_mae.sh GPU_ID CONFIG [key=value ...]

  GPU_ID     number of the GPU, as nvidia-smi counts, or several, 0,1; cpu; or slurm: a job of launch_slurm.py, which
             LAUNCH_SLURM_OPTIONS are for ("--nodes 2 --gpus 4")
  CONFIG     omnimae.yaml, masked.yaml (the embedded data), or one of your own
  key=value  changes a value of the config

example: run_scripts/run_mae.sh 0 omnimae.yaml dataset.root=datasets/k150 model_name=mae_k150
END
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_mae
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/starting.sh
. "$root/run_scripts/starting.sh"

help_if_asked "$@"
(($# >= 2)) || refuse "GPU_ID and CONFIG are needed"
check_gpu_ids "$1"
check_config "${@:2}"
python=$("$root/run_scripts/setup_environment.sh")
train "$@"
say "next: run_scripts/run_align.sh $1 $run CONFIG"
