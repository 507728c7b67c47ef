#!/usr/bin/env bash
# Trains the stages of a curriculum, each in a process and a run folder of its own. The same command goes on where it
# was stopped: stages that have ended are passed over, one that was interrupted is resumed.
set -euo pipefail

usage() {
    cat <<'END'
usage: run_scripts/run_curriculum.sh GPU_ID CONFIG [key=value ...]

  GPU_ID     number of the GPU, as nvidia-smi counts, or cpu
  CONFIG     a config with use_curriculum: true; its stages become the runs NAME--CLp-1, NAME--CLp-2, ...
  key=value  changes a value of the config

example: run_scripts/run_curriculum.sh 0 curriculum.yaml save_path=outputs/by_stage
END
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=run_curriculum
# shellcheck source=run_scripts/arguments.sh
. "$root/run_scripts/arguments.sh"
# shellcheck source=run_scripts/starting.sh
. "$root/run_scripts/starting.sh"

help_if_asked "$@"
(($# >= 2)) || refuse "GPU_ID and CONFIG are needed"
python=$("$root/run_scripts/setup_environment.sh")
# The configs of all stages, each of which continues from the run of the one before it.
stages=$(PYTHONPATH=$root "$python" -m config.stage_files "${@:2}")

number=0
while IFS=$'\t' read -r config run; do
    number=$((number + 1))
    if [[ -f $run/summary.json ]]; then
        say "stage $number has ended: $run"
    elif [[ -f $run/checkpoints/last.pt ]]; then
        say "stage $number goes on: $run"
        start "$root/launcher.sh" "$1" "$config" resume=true
    else
        say "stage $number begins: $run"
        start "$root/launcher.sh" "$1" "$config"
    fi
done <<<"$stages"
say "all $number stages have ended; the last one's report: $run/report.html"
