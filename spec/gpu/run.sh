#!/usr/bin/env bash
# On a machine with a GPU and nothing of ours: unpack the bundle made by `make bundle SPECS=1`, run the
# specs tagged #gpu and the GPU benches, print short tables last. spec/gpu/run.sh BUNDLE.tar.gz
set -uo pipefail
bundle=$(realpath "${1:?usage: spec/gpu/run.sh BUNDLE.tar.gz}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xzf "$bundle" -C "$work"
root=$(echo "$work"/*)
export PATH="$root/bin:$PATH" HONE_BIN="$root/bin/hone"
cd "$root/share/hone" || exit 1

hone -e 'require "busted.runner" { standalone = false }' --tags=gpu --output=plainTerminal spec
status=$?

echo
echo "== hone doctor"
hone doctor
exit $status
