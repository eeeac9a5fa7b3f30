#include <signal.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "criu/binary.h"
#include "run/launcher.h"
#include "run/supervisor.h"

namespace ckpt::cli {
namespace {

// As env(1), nice(1) and timeout(1) for their own failures: the statuses below
// are the command's.
constexpr int kNotRun = 125;
// As a shell has them, and env(1) and the others, too.
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;

// Of a command that there is not: told as an error, with a shell's status.
Output NoProgram(const absl::Status& why) {
  const int status = absl::IsNotFound(why) ? kNotFound : kNotExecutable;
  v1::RunReport report;
  report.set_exit_status(status);
  Output output = MakeOutput(std::move(report), "");
  output.verdict =
      WithMessage(why, absl::StrCat(why.message(), "; nothing was started"));
  output.exit_status = status;
  return output;
}

std::string BaseName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// A path that means the same in the job, wherever it goes.
absl::StatusOr<std::string> AbsolutePath(const Arguments& arguments,
                                         absl::string_view name) {
  const std::string path = arguments.Get(name);
  if (path.empty() || path[0] == '/') return path;
  char* const directory = ::get_current_dir_name();
  if (directory == nullptr) return ErrnoToStatus(errno, "getcwd");
  std::string absolute = absl::StrCat(directory, "/", path);
  ::free(directory);
  return absolute;
}

// Without any of the three: the limit that `limits` has.
absl::Status ParseRetention(const Arguments& arguments,
                            run::RetentionLimits& limits) {
  const bool has_age = arguments.Has("keep-for");
  const bool has_size = arguments.Has("max-bytes");
  if (arguments.Has("keep") || has_age || has_size) {
    CKPT_ASSIGN_OR_RETURN(limits.keep, arguments.Number("keep"));
  }
  if (has_age) {
    CKPT_ASSIGN_OR_RETURN(const double seconds,
                          arguments.Seconds("keep-for", 0));
    limits.keep_for = absl::Seconds(seconds);
  }
  if (has_size) {
    CKPT_ASSIGN_OR_RETURN(limits.max_bytes, arguments.Bytes("max-bytes"));
  }
  return absl::OkStatus();
}

absl::Status ParseSchedule(const Arguments& arguments,
                           run::RunOptions& options) {
  if (arguments.Has("every")) {
    CKPT_ASSIGN_OR_RETURN(const double seconds, arguments.Seconds("every", 0));
    options.every = absl::Seconds(seconds);
  }
  CKPT_RETURN_IF_ERROR(ParseRetention(arguments, options.retention));
  for (const std::string& text : arguments.GetAll("on-signal")) {
    CKPT_ASSIGN_OR_RETURN(const int signal, SignalNumber("on-signal", text));
    if (signal != SIGUSR1 && signal != SIGUSR2 && signal != SIGHUP &&
        signal != SIGINT && signal != SIGQUIT) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--on-signal '", text, "' is none of USR1, USR2, HUP, INT, QUIT"));
    }
    options.checkpoint_signals.insert(signal);
  }
  options.before_end = arguments.Has("before-end");
  if (!arguments.Has("before-end-status")) return absl::OkStatus();
  if (!options.before_end) {
    return absl::InvalidArgumentError(
        "--before-end-status goes with --before-end");
  }
  CKPT_ASSIGN_OR_RETURN(const int32_t status,
                        arguments.Number("before-end-status"));
  if (status > 255) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--before-end-status ", status, " is no exit status (1 to 255)"));
  }
  options.before_end_status = status;
  return absl::OkStatus();
}

absl::Status ParseHooks(const Arguments& arguments, run::HookOptions& hooks) {
  CKPT_ASSIGN_OR_RETURN(hooks.directory, AbsolutePath(arguments, "hook-dir"));
  if (!arguments.Has("hook-timeout")) return absl::OkStatus();
  if (hooks.directory.empty()) {
    return absl::InvalidArgumentError("--hook-timeout goes with --hook-dir");
  }
  CKPT_ASSIGN_OR_RETURN(const double seconds,
                        arguments.Seconds("hook-timeout", 0));
  hooks.timeout = absl::Seconds(seconds);
  return absl::OkStatus();
}

absl::StatusOr<run::RunOptions> ParseOptions(const Arguments& arguments) {
  run::RunOptions options;
  options.argv = arguments.positional();
  if (options.argv.empty()) {
    return absl::InvalidArgumentError(
        "name the command: ckpt run [OPTION...] -- COMMAND [WORD...]");
  }
  options.name = arguments.Has("name") ? arguments.Get("name")
                                       : BaseName(options.argv.front());
  if (arguments.Has("cgroup")) options.parent_group = arguments.Get("cgroup");
  CKPT_ASSIGN_OR_RETURN(options.hierarchy, HierarchyFlag(arguments));
  CKPT_ASSIGN_OR_RETURN(options.output, AbsolutePath(arguments, "output"));
  CKPT_ASSIGN_OR_RETURN(options.error_output, AbsolutePath(arguments, "error"));
  options.fresh = arguments.Has("fresh");
  CKPT_ASSIGN_OR_RETURN(const v1::OutputPolicy policy,
                        OutputPolicyFlag(arguments));
  if (policy != v1::OUTPUT_POLICY_UNSPECIFIED) options.output_policy = policy;
  CKPT_ASSIGN_OR_RETURN(options.criu, CriuFlags(arguments));
  CKPT_ASSIGN_OR_RETURN(options.timeout_seconds,
                        arguments.Seconds("timeout", 0));
  CKPT_RETURN_IF_ERROR(ParseSchedule(arguments, options));
  CKPT_RETURN_IF_ERROR(ParseHooks(arguments, options.hooks));
  return options;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_ASSIGN_OR_RETURN(const run::RunOptions options, ParseOptions(arguments));
  const auto program = run::FindProgram(options.argv.front());
  if (!program.ok()) return NoProgram(program.status());
  const ImageStore store = StoreFlag(arguments);
  CKPT_ASSIGN_OR_RETURN(const std::string criu,
                        criu::FindCriu(arguments.Get("criu")));
  run::RunEnvironment environment;
  environment.store = &store;
  environment.criu = criu;
  environment.tell = [](const std::string& line) {
    const std::string text = absl::StrCat("ckpt run: ", line, "\n");
    (void)!::write(STDERR_FILENO, text.data(), text.size());
  };
  environment.output_fd = STDOUT_FILENO;
  environment.error_fd = STDERR_FILENO;
  CKPT_ASSIGN_OR_RETURN(v1::RunReport report,
                        run::Supervise(options, environment));
  const int exit_status = report.exit_status();
  // Standard output is the job's.
  Output output = MakeOutput(std::move(report), "");
  output.exit_status = exit_status;
  return output;
}

}  // namespace

Command RunCommand() {
  Command command = {
      "run",
      "start a job, or go on from its newest image",
      "-- COMMAND [WORD...]",
      "Starts the command so that it can always be checkpointed, in a cgroup "
      "and a PID namespace of its\nown, and waits for its end.  If the job of "
      "that name has an image, it goes on from the newest one\nthat is whole "
      "instead: a batch system may run the same line again.  The exit status "
      "is the\ncommand's, as a shell has it; 125 if ckpt run itself failed.  "
      "Once it has ended with 0 its images are\nremoved.",
      "ckpt run --name render --every 10m --before-end -- render scene.blend",
      /*needs_root=*/true,
      WithCriuFlags(WithStoreFlag(
          {{"name", "J", "the job's name (that of the program)"},
           {"every", "D", "checkpoint as often as this"},
           {"on-signal", "S",
            "checkpoint on this signal instead of forwarding it (USR1 ...); "
            "may be repeated"},
           {"before-end", "",
            "on SIGTERM: checkpoint, end, and exit with --before-end-status"},
           {"before-end-status", "N", "exit status of that end (85)"},
           {"keep", "N", "keep the newest N images (2)"},
           {"keep-for", "D", "keep images that are younger, as 7d"},
           {"max-bytes", "N",
            "keep the newest images that have room in this together, as 10G"},
           {"fresh", "", "start afresh, whatever images there are"},
           {"output", "FILE",
            "let the job print there, and do not show it (a file in the store, "
            "shown)"},
           {"error", "FILE", "the same for its standard error"},
           {"output-policy", "truncate|append|fail",
            "what to do at a restore with files that the job writes to and "
            "that have grown (truncate)"},
           {"hook-dir", "DIR",
            "run pre-dump, post-dump, pre-restore and post-restore of there"},
           {"hook-timeout", "D", "kill a hook after this long (10s)"},
           {"cgroup", "X", "the group to make the job's own in (ckpt)"},
           {"freezer", "auto|v1|v2", "in which hierarchy (auto)"},
           {"timeout", "D",
            "give up a checkpoint or restore after this long (120s)"}})),
      &Run};
  command.failure_status = kNotRun;
  return command;
}

}  // namespace ckpt::cli
