#!/bin/sh
# What must hold before any test: format, lint, types, walls between packages, generated code unchanged.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff format --check --quiet .
$bin/ruff check --quiet .
$bin/lint-imports --no-cache &  # beside mypy
walls=$!
$bin/mypy
wait $walls
$bin/python -m schemas.generate --check
