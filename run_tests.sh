#!/usr/bin/env bash
# Sets up as run_all.sh does, then runs ruff, nbval over the notebooks in the quick profile (whose values are compared with
# those in tests/quick/), mypy in parallel, and pytest.
set -uo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    echo "Usage: ./run_tests.sh [--all | arguments of pytest, such as -k NAME or tests/test_config.py]"
    echo "Sets up as run_all.sh does, runs ruff, mypy and nbval over the notebooks (quick profile), compares their values with"
    echo "those in tests/quick/, and runs pytest: half an hour at most on two cores. --all also runs the tests marked \"long\"."
    echo "With other arguments it runs only pytest."
    exit 0
fi

source "$(dirname "${BASH_SOURCE[0]}")/scripts/environment.sh"
set_up || exit 1
add_photo || say "PhotoCLIP's packages could not be installed, so its tests are skipped."
cd "$ROOT" || exit 1

# Tested notebooks write results and figures to a temporary folder, so that the clone does not change. The cache is the
# user's own: quick reuses earlier results, and pytest copies the quick world from there.
SCRATCH=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$SCRATCH"' EXIT
trap 'exit 130' INT TERM
SUMMARY=()
STATUS=0

stage() {
    local name=$1 started=$SECONDS outcome=passed
    shift
    echo
    echo "== $name"
    "$@" || { outcome=FAILED && STATUS=1; }
    SUMMARY+=("$(printf '%-12s %-7s %4d s' "$name" "$outcome" $((SECONDS - started)))")
}

TESTS="not long"
if [[ ${1:-} == --all ]]; then
    TESTS=""
    shift
fi

notebooks() {
    NEGUTIL_PROFILE=quick NEGUTIL_NO_PROGRESS=1 NEGUTIL_RESULTS="$SCRATCH/results" NEGUTIL_FIGURES="$SCRATCH/figures" \
        MPLBACKEND=module://matplotlib_inline.backend_inline JUPYTER_PREFER_ENV_PATH=1 \
        "$PYTHON" -m pytest --nbval-lax --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg \
        --nbval-cell-timeout 600 -o timeout=0 -p no:cacheprovider notebooks/
}

types() {
    wait "$MYPY"
    local status=$?
    cat "$SCRATCH/mypy.txt"
    return "$status"
}

if (($#)); then
    exec env OMP_NUM_THREADS=1 "$PYTHON" -m pytest "$@"
fi

stage "ruff check" "$PYTHON" -m ruff check .
stage "ruff format" "$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy >"$SCRATCH/mypy.txt" 2>&1 & # in parallel with the notebooks, which leave half of the second core idle
MYPY=$!
stage "notebooks" notebooks
stage "quick values" "$PYTHON" scripts/quick_values.py "$SCRATCH/results/quick"
stage "mypy" types
# Use the order of tests/conftest.py, slow files first; the default starts with the files with the most tests.
stage "pytest" env OMP_NUM_THREADS=1 "$PYTHON" -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
    --no-loadscope-reorder -m "$TESTS"

echo
echo "== summary"
printf '%s\n' "${SUMMARY[@]}"
exit "$STATUS"
