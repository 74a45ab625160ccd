#!/bin/sh
# Sees to the commands that tests need and that do not come from PyPI. `make test` calls it.
# As root on Debian or Ubuntu it installs what is missing; elsewhere it says so, and under CI=true that is a failure.
set -eu

# One line for each: the command, and the package that has it.
needs="
bash bash
sleep coreutils
runuser util-linux
initdb postgresql
mosquitto mosquitto
ip iproute2
"

# `install_test_needs.sh openstack` sees to what the cloud in tests/openstack needs besides.
if [ "${1:-}" = openstack ]; then
  needs="$needs
rabbitmq-server rabbitmq-server
"
fi

# Debian keeps the commands of servers out of the path; this is where they are.
PATH="$PATH:/usr/sbin:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)"

missing=
while read -r command package; do
  if [ -n "$command" ] && ! command -v "$command" >/dev/null 2>&1; then
    missing="$missing $package"
  fi
done <<EOF
$needs
EOF
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing for the tests:$missing"
  # Run level 1: no package starts a server of its own (invoke-rc.d); the tests start theirs.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  # shellcheck disable=SC2086 # a list of packages
  if ! apt-get install -y -qq $missing >/dev/null 2>&1; then
    apt-get update -qq
    apt-get install -y -qq $missing >/dev/null
  fi
  exit 0
fi
echo "Missing for some tests:$missing. On Debian or Ubuntu:  sudo apt-get install$missing" >&2
[ "${CI:-}" != true ]
