#!/usr/bin/env bash
# Makes a root file system of Debian's base packages alone, of this machine's
# own release and from its own mirror, in the directory that is named: what a
# user's freshly installed machine has. As root; installs debootstrap where it
# is missing.
set -euo pipefail
dir=${1:?usage: debian-root.sh DIRECTORY}
if [ -e "$dir/etc/debian_version" ]; then
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "a root file system can only be made by root" >&2
  exit 1
fi
if ! command -v debootstrap >/dev/null; then
  echo "installing debootstrap" >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi
. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk -v s="$VERSION_CODENAME" '$2 == s { print $1; exit }')
partial=$dir.partial
rm -rf "$partial"
mkdir -p "$(dirname "$dir")"
debootstrap --variant=minbase "$VERSION_CODENAME" "$partial" "$mirror" >"$dir.log" 2>&1 || {
  tail -20 "$dir.log" >&2
  exit 1
}
rm -rf "$partial/var/cache/apt/archives" "$dir.log"
mv "$partial" "$dir"
