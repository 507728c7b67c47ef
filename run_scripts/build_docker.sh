#!/usr/bin/env bash
# Builds the Docker image from dockerfile/Dockerfile.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: run_scripts/build_docker.sh [gpu|cpu] [option of `docker build` ...]

  gpu  on an official PyTorch image with CUDA (the default); it also runs without a GPU
  cpu  on an official Python image, where nothing of PyTorch is wanted but what requirements.txt installs

CONTAINER_ENGINE and HVT_IMAGE as in run_scripts/paths.env.example. PIP_CONFIG_FILE: a pip.conf for a mirror or a proxy.
HELP
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=build_docker
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/docker_common.sh
. "$root/run_scripts/docker_common.sh"

help_if_asked "${1-}"
arguments=(--file "$root/dockerfile/Dockerfile" --build-arg "COMMIT=$(commit_of "$root")")
case ${1-} in
gpu) shift ;;
cpu)
    arguments+=(--build-arg BASE=python:3.11.14-slim-bookworm)
    shift
    ;;
'' | -*) ;;
*) refuse "expected gpu, cpu or an option of docker build, got '$1'" ;;
esac
read_settings
check_engine
if [[ -n ${PIP_CONFIG_FILE:-} ]]; then
    [[ -r $PIP_CONFIG_FILE ]] || fail "PIP_CONFIG_FILE: cannot read $PIP_CONFIG_FILE"
    arguments+=(--secret "id=pip,src=$PIP_CONFIG_FILE")
fi
DOCKER_BUILDKIT=1 exec "$CONTAINER_ENGINE" build "${arguments[@]}" --tag "$HVT_IMAGE" "$@" "$root"
