# Set-up shared by run_tests.sh and quickstart.sh; source it from bash.
#
#   mmfas_environment VENV EXTRAS
#
# makes the virtual environment VENV with mmfas (editable) and its extras, such as `onedl,tests`, and sets
# MMFAS_PYTHON to its interpreter. A stamp of everything that decides the contents makes the second call instant;
# an environment with more extras than requested is reused, one with fewer gets those it lacks.
# It prints to standard error and returns non-zero with advice where the machine lacks something.

mmfas_say() { printf '[mmfas] %s\n' "$*" >&2; }

mmfas_root() { cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd; }

# The first Python >= 3.10 on PATH; MMFAS_BASE_PYTHON overrides the search.
mmfas_base_python() {
    local candidate
    for candidate in ${MMFAS_BASE_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    mmfas_say 'Python >= 3.10 is needed, but none is on PATH (Debian: apt-get install python3 python3-venv)'
    return 1
}

# opencv-python links libraries that bare servers lack.
mmfas_check_libraries() {
    local message
    message=$("$MMFAS_PYTHON" -c 'import cv2' 2>&1) && return 0
    mmfas_say "OpenCV cannot be imported: ${message##*$'\n'}"
    case "$message" in
        *libGL* | *libgthread* | *libglib*)
            mmfas_say 'On Debian and Ubuntu: apt-get install libgl1 libglib2.0-0' ;;
        *libxcb* | *libX11* | *libSM* | *libXext*)
            mmfas_say 'On Debian and Ubuntu: apt-get install libxcb1 libsm6 libxext6' ;;
    esac
    return 1
}

# Whether the first of two lists of extras has all of the second.
mmfas_has_extras() {
    local extra
    for extra in ${2//,/ }; do
        case ",$1," in *",$extra,"*) ;; *) return 1 ;; esac
    done
}

# The first of two lists of extras, and of the second what it lacks.
mmfas_join_extras() {
    local joined=$1 extra
    for extra in ${2//,/ }; do
        mmfas_has_extras "$joined" "$extra" || joined="$joined,$extra"
    done
    printf '%s' "$joined"
}

mmfas_environment() {
    local venv=$1 extras=$2 root base stamp found
    root=$(mmfas_root)
    MMFAS_PYTHON="$venv/bin/python"
    # Compiled modules are kept in the environment, not in the sources, even where the caller wants none written:
    # torch and the engines are 2,000 modules, and compiling them takes every new process 4 seconds.
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX="$venv/.pycache"
    # The extras are last and alone on their line: the rest must be equal, and the requested ones must be among them.
    stamp="$root $(cat "$root"/setup.py "$root"/requirements/*.txt "$root"/tools/lib/environment.sh | cksum)"
    if [ -x "$MMFAS_PYTHON" ] && [ "$(head -n 1 "$venv/.mmfas-stamp" 2>/dev/null)" = "$stamp" ]; then
        found=$(tail -n 1 "$venv/.mmfas-stamp")
        if mmfas_has_extras "$found" "$extras"; then
            return 0
        fi
        extras=$(mmfas_join_extras "$found" "$extras")
    fi
    base=$(mmfas_base_python) || return 1
    mmfas_say "setting up $venv with [$extras] (a few minutes the first time)"
    if [ ! -x "$MMFAS_PYTHON" ]; then
        if ! "$base" -c 'import ensurepip, venv' 2>/dev/null || ! "$base" -m venv "$venv" >&2; then
            mmfas_say "$base cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"
            return 1
        fi
    fi
    # An environment that another tool made may lack pip.
    "$MMFAS_PYTHON" -m pip --version > /dev/null 2>&1 || "$MMFAS_PYTHON" -m ensurepip > /dev/null || true
    "$MMFAS_PYTHON" -m pip install --quiet --disable-pip-version-check uv >&2 || {
        mmfas_say 'pip could not install uv: is the package index reachable?'
        return 1
    }
    "$venv/bin/uv" pip install --quiet --python "$MMFAS_PYTHON" torch torchvision -e "$root[$extras]" >&2 || {
        mmfas_say "installing mmfas[$extras] failed; the lines above say which package"
        return 1
    }
    mmfas_check_libraries || return 1
    printf '%s\n%s\n' "$stamp" "$extras" > "$venv/.mmfas-stamp"
}
