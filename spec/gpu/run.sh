#!/usr/bin/env bash
# On a machine with a GPU and nothing of ours: unpack the bundle made by `make bundle SPECS=1`, run the
# specs tagged #gpu and the GPU benches, print short tables last. spec/gpu/run.sh BUNDLE.tar.gz
# SPECS narrows the specs down (SPECS=spec/cuda_gpu_spec.lua); CHECK="memcheck racecheck" runs them once
# more under tools of compute-sanitizer; BENCHES names the benches (BENCHES="launch time").
set -uo pipefail
bundle=$(realpath "${1:?usage: spec/gpu/run.sh BUNDLE.tar.gz}")
repo=$(realpath "$(dirname "$0")/../..")
specs=${SPECS:-spec}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xzf "$bundle" -C "$work"
root=$(echo "$work"/*)
export PATH="$root/bin:$PATH" HONE_BIN="$root/bin/hone"
cd "$root/share/hone" || exit 1

echo 'require "busted.runner" { standalone = false }' >"$work/busted.lua"
run_specs() {
  "$@" "$HONE_BIN" "$work/busted.lua" --lpath="./spec/?.lua" --tags=gpu \
    --output=plainTerminal $specs
}

run_specs
status=$?

# Calls that the driver refuses are no errors: specs ask for them, and a kernel's parameters are counted
# by asking for one too many.
for tool in ${CHECK-}; do
  echo
  echo "== compute-sanitizer $tool"
  sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
  options=$([ "$tool" = memcheck ] && echo --report-api-errors no)
  HONE_SANITIZED=1 run_specs "$sanitizer" --tool "$tool" $options --error-exitcode 99 >"$work/$tool" 2>&1 ||
    status=1
  grep -E '^=========|successes' "$work/$tool" | head -n 40
done

# The launches in C that bench/launch.lua compares with.
if gcc -std=c17 -O2 -D_GNU_SOURCE -I"$repo/engine" -o "$work/launch" "$repo/spec/gpu/launch.c" \
  "$repo/engine/gpu/driver.c" "$repo/engine/gpu/library.c" -ldl -lpthread; then
  export HONE_LAUNCH_C=$work/launch
fi
export HONE_LAUNCH_PEERS=$repo/spec/gpu/launch_peers.py

echo
echo "== hone doctor"
hone doctor
echo
for example in vector_add fused_rmsnorm; do
  echo "== examples/$example.lua"
  hone "examples/$example.lua" || status=1
done
export HONE_EXPLOITS_DEVICE=cuda:0
for bench in ${BENCHES-launch time gpu_tensor gpu_reduce gpu_sort gpu_reference exploits judging}; do
  echo
  echo "== bench/$bench.lua"
  hone bench/run.lua "$bench" || status=1
done
exit $status
