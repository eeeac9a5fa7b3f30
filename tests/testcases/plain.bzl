"""Programs that no sanitizer has touched, whatever the build is configured for.

CRIU cannot restore a tree whose processes have a sanitizer's shadow memory: it
takes most of the address space, and the restorer has to live somewhere too.
"""

_SETTINGS = [
    "//command_line_option:copt",
    "//command_line_option:linkopt",
]

def _without_sanitizers_impl(settings, attr):
    return {
        name: [
            flag
            for flag in settings[name]
            if not flag.startswith("-fsanitize") and not flag.startswith("-fno-sanitize")
        ]
        for name in _SETTINGS
    }

_without_sanitizers = transition(
    implementation = _without_sanitizers_impl,
    inputs = _SETTINGS,
    outputs = _SETTINGS,
)

def _plain_program_impl(ctx):
    program = ctx.attr.program[0][DefaultInfo].files_to_run.executable
    link = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = link, target_file = program, is_executable = True)
    return [DefaultInfo(
        executable = link,
        runfiles = ctx.runfiles(files = [link, program]),
    )]

_plain_program = rule(
    implementation = _plain_program_impl,
    attrs = {
        "program": attr.label(cfg = _without_sanitizers, mandatory = True),
        "_whitelist_function_transition": attr.label(
            default = "@bazel_tools//tools/whitelists/function_transition_whitelist",
        ),
    },
    doc = "The executable of another target, under this target's name.",
    executable = True,
)

def _plain_files_impl(ctx):
    files = depset(transitive = [src[DefaultInfo].files for src in ctx.attr.srcs])
    return [DefaultInfo(
        files = files,
        runfiles = ctx.runfiles(transitive_files = files),
    )]

plain_files = rule(
    implementation = _plain_files_impl,
    attrs = {
        "srcs": attr.label_list(cfg = _without_sanitizers, mandatory = True),
        "_whitelist_function_transition": attr.label(
            default = "@bazel_tools//tools/whitelists/function_transition_whitelist",
        ),
    },
    doc = "The files of other targets, for programs that are not built here.",
)

def plain_cc_binary(name, testonly = False, visibility = None, **kwargs):
    """A cc_binary that is never instrumented, with this project's warnings.

    Args:
      name: of the program
      testonly: as usual
      visibility: as usual
      **kwargs: for cc_binary
    """

    # Not ckpt_cc_binary: that adds what a program under a sanitizer needs.
    native.cc_binary(
        name = name + "_program",
        copts = [
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-Werror",
        ],
        tags = ["manual"],  # of use only through the one below
        testonly = testonly,
        visibility = ["//visibility:private"],
        **kwargs
    )
    _plain_program(
        name = name,
        program = name + "_program",
        testonly = testonly,
        visibility = visibility,
    )
