#!/usr/bin/env bash
# Trains on Kinetics-400 in the Docker image: run_scripts/run_docker_k400.sh GPU_ID [key=value ...]. config/k400.yaml says
# what is to be prepared before.
exec "$(dirname "${BASH_SOURCE[0]}")/run_docker.sh" "${1-}" k400.yaml "${@:2}"
