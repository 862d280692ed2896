#!/usr/bin/env bash
# See that hone works from everywhere it can be installed to: PREFIX, a bundle, LuaRocks.
# Prints one line a check; the status is 1 when one fails.
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() {
  local what=$1; shift
  if "$@" >"$work/log" 2>&1; then echo "ok: $what"; else
    echo "FAILED: $what"; sed 's/^/    /' "$work/log"; failed=1
  fi
}

# What every installation must do, away from this tree and with nothing of ours in the environment.
uses='
local hone = require "hone"
assert(hone.json.encode(hone.json.decode("[1, 2.5, {}]")) == "[1,2.5,{}]")
assert(hone.syntax.parse("x = 1", "python"):root():type() == "module")
assert(hone.process.run({ "echo", "hi" }).stdout == "hi\n")
assert(#hone.fs.sha256("") == 64 and require("lfs") and require("cjson"))
assert(hone.skills["clone-repos"])
'
bare() { (cd "$work" && env -i PATH=/usr/bin:/bin HOME="$work" "$@"); }

check "make install" make --no-print-directory install PREFIX="$work/prefix"
check "installed hone runs a script" bare "$work/prefix/bin/hone" -e "$uses"
check "installed hone lists its skills" bare "$work/prefix/bin/hone" skills
check "installed hone runs through a link" bash -c \
  "ln -s '$work/prefix/bin/hone' '$work/link' && env -i HOME='$work' '$work/link' -e 'require \"hone\".json.encode(1)'"

bundle=$work/hone-bundle.tar.gz
check "make bundle" bash -c "tools/deps.sh bundle && tools/bundle.sh '$bundle'"
check "bundle unpacks" tar -xzf "$bundle" -C "$work"
# Hide the distribution's Lua libraries: the bundle must bring its own.
check "bundled hone runs a script" bare "$work/hone-bundle/bin/hone" -e "
  for _, field in ipairs { 'path', 'cpath' } do
    package[field] = package[field]:gsub('[^;]*/usr/[^;]*', '')
  end
  $uses"
# Every library that a file of the bundle wants is the bundle's own or glibc's.
self_contained() {
  local wants
  wants=$(find "$1" -type f \( -name '*.so*' -o -name hone \) -exec ldd {} + | awk '$2 == "=>" { print $1, $3 }')
  [ -n "$wants" ] && ! echo "$wants" | grep -Ev "$1|/(libc|libm|libdl|libpthread|librt|libresolv|libutil)\.so"
}
check "bundle needs nothing but glibc" self_contained "$work/hone-bundle"

check "luarocks make" luarocks --lua-version 5.4 make --tree "$work/rocks" --deps-mode none \
  rockspec/hone-*.rockspec
check "stock lua5.4 requires hone" bare \
  env LUA_PATH="$work/rocks/share/lua/5.4/?.lua;$work/rocks/share/lua/5.4/?/init.lua;;" \
  LUA_CPATH="$work/rocks/lib/lua/5.4/?.so;;" lua5.4 -e "$uses"
exit $failed
