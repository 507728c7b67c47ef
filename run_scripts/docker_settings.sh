# shellcheck shell=bash disable=SC2154
# Sourced by docker_common.sh: folders and other settings, from the environment, else run_scripts/paths.env, else defaults.
# run_scripts/paths.env.example says what each is.

settings=(HVT_DATA HVT_OUTPUT HVT_CODE HVT_TMP HVT_IMAGE HVT_SHM_SIZE HVT_MIN_FREE_MB CONTAINER_ENGINE)

# read_settings: sets and exports nothing but the variables in `settings`. Nothing in the file is executed.
read_settings() {
    local file=$root/run_scripts/paths.env line number=0
    if [[ -e $file ]]; then
        [[ -f $file && -r $file ]] || fail "cannot read $file"
        while IFS= read -r line || [[ -n $line ]]; do
            number=$((number + 1))
            read_setting "$line" "run_scripts/paths.env, line $number"
        done <"$file"
    fi
    HVT_TMP=${HVT_TMP:-${TMPDIR:-/tmp}}
    HVT_CODE=${HVT_CODE-$root} # empty: the image's
    HVT_IMAGE=${HVT_IMAGE:-hierarchical-video-transformer}
    HVT_SHM_SIZE=${HVT_SHM_SIZE:-8g}
    HVT_MIN_FREE_MB=${HVT_MIN_FREE_MB:-1000}
    CONTAINER_ENGINE=${CONTAINER_ENGINE:-docker}
}

# read_setting LINE PLACE: one line of the file; the environment comes first
read_setting() {
    local line=${1%$'\r'} name value
    [[ ! $line =~ ^[[:space:]]*(#|$) ]] || return 0
    [[ $line =~ ^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || fail "$2: expected NAME=VALUE, got '$line'"
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    [[ " ${settings[*]} " == *" $name "* ]] || fail "$2: unknown name $name; there are ${settings[*]}"
    value=${value%"${value##*[![:space:]]}"}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then value=${BASH_REMATCH[1]}; fi
    # shellcheck disable=SC2088 # as it stands in the file
    if [[ $value == '~/'* ]]; then value=$HOME/${value:2}; fi
    case $name in # a folder is relative to the repository, wherever the script was started
    HVT_DATA | HVT_OUTPUT | HVT_CODE | HVT_TMP) [[ -z $value || $value == /* ]] || value=$root/$value ;;
    esac
    [[ -v $name ]] || printf -v "$name" '%s' "$value"
}

# default_folder NAME FOLDER: a folder that nobody has named is made; one that somebody has named must be there
default_folder() {
    [[ -z ${!1:-} ]] || return 0
    mkdir -p -- "$2" || fail "$1: cannot make $2; name another folder in run_scripts/paths.env"
    printf -v "$1" '%s' "$2"
}

# check_folder NAME [writable]: makes the folder's path absolute; ends with one line where it cannot be used
check_folder() {
    local path=${!1} probe free
    [[ $path != *$'\n'* ]] || fail "$1: a path with a line break cannot be mounted"
    [[ -d $path ]] || fail "$1: there is no folder $path; make it, or name another one in run_scripts/paths.env"
    path=$(cd -- "$path" 2>/dev/null && pwd) || fail "$1: you may not enter $path"
    printf -v "$1" '%s' "$path"
    [[ -r $path ]] || fail "$1: you may not read $path"
    [[ ${2:-} == writable ]] || return 0
    probe=$(mktemp "$path/.writable.XXXXXX" 2>/dev/null) ||
        fail "$1: cannot write to $path; name another folder in run_scripts/paths.env"
    rm -f -- "$probe"
    free=$(df -k --output=avail -- "$path" | tail -n 1)
    ((free / 1024 >= 10#$HVT_MIN_FREE_MB)) ||
        fail "$1: $path has $((free / 1024)) MB free, less than $HVT_MIN_FREE_MB (HVT_MIN_FREE_MB); make room or name another folder"
}

check_settings() {
    [[ $HVT_MIN_FREE_MB =~ ^[0-9]+$ ]] || fail "HVT_MIN_FREE_MB: expected a number of megabytes, got '$HVT_MIN_FREE_MB'"
    [[ $HVT_SHM_SIZE =~ ^[0-9]+[bkmg]?$ ]] || fail "HVT_SHM_SIZE: expected a size such as 8g, got '$HVT_SHM_SIZE'"
    default_folder HVT_DATA "$root/datasets"
    default_folder HVT_OUTPUT "$root/outputs"
    check_folder HVT_DATA
    check_folder HVT_OUTPUT writable
    check_folder HVT_TMP writable
    [[ -n $HVT_CODE ]] || return 0
    check_folder HVT_CODE
    [[ -f $HVT_CODE/main.py && -x $HVT_CODE/launcher.sh ]] ||
        fail "HVT_CODE: $HVT_CODE is not this repository: it has no main.py or no launcher.sh"
}
