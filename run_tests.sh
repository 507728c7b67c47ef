#!/usr/bin/env bash
# Sets up what is missing and runs the tests; arguments go to pytest.
#
#   ./run_tests.sh                     all but the slow ones
#   ./run_tests.sh -m ''               all
#   ./run_tests.sh tests/config -x     some
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
python=$(run_scripts/setup_environment.sh dev)
# Two workers that each take every core would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# What torchcodec decodes with, where the system has no FFmpeg; its tests would be skipped.
LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$("$python" run_scripts/ffmpeg_of_pyav.py)
export LD_LIBRARY_PATH
exec "$python" -m pytest -n 2 -m "not slow" "$@"
