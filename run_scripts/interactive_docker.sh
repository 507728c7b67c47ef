#!/usr/bin/env bash
# A shell, or one command, in the Docker image: to look around, or to prepare a dataset there.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: run_scripts/interactive_docker.sh GPU_ID [COMMAND ...]

  GPU_ID   number of the GPU, as nvidia-smi counts, or cpu
  COMMAND  bash, if there is none; paths are those inside: /hvt, datasets/..., outputs/...

example: run_scripts/interactive_docker.sh cpu python /hvt/prepare.py ucf101 --raw datasets/UCF101 --out datasets/ucf101
HELP
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=interactive_docker
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/docker_common.sh
. "$root/run_scripts/docker_common.sh"

help_if_asked "${1-}"
(($# >= 1)) || refuse "GPU_ID is needed"
check_gpu_id "$1"
prepare_container "$1"
if [[ $gpu ]]; then add_gpu; fi
arguments+=(--interactive)
if [[ -t 0 && -t 1 ]]; then arguments+=(--tty); fi
command=("${@:2}")
if ((${#command[@]} == 0)); then command=(bash); fi
exec "$CONTAINER_ENGINE" run "${arguments[@]}" --entrypoint "${command[0]}" "$HVT_IMAGE" "${command[@]:1}"
