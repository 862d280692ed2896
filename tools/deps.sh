#!/usr/bin/env bash
# Install what hone is built from and tested with: tools/deps.sh [build|test|lint]...
# Distribution packages come from apt; sources and Python packages from PyPI, at pinned versions whose
# checksums stand in tools/sources.txt. Everything that is not a distribution package lands in build/.
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD_PACKAGES="gcc make pkg-config python3 python3-pip lua5.4 liblua5.4-dev lua-filesystem lua-cjson lua-yaml
  libuv1-dev libcurl4-openssl-dev libedit-dev libssl-dev git unzip ca-certificates"
TEST_PACKAGES="lua-busted luarocks git-lfs python3-venv tmux"
LINT_PACKAGES="lua-check python3-venv nodejs"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "deps: installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Fetch every source package of tools/sources.txt into build/deps/<name>, verified by its sha256.
fetch_sources() {
  local name version sha256 package folder
  while read -r name version sha256 package; do
    case "$name" in ''|'#'*) continue ;; esac
    folder=build/deps/$name
    [ -f "$folder/.version" ] && [ "$(cat "$folder/.version")" = "$version $sha256" ] && continue
    echo "deps: fetching $package $version"
    rm -rf "$folder" "$folder.part"
    mkdir -p "$folder.part/dist"
    printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$sha256" >"$folder.part/requirements.txt"
    python3 -m pip download -qq --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
      -d "$folder.part/dist" -r "$folder.part/requirements.txt"
    tar -xzf "$folder.part"/dist/*.tar.gz -C "$folder.part" --strip-components=1
    rm -rf "$folder.part/dist"
    echo "$version $sha256" >"$folder.part/.version"
    mv "$folder.part" "$folder"
  done <tools/sources.txt
}

# A virtual environment build/<name>, made from tools/<name>.txt; made again when that file changes.
venv() {
  local name=$1
  cmp -s "tools/$name.txt" "build/$name/.requirements" && return
  echo "deps: making build/$name"
  rm -rf "build/$name"
  python3 -m venv "build/$name"
  "build/$name/bin/pip" install -q --disable-pip-version-check -r "tools/$name.txt"
  if [ -f "tools/$name-nodeps.txt" ]; then
    "build/$name/bin/pip" install -qq --disable-pip-version-check --no-deps -r "tools/$name-nodeps.txt"
  fi
  cp "tools/$name.txt" "build/$name/.requirements"
}

mkdir -p build/deps
for group in "${@:-build}"; do
  case "$group" in
    build) apt_install $BUILD_PACKAGES; fetch_sources ;;
    test) apt_install $TEST_PACKAGES; [ "${TORCH:-1}" = 0 ] || venv testenv ;;
    lint) apt_install $LINT_PACKAGES; venv lintenv ;;
    *) echo "deps: unknown group '$group' (build, test, lint)" >&2; exit 2 ;;
  esac
done
