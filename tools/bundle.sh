#!/usr/bin/env bash
# Make a relocatable tarball of hone: tools/bundle.sh [--with-specs] OUTPUT.tar.gz
# It holds the host, its libraries, the Lua files, and every shared library they need except those of
# glibc, so that it runs on a bare machine. --with-specs adds the specs and the busted that runs them.
set -euo pipefail
cd "$(dirname "$0")/.."

with_specs=0
if [ "${1:-}" = --with-specs ]; then with_specs=1; shift; fi
output=${1:?usage: tools/bundle.sh [--with-specs] OUTPUT.tar.gz}
name=$(basename "$output" .tar.gz)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name

make --no-print-directory install PREFIX="$root" >/dev/null

# Where stock lua5.4 finds a C library or a Lua file.
lua_c()   { lua5.4 -e "print((assert(package.searchpath('$1', package.cpath))))"; }
lua_dir() { dirname "$(lua5.4 -e "print((assert(package.searchpath('$1', package.path))))")"; }

mkdir -p "$root/lib/hone/lua" "$root/share/hone/lua"
for library in lfs cjson yaml; do
  cp -L "$(lua_c $library)" "$root/lib/hone/lua/$library.so"
done
cp -rL "$(lua_dir lyaml)" "$root/share/hone/lua/lyaml"

if [ $with_specs = 1 ]; then
  for module in busted luassert pl say cliargs term mediator system; do
    path=$(lua5.4 -e "print((assert(package.searchpath('$module', package.path))))")
    case "$path" in
      */init.lua) cp -rL "$(dirname "$path")" "$root/share/hone/lua/" ;;
      *) cp -L "$path" "$root/share/hone/lua/"
         [ -d "${path%.lua}" ] && cp -rL "${path%.lua}" "$root/share/hone/lua/" ;;
    esac
  done
  for library in term.core system.core; do
    mkdir -p "$root/lib/hone/lua/${library%.*}"
    cp -L "$(lua_c $library)" "$root/lib/hone/lua/${library/.//}.so"
  done
  cp -r spec bench "$root/share/hone/"
  mkdir -p "$root/share/hone/examples"
  cp -r examples/dataset examples/solutions examples/pack_solution.lua "$root/share/hone/examples/"
fi

# The shared libraries behind an ELF file, without glibc's own.
needed() {
  ldd "$1" 2>/dev/null | awk '
    $2 == "=>" && $3 ~ /^\// && $3 !~ /\/(libc|libm|libdl|libpthread|librt|libresolv|libutil)\.so/ { print $3 }'
}

# Libraries that are opened at run time, on first use.
opened() { ldconfig -p | awk -v name="$1" '$1 == name && !found { print $NF; found = 1 }'; }

{
  find "$root" -name '*.so' | while read -r file; do needed "$file"; done
  for library in libcurl.so.4 libcrypto.so.3 libopenblas.so.0; do
    opened $library
    needed "$(opened $library)"
  done
} | sort -u | while read -r library; do
  cp -L "$library" "$root/lib/$(basename "$library")"
done
for library in "$root"/lib/*.so*; do patchelf --set-rpath '$ORIGIN' "$library"; done
find "$root/lib/hone" -name '*.so' | while read -r file; do
  patchelf --set-rpath "\$ORIGIN/$(realpath --relative-to="$(dirname "$file")" "$root/lib")" "$file"
done

mkdir -p "$(dirname "$output")"
tar -czf "$output.part" -C "$work" --owner=0 --group=0 --sort=name "$name"
mv "$output.part" "$output"
echo "bundle: $output ($(du -h "$output" | cut -f1))"
