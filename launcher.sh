#!/usr/bin/env bash
# Starts one experiment on one GPU or several: sets up what is missing, then runs main.py in the caller's folder.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: ./launcher.sh GPU_ID[,GPU_ID ...] CONFIG [key=value ...]

  GPU_ID     number of the GPU, as nvidia-smi counts, or cpu; several, as in 0,1: a process on each,
             among which every batch is divided
  CONFIG     name in config/ (with or without .yaml) or path of a YAML file
  key=value  changes a value of the config: optimizer.lr=1e-4 (docs/config.md lists all keys)
  --visualize
             draws the figures of the run that CONFIG names instead of training; options of
             visualization.py may follow: --method umap --level clip

example: ./launcher.sh 0 quickstart.yaml num_epochs=5
HELP
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=launcher
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"

help_if_asked "$@"
(($# >= 2)) || refuse "GPU_ID and CONFIG are needed"
IFS=, read -ra devices <<<"$1,"
for device in "${devices[@]}"; do check_gpu_id "$device"; done
[[ $1 =~ ^(cpu(,cpu)*|[0-9]+(,[0-9]+)*)$ ]] || refuse "either GPUs or cpu, got '$1'"
check_config "${@:2}"
gpus=
for device in "${devices[@]}"; do
    find_gpu "$device"
    [[ $gpu ]] || break # the CPU is what there is, for all processes
    [[ ,$gpus, != *,$gpu,* ]] || refuse "GPU $gpu is named twice"
    gpus+=${gpus:+,}$gpu
done
processes=${#devices[@]}
for argument in "${@:2}"; do
    if [[ $argument == --* ]]; then processes=1; fi # --print-config, --visualize: nothing is trained
done

export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$gpus
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # threads that wait leave their core to other runs

python=$("$root/run_scripts/setup_environment.sh")
if ((processes > 1)); then exec "$python" "$root/parallel/start.py" "$processes" "${@:2}"; fi
exec "$python" "$root/main.py" "${@:2}" # exec: Ctrl-C and SIGTERM reach Python itself
