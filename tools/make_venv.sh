#!/bin/sh
# Makes the virtual environment .venv with a Python of 3.11 or newer, or says what to install. `make` calls it.
set -eu
cd "$(dirname "$0")/.."
venv=.venv

is_new_enough() {
  command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'
}

python=
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if is_new_enough "$candidate"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  found=$(python3 --version 2>&1 || true)
  {
    echo "hansa needs Python 3.11 or newer; found: ${found:-no python3}."
    echo "On Debian 12, Ubuntu 24.04 and newer:  apt-get install python3 python3-venv"
    echo "If it is installed under another name:  make PYTHON=/path/to/python3.11 demo"
  } >&2
  exit 1
fi

# Debian and Ubuntu keep what `python3 -m venv` needs in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing $package, which $python needs to make a virtual environment."
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-get install -y -qq "$package" >/dev/null 2>&1; then
      apt-get update -qq
      apt-get install -y -qq "$package" >/dev/null
    fi
  else
    echo "$python cannot make virtual environments yet. On Debian or Ubuntu:  sudo apt-get install $package" >&2
    exit 1
  fi
fi

if [ -L "$venv" ]; then
  echo "$venv is a link and does not work; remove it or mend what it points to." >&2
  exit 1
fi
rm -rf "$venv"
"$python" -m venv "$venv"
