# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by launcher.sh and the scripts for Docker: reads GPU_ID CONFIG [key=value ...] and finds the GPU.
# Whoever sources it defines usage(), and `program`: the name before every message.

say() { echo "$program: $*" >&2; }
fail() {
    say "$*"
    exit 2
}
refuse() {
    say "$*"
    usage >&2
    exit 2
}

# help_if_asked ARGUMENTS: --help as the first or the second one
help_if_asked() {
    local argument
    for argument in "${@:1:2}"; do
        case $argument in -h | --help) usage; exit 0 ;; esac
    done
}

# check_gpu_id GPU_ID
check_gpu_id() {
    [[ $1 != *,* ]] || refuse "one GPU, got '$1': several go with ./launcher.sh"
    [[ $1 == cpu || $1 =~ ^[0-9]+$ ]] || refuse "GPU_ID must be a number or cpu, got '$1'"
}

# check_config CONFIG [key=value ...]
check_config() {
    local override
    [[ -n $1 && $1 != *=* ]] || refuse "the second argument must be a config, got '$1'"
    for override in "${@:2}"; do
        [[ $override != --visualize ]] || break # options of visualization.py follow
        [[ $override == ?*=* || $override == --* ]] || refuse "expected key=value, got '$override'"
    done
}

# find_gpu GPU_ID: sets `gpu` to the number of a GPU that exists, or to nothing where the CPU is what there is
find_gpu() {
    local gpus
    gpu=
    if [[ $1 == cpu ]]; then
        say "running on the CPU, as asked"
    elif ! command -v nvidia-smi >/dev/null; then
        say "this machine has no GPU (no nvidia-smi): running on the CPU"
    elif ! gpus=$(nvidia-smi --query-gpu=index,name --format=csv,noheader 2>&1) || [[ -z $gpus ]]; then
        say "no usable GPU (nvidia-smi says: ${gpus%%$'\n'*}): running on the CPU"
    elif ! grep -q "^$1," <<<"$gpus"; then
        fail "there is no GPU $1; this machine has ${gpus//$'\n'/; }"
    else
        gpu=$1
    fi
}
