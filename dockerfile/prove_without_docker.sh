#!/usr/bin/env bash
# Builds the real Dockerfile and starts the image with the real scripts, where no Docker engine runs: as root on Debian,
# with podman, whose `build` is buildah, over a base made by debootstrap.
#
#   apt-get install podman crun catatonit debootstrap
#   dockerfile/prove_without_docker.sh FOLDER         FOLDER: a new one, where 6 GB are free; it is removed at the end
#
# The base is Debian with Python and the torch that requirements.txt pins, as pip finds it here. Where packages come from
# is taken from this machine's own apt and pip; nothing of that stays in the image, which is checked.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fail() { echo "prove_without_docker: $*" >&2; exit 2; }
failed() { # failed WHAT LOG
    tail -n 20 "$2" >&2
    fail "$1 failed (see above)"
}
step() { printf '\n== %s\n' "$*"; }
check() { # check WHAT COMMAND ...: says whether it succeeded, and ends the script where it did not
    if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1"; exit 1; fi
}

(($# == 1)) || fail "usage: dockerfile/prove_without_docker.sh FOLDER"
[[ $(id -u) == 0 ]] || fail "only root can make the base image"
for command in podman crun debootstrap; do
    command -v "$command" >/dev/null || fail "there is no $command: apt-get install podman crun catatonit debootstrap"
done
[[ ! -e $1 ]] || fail "$1 exists"
mkdir -p -- "$1"
work=$(cd -- "$1" && pwd)
trap 'rm -rf -- "$work"' EXIT
mkdir "$work"/{bin,empty,datasets,outputs,tmp}
chmod 1777 "$work/tmp"

# ------------------------------------------------------------------------------------------------- the engine

# An engine of its own, whose images lie in $work, and which asks for no more than this machine allows.
cat >"$work/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "host"
cgroups = "disabled"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
cat >"$work/bin/engine" <<ENGINE
#!/usr/bin/env bash
export CONTAINERS_CONF='$work/containers.conf' BUILDAH_ISOLATION=chroot
# crun does not take version 1 and 2 of cgroups side by side.
exec unshare --mount bash -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec podman --root "$work/images" --runroot "$work/run" --storage-driver "${STORAGE_DRIVER:-overlay}" "\$@"' podman "\$@"
ENGINE
chmod +x "$work/bin/engine"
export CONTAINER_ENGINE=$work/bin/engine HVT_IMAGE=localhost/hvt
export HVT_DATA=$work/datasets HVT_OUTPUT=$work/outputs HVT_TMP=$work/tmp
engine() { "$CONTAINER_ENGINE" "$@"; }
inside() { engine run --rm --entrypoint "$1" "$HVT_IMAGE" "${@:2}"; }

# What pip is told here, as a file; and the files and folders that this names.
{
    echo "[global]"
    python3 -m pip config list | sed -nE "s/^(global|:env:)\.(cert|find-links|index-url|extra-index-url|trusted-host)='(.*)'$/\2 = \3/p" |
        sed 's/\\n/ /g' | sort -u -t= -k1,1
} >"$work/pip.conf"
build_options=()
for place in $(sed -nE 's/^[^=]+= //p' "$work/pip.conf" | tr ' ' '\n' | sed 's|^file://||; s|/simple/*$||' | grep '^/' | sort -u); do
    [[ ! -e $place ]] || build_options+=(--volume "$place:$place:ro")
done

# --------------------------------------------------------------------------------------------------- the base

step "a base of Debian with Python, by debootstrap"
# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt's variables
mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' |
    sed -n "s/^Debian $release main //p" | head -n 1)
[[ -n $mirror ]] || fail "apt knows no Debian mirror of $release: apt-get update"
debootstrap --variant=minbase --include=python3,python3-venv,python3-pip "$release" "$work/base" "$mirror" >"$work/debootstrap.log" 2>&1 ||
    failed debootstrap "$work/debootstrap.log"
tar -C "$work/base" -c . | engine import --quiet - localhost/base >/dev/null
rm -r "$work/base"
torch=$(sed -n 's/^torch==//p' "$root/requirements.txt")
printf '%s\n' 'FROM localhost/base' \
    "RUN --mount=type=secret,id=pip,target=/etc/pip.conf python3 -m pip install --no-cache-dir --break-system-packages torch==$torch" \
    >"$work/Dockerfile"
engine build --secret "id=pip,src=$work/pip.conf" "${build_options[@]}" --file "$work/Dockerfile" --tag localhost/base-torch "$work/empty" \
    >"$work/base.log" 2>&1 || failed "the installation of torch" "$work/base.log"
engine run --rm localhost/base-torch python3 -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__)'

# -------------------------------------------------------------------------------------------------- the image

step "run_scripts/build_docker.sh, from a copy of the repository with keys, data and results in it"
copy=$work/repository
git -C "$root" ls-files -z | (cd "$root" && tar --null --files-from - -c) | (mkdir "$copy" && tar -C "$copy" -x)
mkdir -p "$copy"/{datasets/x,outputs/x,wandb,config/generated,.git}
for file in wandb.key config/wandb.key run_scripts/paths.env .env .git/config datasets/x/a.mp4 outputs/x/last.pt \
    wandb/log config/generated/x.yaml tasks/best.pt; do
    echo "# canary-3141592653" >"$copy/$file"
done
seconds=$SECONDS
PIP_CONFIG_FILE=$work/pip.conf "$copy/run_scripts/build_docker.sh" gpu --build-arg BASE=localhost/base-torch "${build_options[@]}" \
    >"$work/build.log" 2>&1 || failed "the build" "$work/build.log"
echo "built in $((SECONDS - seconds)) s"
seconds=$SECONDS
PIP_CONFIG_FILE=$work/pip.conf "$copy/run_scripts/build_docker.sh" gpu --build-arg BASE=localhost/base-torch "${build_options[@]}" \
    >"$work/build.log" 2>&1
echo "again, with all layers there: $((SECONDS - seconds)) s"
engine history --format '{{.Size}}  {{.CreatedBy}}' "$HVT_IMAGE" | cut -c 1-110

step "what is in it"
check "the user is not root" test "$(engine image inspect --format '{{.Config.User}}' "$HVT_IMAGE")" = 1000:1000
check "the entry point is the launcher" test "$(engine image inspect --format '{{.Config.Entrypoint}}' "$HVT_IMAGE")" = '[./launcher.sh]'
check "no file holds a key, a setting, data or a result" test -z "$(inside grep -rIl canary-3141592653 /hvt /opt /etc /tmp /work 2>/dev/null)"
check "nothing tells where packages came from" test -z "$(inside find /etc/pip.conf /opt/hvt/pip.conf -size +0 2>/dev/null)"
check "torch is there once" test "$(inside find / -xdev -type d -path '*-packages/torch' 2>/dev/null | wc -l)" = 1
check "no CUDA library was added to the base's torch" test -z "$(inside find /opt/hvt -maxdepth 5 -name 'nvidia*' -o -maxdepth 5 -name triton)"
packages() { tr 'A-Z_' 'a-z-' | grep '==' | sort; } # one spelling of names
inside python -m pip freeze 2>/dev/null | packages >"$work/installed"
packages <"$root/requirements.txt" >"$work/pinned"
echo "$(comm -12 "$work/pinned" "$work/installed" | wc -l) packages as pinned; from the base: $(comm -13 "$work/pinned" "$work/installed" | paste -sd ' ')"
others='^(torch|triton|setuptools|nvidia-.*|cuda-.*)=='
check "of what is pinned nothing is missing but torch's CUDA libraries" test -z "$(comm -23 "$work/pinned" "$work/installed" | grep -vE "$others")"

# --------------------------------------------------------------------------------------------------- the runs

videos='dataset.videos={train: 64, val: 32, test: 48}'
step "run_scripts/run_docker.sh cpu quickstart.yaml, with this code mounted read-only"
"$root/run_scripts/run_docker.sh" cpu quickstart.yaml "$videos" num_epochs=1 'figures=[]'
check "the results are there" test -s "$work/outputs/quickstart/report.html"
check "the log has the last line of the run" grep -q "open outputs/quickstart/report.html" "$work/outputs/logs/quickstart.log"

step "what is refused: exit status and message get through"
refused() { # refused WHAT MESSAGE ARGUMENTS ...
    local status=0
    "$root/run_scripts/run_docker.sh" cpu quickstart.yaml "$videos" "${@:3}" >"$work/refused.log" 2>&1 || status=$?
    tail -n 1 "$work/refused.log"
    check "$1: exit status 2" test "$status" = 2
    check "$1: the reason is told" grep -q "$2" "$work/refused.log"
}
refused "a name that is taken" "run outputs/quickstart exists"
refused "a typo" "unknown key num_epoch " num_epoch=1
refused "a place that would be lost" "cannot write to lost/lost: Read-only file system" save_path=lost model_name=lost

step "SIGTERM while it trains, then resume=true"
"$root/run_scripts/run_docker.sh" cpu quickstart.yaml "$videos" num_epochs=4 val_interval=4 model_name=stopped 'figures=[]' >"$work/stopped.log" 2>&1 &
script=$!
until grep -q '^step' "$work/stopped.log"; do
    kill -0 "$script" 2>/dev/null || { cat "$work/stopped.log"; exit 1; }
    sleep 1
done
kill -TERM "$script"
status=0; wait "$script" || status=$?
tail -n 1 "$work/stopped.log"
check "exit status 143, as without Docker" test "$status" = 143
"$root/run_scripts/run_docker.sh" cpu quickstart.yaml "$videos" num_epochs=4 val_interval=4 model_name=stopped 'figures=[]' resume=true \
    >"$work/resumed.log" 2>&1
grep continuing "$work/resumed.log"
check "it ended" test -s "$work/outputs/stopped/summary.json"

step "the image alone: its own code and user, a read-only root, folders mounted where it expects them"
mkdir -m 1777 "$work/plain"
engine run --rm --read-only --mount "type=bind,source=$work/tmp,target=/tmp" --mount "type=bind,source=$work/plain,target=/hvt/outputs" \
    --mount "type=bind,source=$work/datasets,target=/hvt/datasets,readonly" --shm-size 1g "$HVT_IMAGE" cpu quickstart.yaml "$videos" num_epochs=1 'figures=[pca]' | tail -n 1
check "the results belong to the image's user" test "$(stat -c %u:%g "$work/plain/quickstart/summary.json")" = 1000:1000
engine run --rm --user 4321:4321 --read-only --mount "type=bind,source=$work/tmp,target=/tmp" --mount "type=bind,source=$work/plain,target=/hvt/outputs" \
    --mount "type=bind,source=$work/datasets,target=/hvt/datasets,readonly" --shm-size 1g "$HVT_IMAGE" cpu quickstart.yaml "$videos" num_epochs=1 'figures=[]' model_name=theirs | tail -n 1
check "with --user, to that one" test "$(stat -c %u:%g "$work/plain/theirs/summary.json")" = 4321:4321

step "the tests of the launcher, inside"
engine build --secret "id=pip,src=$work/pip.conf" "${build_options[@]}" --file - --tag localhost/hvt-tests "$work/empty" >"$work/tests.log" 2>&1 <<TESTS || failed "the installation of pytest" "$work/tests.log"
FROM $HVT_IMAGE
USER 0:0
RUN --mount=type=secret,id=pip,target=/etc/pip.conf python -m pip install --no-cache-dir $(grep -E '^(pytest|hypothesis)==' "$root/requirements-dev.txt" | paste -sd ' ')
USER 1000:1000
TESTS
engine run --rm --mount "type=bind,source=$copy,target=/hvt,readonly" --mount "type=bind,source=$work/tmp,target=/tmp" --entrypoint python localhost/hvt-tests \
    -m pytest -q -p no:cacheprovider -W ignore tests/test_launcher.py tests/run_scripts/test_setup_environment.py
step "all of it worked"
