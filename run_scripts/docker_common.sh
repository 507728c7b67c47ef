# shellcheck shell=bash disable=SC2154 # root, kind, gpu: set by whoever sources this
# Sourced by the scripts for Docker: which engine, which image, and the arguments that every container gets.
# Whoever sources it has sourced arguments.sh and set `root`, the repository.
#
# Inside, /hvt is the code, and the working folder is /work with datasets and outputs in it, so the relative paths of a
# config mean the same inside and outside. All else is read-only: what a run writes to is kept, or refused.

# shellcheck source=run_scripts/docker_settings.sh
. "$root/run_scripts/docker_settings.sh"

# check_engine: sets `kind` (docker or podman) and `rootless`
check_engine() {
    local format='{{.SecurityOptions}}' answer
    command -v -- "$CONTAINER_ENGINE" >/dev/null ||
        fail "there is no $CONTAINER_ENGINE on the PATH: install it, or set CONTAINER_ENGINE to docker or podman"
    kind=docker rootless=
    if [[ $("$CONTAINER_ENGINE" --version 2>/dev/null) == *podman* ]]; then
        kind=podman format='{{.Host.Security.Rootless}}'
    fi
    answer=$("$CONTAINER_ENGINE" info --format "$format" 2>&1) ||
        fail "$CONTAINER_ENGINE does not answer: ${answer##*$'\n'}"
    if [[ $answer == *rootless* || $answer == true ]]; then rootless=1; fi
}

check_image() {
    "$CONTAINER_ENGINE" image inspect "$HVT_IMAGE" >/dev/null 2>&1 ||
        fail "there is no image $HVT_IMAGE: run_scripts/build_docker.sh makes it"
}

# add_mount SOURCE TARGET [readonly]: adds to `arguments`. The value is CSV, so a path may hold commas, quotes and colons.
add_mount() {
    local field fields=type=bind
    for field in "source=$1" "target=$2" ${3:+"$3"}; do
        if [[ $field == *[,\"]* ]]; then field="\"${field//\"/\"\"}\""; fi
        fields+=,$field
    done
    arguments+=(--mount "$fields")
}

# add_user: the files that a run writes belong to the caller
add_user() {
    local group ids
    ids=$(id -u):$(id -g)
    if [[ $rootless && $kind == podman ]]; then
        arguments+=(--userns keep-id --user "$ids")
    elif [[ $rootless ]]; then
        arguments+=(--user 0:0) # the caller, as the engine runs as the caller
    else
        arguments+=(--user "$ids")
        for group in $(id -G); do # data may be readable by a group alone
            if [[ $group != "$(id -g)" ]]; then arguments+=(--group-add "$group"); fi
        done
    fi
}

# container_arguments: sets `arguments`, without a GPU
container_arguments() {
    local name
    arguments=(--rm --init --read-only --stop-timeout 600 --shm-size "$HVT_SHM_SIZE" --workdir /work)
    add_user
    add_mount "$HVT_DATA" /work/datasets
    add_mount "$HVT_OUTPUT" /work/outputs
    add_mount "$HVT_TMP" /tmp
    if [[ -n $HVT_CODE ]]; then
        add_mount "$HVT_CODE" /hvt readonly
        arguments+=(--env "HVT_COMMIT=$(commit_of "$HVT_CODE")")
    fi
    if [[ $kind == podman ]]; then arguments+=(--security-opt label=disable); fi # SELinux would hide what is mounted
    if [[ -z ${WANDB_API_KEY:-} && -s $root/wandb.key && -r $root/wandb.key ]]; then
        WANDB_API_KEY=$(<"$root/wandb.key")
        export WANDB_API_KEY
    fi
    # By name alone: a value in an argument can be read by every user of the machine.
    for name in WANDB_API_KEY WANDB_BASE_URL WANDB_ENTITY WANDB_MODE WANDB_PROJECT OMP_NUM_THREADS; do
        if [[ -n ${!name:-} ]]; then arguments+=(--env "$name"); fi
    done
}

# commit_of FOLDER: its commit, with -dirty after it where files differ; nothing where that is not known
commit_of() {
    git -C "$1" describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null || true
}

# add_gpu: adds GPU number `gpu` to `arguments`; inside it is number 0
add_gpu() {
    if [[ $kind == podman ]]; then
        arguments+=(--device "nvidia.com/gpu=$gpu")
    else
        arguments+=(--gpus "device=$gpu")
    fi
}

# prepare_container GPU_ID: all checks; sets `arguments`, without a GPU, and `gpu` as find_gpu does
prepare_container() {
    read_settings
    gpu=
    if [[ $1 != cpu ]]; then find_gpu "$1"; fi
    check_engine
    check_settings
    check_image
    container_arguments
}
