#include <string>

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

absl::StatusOr<v1::OnBusy> OnBusyFlag(const Arguments& arguments) {
  const std::string text = arguments.Get("on-busy");
  if (text.empty() || text == "cancel") return v1::ON_BUSY_CANCEL;
  if (text == "keep") return v1::ON_BUSY_KEEP;
  return absl::InvalidArgumentError(
      absl::StrCat("--on-busy '", text, "' is none of cancel, keep"));
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  CKPT_ASSIGN_OR_RETURN(const v1::OnBusy on_busy, OnBusyFlag(arguments));
  CKPT_ASSIGN_OR_RETURN(const LockedGroup locked, LockedGroupFlag(arguments));
  Clock& clock = Clock::Real();
  freezer::Freezer freezer(*locked.group, ProcFs::Real(), clock);
  CKPT_ASSIGN_OR_RETURN(
      v1::FreezeReport report,
      freezer.Freeze({.deadline = clock.Now() + absl::Seconds(timeout),
                      .cancel = context.cancel,
                      .on_busy = on_busy}));
  std::string text = RenderFreeze(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command FreezeCommand() {
  return {"freeze",
          "freeze a cgroup, and verify that it is frozen",
          "",
          "Returns when every task of the group (and of the groups below it) "
          "is frozen.  If some cannot\nbe frozen in time, they are named, and "
          "the group is given back as it was or, with\n--on-busy keep, left "
          "FREEZING until a retry, a thaw, or their leaving ends it.",
          "ckpt freeze --cgroup job1",
          /*needs_root=*/true,
          WithGroupFlags({{"timeout", "D", "give up after this long (10s)"},
                          {"on-busy", "cancel|keep",
                           "if some tasks do not freeze in time: give it back "
                           "(cancel), or leave it FREEZING"}}),
          &Run};
}

}  // namespace ckpt::cli
