#!/usr/bin/env bash
# Sets up what is missing, and prints the path of the Python to use (all else goes to stderr).
#
#   python=$(run_scripts/setup_environment.sh)        what training needs, from requirements.txt
#   python=$(run_scripts/setup_environment.sh dev)    and what testing needs, from requirements-dev.txt
#
# Inside the Docker image (HVT_IN_DOCKER=1) that is the image's own. Elsewhere it is .venv in the repository, made and
# filled with uv. A stamp in .venv holds the hash of what was installed: without it, or where it differs, the installation
# is done (again), so an interrupted one is repeated. A lock lets several starts at once install only once.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

case "$*" in
"") requirements=(requirements.txt) ;;
dev) requirements=(requirements.txt requirements-dev.txt) ;;
*) fail "usage: setup_environment.sh [dev]" ;;
esac

hash_of() { sha256sum <"$root/$1"; }
is_installed() {
    local file
    [[ -x $venv/bin/python ]] || return 1 # also where the Python behind the link is gone
    for file in "${requirements[@]}"; do
        [[ -f $venv/$file.sha256 && $(<"$venv/$file.sha256") == "$(hash_of "$file")" ]] || return 1
    done
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
find_python() {
    local candidate
    for candidate in python3 python3.{11..14} python; do
        if is_recent "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed; found $(python3 --version 2>&1 || echo "no python3"). Install it and start again."
}

# Into .venv, so that it works where the distribution manages the system's Python.
install_uv() {
    local python pip
    python=$(find_python)
    if "$venv/bin/python" -m ensurepip >/dev/null 2>&1; then
        pip=("$venv/bin/python" -m pip)
    elif "$python" -m pip --version >/dev/null 2>&1; then # Debian's Python without python3-venv
        pip=("$python" -m pip --python "$venv/bin/python")
    else
        fail "neither uv nor pip is there: install one of them and start again"
    fi
    say "installing uv into .venv"
    "${pip[@]}" install --quiet uv >&2 ||
        fail "uv could not be installed (see above). Is there a network? Start again when there is."
}

install() {
    local python uv file arguments=()
    if ! is_recent "$venv/bin/python"; then
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear --without-pip "$venv" >&2 || fail "$python -m venv failed (see above)"
    fi
    uv=$venv/bin/uv
    if uv --version >/dev/null 2>&1; then
        uv=uv
    elif ! "$uv" --version >/dev/null 2>&1; then
        install_uv
    fi
    for file in "${requirements[@]}"; do arguments+=(-r "$root/$file"); done
    say "installing ${requirements[*]} into .venv (the first time takes minutes)"
    "$uv" pip install --python "$venv/bin/python" "${arguments[@]}" >&2 ||
        fail "the requirements could not be installed (see above). Is there a network? Start again when there is."
    for file in "${requirements[@]}"; do
        hash_of "$file" >"$venv/$file.sha256.new"
        mv "$venv/$file.sha256.new" "$venv/$file.sha256"
    done
}

install_once() { # with requirements.txt as file descriptor 9, which is what is locked
    if ! flock --nonblock 9; then
        say "another start is installing; waiting for it"
        flock 9
    fi
    is_installed || install
}

if [[ ${HVT_IN_DOCKER:-} == 1 ]]; then
    python=$(command -v python || command -v python3) || fail "HVT_IN_DOCKER=1, but there is no python on the PATH"
    stamp=${python%/bin/*}/requirements.txt.sha256
    if [[ -f $stamp && $(<"$stamp") != "$(hash_of requirements.txt)" ]]; then
        say "the image was built from another requirements.txt than this code's; run_scripts/build_docker.sh renews it"
    fi
    echo "$python"
    exit
fi
for file in "${requirements[@]}"; do
    [[ -r $root/$file ]] || fail "$file is missing from the repository"
done
is_installed || install_once 9<"$root/requirements.txt"
echo "$venv/bin/python"
