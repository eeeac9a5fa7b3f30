#include "agent/destination_job.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/source_job.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/host.h"
#include "base/proc.h"
#include "base/status.h"
#include "criu/binary.h"
#include "criu/log.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "freezer/kill.h"
#include "preflight/preflight.h"
#include "restore/restore.h"
#include "store/arriving_image.h"
#include "store/criu_images.h"

namespace ckpt::agent {
namespace {

// What a guardian, or CRIU itself, needs to end what was being restored.
constexpr absl::Duration kSettleLimit = absl::Seconds(10);
constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr absl::Duration kHoldPoll = absl::Milliseconds(50);

v1::RestoreRequest RequestOf(const v1::MigrationRecord& record) {
  v1::RestoreRequest request;
  request.set_image(record.image());
  request.set_cgroup(record.cgroup());
  request.set_timeout_seconds(record.request().timeout_seconds());
  return request;
}

bool HasDied(int pidfd) {
  pollfd fd = {pidfd, POLLIN, 0};
  return ::poll(&fd, 1, 0) == 1;
}

}  // namespace

// One restore that is held.  Thread-safe.
class HeldRestoreThread {
 public:
  using Releasing = migrate::DestinationJob::Releasing;

  HeldRestoreThread(const ImageStore& store, const std::string& criu,
                    const v1::RestoreRequest& request)
      : thread_([this, &store, criu, request] {
          auto report = restore::Restore(
              request, {.store = &store,
                        .criu = criu,
                        .hold = [this](const restore::HeldRestore& held) {
                          return AwaitWord(held);
                        }});
          const absl::MutexLock lock(&mutex_);
          report_ = std::move(report);
          ended_ = true;
        }) {}
  ~HeldRestoreThread() {
    Drop();
    thread_.join();
  }

  // Until it is held, or has failed.
  absl::Status AwaitHeld() {
    const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return held_ || ended_;
    };
    const absl::MutexLock lock(&mutex_, absl::Condition(&due));
    return ended_ ? report_.status() : absl::OkStatus();
  }
  bool IsHeld() {
    const absl::MutexLock lock(&mutex_);
    return held_ && !ended_;
  }
  absl::StatusOr<v1::RestoreReport> Release(const Releasing& releasing) {
    const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return ended_;
    };
    const absl::MutexLock lock(&mutex_);
    releasing_ = &releasing;
    mutex_.Await(absl::Condition(&ended));
    releasing_ = nullptr;
    return report_;
  }
  void Drop() {
    const absl::MutexLock lock(&mutex_);
    dropped_ = true;
  }

 private:
  absl::Status AwaitWord(const restore::HeldRestore& held) {
    const auto word = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return releasing_ != nullptr || dropped_;
    };
    const absl::Time limit =
        Clock::Real().Now() + RealDestinationJob::kHoldLimit;
    const Releasing* releasing = nullptr;
    {
      const absl::MutexLock lock(&mutex_);
      held_ = true;
      while (!mutex_.AwaitWithTimeout(absl::Condition(&word), kHoldPoll)) {
        if (HasDied(held.criu_pidfd)) {
          return absl::AbortedError("CRIU died while it held the job");
        }
        if (Clock::Real().Now() > limit) {
          return absl::DeadlineExceededError("the job was held for too long");
        }
      }
      if (dropped_) return absl::CancelledError("the source keeps the job");
      releasing = releasing_;
    }
    if (HasDied(held.criu_pidfd)) {
      return absl::AbortedError("CRIU died while it held the job");
    }
    return (*releasing)(held.criu_log);
  }

  absl::Mutex mutex_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool dropped_ ABSL_GUARDED_BY(mutex_) = false;
  const Releasing* releasing_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::StatusOr<v1::RestoreReport> report_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

RealDestinationJob::RealDestinationJob(const ImageStore& store,
                                       std::string criu)
    : store_(store), criu_(std::move(criu)) {}

RealDestinationJob::~RealDestinationJob() = default;

std::shared_ptr<HeldRestoreThread> RealDestinationJob::Take(
    const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = held_.find(id);
  if (found == held_.end()) return nullptr;
  auto held = std::move(found->second);
  held_.erase(found);
  return held;
}

absl::Status RealDestinationJob::CheckNeeds(
    const v1::MigrationRecord& record) const {
  if (!record.has_needs()) return absl::OkStatus();  // of a former ckpt
  v1::CheckRequest request;
  *request.mutable_needs() = record.needs();
  request.set_into_cgroup(record.request().to_cgroup());
  request.set_hierarchy(record.request().hierarchy());
  CKPT_ASSIGN_OR_RETURN(
      v1::CheckReport report,
      preflight::Check(request, {.store = &store_, .criu = criu_}));
  const std::string here = ReadHostInfo().node_name;
  for (v1::CheckFinding& finding : *report.mutable_findings()) {
    finding.set_node(here);
  }
  const absl::Status verdict = preflight::Verdict(report);
  if (verdict.ok()) return verdict;
  return WithMessage(verdict,
                     absl::StrCat("the destination cannot take the job: ",
                                  verdict.message(), "; nothing was touched"));
}

absl::Status RealDestinationJob::Reserve(const v1::MigrationRecord& record) {
  CKPT_RETURN_IF_ERROR(criu::FindCriu(criu_).status());
  CKPT_ASSIGN_OR_RETURN(const std::string path, store_.PathOf(record.image()));
  if (!absl::IsNotFound(store_.Open(record.image()).status())) {
    return absl::AlreadyExistsError(
        absl::StrCat("the destination has an image ", path,
                     ": choose another name; nothing was touched"));
  }
  const auto group = freezer::OpenCgroup(record.cgroup());
  if (absl::IsNotFound(group.status())) return CheckNeeds(record);
  CKPT_RETURN_IF_ERROR(group.status());
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        (*group)->SubtreeProcesses());
  if (pids.empty()) return CheckNeeds(record);
  return absl::FailedPreconditionError(absl::StrCat(
      "cgroup ", record.cgroup(), " of the destination is not empty: it holds ",
      DescribeTask(ProcFs::Real(), pids.front()),
      "; name another group with --to-cgroup; nothing was touched"));
}

absl::StatusOr<std::string> RealDestinationJob::Verify(
    const v1::MigrationRecord& record) {
  // It was compared with its manifest when it arrived; a restore does so again.
  CKPT_ASSIGN_OR_RETURN(const Image image, store_.Open(record.image()));
  return image.manifest().image_id();
}

absl::Status RealDestinationJob::EndLeftovers(
    const v1::MigrationRecord& record) {
  const auto group = freezer::OpenCgroup(record.cgroup());
  if (absl::IsNotFound(group.status())) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(group.status());
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        (*group)->SubtreeProcesses());
  if (pids.empty()) return absl::OkStatus();
  const auto image = store_.Open(record.image());
  if (!image.ok() || image->manifest().image_id() != record.image_id()) {
    return absl::OkStatus();
  }
  CKPT_ASSIGN_OR_RETURN(const ImageContents contents,
                        ReadContents(image->dir_fd()));
  std::set<pid_t> built;
  for (const ImageProcess& process : contents.processes) {
    built.insert(process.pid);
  }
  ProcFs& proc = ProcFs::Real();
  const bool all_built = std::all_of(pids.begin(), pids.end(), [&](pid_t pid) {
    return built.count(InnermostPid(proc, pid)) > 0;
  });
  if (!all_built) return absl::OkStatus();
  Clock& clock = Clock::Real();
  freezer::Freezer freezer(**group, proc, clock);
  return freezer::KillGroup(freezer, SIGKILL,
                            {.deadline = clock.Now() + kSettleLimit})
      .status();
}

absl::Status RealDestinationJob::Hold(const v1::MigrationRecord& record) {
  CKPT_ASSIGN_OR_RETURN(const std::string criu, criu::FindCriu(criu_));
  (void)Take(record.id());
  CKPT_RETURN_IF_ERROR(EndLeftovers(record));
  auto held =
      std::make_shared<HeldRestoreThread>(store_, criu, RequestOf(record));
  CKPT_RETURN_IF_ERROR(held->AwaitHeld());
  const absl::MutexLock lock(&mutex_);
  held_[record.id()] = std::move(held);
  return absl::OkStatus();
}

bool RealDestinationJob::IsHeld(const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = held_.find(id);
  return found != held_.end() && found->second->IsHeld();
}

absl::StatusOr<v1::RestoreReport> RealDestinationJob::Run(
    const v1::MigrationRecord& record, const Releasing& releasing) {
  bool asked = false;
  const Releasing once = [&](const std::string& log) {
    asked = true;
    return releasing(log);
  };
  if (const auto held = Take(record.id()); held != nullptr) {
    auto report = held->Release(once);
    // Lost before it was let go: it is built once more.
    if (report.ok() || asked) return report;
  }
  CKPT_RETURN_IF_ERROR(EndLeftovers(record));
  CKPT_ASSIGN_OR_RETURN(const std::string criu, criu::FindCriu(criu_));
  return restore::Restore(RequestOf(record),
                          {.store = &store_,
                           .criu = criu,
                           .hold = [&](const restore::HeldRestore& built) {
                             return once(built.criu_log);
                           }});
}

absl::StatusOr<migrate::DestinationJob::Fate> RealDestinationJob::FateOf(
    const v1::MigrationRecord& record) {
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kSettleLimit;
  const auto group = freezer::OpenCgroup(record.cgroup());
  while (true) {
    const auto log = ReadFile(record.restore_log());
    const bool released = log.ok() && criu::ShowsRelease(*log);
    std::vector<pid_t> pids;
    if (group.ok()) {
      CKPT_ASSIGN_OR_RETURN(pids, (*group)->SubtreeProcesses());
    }
    if (released) return pids.empty() ? Fate::kEnded : Fate::kRuns;
    if (pids.empty()) return Fate::kNeverRan;
    // CRIU may be about to let them go, or to kill them.
    if (clock.Now() > deadline) break;
    clock.Sleep(kPause);
  }
  // Neither: CRIU was killed, and what it built waits for it for ever.
  freezer::Freezer freezer(**group, ProcFs::Real(), clock);
  CKPT_RETURN_IF_ERROR(
      freezer::KillGroup(freezer, SIGKILL,
                         {.deadline = clock.Now() + kSettleLimit})
          .status());
  return Fate::kNeverRan;
}

absl::Status RealDestinationJob::Drop(const v1::MigrationRecord& record) {
  (void)Take(record.id());  // its end kills what is held
  CKPT_RETURN_IF_ERROR(EndLeftovers(record));
  {
    auto arriving = ArrivingImage::Open(store_, record.image());
    if (arriving.ok()) {
      CKPT_RETURN_IF_ERROR((*arriving)->Remove());
    } else if (!absl::IsAlreadyExists(arriving.status())) {
      return arriving.status();
    }
  }
  return RemoveImageOf(store_, record.image(), record.image_id());
}

absl::Status RealDestinationJob::DropImage(const v1::MigrationRecord& record) {
  return RemoveImageOf(store_, record.image(), record.image_id());
}

}  // namespace ckpt::agent
