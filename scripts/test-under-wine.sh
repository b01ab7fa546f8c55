#!/usr/bin/env bash
# Runs relmat's own tests for Windows under Wine: the ground that differs there
# (processes, files, signing, the search for Visual Studio), the readers, and
# relmat.exe itself by the scripts in internal/cli/testdata/windows, with
# stand-ins for Cargo, rustc and git, which Wine does not have. Further arguments
# go to `go test`.
#
# Packages whose tests ask tools of Unix to judge (readelf, zipinfo, tar, cc) run
# on Linux alone; docs/limits.md says what that leaves open.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$(scripts/windows-tools.sh | tail -n 1):$PATH
export GOOS=windows GOARCH=amd64 CGO_ENABLED=0
packages=()
for p in proc fsx cuda fatbin isa loader manifest sign toolchain; do packages+=("./internal/$p"); done
# One package at a time: Wine's server is one process, and starts are slow on a
# busy machine.
go test -vet=off -exec wine -p 1 -timeout 10m "$@" "${packages[@]}"
go test -vet=off -exec wine -timeout 15m -run '^TestScripts$|^TestKilled$' "$@" ./internal/cli

# Ctrl-C needs a console: Wine gives one to what runs on a terminal.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go test -vet=off -tags console -c -o "$dir/cli.test.exe" ./internal/cli
cd internal/cli
script -qec "wine $dir/cli.test.exe -test.v -test.run '^TestInterrupted\$'" "$dir/typescript" </dev/null >/dev/null || {
  cat "$dir/typescript"
  exit 1
}
grep -q -e '--- PASS: TestInterrupted' "$dir/typescript" || { cat "$dir/typescript"; exit 1; }
echo "ok  	internal/cli on a terminal: TestInterrupted"
