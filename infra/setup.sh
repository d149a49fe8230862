#!/bin/sh
# Sets up .venv with everything pinned in infra/requirements.lock; what is already there is left alone.
#   sh infra/setup.sh [elpv]     elpv: also the ELPV solar-cell pictures (CC BY-NC-SA 4.0, for evaluation)
# PYTHON names the interpreter to build on (default python3); Lineside is tested on Python 3.11.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

stamp=.venv/.installed
want=$(cat pyproject.toml infra/*.lock | cksum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$want" ]; then
  if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    echo "Lineside needs Python 3.11; '$python' is $("$python" -V 2>&1). Set PYTHON to a Python 3.11." >&2
    exit 2
  fi
  echo "Setting up .venv (about 6 GB, once)" >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/uv.lock
  .venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes infra/requirements.lock infra/uv.lock
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
  printf '%s' "$want" >"$stamp"
fi
.venv/bin/python -m streams.bus.kafka_aot
if [ "${1:-}" = elpv ] && ! .venv/bin/python -c 'import elpv_dataset' 2>/dev/null; then
  echo "Fetching the ELPV pictures (90 MB, once)" >&2
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes -r infra/elpv.lock
fi
