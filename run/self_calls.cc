#include "run/self_calls.h"

#include <algorithm>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"

namespace ckpt::run {

void SelfCaller::TellWhile(int64_t number, const std::string& image_path,
                           checkpoint::DumpEnvironment& environment) {
  number_ = number;
  image_path_ = image_path;
  environment.image_written = [this](PendingImage& image) {
    return mailbox_.MarkInImage(image, number_, image_path_);
  };
  if (!early_) return;
  environment.job_released = [this] {
    is_released_ = true;
    (void)mailbox_.WriteWritten(number_, image_path_);
  };
}

void SelfCaller::Tell(const absl::Status& outcome) const {
  (void)(outcome.ok() ? mailbox_.WriteDone(number_, image_path_)
                      : mailbox_.WriteFailed(outcome));
}

absl::StatusOr<std::unique_ptr<SelfCalls>> SelfCalls::Listen(
    const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(auto port, checkpoint::SelfPort::Listen(path));
  return absl::WrapUnique(new SelfCalls(std::move(port)));
}

std::optional<SelfCaller> SelfCalls::Next(pid_t root) {
  Clock& clock = Clock::Real();
  while (auto call = port_->Receive()) {
    auto mailbox = checkpoint::Mailbox::Open(call->asker);
    // It asks again until it is answered: this may be an old question.
    if (!mailbox.ok() || !mailbox->AwaitReady(clock, clock.Now()).ok()) {
      continue;
    }
    SelfCaller caller(*std::move(mailbox), call->exit, call->early);
    const auto tree = ProcessTree(ProcFs::Real(), root);
    if (tree.ok() &&
        std::find(tree->begin(), tree->end(), call->asker.pid) != tree->end()) {
      return caller;
    }
    caller.Tell(absl::PermissionDeniedError(
        absl::StrCat("process ", call->asker.pid,
                     " does not belong to the job; nothing was touched")));
  }
  return std::nullopt;
}

}  // namespace ckpt::run
