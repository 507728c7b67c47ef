#!/usr/bin/env bash
# Trains linear classifiers on a frozen encoder, on one or several datasets.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_downstream_lp protocol=linear_probe
example="CATALOG=catalog.yaml VIDEOS=/data run_scripts/$program.sh 0 outputs/aligned ucf101 hmdb51"
# shellcheck source=run_scripts/downstream.sh
. "$root/run_scripts/downstream.sh"

help_if_asked "$@"
(($# >= 2)) || refuse "GPU_ID and RUN are needed"
slurm_if_asked "${BASH_SOURCE[0]}" "$@"
check_gpu_id "$1"
split_arguments "${@:3}"
score_downstream "$1" "$2"
