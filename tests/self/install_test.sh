#!/bin/bash
# Programs in C, C++ and Python that know nothing but an installed libckpt: they
# are built by plain compilers and checkpoint themselves.
#
# Usage: install_test.sh INSTALL CKPT EXAMPLES
set -euo pipefail

install=$PWD/$1
ckpt=$PWD/$2
examples=$(dirname "$PWD/$3")
dir=$(mktemp --directory "${TEST_TMPDIR:-/tmp}/install.XXXXXX")
trap 'rm --recursive --force "$dir"' EXIT
prefix=$dir/prefix
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
export CKPT_BINARY=$ckpt

fail() {
  echo "$*" >&2
  exit 1
}

# expect WHAT WANTED GOT
expect() {
  [[ $2 == "$3" ]] || fail "$1: wanted '$2', got '$3'"
}

# In a session of its own, as a job has to be.
run() {
  setsid --wait "$@" </dev/null >>"$dir/log" 2>&1 || fail "$* failed: $(cat "$dir/log")"
}

# The image is whole: `ckpt verify` reads all of it.
expect_image() {
  "$ckpt" verify --store "$dir/store" "$1" >>"$dir/log" ||
    fail "no whole image $1: $(cat "$dir/log")"
}

test_files() {
  local files
  files=$(cd "$prefix" && find . -type f -o -type l | sort | tr '\n' ' ')
  expect 'installed files' "./include/ckpt.h ./lib/libckpt.a ./lib/libckpt.so\
 ./lib/libckpt.so.0 ./lib/pkgconfig/ckpt.pc ./share/man/man3/ckpt_self.3 " "$files"
  DESTDIR=$dir/stage "$install" /usr >>"$dir/log"
  expect 'prefix of a staged installation' 'prefix=/usr' \
    "$(head --lines=1 "$dir/stage/usr/lib/pkgconfig/ckpt.pc")"
}

test_pkg_config() {
  local version
  version=$("$ckpt" --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')
  expect 'version' "$version" "$(pkg-config --modversion ckpt)"
  expect 'flags' "-I$prefix/include -L$prefix/lib -lckpt" \
    "$(pkg-config --cflags --libs ckpt | sed 's/ *$//')"
}

test_header() {
  local standard
  for standard in c90 c99 c11 c17; do
    echo '#include <ckpt.h>' | gcc -std=$standard -pedantic -Wall -Wextra -Werror \
      -I"$prefix/include" -fsyntax-only -x c - || fail "ckpt.h is not $standard"
  done
  for standard in c++98 c++11 c++20; do
    echo '#include <ckpt.h>' | g++ -std=$standard -pedantic -Wall -Wextra -Werror \
      -I"$prefix/include" -fsyntax-only -x c++ - || fail "ckpt.h is not $standard"
  done
}

test_binary_interface() {
  local library=$prefix/lib/libckpt.so.0 needed
  # The loader is part of libc.
  needed=$(readelf --dynamic "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
    sed '/^ld-linux/d')
  expect 'libraries it needs' 'libc.so.6' "$needed"
  expect 'soname' 'libckpt.so.0' \
    "$(readelf --dynamic "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')"
  expect 'symbols' "ckpt_last_error@@CKPT_0 ckpt_last_image@@CKPT_0 ckpt_register@@CKPT_0\
 ckpt_restarts@@CKPT_0 ckpt_self@@CKPT_0 ckpt_unregister@@CKPT_0 ckpt_wait@@CKPT_0.1 " \
    "$(nm --dynamic --defined-only --with-symbol-versions "$library" |
      sed -n 's/.* [TDB] //p' | sort | tr '\n' ' ')"
}

# With pkg-config, against the shared library and the static one.
test_c() {
  # shellcheck disable=SC2046
  gcc -Wall -Wextra -Werror -O1 -o "$dir/solver" "$examples/solver.c" \
    $(pkg-config --cflags --libs ckpt)
  run "$dir/solver" c "$dir/store" "$dir/pi" 2 3
  expect_image c.3
  gcc -O1 -o "$dir/solver-static" "$examples/solver.c" -I"$prefix/include" \
    "$prefix/lib/libckpt.a"
  run "$dir/solver-static" static "$dir/store" "$dir/pi-static" 2 3
  expect_image static.3
  expect 'the result' "$(cat "$dir/pi")" "$(cat "$dir/pi-static")"
}

test_cxx() {
  # shellcheck disable=SC2046
  g++ -Wall -Wextra -Werror -O1 -o "$dir/phases" "$examples/phases.cc" \
    $(pkg-config --cflags --libs ckpt)
  # It ends itself in its image.
  setsid --wait "$dir/phases" cxx "$dir/store" "$dir/phases.log" </dev/null >>"$dir/log" 2>&1 || true
  expect_image cxx.1
}

test_python() {
  run /usr/bin/python3 "$examples/primes.py" python "$dir/store" "$dir/primes" 2000
  expect_image python.9
  expect 'the result' 'below 2000 there are 303 primes' "$(cat "$dir/primes")"
}

"$install" "$prefix" >"$dir/log"
for check in test_files test_pkg_config test_header test_binary_interface test_c test_cxx \
  test_python; do
  echo "$check"
  "$check"
done
