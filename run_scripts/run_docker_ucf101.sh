#!/usr/bin/env bash
# Trains on UCF101 in the Docker image: run_scripts/run_docker_ucf101.sh GPU_ID [key=value ...]. config/ucf101.yaml says
# what is to be prepared before.
exec "$(dirname "${BASH_SOURCE[0]}")/run_docker.sh" "${1-}" ucf101.yaml "${@:2}"
