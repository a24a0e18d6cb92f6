#!/usr/bin/env bash
# Sets up, runs the notebooks in order with Papermill, and writes results/, figures/ and the executed notebooks.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: ./run_all.sh [--profile mini|quick|photo|paper] [--only 01,02] [--seed N] [--fresh] [--out DIR] [--list] [--help]

Regenerates every table and figure. The first run installs the dependencies into .venv (or uses the active conda
environment made from environment.yml). An interrupted run resumes where it stopped.

  --profile NAME   mini (default): no network, account or GPU needed; quick: the same with fewer items, a first look in
                   minutes; photo: photographs with human captions (Flickr8k in NEGUTIL_DATA: negutil data get
                   flickr8k), about an hour; paper: the published datasets in the folder NEGUTIL_DATA, needs a GPU
  --only 01,02     run only these notebooks
  --seed N         use this seed instead of the notebooks' own (it changes resamples and the order of options, but not the
                   training of models); writes to results/seed-N/ and figures/seed-N/ and changes nothing else.
                   For other images and questions: negutil seeds --help
  --fresh          use an empty cache for this run; yours is not changed
  --out DIR        write tables, figures and executed notebooks below DIR and nothing into the clone; with mini, the
                   last lines compare them with the committed tables, and negutil verify DIR does so again in full
  --renew          replace the committed tables, figures and notebooks even if their numbers changed only within the
                   declared tolerance (configs/tolerances.toml); for maintainers
  --timeout S      stop if a single cell takes longer than S seconds
  --list           list the notebooks and stop

Tables go to results/<profile>/, figures to figures/<profile>/ (NEGUTIL_PDF=1 ./run_all.sh adds a PDF of each). With mini
and without --seed the executed notebooks replace those in notebooks/; otherwise they go to a folder notebooks/ next to
the tables.
TEXT
}

for argument in "$@"; do
    case $argument in -h | --help) usage && exit 0 ;; esac
done

source "$(dirname "${BASH_SOURCE[0]}")/scripts/environment.sh"
set_up
if [[ " $* " =~ " --profile photo " || " $* " =~ " --profile=photo " || ${NEGUTIL_PROFILE:-} == photo ]]; then
    if ! has_photo; then
        say "Installing the packages with PhotoCLIP's weights."
        add_photo
    fi
fi
exec "$PYTHON" -m negutil run "$@"
