#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/guarded_groups.h"

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

// The freeze stands once its report is printed, and not before.
class HandOver : public Delivery {
 public:
  HandOver(std::unique_ptr<freezer::GuardedGroups> groups,
           const Cancellation* cancel)
      : groups_(std::move(groups)), cancel_(cancel) {}

  absl::Status Deliver(const std::string& text) override {
    return groups_->HandOver(text, cancel_);
  }

 private:
  const std::unique_ptr<freezer::GuardedGroups> groups_;
  const Cancellation* const cancel_;
};

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  CKPT_ASSIGN_OR_RETURN(const v1::OnBusy on_busy, OnBusyFlag(arguments));
  RecoverFirst();
  std::vector<std::unique_ptr<freezer::Cgroup>> groups(1);
  CKPT_ASSIGN_OR_RETURN(groups[0], GroupFlag(arguments));
  CKPT_ASSIGN_OR_RETURN(
      auto guarded, freezer::GuardedGroups::Take(std::move(groups),
                                                 {.output_fd = STDOUT_FILENO}));
  auto report = guarded->freezer(0).Freeze(
      {.deadline = Clock::Real().Now() + absl::Seconds(timeout),
       .cancel = context.cancel,
       .on_busy = on_busy,
       .list_tasks = arguments.Has("json")});
  if (!report.ok()) {
    return AppendError(report.status(), "guardian", guarded->Release());
  }
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.frozen"));
  std::string text = RenderFreeze(*report);
  Output output = MakeOutput(*std::move(report), std::move(text));
  output.delivery =
      std::make_unique<HandOver>(std::move(guarded), context.cancel);
  return output;
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
