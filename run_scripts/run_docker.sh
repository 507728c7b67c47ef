#!/usr/bin/env bash
# Starts one experiment in the Docker image: what ./launcher.sh does, with its output in a log as well.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: run_scripts/run_docker.sh GPU_ID CONFIG [key=value ...]

  GPU_ID     number of the GPU, as nvidia-smi counts, or cpu
  CONFIG     name in config/ (with or without .yaml) or path of a YAML file
  key=value  changes a value of the config; paths are those inside: datasets/..., outputs/...

Folders and image: run_scripts/paths.env.example. Log: logs/MODEL_NAME.log in the output folder.
HELP
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_docker
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/docker_common.sh
. "$root/run_scripts/docker_common.sh"

# place_config CONFIG: sets `config` to what it is called inside, and mounts a file that would not be there
place_config() {
    local file code=${HVT_CODE:-$root}
    config=$1
    if [[ $1 != */* && (-f $code/config/$1 || -f $code/config/$1.yaml) || ! -f $1 ]]; then return; fi
    file=$(cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
    [[ $file != *$'\n'* ]] || fail "a config whose path has a line break cannot be mounted"
    case $file in
    "$HVT_OUTPUT"/*) config=outputs/${file#"$HVT_OUTPUT"/} ;;
    "$HVT_DATA"/*) config=datasets/${file#"$HVT_DATA"/} ;;
    *)
        config=/config/${file##*/}
        add_mount "$file" "$config" readonly
        # What makes the config.yaml of a run one.
        if [[ -f ${file%/*}/environment.json ]]; then add_mount "${file%/*}/environment.json" /config/environment.json readonly; fi
        ;;
    esac
}

# logged LOG COMMAND ...: runs it with its output in LOG, too; passes signals on; returns its exit status
logged() {
    local log=$1 output run status signal interrupted
    exec {output}> >(trap '' INT TERM HUP && exec tee --append --output-error=warn -- "$log")
    local tee=$!
    set -m # a process group of its own: Ctrl-C reaches it once, through this script
    "${@:2}" </dev/null >&"$output" 2>&1 &
    run=$!
    set +m
    exec {output}>&-
    for signal in INT TERM HUP; do
        # shellcheck disable=SC2064 # as they are now
        trap "interrupted=1; kill -$signal $run 2>/dev/null" "$signal"
    done
    while
        interrupted=
        wait "$run" && status=0 || status=$?
        [[ $interrupted ]]
    do :; done
    wait "$tee" || say "not all of the output is in $log (see above)"
    return "$status"
}

help_if_asked "$@"
(($# >= 2)) || refuse "GPU_ID and CONFIG are needed"
check_gpu_id "$1"
check_config "${@:2}"
prepare_container "$1"
place_config "$2"
plain=("${arguments[@]}")
device=cpu
if [[ $gpu ]]; then
    add_gpu
    device=0
fi
experiment=("$CONTAINER_ENGINE" run "${arguments[@]}" --entrypoint /hvt/launcher.sh "$HVT_IMAGE" "$device" "$config" "${@:3}")
for argument in "${@:3}"; do
    if [[ $argument == --* ]]; then exec "${experiment[@]}"; fi # --print-config: no run, no log
done

# The program knows its name, and whether the config is right.
name=$("$CONTAINER_ENGINE" run "${plain[@]}" --entrypoint python "$HVT_IMAGE" /hvt/main.py "$config" "${@:3}" --print-name) ||
    exit
log=$HVT_OUTPUT/logs/$name.log
{ mkdir -p -- "$HVT_OUTPUT/logs" && : >>"$log"; } 2>/dev/null || fail "cannot write $log"
say "log: $log"
logged "$log" "${experiment[@]}"
