#include "checkpoint/self_service.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/status.h"
#include "checkpoint/mailbox.h"

namespace ckpt::checkpoint {
namespace {

// Dumps at work at a time; further calls wait in the socket.
constexpr size_t kMostDumps = 16;
// Of one user other than root of the node, so that there is room for the
// others.  Root of all containers is one user.
constexpr ptrdiff_t kMostDumpsOfUser = 4;

bool IsRelative(const std::string& path) {
  return !path.empty() && path.front() != '/';
}

// Without waiting, as it asks only once it is ready.
void TellCaller(const SelfCall& call, const absl::Status& why) {
  Clock& clock = Clock::Real();
  const auto mailbox = Mailbox::Open(call.asker);
  // If it still runs, its number is its own, and so was the memory.
  if (!mailbox.ok() || !call.CallerRuns()) return;
  if (!mailbox->AwaitReady(clock, clock.Now()).ok()) return;
  (void)mailbox->WriteFailed(why);
}

}  // namespace

absl::Status SelfService::CheckRoomFor(uid_t uid) const {
  const ptrdiff_t at_work = std::count_if(
      workers_.begin(), workers_.end(),
      [uid](const SelfWorker& worker) { return worker.share_of() == uid; });
  if (at_work < kMostDumpsOfUser) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(at_work, " checkpoints of user ", uid,
                   " are being made already: try again; nothing was touched"));
}

absl::Status SelfService::Begin(const SelfCall& call) {
  CKPT_RETURN_IF_ERROR(FaultPoint("self.called"));
  // Before it costs more, if it is sure already that it counts.
  if (call.uid != 0) CKPT_RETURN_IF_ERROR(CheckRoomFor(call.uid));
  CKPT_ASSIGN_OR_RETURN(const SelfTerms terms, admit_(call));
  if (terms.has_share) CKPT_RETURN_IF_ERROR(CheckRoomFor(call.uid));
  if (IsRelative(call.store) ||
      (absl::StrContains(call.image, '/') && IsRelative(call.image))) {
    return absl::InvalidArgumentError(
        "the service that was asked is in another directory: give the whole "
        "path of the store; nothing was touched");
  }
  CKPT_ASSIGN_OR_RETURN(SelfWorker worker,
                        SelfWorker::Start(call, terms, programs_));
  workers_.push_back(std::move(worker));
  return FaultPoint("self.started");
}

void SelfService::Take(const SelfCall& call) {
  const bool is_at_work = std::any_of(
      workers_.begin(), workers_.end(),
      [&](const SelfWorker& worker) { return worker.IsFor(call.asker); });
  if (is_at_work) return;  // it asks again, in case nobody has heard
  const absl::Status begun = Begin(call);
  if (!begun.ok()) TellCaller(call, begun);
}

absl::Status SelfService::Serve(const Cancellation& stop) {
  while (!stop.cancelled()) {
    std::vector<pollfd> fds = {{stop.fd(), POLLIN, 0}};
    for (const SelfWorker& worker : workers_) {
      fds.push_back({worker.fd(), POLLIN, 0});
    }
    if (workers_.size() < kMostDumps) fds.push_back({port_->fd(), POLLIN, 0});
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
      return ErrnoToStatus(errno, "poll");
    }
    std::erase_if(workers_, [](SelfWorker& worker) { return worker.Reap(); });
    while (!stop.cancelled() && workers_.size() < kMostDumps) {
      const auto call = port_->Receive();
      if (!call.has_value()) break;
      Take(*call);
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt::checkpoint
