#!/usr/bin/env bash
# Trains on Something-Something V2 in the Docker image: run_scripts/run_docker_ssv2.sh GPU_ID [key=value ...]. config/ssv2.yaml says
# what is to be prepared before.
exec "$(dirname "${BASH_SOURCE[0]}")/run_docker.sh" "${1-}" ssv2.yaml "${@:2}"
