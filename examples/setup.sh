# Sourced by quickstart.sh and tests/run.sh: creates a virtual environment with forgetkit on first use.
# FORGETKIT_VENV names another folder for it, so that clones can share one.
: "${FORGETKIT_VENV:=$root/.venv}"
venv=$FORGETKIT_VENV
find_python() {
    for name in python3 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "error: forgetkit needs Python 3.11 or newer" >&2
    exit 2
}
wanted="$(cat "$root/pyproject.toml")
$root"
if [ "$(cat "$venv/forgetkit-set-up" 2>/dev/null)" != "$wanted" ]; then
    echo "setting up $venv (a few GB with torch; a minute or two) …" >&2
    python=$(find_python)
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade pip
    # One installation for all: torch and torchvision must come from the same release.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root[dev]"
    printf '%s\n' "$wanted" >"$venv/forgetkit-set-up"
fi
PATH="$venv/bin:$PATH"
export PATH
