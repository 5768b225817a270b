#!/usr/bin/env bash
# Brings what `make demo` and `make test` need, each part only where it is missing, and says what it does:
#
#   setup.sh venv      .venv from requirements-dev.lock, every file checked against its hash, and this project in it
#   setup.sh tools     Trivy and OPA, by `pipeline tools install`
#   setup.sh git       git
#   setup.sh engine    a Docker engine with buildx: as root on Debian or Ubuntu it is installed and started
#   setup.sh registry  the program docker-registry, in .demo/bin or on PATH
#   setup.sh debian    mmdebstrap, which builds a base image where none can be pulled
#
# Ends with 1 and says what to do where something cannot be had.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
state=$root/.demo
cd "$root"

say() { echo "setup: $*" >&2; }
fail() {
  echo "setup: $1" >&2
  echo "  what to do: $2" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }
can_install() { is_root && have apt-get; }
candidate() { apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'; }

# Package lists are fetched once, and only when a package is not known.
know() {
  for package in "$@"; do
    candidate "${package%/*}" || { say "fetching the package lists"; apt-get update -qq; return; }
  done
}

install_packages() {
  know "$@"
  say "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$state/apt.log" 2>&1 ||
    fail "apt-get install $* failed: $(tail -n 1 "$state/apt.log")" "see .demo/apt.log"
}

# need PROGRAM PACKAGE
need() {
  have "$1" && return
  can_install || fail "$1 is not installed" "install the package $2 (as root on Debian or Ubuntu: apt-get install $2)"
  install_packages "$2"
}

# A Python of 3.11 or newer: the one that is named, or the newest that is found.
python() {
  for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  fail "no Python 3.11 or newer is found" "install one (Debian 12, Ubuntu 24.04 and newer: apt-get install python3 python3-venv), or set PYTHON"
}

venv() {
  local stamp=.venv/.installed wanted chosen
  wanted=$(cat requirements-dev.lock pyproject.toml | sha256sum)
  [ -x .venv/bin/pipeline ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  chosen=$(python)
  if ! "$chosen" -c 'import ensurepip, venv' 2>/dev/null; then
    can_install || fail "this Python has no venv module" "install the package python3-venv (as root on Debian or Ubuntu: apt-get install python3-venv)"
    install_packages python3-venv
  fi
  say "making .venv with $("$chosen" --version)"
  "$chosen" -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock ||
    fail "pip could not install requirements-dev.lock" "see its words above; behind a proxy set HTTPS_PROXY, with a mirror set PIP_INDEX_URL"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  echo "$wanted" >"$stamp"
}

tools() {
  .venv/bin/pipeline tools install ||
    fail "Trivy or OPA could not be installed" "OPA is built with Go where its release cannot be had: install Go 1.26 (https://go.dev/dl), or another that may fetch it, and run this again"
  # `pipeline` finds them itself; who looks for them on PATH, as the tests do, finds them in .demo/bin
  mkdir -p "$state/bin"
  for name in trivy opa; do
    ln -sfn "$(.venv/bin/python -c 'import os, sys; from pipeline.tools.location import locate; print(locate(sys.argv[1], os.environ))' "$name")" \
      "$state/bin/$name"
  done
}

# Debian 12 has no buildx: engine, command and plugin come from Debian 13 there, at a priority that leaves everything else as it is.
debian_13() {
  local list=/etc/apt/sources.list.d/release-chain-demo.list keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | awk '$2 == "bookworm" { print $1; exit }')
  [ -n "$mirror" ] || fail "no package docker-buildx is known" "install Docker from https://docs.docker.com/engine/install"
  say "Debian 12 has no docker-buildx: adding Debian 13 at low priority ($list)"
  echo "deb [signed-by=$keyring] $mirror trixie main" >"$list"
  printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >/etc/apt/preferences.d/release-chain-demo
  apt-get update -qq
}

install_engine() {
  know docker.io docker-buildx
  if ! candidate docker-buildx; then
    debian_13
    install_packages docker.io/trixie docker-cli/trixie docker-buildx/trixie iptables
  elif candidate docker-cli; then
    install_packages docker.io docker-cli docker-buildx iptables
  else
    install_packages docker.io docker-buildx iptables
  fi
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  else
    say "starting dockerd, log in .demo/dockerd.log"
    rm -f /var/run/docker.pid
    setsid nohup dockerd >"$state/dockerd.log" 2>&1 </dev/null &
    echo $! >"$state/dockerd.pid"
  fi
  for _ in $(seq 120); do
    docker info >/dev/null 2>&1 && return
    sleep 0.5
  done
  fail "the Docker engine does not answer after 60 s" "see .demo/dockerd.log, or journalctl -u docker"
}

engine() {
  if ! have docker || ! docker info >/dev/null 2>&1; then
    can_install || fail "no Docker engine answers" "start it, or install it (Debian 13, Ubuntu: apt-get install docker.io docker-cli docker-buildx; \
https://docs.docker.com/engine/install elsewhere), and see that you are in the group docker"
    { have dockerd && docker buildx version >/dev/null 2>&1; } || install_engine
    docker info >/dev/null 2>&1 || start_engine
  fi
  docker buildx version >/dev/null 2>&1 && return
  can_install || fail "the docker command has no buildx" "install docker-buildx (Debian 13, Ubuntu) or docker-buildx-plugin (download.docker.com)"
  install_engine
}

# Only the program is taken out of the package: installing it would start a registry on port 5000 of every interface.
registry() {
  have docker-registry || [ -x "$state/bin/docker-registry" ] && return
  if ! have apt-get; then
    say "docker-registry is not installed: the registry image is tried instead"
    return
  fi
  if is_root; then know docker-registry; fi
  say "fetching docker-registry"
  mkdir -p "$state/package"
  (cd "$state/package" && rm -f ./*.deb && apt-get download -qq docker-registry && dpkg -x ./*.deb .) >"$state/apt.log" 2>&1 ||
    fail "the package docker-registry could not be fetched: $(tail -n 1 "$state/apt.log")" "install it, or look at the network"
  install -D "$state/package/usr/bin/docker-registry" "$state/bin/docker-registry"
  rm -rf "$state/package"
}

# Without it the base image has to be pulled; the demonstration says so where it cannot be.
debian() {
  if ! have mmdebstrap && can_install; then install_packages mmdebstrap debian-archive-keyring; fi
}

mkdir -p "$state"
for part in "$@"; do
  case $part in
    venv | tools | engine | registry | debian) "$part" ;;
    git) need git git ;;
    *) fail "there is no part $part" "see the head of $0" ;;
  esac
done
