#!/bin/bash
# Installs the library for programs.
#
# Usage: bazel run --config=opt //libckpt:install -- [PREFIX]
#        libckpt/install.sh [PREFIX]          what was built before
#
# Puts ckpt.h, libckpt.so.0 with its link, libckpt.a, ckpt.pc and ckpt_self(3)
# below PREFIX (/usr/local).  With $DESTDIR set, as for packages, below
# $DESTDIR/PREFIX, of which the files know nothing.
set -euo pipefail

main() {
  local prefix=${1:-/usr/local} here built version root
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  built=$here/bazel-bin/libckpt
  # `bazel run` has sources and what is built side by side.
  [[ ! -e $here/libckpt/libckpt.so.0 ]] || built=$here/libckpt
  version=$(sed -n 's/.*kVersion\[\] = "\(.*\)";/\1/p' "$here/base/version.h")
  [[ $prefix == /* ]] || prefix=${BUILD_WORKING_DIRECTORY:-$PWD}/$prefix
  root=${DESTDIR:-}$prefix
  mkdir --parents "$root"/{include,lib/pkgconfig,share/man/man3}
  install --mode=644 "$here/libckpt/ckpt.h" "$root/include/"
  install --mode=755 "$built/libckpt.so.0" "$root/lib/"
  ln --symbolic --force libckpt.so.0 "$root/lib/libckpt.so"
  install --mode=644 "$built/libckpt.a" "$root/lib/"
  sed "s|@PREFIX@|$prefix|; s|@VERSION@|${version:?}|" \
    "$here/libckpt/ckpt.pc.in" >"$root/lib/pkgconfig/ckpt.pc"
  install --mode=644 "$here/docs/man/ckpt_self.3" "$root/share/man/man3/"
  echo "libckpt $version is below $root"
  if [[ -z ${DESTDIR:-} ]]; then
    echo "run ldconfig if programs are to find it there"
  fi
}

main "$@"
