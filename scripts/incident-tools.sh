#!/usr/bin/env bash
# Installs what test/incidents needs besides the tools of README.md, where it is
# missing: qemu-user, which runs a program as an older CPU would. It must be 7.2
# or newer, the first that translates AVX2.
set -euo pipefail

# lacking says what is wrong with the qemu-user of this machine, if anything.
lacking() {
  local tool version
  tool=$(command -v qemu-x86_64 || command -v qemu-x86_64-static || true)
  if [ -z "$tool" ]; then
    echo "qemu-user is missing"
    return
  fi
  version=$("$tool" --version | sed -n 's/.*version \([0-9][0-9.]*\).*/\1/p;q')
  if [ "$(printf '%s\n' 7.2 "$version" | sort -V | head -n 1)" != 7.2 ]; then
    echo "$tool is $version, and older than 7.2"
  fi
}

why=$(lacking)
if [ -z "$why" ]; then
  exit 0
fi
root=()
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
  root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ((${#root[@]} == 0)); }; then
  echo "$why: install it (Debian, Ubuntu: apt install qemu-user; Fedora: dnf install qemu-user); as root on Debian or Ubuntu this script does it" >&2
  exit 1
fi
echo "$why: installing the package qemu-user"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user >/dev/null
why=$(lacking)
if [ -n "$why" ]; then
  echo "after installing the package, $why" >&2
  exit 1
fi
