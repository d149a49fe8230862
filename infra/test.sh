#!/bin/sh
# Sets everything up, checks the code and runs all tests on a real, embedded Kafka: in three processes side by side, and
# then, with nothing beside them, those that hold a time which people are promised.
#   sh infra/test.sh [--long] [PYTEST OPTIONS]     such as -k deadline, or tests/unit; -n 0: in one process
# --long: also tests/endurance, and all others in their full size; an hour more.
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" = --long ]; then
  export LINESIDE_TEST_LONG=1
  shift
  [ $# -gt 0 ] || set -- tests
fi
unset PYTHONDONTWRITEBYTECODE  # else each of hundreds of programs compiles all of torch anew
sh infra/setup.sh
sh infra/browser.sh
# Byte code of a new environment is written once, beside the checks, and not by three processes at the same time.
.venv/bin/python -m pytest --collect-only -q "$@" >/dev/null 2>&1 &
trap 'kill $! 2>/dev/null || true' EXIT
sh infra/check.sh
wait $! || true  # what can't be collected is told below
status=0
# A process that ends with a test ends the run: xdist would wait for ever for what it had left to do.
.venv/bin/python -m pytest -n 3 --max-worker-restart 0 -m "not alone" "$@" || status=$?
.venv/bin/python -m pytest -m alone "$@" || [ $? = 5 ] || status=1  # 5: none of the chosen ones
exit $status
