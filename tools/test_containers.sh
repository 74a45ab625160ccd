#!/usr/bin/env bash
# Brings docker-compose.yml up for real, with podman, and places a workload in it; then runs the agent's container runtime
# against podman's socket. `make test-containers` calls it; "tools/test_containers.sh instances" does the second alone.
#
# Needs root on Debian or Ubuntu. No image is pulled: the base image is made with debootstrap, from the distribution that
# this machine runs, so that wheels which its pip downloads fit. Containers run in network, mount and process namespaces
# of their own, which end with this script; what is kept for the next run lies in build/containers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$PWD/build/containers
base=hansa-base:local

say() { printf '%s\n' "== $*"; }

test_instances() {
  local socket=$work/podman.sock digest
  say "building the image of a test's instance"
  mkdir -p "$work/echo"
  cp tests/integration/agent_artefact.py "$work/echo/"
  # As images are that people make with care: a user of their own, by name, and an entry point with arguments.
  cat >"$work/echo/Dockerfile" <<EOF
FROM localhost/$base
RUN useradd --uid 4711 --no-create-home ocr
COPY agent_artefact.py /srv/agent_artefact.py
USER ocr
ENTRYPOINT ["/usr/bin/python3", "-I"]
CMD ["/srv/agent_artefact.py"]
EOF
  podman build -q -t hansa-echo:local "$work/echo" >"$work/echo.log" 2>&1 || { tail -20 "$work/echo.log" >&2; return 1; }
  digest=$(podman image inspect --format '{{.Digest}}' localhost/hansa-echo:local)
  # Devices that are none: what CDI does to a container shows all the same.
  mkdir -p /run/cdi
  mount -t tmpfs tmpfs /run/cdi
  cat >/run/cdi/hansa.json <<EOF
{"cdiVersion": "0.3.0", "kind": "hansa.test/gpu", "devices": [
  {"name": "0", "containerEdits": {"env": ["FAKE_GPU=0"], "deviceNodes": [{"path": "/dev/fakegpu0", "hostPath": "/dev/null"}]}},
  {"name": "1", "containerEdits": {"env": ["FAKE_GPU=1"], "deviceNodes": [{"path": "/dev/fakegpu1", "hostPath": "/dev/null"}]}}]}
EOF
  say "running the agent's containers under podman"
  HANSA_PODMAN_SOCKET=$socket HANSA_PODMAN_IMAGE=localhost/hansa-echo@$digest \
    "${PYTHON:-.venv/bin/python}" -m pytest -q -s -m containers -p no:cacheprovider tests/integration/test_agent_podman.py \
    tests/integration/test_user_data_podman.py
  [ -z "$(podman ps -aq)" ]
  say "instances: passed"
}

import_base() {
  podman image exists "localhost/$base" && return
  say "importing the base image"
  podman import -q "$work/base.tar" "$base" >/dev/null
}

install_needs() {
  local missing=() each
  for each in podman:podman crun:crun debootstrap:debootstrap /usr/lib/podman/netavark:netavark \
    /usr/lib/podman/aardvark-dns:aardvark-dns iptables:iptables ip:iproute2; do
    command -v "${each%%:*}" >/dev/null || missing+=("${each#*:}")
  done
  if ((${#missing[@]})); then
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
}

install_compose() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tools/containers.lock
}

make_base() {
  [ -e "$work/base.tar" ] && return
  # shellcheck source=/dev/null
  local codename; codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  say "making a base image of $codename (minutes, once)"
  rm -rf "$work/root"
  debootstrap --variant=minbase --include=python3,python3-venv "$codename" "$work/root" >"$work/debootstrap.log" 2>&1 ||
    { tail -5 "$work/debootstrap.log" >&2; return 1; }
  rm -rf "$work/root/var/cache/apt" "$work/root/var/lib/apt/lists"
  tar --numeric-owner -C "$work/root" -cf "$work/base.tar.new" .
  mv "$work/base.tar.new" "$work/base.tar"
  rm -rf "$work/root"
}

download_wheels() {
  [ "$work/wheels/.complete" -nt requirements.lock ] && [ "$work/wheels/.complete" -nt requirements-agent.lock ] && return
  say "downloading what requirements.lock and requirements-agent.lock name (once)"
  rm -rf "$work/wheels"
  /usr/bin/python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    -d "$work/wheels" -r requirements.lock -r requirements-agent.lock
  touch "$work/wheels/.complete"
}

configure_podman() {
  mount --make-rprivate /
  ip link set lo up
  # A second, empty cgroup hierarchy beside the first confuses crun.
  umount /sys/fs/cgroup/unified 2>/dev/null || true
  mkdir -p "$work/conf" "$work/run"
  # Empty at each start, so that podman sees a rebooted machine and forgets what ran in former namespaces.
  mount -t tmpfs tmpfs "$work/run"
  cat >"$work/conf/containers.conf" <<EOF
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
EOF
  cat >"$work/conf/storage.conf" <<EOF
[storage]
driver = "overlay"
graphroot = "$work/store"
runroot = "$work/run"
EOF
  export CONTAINERS_CONF=$work/conf/containers.conf CONTAINERS_STORAGE_CONF=$work/conf/storage.conf
}

compose() { .venv/bin/python -m podman_compose -p hansa "$@"; }
client() { compose --profile client run --rm -T client "$@" 2>>"$work/client.log"; }

until_true() { # seconds, what, command...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS > deadline)); then
      echo "not so in time: $what" >&2
      return 1
    fi
    sleep 1
  done
  say "$what"
}

# Health checks need a timer of systemd to run by themselves under podman; here they are run one by one.
all_healthy() {
  local each
  for each in $(podman ps --filter label=io.podman.compose.project=hansa --format '{{.Names}}'); do
    podman healthcheck run "$each" >/dev/null || return 1
  done
}

zones_available() { [ "$(client zones -o json | grep -c '"AVAILABLE"')" -ge 10 ]; }

expect() { # expected exit status, command...
  local wanted=$1 status=0
  shift
  "$@" || status=$?
  [ "$status" = "$wanted" ] || { echo "exit status $status instead of $wanted: $*" >&2; return 1; }
}

tear_down() {
  local status=$?
  trap - EXIT
  if ((status)); then
    echo "== it failed; the last lines of every container:" >&2
    for each in $(podman ps -a --format '{{.Names}}'); do
      echo "-- $each" >&2
      podman logs --tail 8 "$each" >&2 || true
    done
    tail -20 "$work/client.log" >&2 || true
  fi
  compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  exit "$status"
}

run_inside() {
  configure_podman
  : >"$work/client.log"
  trap tear_down EXIT
  podman rm --all --force >/dev/null
  podman volume prune --force >/dev/null
  import_base
  say "building both images"
  export BASE_IMAGE=localhost/$base BUILD_PIP_NO_INDEX=1 BUILD_PIP_FIND_LINKS=/wheels
  compose --podman-build-args="-v $work/wheels:/wheels:ro" --parallel 1 build prepare nordavind \
    >"$work/build.log" 2>&1 || { tail -30 "$work/build.log" >&2; return 1; }
  say "the agent has every platform, the control plane none"
  for each in kubernetes openstack aiomqtt; do
    podman run --rm --entrypoint python3 hansa-agent:local -c "import $each"
    expect 1 podman run --rm --entrypoint python3 hansa-control-plane:local -c "import $each" 2>/dev/null
  done
  podman images --format '== {{.Repository}}: {{.Size}}' | grep -E 'hansa-(agent|control-plane)'
  say "starting four operators and ten agents"
  compose up -d --no-build >"$work/up.log" 2>&1 || { tail -30 "$work/up.log" >&2; return 1; }
  [ "$(podman ps --filter label=io.podman.compose.project=hansa -q | wc -l)" = 14 ] || { podman ps -a >&2; return 1; }
  until_true 120 "all fourteen are healthy" all_healthy
  until_true 120 "the home operator sees ten zones" zones_available
  say "a workload is submitted and becomes ready"
  expect 0 client submit -f /world/demo/yard-ocr.yaml --wait
  expect 0 client why yard-ocr
  expect 0 client endpoint yard-ocr
  expect 0 client delete yard-ocr --wait
  say "everything ends"
  compose down --volumes --timeout 10 >"$work/down.log" 2>&1
  [ -z "$(podman ps -aq)" ]
  say "containers: passed"
  test_instances
}

run_instances() {
  configure_podman
  podman rm --all --force >/dev/null
  import_base
  test_instances
}

case "${1:-}" in
  inside) run_inside; exit ;;
  inside-instances) run_instances; exit ;;
esac
[ "$(id -u)" = 0 ] || { echo "make test-containers needs root: namespaces, mounts, debootstrap" >&2; exit 1; }
mkdir -p "$work"
install_needs
make_base
private=(unshare --net --mount --pid --fork --kill-child --mount-proc)
[ "${1:-}" != instances ] || exec "${private[@]}" "$0" inside-instances
install_compose
download_wheels
exec "${private[@]}" "$0" inside
