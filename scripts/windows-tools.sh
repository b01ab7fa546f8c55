#!/usr/bin/env bash
# Installs, as root on Debian or Ubuntu, what `make test-windows` needs besides
# the tools of README.md, where it is missing, and says so:
#   - Wine 10, of Debian trixie, in a root file system of its own, with a
#     program `wine` that runs it there in the caller's directory;
#   - compilers for Windows: mingw-w64, and clang and lld, which unlike
#     binutils make true delay imports;
#   - a Rust whose standard library can be built for x86_64-pc-windows-gnu;
#   - osslsigncode and a Java runtime with jsign, for Authenticode.
# Prints, last, the directory that belongs into PATH; windows-env beside it sets
# PATH and what Cargo needs.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/relmat-test
bin=$cache/windows-bin
root=$cache/wine
mkdir -p "$bin"

say() { echo "$@" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    say "this must be run as root, or where sudo asks for no password: $*"
    exit 1
  fi
}

packages=()
need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null || packages+=("$2")
}
need debootstrap debootstrap
need unshare util-linux
need x86_64-w64-mingw32-g++-posix g++-mingw-w64-x86-64-posix
need clang-19 clang-19
need lld-19 lld-19
need llvm-dlltool-19 llvm-19
need osslsigncode osslsigncode
need openssl openssl
need java default-jre-headless
need mvn maven
need zip zip
need unzip unzip
need script bsdutils
for p in rustc-web rust-web-src libstd-rust-web-dev; do
  dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || packages+=("$p")
done
if ((${#packages[@]})); then
  command -v apt-get >/dev/null || { say "install these packages: ${packages[*]}"; exit 1; }
  say "installing the packages ${packages[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

# Bookworm's Wine 8 has no bcryptprimitives.dll, without which no program of
# Go's or Rust's starts.
if [ ! -e "$root/etc/debian_version" ]; then
  say "making a root file system of Debian trixie with Wine in $root (1.4 GB)"
  partial=$root.partial
  as_root rm -rf "$partial"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v -e security | head -n 1)
  as_root debootstrap --variant=minbase --include=wine,wine64 trixie "$partial" "$mirror" >"$root.log" 2>&1 || {
    tail -20 "$root.log" >&2
    exit 1
  }
  as_root rm -rf "$partial/var/cache/apt/archives" "$root.log"
  as_root mv "$partial" "$root"
fi

# The smallest of systems knows no name, not even its own.
grep -qs localhost "$root/etc/hosts" || echo '127.0.0.1 localhost' | as_root tee -a "$root/etc/hosts" >/dev/null

# Everything that is not the system's own is seen there as it is here, so that
# paths mean the same. The namespace goes with its last process, and the mounts
# with it. Each step becomes the next, so that a signal to it reaches Wine.
for program in wine wineserver; do
  cat >"$bin/$program.partial" <<WINE
#!/bin/sh
PATH=\$PATH:/usr/sbin:/sbin
if [ "\$(id -u)" != 0 ]; then exec sudo -n -E "\$0" "\$@"; fi
export WINEDEBUG="\${WINEDEBUG--all}" WINEPREFIX="\${WINEPREFIX-$cache/wineprefix}" XDG_RUNTIME_DIR="\${XDG_RUNTIME_DIR-/tmp}"
exec unshare --mount --propagation private /bin/sh -c '
  root=\$1 dir=\$2
  shift 2
  for d in /*; do
    case \$d in /bin | /boot | /etc | /lib* | /sbin | /usr | /var | /run | /opt | /lost+found) continue ;; esac
    [ -d "\$d" ] && [ ! -L "\$d" ] || continue
    mkdir -p "\$root\$d" && mount --rbind "\$d" "\$root\$d" || exit 1
  done
  cd "\$dir" && exec chroot "\$root" /bin/sh -c '\''cd "\$0" && exec /usr/bin/$program "\$@"'\'' "\$dir" "\$@"
' $program "$root" "\$PWD" "\$@"
WINE
  chmod +x "$bin/$program.partial"
  mv "$bin/$program.partial" "$bin/$program"
done
if [ ! -e "$cache/wineprefix/system.reg" ]; then
  say "making Wine's drive in $cache/wineprefix"
  "$bin/wine" wineboot --init >/dev/null 2>&1
  for _ in $(seq 60); do
    [ -e "$cache/wineprefix/system.reg" ] && break
    sleep 1
  done
fi
version=$("$bin/wine" --version)
case $version in
wine-1[0-9]*) ;;
*)
  say "$bin/wine says $version, and not 10 or newer"
  exit 1
  ;;
esac

# The linker of programs for x86_64-pc-windows-gnu: lld makes true delay-import
# directories, and clang knows MinGW's libraries.
cat >"$bin/x86_64-w64-mingw32-clang-lld.partial" <<'LINKER'
#!/bin/sh
exec clang-19 --target=x86_64-w64-mingw32 -fuse-ld=lld-19 "$@"
LINKER
chmod +x "$bin/x86_64-w64-mingw32-clang-lld.partial"
mv "$bin/x86_64-w64-mingw32-clang-lld.partial" "$bin/x86_64-w64-mingw32-clang-lld"

# What Cargo needs to build for that triple, for a shell to read.
cat >"$cache/windows-env.partial" <<ENV
export PATH='$bin':"\$PATH"
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_unwind
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER='$bin/x86_64-w64-mingw32-clang-lld'
export CC_x86_64_pc_windows_gnu=x86_64-w64-mingw32-gcc-posix CXX_x86_64_pc_windows_gnu=x86_64-w64-mingw32-g++-posix
# libstdc++-6.dll is on no user's machine.
export CXXSTDLIB_x86_64_pc_windows_gnu=static:-bundle=stdc++
ENV
mv "$cache/windows-env.partial" "$cache/windows-env"

jsign=$cache/jsign-7.1.jar
digest=cfb48b07fdd2ee199bfc9e71d8dccdde67a799c4793602e446c7a101be62b3c4
if [ ! -e "$jsign" ]; then
  say "fetching jsign 7.1"
  fetched=$(mktemp -d)
  mvn -q -B -ntp dependency:copy -Dartifact=net.jsign:jsign:7.1 -DoutputDirectory="$fetched" >&2
  mv "$fetched/jsign-7.1.jar" "$jsign.partial"
  rmdir "$fetched"
  echo "$digest  $jsign.partial" | sha256sum --check --quiet
  mv "$jsign.partial" "$jsign"
fi

echo "$bin"
