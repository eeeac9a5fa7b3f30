#include "freezer/kill.h"

#include <signal.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/group_lease.h"
#include "freezer/guarded_groups.h"

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

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  int signal = SIGKILL;
  if (arguments.Has("signal")) {
    CKPT_ASSIGN_OR_RETURN(signal, ParseSignal(arguments.Get("signal")));
  }
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  RecoverFirst();
  std::vector<std::unique_ptr<freezer::Cgroup>> groups(1);
  CKPT_ASSIGN_OR_RETURN(groups[0], GroupFlag(arguments));
  // Killed tasks leave a v1 group only when it is thawed, whatever it was.
  freezer::GroupHold::Options hold = {.purpose = v1::HOLD_PURPOSE_FREEZE,
                                      .needs_journal = false};
  if (signal == SIGKILL) hold.give_back_frozen = false;
  CKPT_ASSIGN_OR_RETURN(auto guarded, freezer::GuardedGroups::Take(
                                          std::move(groups), {.hold = hold}));
  freezer::Freezer& freezer = guarded->freezer(0);
  auto report = freezer::KillGroup(
      freezer, signal,
      {.deadline = Clock::Real().Now() + absl::Seconds(timeout),
       .cancel = context.cancel});
  if (signal == SIGKILL && report.ok()) freezer::EndLease(freezer.group());
  absl::Status released = guarded->Release();
  if (!report.ok()) return AppendError(report.status(), "guardian", released);
  CKPT_RETURN_IF_ERROR(released);
  std::string text = RenderKill(*report);
  return MakeOutput(*std::move(report), std::move(text));
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
