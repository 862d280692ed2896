#!/usr/bin/env bash
# From SGLang's source and a model's config to the Definitions of the kernels that it runs:
# examples/demo.sh HONE [CONFIG]. Needs a package index once, for SGLang's sources; no GPU.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
hone=$(realpath "${1:?usage: examples/demo.sh HONE [CONFIG]}")
config=$(realpath "${2:-$here/configs/meta-llama/Llama-3.1-8B-Instruct/config.json}")

mkdir -p build/demo
cd build/demo
[ -f repos/repos_config.json ] || "$hone" clone-repos --source pypi --repos sglang --target-dir repos
rm -rf flashinfer-trace
"$hone" extract-kernel-definitions --model-name llama --config "$config" --local flashinfer-trace
echo
echo "Read one of them: build/demo/flashinfer-trace/definitions/gqa_paged/"
