#!/bin/sh
# Sees to the cloud that tests/openstack starts: OpenStack's services in a virtual environment of their own, because
# they want other versions than hansa does. `make test` calls it; it does nothing while the lock is what is installed.
# Where it cannot be done it says so, and under CI=true that is a failure; elsewhere those tests are skipped.
set -eu
cd "$(dirname "$0")/.."
venv=${HANSA_OPENSTACK_VENV:-build/openstack-venv}
stamp=$venv/.installed

tools/install_test_needs.sh openstack
if cmp -s requirements-openstack.lock "$stamp"; then
  exit 0
fi
echo "Installing OpenStack for the tests into $venv (two to five minutes, once)"
rm -rf "$venv"
mkdir -p "$(dirname "$venv")"
if .venv/bin/python -m venv "$venv" &&
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
    -r requirements-openstack.lock; then
  cp requirements-openstack.lock "$stamp"
  exit 0
fi
echo "OpenStack could not be installed: the tests in tests/openstack do NOT run." >&2
[ "${CI:-}" != true ]
