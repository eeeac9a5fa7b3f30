#include <unistd.h>

#include <cstddef>
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
#include "freezer/group_set.h"
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

using Guarded = std::unique_ptr<freezer::GuardedGroups>;

// Tells of the lease in the report of a group that is frozen.
void AddLease(const freezer::GuardedGroups& groups, size_t i, double seconds,
              v1::FreezeReport& report) {
  if (groups.has_lease(i)) report.set_lease_seconds(seconds);
}

absl::StatusOr<Output> FreezeOne(Guarded groups, double lease_seconds,
                                 const freezer::FreezeOptions& options) {
  auto report = groups->freezer(0).Freeze(options);
  if (!report.ok()) {
    return AppendError(report.status(), "guardian", groups->Release());
  }
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.frozen"));
  AddLease(*groups, 0, lease_seconds, *report);
  std::string text = RenderFreeze(*report);
  if (lease_seconds > 0 && !groups->has_lease(0)) {
    text += "  it was frozen before, and stays so: --for has no effect\n";
  }
  Output output = MakeOutput(*std::move(report), std::move(text));
  output.delivery =
      std::make_unique<HandOver>(std::move(groups), options.cancel);
  return output;
}

absl::StatusOr<Output> FreezeSeveral(Guarded groups, double lease_seconds,
                                     const freezer::SetOptions& options) {
  v1::FreezeSetReport report = freezer::FreezeAll(*groups, options);
  CKPT_RETURN_IF_ERROR(FaultPoint("freeze.frozen"));
  bool any_frozen = false;
  for (int i = 0; i < report.groups_size(); ++i) {
    v1::FreezeSetEntry& entry = *report.mutable_groups(i);
    if (entry.code() != 0) continue;
    any_frozen = true;
    AddLease(*groups, static_cast<size_t>(i), lease_seconds,
             *entry.mutable_report());
  }
  absl::Status verdict = freezer::FirstError(report);
  std::string text = RenderFreezeSet(report);
  Output output = MakeOutput(std::move(report), std::move(text));
  output.verdict = std::move(verdict);
  if (any_frozen) {
    output.delivery =
        std::make_unique<HandOver>(std::move(groups), options.each.cancel);
  }
  return output;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  CKPT_ASSIGN_OR_RETURN(const double timeout,
                        arguments.Seconds("timeout", kTimeoutSeconds));
  CKPT_ASSIGN_OR_RETURN(const double lease, arguments.Seconds("for", 0));
  freezer::SetOptions options;
  options.all_or_nothing = arguments.Has("all-or-nothing");
  options.each.cancel = context.cancel;
  options.each.list_tasks = arguments.Has("json");
  CKPT_ASSIGN_OR_RETURN(options.each.on_busy, OnBusyFlag(arguments));
  if (options.all_or_nothing && options.each.on_busy == v1::ON_BUSY_KEEP) {
    return absl::InvalidArgumentError(
        "--all-or-nothing gives a busy group back, and --on-busy keep leaves "
        "it FREEZING: choose one; nothing was touched");
  }
  RecoverFirst();
  CKPT_ASSIGN_OR_RETURN(auto groups, GroupsFlag(arguments));
  const bool several = groups.size() > 1;
  freezer::GuardedGroups::Options guard;
  guard.output_fd = STDOUT_FILENO;
  guard.skip_refused = several && !options.all_or_nothing;
  if (lease > 0) guard.lease = absl::Seconds(lease);
  CKPT_ASSIGN_OR_RETURN(auto guarded,
                        freezer::GuardedGroups::Take(std::move(groups), guard));
  options.each.deadline = Clock::Real().Now() + absl::Seconds(timeout);
  return several ? FreezeSeveral(std::move(guarded), lease, options)
                 : FreezeOne(std::move(guarded), lease, options.each);
}

}  // namespace

Command FreezeCommand() {
  return {"freeze",
          "freeze cgroups, and verify that they are frozen",
          "",
          "Returns when every task of the group (and of the groups below it) "
          "is frozen.  If some cannot\nbe frozen in time, they are named, and "
          "the group is given back as it was or, with\n--on-busy keep, left "
          "FREEZING until a retry, a thaw, or their leaving ends it.  Several "
          "groups are frozen at the same\ntime and reported together.  The "
          "freeze stands once its report is printed.",
          "ckpt freeze --cgroup job1",
          /*needs_root=*/true,
          WithGroupFlags({{"timeout", "D", "give up after this long (10s)"},
                          {"on-busy", "cancel|keep",
                           "if some tasks do not freeze in time: give it back "
                           "(cancel), or leave it FREEZING"},
                          {"for", "D",
                           "thaw by itself after this long, if it is not "
                           "thawed before"},
                          {"all-or-nothing", "",
                           "of several groups: if one fails, give all back"}},
                         /*several=*/true),
          &Run};
}

}  // namespace ckpt::cli
