#!/bin/sh
# Sees to it that a Chromium is there for the tests of the pages. CHROMIUM names another one than that on the PATH.
set -eu
command -v "${CHROMIUM:-chromium}" >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Debian's chromium for the tests of the pages (once)" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "The tests of the pages need Chromium: install Debian's package chromium, or set CHROMIUM to its path." >&2
exit 2
