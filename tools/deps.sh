#!/usr/bin/env bash
# Install what hone is built from and tested with: tools/deps.sh [build|test|bundle|lint]...
# Distribution packages come from apt; sources from PyPI and npm at the versions and checksums of
# tools/*sources.txt; Python packages from PyPI at the versions of tools/*env.txt. Everything that is not a distribution package lands in build/.
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD_PACKAGES="gcc make pkg-config python3 python3-pip lua5.4 liblua5.4-dev lua-filesystem lua-cjson lua-yaml
  libuv1-dev libcurl4-openssl-dev libedit-dev libssl-dev libopenblas0 git unzip ca-certificates"
TEST_PACKAGES="lua-busted luarocks git-lfs python3-venv tmux"
LINT_PACKAGES="lua-check python3-venv nodejs"
BUNDLE_PACKAGES="patchelf libcurl4"

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

# The published archive of one package, into folder $4.
download() {
  local registry=$1 package=$2 version=$3 folder=$4
  case "$registry" in
    pypi)
      python3 -m pip download -qq --disable-pip-version-check --no-deps --no-binary :all: \
        -d "$folder" "$package==$version" ;;
    npm) (cd "$folder" && npm pack --silent "$package@$version" >/dev/null 2>&1) ;;
  esac
}

# Fetch every source of the list $1 into build/deps/<name>, verified by its sha256.
fetch_sources() {
  local name registry package version sha256 folder archive
  while read -r name registry package version sha256; do
    case "$name" in ''|'#'*) continue ;; esac
    folder=build/deps/$name
    [ -f "$folder/.version" ] && [ "$(cat "$folder/.version")" = "$version $sha256" ] && continue
    echo "deps: fetching $package $version"
    rm -rf "$folder" "$folder.part"
    mkdir -p "$folder.part/dist"
    download "$registry" "$package" "$version" "$folder.part/dist" ||
      { echo "deps: cannot download $package $version from $registry" >&2; exit 1; }
    archive=$(echo "$folder.part"/dist/*)
    echo "$sha256  $archive" | sha256sum --check --quiet ||
      { echo "deps: $package $version does not have the checksum in $1" >&2; exit 1; }
    tar -xzf "$archive" -C "$folder.part" --strip-components=1
    rm -rf "$folder.part/dist"
    echo "$version $sha256" >"$folder.part/.version"
    mv "$folder.part" "$folder"
  done <"$1"
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
    build) apt_install $BUILD_PACKAGES $(command -v npm >/dev/null || echo npm); fetch_sources tools/sources.txt ;;
    test) apt_install $TEST_PACKAGES; fetch_sources tools/test-sources.txt; [ "${TORCH:-1}" = 0 ] || venv testenv ;;
    bundle) apt_install $BUNDLE_PACKAGES ;;
    lint) apt_install $LINT_PACKAGES; venv lintenv; fetch_sources tools/lint-sources.txt ;;
    *) echo "deps: unknown group '$group' (build, test, bundle, lint)" >&2; exit 2 ;;
  esac
done
