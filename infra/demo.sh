#!/bin/sh
# Sets everything up and runs the main job on this machine: broker, topics, model, gateway, worker, report.
#   sh infra/demo.sh [OPTIONS OF lineside up]     such as --frames 400 --json, or --source elpv
set -eu
cd "$(dirname "$0")/.."
extra=
case " $* " in *" elpv "* | *"=elpv "*) extra=elpv ;; esac
sh infra/setup.sh $extra
exec .venv/bin/lineside up "$@"
