#!/usr/bin/env bash
# Installs what requirements.txt pins into an environment on top of the base image's Python.
#
#   install_requirements.sh FOLDER        FOLDER has requirements.txt, and becomes the environment
#
# Where the base has the torch that is pinned, torch and the CUDA libraries that it was built with stay the base's:
# gigabytes that would lie in the image twice. Every package is named in requirements.txt, so no other is installed.
set -euo pipefail

folder=$1
fail() { echo "install_requirements: $*" >&2; exit 1; }

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "the base image needs Python 3.11 or newer; it has $(python3 --version 2>&1)"
pinned=$(sed -n 's/^torch==//p' "$folder/requirements.txt")
found=$(python3 -c 'from importlib.metadata import version; print(version("torch").partition("+")[0])' 2>/dev/null || true)

wanted=$folder/wanted.txt
if [[ -z $found ]]; then
    cp "$folder/requirements.txt" "$wanted"
elif [[ $found == "$pinned" ]]; then
    grep -vE '^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' "$folder/requirements.txt" >"$wanted"
else
    fail "the base image has torch $found, but requirements.txt pins $pinned: choose a base with $pinned or without torch"
fi

python3 -m venv --system-site-packages --without-pip "$folder"
"$folder/bin/python" -m pip install --no-cache-dir --no-deps --no-compile -r "$wanted"
rm "$wanted"
sha256sum <"$folder/requirements.txt" >"$folder/requirements.txt.sha256" # as in .venv: what was installed
"$folder/bin/python" -c 'import torch, numpy, av, cv2, sklearn'          # a base without what these need is told now
