#include "freezer/kill.h"

#include <signal.h>

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/freezer.h"

namespace ckpt::cli {
namespace {

constexpr double kTimeoutSeconds = 10;

// "KILL", "SIGKILL" or "9".
absl::StatusOr<int> ParseSignal(const std::string& text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number) && number > 0 && number < NSIG) {
    return number;
  }
  std::string name = absl::AsciiStrToUpper(text);
  if (absl::StartsWith(name, "SIG")) name = name.substr(3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--signal '", text, "' is no signal; nothing was sent"));
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  int signal = SIGKILL;
  if (arguments.Has("signal")) {
    CKPT_ASSIGN_OR_RETURN(signal, ParseSignal(arguments.Get("signal")));
  }
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  CKPT_ASSIGN_OR_RETURN(const LockedGroup locked, LockedGroupFlag(arguments));
  Clock& clock = Clock::Real();
  freezer::Freezer freezer(*locked.group, ProcFs::Real(), clock);
  CKPT_ASSIGN_OR_RETURN(
      v1::KillReport report,
      freezer::KillGroup(freezer, signal,
                         clock.Now() + absl::Seconds(timeout)));
  std::string text = RenderKill(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command KillCommand() {
  return {"kill",
          "signal every process of a cgroup, with none missed",
          "",
          "SIGKILL also ends frozen tasks, and returns when the group is "
          "empty.  Any other signal is sent\nto every process exactly once, "
          "while the group is frozen for a moment.",
          "ckpt kill --cgroup job1 --signal TERM",
          /*needs_root=*/true,
          WithGroupFlags({{"signal", "S", "name or number (KILL)"},
                          {"timeout", "D", "give up after this long (10s)"}}),
          &Run};
}

}  // namespace ckpt::cli
