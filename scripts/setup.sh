#!/bin/sh
# Brings everything that `npm start` and `npm test` need: the packages of package-lock.json (among
# them the Node that the npm scripts run on) and, with --peers and as root on Debian, the programs
# that the tests hold Weft against. Does nothing that is done already.
set -eu
cd "$(dirname "$0")/.."

# By content: a checkout makes the file new, and the packages no different.
installed=node_modules/.weft-package-lock.json
if [ ! -x node_modules/.bin/node ] || ! cmp -s package-lock.json "$installed"; then
  echo "setup: installing the packages of package-lock.json"
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json "$installed"
fi

[ "${1:-}" = --peers ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: not root on Debian: tests that need stock peers will say so and be skipped"
  exit 0
fi
missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
PATH=$PATH:/usr/sbin:/sbin
need ip iproute2
need ovs-vsctl openvswitch-switch
need ovs-testcontroller openvswitch-testcontroller
need mn mininet
need osken-manager python3-os-ken
need ovn-controller ovn-host
need ovn-northd ovn-central
need tshark tshark
need iperf3 iperf3
need ethtool ethtool
need tcpdump tcpdump
need ping iputils-ping
need bpftool bpftool
need curl curl
need zsh zsh
need fish fish
need ovn-northd ovn-central
if [ -n "$missing" ]; then
  echo "setup: installing the Debian packages$missing"
  export DEBIAN_FRONTEND=noninteractive
  # A service that starts itself would own the names that the tests use: keep it from starting.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
