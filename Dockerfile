# The environment of run_all.sh and run_tests.sh, made by the same script. Results go to a folder of yours:
#   docker build -t negutil .
#   docker run --rm -v "$PWD/out:/out" negutil ./run_all.sh --out /out
# PyTorch's CPU build; for CUDA's, build with --build-arg PIP_EXTRA_INDEX_URL=

FROM python:3.11-slim-bookworm AS system
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# git for provenance and `negutil verify`, chromium for the tests of the report's page
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends chromium git && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 negutil && install -d -o negutil -g negutil /negutil /out
USER negutil
WORKDIR /negutil
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_EXTRA_INDEX_URL=$PIP_EXTRA_INDEX_URL

FROM system AS negutil
COPY --chown=negutil:negutil . .
RUN source scripts/environment.sh && set_up && add_photo
ENV PATH=/negutil/.venv/bin:$PATH
CMD ["./run_all.sh", "--help"]
