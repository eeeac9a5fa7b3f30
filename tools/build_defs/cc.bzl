"""cc_library, cc_binary and cc_test with this project's warnings."""

_COPTS = [
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Werror",
]

# What a program under a sanitizer needs besides the compiler's own flags.
_SANITIZER_DEPS = select({
    "//tools/sanitizers:tsan": ["//tools/sanitizers:tsan_absl_mutex"],
    "//conditions:default": [],
})

# Tests of the real kernel and the real CRIU.  "local": no sandbox (there
# /sys/fs/cgroup is read-only and root is only root of a user namespace);
# "exclusive": nothing runs beside it; "external": the result never comes from
# the cache, for the kernel is no input that Bazel sees.
KERNEL_TEST_TAGS = [
    "exclusive",
    "external",
    "local",
    "needs-root",
]

def ckpt_cc_library(name, copts = [], **kwargs):
    native.cc_library(
        name = name,
        copts = _COPTS + copts,
        linkstatic = True,  # no libNAME.so beside libNAME.a
        **kwargs
    )

def ckpt_cc_binary(name, copts = [], deps = [], linkshared = False, **kwargs):
    native.cc_binary(
        name = name,
        copts = _COPTS + copts,
        # A shared library is loaded by programs that have them, or that are
        # not built here.
        deps = deps + ([] if linkshared else _SANITIZER_DEPS),
        linkshared = linkshared,
        **kwargs
    )

def ckpt_cc_test(name, copts = [], data = [], deps = [], main = True, **kwargs):
    native.cc_test(
        name = name,
        copts = _COPTS + copts,
        data = data + ["//tools/sanitizers:suppressions"],
        linkstatic = True,  # system libraries stay shared; ours are linked in
        deps = deps + [
            "@com_google_googletest//:gtest_main" if main else "@com_google_googletest//:gtest",
        ] + _SANITIZER_DEPS,
        **kwargs
    )
