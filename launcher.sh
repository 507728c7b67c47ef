#!/usr/bin/env bash
# Starts one experiment on one GPU: sets up what is missing, then runs main.py in the caller's folder.
set -euo pipefail

usage() {
    cat <<'END'
usage: ./launcher.sh GPU_ID CONFIG [key=value ...]

  GPU_ID     number of the GPU, as nvidia-smi counts, or cpu
  CONFIG     name in config/ (with or without .yaml) or path of a YAML file
  key=value  changes a value of the config: optimizer.lr=1e-4 (docs/config.md lists all keys)

example: ./launcher.sh 0 quickstart.yaml num_epochs=5
END
}
say() { echo "launcher: $*" >&2; }
refuse() {
    say "$*"
    usage >&2
    exit 2
}

for argument in "${@:1:2}"; do
    case $argument in -h | --help) usage; exit 0 ;; esac
done
(($# >= 2)) || refuse "GPU_ID and CONFIG are needed"
gpu=$1
[[ $gpu != *,* ]] || refuse "one run uses one GPU, got '$gpu': start one run for each"
[[ $gpu == cpu || $gpu =~ ^[0-9]+$ ]] || refuse "GPU_ID must be a number or cpu, got '$gpu'"
[[ -n $2 && $2 != *=* ]] || refuse "the second argument must be a config, got '$2'"
for override in "${@:3}"; do
    [[ $override == ?*=* || $override == --* ]] || refuse "expected key=value, got '$override'"
done

export CUDA_DEVICE_ORDER=PCI_BUS_ID
if [[ $gpu == cpu ]]; then
    export CUDA_VISIBLE_DEVICES=
    say "running on the CPU, as asked"
elif ! command -v nvidia-smi >/dev/null; then
    export CUDA_VISIBLE_DEVICES=
    say "this machine has no GPU (no nvidia-smi): running on the CPU"
elif ! gpus=$(nvidia-smi --query-gpu=index,name --format=csv,noheader 2>&1) || [[ -z $gpus ]]; then
    export CUDA_VISIBLE_DEVICES=
    say "no usable GPU (nvidia-smi says: ${gpus%%$'\n'*}): running on the CPU"
elif ! grep -q "^$gpu," <<<"$gpus"; then
    say "there is no GPU $gpu; this machine has"
    echo "$gpus" >&2
    exit 2
else
    export CUDA_VISIBLE_DEVICES=$gpu
fi

export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # threads that wait leave their core to other runs

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$root/run_scripts/setup_environment.sh")
exec "$python" "$root/main.py" "${@:2}" # exec: Ctrl-C and SIGTERM reach Python itself
