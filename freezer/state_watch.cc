#include "freezer/state_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/status.h"
#include "freezer/backend.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

// v1, FREEZING: the kernel looks whether it is FROZEN when it is asked.
constexpr absl::Duration kV1Pause = absl::Milliseconds(20);

bool SameState(const v1::CgroupStatus& one, const v1::CgroupStatus& other) {
  return one.state() == other.state() &&
         one.self_freezing() == other.self_freezing() &&
         one.frozen_ancestor() == other.frozen_ancestor();
}

absl::Status AddInotify(int fd, const std::string& path, uint32_t mask) {
  if (::inotify_add_watch(fd, path.c_str(), mask | IN_MASK_ADD) >= 0) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "inotify_add_watch", path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateWatch>> StateWatch::Start(
    std::vector<std::unique_ptr<Cgroup>> groups) {
  auto watch = absl::WrapUnique(new StateWatch);
  watch->inotify_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch->inotify_.ok()) return ErrnoToStatus(errno, "inotify_init1");
  // Who writes is told to the privileged only; that somebody does, to all.
  if (auto writes = WriteWatch::Start(); writes.ok()) {
    watch->writes_ = *std::move(writes);
  }
  for (std::unique_ptr<Cgroup>& group : groups) {
    CKPT_RETURN_IF_ERROR(watch->Add(std::move(group)));
  }
  return watch;
}

absl::Status StateWatch::AddWriteWatch(Cgroup& group) {
  if (writes_ != nullptr) return writes_->AddRequest(group);
  return AddInotify(
      inotify_.get(),
      absl::StrCat(group.path(), "/", MakeBackend(group)->request_file()),
      IN_MODIFY);
}

absl::Status StateWatch::Add(std::unique_ptr<Cgroup> group) {
  if (group->is_root()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cgroup ", group->path(),
                     " is the root of its hierarchy, which is never frozen: "
                     "there is nothing to watch"));
  }
  Watched watched;
  CKPT_RETURN_IF_ERROR(AddWriteWatch(*group));
  watched.ancestors.push_back(group->path());
  auto parent = group->Parent();
  if (parent.ok()) {
    CKPT_RETURN_IF_ERROR(
        AddInotify(inotify_.get(), (*parent)->path(), IN_DELETE));
  }
  while (parent.ok() && !(*parent)->is_root()) {
    CKPT_RETURN_IF_ERROR(AddWriteWatch(**parent));
    watched.ancestors.push_back((*parent)->path());
    parent = (*parent)->Parent();
  }
  // The top of the mount in a container has none to be seen.
  if (!parent.ok() && !absl::IsFailedPrecondition(parent.status())) {
    return parent.status();
  }
  if (group->hierarchy() == v1::HIERARCHY_V2) {
    CKPT_ASSIGN_OR_RETURN(watched.events, group->OpenForRead(kV2EventsFile));
  }
  watched.freezer =
      std::make_unique<Freezer>(*group, ProcFs::Real(), Clock::Real());
  watched.group = std::move(group);
  groups_.push_back(std::move(watched));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GroupWrite>> StateWatch::TakeWrites() {
  // Removals need no more than a look; inotify does not name a writer.
  char buffer[4096];
  while (::read(inotify_.get(), buffer, sizeof buffer) > 0) {
  }
  if (writes_ == nullptr) return std::vector<GroupWrite>();
  return writes_->Take();
}

absl::Status StateWatch::LookAt(Watched& watched,
                                const std::vector<GroupWrite>& writes,
                                std::vector<v1::WatchEvent>& events) {
  if (watched.events.ok()) {
    // poll() tells of changes since this descriptor was read last.
    char text[256];
    (void)!::pread(watched.events.get(), text, sizeof text, 0);
  }
  auto status = watched.freezer->GetStatus(/*with_tasks=*/false);
  v1::WatchEvent event;
  event.set_cgroup(watched.group->path());
  // The time of day, which the clock of deadlines is not.
  event.set_unix_ns(absl::ToUnixNanos(absl::Now()));
  event.set_from(watched.status.state());
  if (absl::IsNotFound(status.status())) {
    watched.removed = true;
    event.set_removed(true);
    events.push_back(std::move(event));
    return absl::OkStatus();
  }
  CKPT_RETURN_IF_ERROR(status.status());
  const bool changed = !SameState(watched.status, *status);
  // Each write is an event; the last one led to the state that is there now.
  for (const GroupWrite& write : writes) {
    if (std::find(watched.ancestors.begin(), watched.ancestors.end(),
                  write.group) == watched.ancestors.end()) {
      continue;
    }
    if (event.writer_pid() != 0) {
      *event.mutable_status() = watched.status;
      events.push_back(event);
    }
    event.set_writer_pid(write.pid);
    event.set_writer_comm(write.comm);
  }
  if (changed || event.writer_pid() != 0) {
    *event.mutable_status() = *status;
    events.push_back(std::move(event));
  }
  watched.status = *std::move(status);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::WatchEvent>> StateWatch::Look() {
  CKPT_ASSIGN_OR_RETURN(const std::vector<GroupWrite> writes, TakeWrites());
  std::vector<v1::WatchEvent> events;
  for (Watched& watched : groups_) {
    if (watched.removed) continue;
    CKPT_RETURN_IF_ERROR(LookAt(watched, writes, events));
  }
  return events;
}

absl::Status StateWatch::AwaitWake(absl::Time deadline,
                                   const Cancellation* cancel) {
  std::vector<pollfd> fds = {
      {cancel == nullptr ? -1 : cancel->fd(), POLLIN, 0},
      {inotify_.get(), POLLIN, 0},
      {writes_ == nullptr ? -1 : writes_->fd(), POLLIN, 0}};
  absl::Duration limit = deadline - Clock::Real().Now();
  for (const Watched& watched : groups_) {
    if (watched.removed) continue;
    if (watched.events.ok()) fds.push_back({watched.events.get(), POLLPRI, 0});
    if (watched.group->hierarchy() == v1::HIERARCHY_V1 &&
        watched.status.state() == v1::FREEZER_STATE_FREEZING) {
      limit = std::min(limit, kV1Pause);
    }
  }
  limit = std::max(absl::ZeroDuration(), std::min(limit, absl::Hours(1)));
  const timespec timeout = absl::ToTimespec(limit);
  (void)::ppoll(fds.data(), fds.size(), &timeout, nullptr);
  if (cancel != nullptr && cancel->cancelled()) {
    return absl::CancelledError("cancelled");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::WatchEvent>> StateWatch::Wait(
    absl::Time deadline, const Cancellation* cancel) {
  while (true) {
    CKPT_ASSIGN_OR_RETURN(std::vector<v1::WatchEvent> events, Look());
    if (!events.empty() || Clock::Real().Now() >= deadline) return events;
    CKPT_RETURN_IF_ERROR(AwaitWake(deadline, cancel));
  }
}

bool StateWatch::AllIn(v1::FreezerState state) const {
  return !AllRemoved() &&
         std::all_of(groups_.begin(), groups_.end(), [&](const Watched& each) {
           return each.removed || each.status.state() == state;
         });
}

bool StateWatch::AllRemoved() const {
  return std::all_of(groups_.begin(), groups_.end(),
                     [](const Watched& each) { return each.removed; });
}

}  // namespace ckpt::freezer
