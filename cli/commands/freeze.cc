#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/cancellation.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "freezer/guarded_groups.h"
#include "node/groups.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<v1::OnBusy> OnBusyFlag(const Arguments& arguments) {
  const std::string text = arguments.Get("on-busy");
  if (text.empty() || text == "cancel") return v1::ON_BUSY_CANCEL;
  if (text == "keep") return v1::ON_BUSY_KEEP;
  return absl::InvalidArgumentError(
      absl::StrCat("--on-busy '", text, "' is none of cancel, keep"));
}

absl::StatusOr<v1::FreezeRequest> ParseRequest(const Arguments& arguments) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  v1::FreezeRequest request;
  CKPT_RETURN_IF_ERROR(SetGroups(arguments, request));
  CKPT_ASSIGN_OR_RETURN(
      const double timeout,
      arguments.Seconds("timeout", node::kDefaultTimeoutSeconds));
  request.set_timeout_seconds(timeout);
  CKPT_ASSIGN_OR_RETURN(const double lease, arguments.Seconds("for", 0));
  request.set_lease_seconds(lease);
  request.set_all_or_nothing(arguments.Has("all-or-nothing"));
  request.set_list_tasks(arguments.Has("json"));
  CKPT_ASSIGN_OR_RETURN(const v1::OnBusy on_busy, OnBusyFlag(arguments));
  request.set_on_busy(on_busy);
  return request;
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

Output Describe(const v1::FreezeRequest& request,
                const v1::FreezeResponse& response) {
  Output output = DescribeFreeze(response);
  if (response.has_one() && request.lease_seconds() > 0 &&
      response.one().lease_seconds() <= 0) {
    output.text +=
        "  it was frozen before, and stays so: --for has no effect\n";
  }
  return output;
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const v1::FreezeRequest request,
                        ParseRequest(arguments));
  if (arguments.Has("node")) {
    CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
    CKPT_ASSIGN_OR_RETURN(const v1::FreezeResponse response,
                          remote->Freeze(request, context.cancel));
    return Describe(request, response);
  }
  RecoverFirst();
  CKPT_ASSIGN_OR_RETURN(node::FrozenGroups frozen,
                        node::Freeze(request, STDOUT_FILENO, context.cancel));
  Output output = Describe(request, frozen.response);
  if (frozen.guarded != nullptr) {
    output.delivery =
        std::make_unique<HandOver>(std::move(frozen.guarded), context.cancel);
  }
  return output;
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
          WithNodeFlag(WithGroupFlags(
              {{"timeout", "D", "give up after this long (10s)"},
               {"on-busy", "cancel|keep",
                "if some tasks do not freeze in time: give it back "
                "(cancel), or leave it FREEZING"},
               {"for", "D",
                "thaw by itself after this long, if it is not "
                "thawed before"},
               {"all-or-nothing", "",
                "of several groups: if one fails, give all back"}},
              /*several=*/true)),
          &Run};
}

}  // namespace ckpt::cli
