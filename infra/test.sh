#!/bin/sh
# Sets everything up, checks the code and runs all tests on a real, embedded Kafka.
#   sh infra/test.sh [PYTEST OPTIONS]     such as -k deadline, or tests/unit
set -eu
cd "$(dirname "$0")/.."
sh infra/setup.sh
sh infra/browser.sh
sh infra/check.sh
exec .venv/bin/python -m pytest "$@"
