#!/bin/sh
# bootstrap.sh VENV: a virtual environment with uv in it, from nothing but Python 3.11 to 3.14.
set -eu
venv=$1

for python in ${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3}; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
    found=$python
    break
  fi
done
if [ -z "${found:-}" ]; then
  echo "Vigie needs Python 3.11 to 3.14 (its packages have no wheels for others yet): install one, or name it with PYTHON=… make" >&2
  exit 1
fi

if ! "$found" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing python3-venv, a part of Python that Debian packs apart"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  else
    echo "this Python has no venv: install the package python3-venv, then call make again" >&2
    exit 1
  fi
fi

[ -x "$venv/bin/pip" ] || "$found" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$(dirname "$0")/uv.txt"
