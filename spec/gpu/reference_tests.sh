#!/usr/bin/env bash
# On a machine with a GPU and without a network: generate the tests of references, run them on it against torch and
# FlashInfer, print a table by op type. spec/gpu/reference_tests.sh BUNDLE.tar.gz WHEELS DEFINITIONS
# BUNDLE is made by `make bundle`, or is a folder with a hone that works; DEFINITIONS is a folder of
# definition files; WHEELS a folder of wheels (FlashInfer's and apache-tvm-ffi's). Its subfolders are for the op type
# of their name alone, before the others: gdn/ may hold a FlashInfer whose kernel for Hopper is in CUDA.
# What a wheel of flashinfer_jit_cache holds was compiled elsewhere, and is not compiled here. PYTHONPATH is searched
# after the wheels: the CUTLASS DSL, which decode of gdn needs, is named there by its folder and its dsl_packages.
# LIBRARY_OPS are the op types for which FlashInfer is asked: all but moe, which takes longer to compile than LIMIT.
# LIMIT is the time for all in seconds, TEST_LIMIT for one test, JOBS how many op types at once, OPS which op types in
# which order, OF_EACH how many definitions of a kernel. Without a GPU they run under torch's CPU: the rest is skipped.
set -euo pipefail
usage='usage: spec/gpu/reference_tests.sh BUNDLE.tar.gz WHEELS DEFINITIONS'
bundle=$(realpath "${1:?$usage}") wheels=$(realpath "${2:?$usage}") definitions=$(realpath "${3:?$usage}")
here=$(realpath "$(dirname "$0")")
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -d "$bundle" ]; then
  root=$bundle
else
  tar -xzf "$bundle" -C "$work"
  root=$(echo "$work"/hone*)
fi
hone=$root/bin/hone
[ -x "$hone" ] || hone=$root/build/hone
"$hone" --version

install() { # FOLDER TARGET
  ls "$1"/*.whl >/dev/null 2>&1 || return 0
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
    --target "$2" "$1"/*.whl
}
install "$wheels" "$work/site/all"
for folder in "$wheels"/*/; do
  [ -d "$folder" ] && install "$folder" "$work/site/$(basename "$folder")"
done

"$hone" "$here/reference_definitions.lua" "$definitions" "$work/definitions" "${OF_EACH:-2}"
for op_type in "$work/definitions"/*/; do
  "$hone" add-reference-tests --definitions-dir "$op_type" --output "$work/tests/$(basename "$op_type")" >/dev/null
done

# FlashInfer compiles for the GPU that is there, into a folder that goes with this run.
export FLASHINFER_WORKSPACE_BASE=$work FLASHINFER_DISABLE_VERSION_CHECK=1 MAX_JOBS=${MAX_JOBS:-8}
status=0
"$python" "$here/reference_tests.py" "$work/tests" "$work/site" || status=$?
exit $status
