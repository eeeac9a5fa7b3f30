#!/bin/bash
# Installs the library for programs.
#
# Usage: libckpt/install.sh [PREFIX]
#
# Puts ckpt.h, libckpt.so.0 with its links, libckpt.a, ckpt.pc and ckpt_self(3)
# below PREFIX (/usr/local).  Build first:
#
#   bazel build --config=opt //libckpt:ckpt //libckpt:libckpt.so.0
set -euo pipefail

main() {
  local prefix=${1:-/usr/local} here built version
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  built=${CKPT_BUILT:-$here/bazel-bin/libckpt}
  version=$(sed -n 's/.*kVersion\[\] = "\(.*\)";/\1/p' "$here/base/version.h")
  [[ $prefix == /* ]] || prefix=$PWD/$prefix
  mkdir --parents "$prefix"/{include,lib/pkgconfig,share/man/man3}
  install --mode=644 "$here/libckpt/ckpt.h" "$prefix/include/"
  install --mode=755 "$built/libckpt.so.0" "$prefix/lib/"
  ln --symbolic --force libckpt.so.0 "$prefix/lib/libckpt.so"
  install --mode=644 "$built/libckpt.a" "$prefix/lib/"
  sed "s|@PREFIX@|$prefix|; s|@VERSION@|${version:?}|" \
    "$here/libckpt/ckpt.pc.in" >"$prefix/lib/pkgconfig/ckpt.pc"
  install --mode=644 "$here/docs/man/ckpt_self.3" "$prefix/share/man/man3/"
}

main "$@"
