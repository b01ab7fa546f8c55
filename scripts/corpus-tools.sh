#!/usr/bin/env bash
# Installs the tools that `make test-corpus` compares relmat with, where they
# are missing: readelf and objcopy of binutils, llvm-readobj and llvm-objdump of
# LLVM, osslsigncode, openssl. cuobjdump comes as a wheel by the test itself.
set -euo pipefail

missing() {
  for tool in readelf objcopy llvm-readobj llvm-objdump osslsigncode openssl; do
    command -v "$tool" >/dev/null || echo "$tool"
  done
}

lacking=$(missing)
if [ -z "$lacking" ]; then
  exit 0
fi
root=()
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
  root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ((${#root[@]} == 0)); }; then
  echo "missing:" $lacking "- install binutils, llvm, osslsigncode and openssl; as root on Debian or Ubuntu this script does it" >&2
  exit 1
fi
echo "installing for the corpus test:" $lacking
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends binutils llvm osslsigncode openssl >/dev/null
lacking=$(missing)
if [ -n "$lacking" ]; then
  echo "still missing after installing the packages:" $lacking >&2
  exit 1
fi
