#include "agent/destination_job.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/migration_tasks.h"
#include "agent/source_job.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/host.h"
#include "base/proc.h"
#include "base/status.h"
#include "criu/binary.h"
#include "criu/log.h"
#include "criu/work_dir.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "freezer/group_hold.h"
#include "freezer/kill.h"
#include "preflight/preflight.h"
#include "restore/restore.h"
#include "store/arriving_image.h"
#include "store/criu_images.h"
#include "store/manifest.h"
#include "transfer/arrival_log.h"
#include "transfer/pull_session.h"

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

// Whether what has arrived in part is the record's: by the transfer that the
// directory tells of, or, just before it becomes an image, by its manifest.
bool IsOf(const v1::MigrationRecord& record, int dir_fd) {
  const auto names = ListDirectoryAt(dir_fd, ".");
  if (names.ok() && names->empty()) return true;  // made by who looked
  const auto found = transfer::ArrivalLog(dir_fd).Load();
  if (found.ok() && found->has_value()) {
    return (*found)->begin.transfer_id() == record.generation();
  }
  const auto bytes = transfer::ReadManifestFile(dir_fd);
  if (!bytes.ok() || record.image_id().empty()) return false;
  const auto manifest = DecodeManifest(*bytes);
  return manifest.ok() && manifest->image_id() == record.image_id();
}

absl::StatusOr<migrate::BuiltJob> Describe(const restore::HeldRestore& held,
                                           const std::string& cgroup) {
  migrate::BuiltJob built;
  built.log = held.criu_log;
  CKPT_ASSIGN_OR_RETURN(const auto group, freezer::OpenCgroup(cgroup));
  CKPT_ASSIGN_OR_RETURN(built.tasks, TasksIn(*group));
  return built;
}

}  // namespace

// One restore that is held.  Thread-safe.
class HeldRestoreThread {
 public:
  using Releasing = migrate::DestinationJob::Releasing;

  HeldRestoreThread(const ImageStore& store, const std::string& criu,
                    const v1::RestoreRequest& request)
      : cgroup_(request.cgroup()), thread_([this, &store, criu, request] {
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
  absl::StatusOr<migrate::BuiltJob> AwaitHeld() {
    const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return held_ || ended_;
    };
    const absl::MutexLock lock(&mutex_, absl::Condition(&due));
    if (ended_) return report_.status();
    return built_;
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
    CKPT_ASSIGN_OR_RETURN(migrate::BuiltJob built, Describe(held, cgroup_));
    {
      const absl::MutexLock lock(&mutex_);
      built_ = built;
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
    return (*releasing)(built);
  }

  const std::string cgroup_;
  absl::Mutex mutex_;
  migrate::BuiltJob built_ ABSL_GUARDED_BY(mutex_);
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
  absl::Status verdict = preflight::Verdict(report);
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
  const v1::Manifest& manifest = image.manifest();
  if (record.image_id().empty() || manifest.image_id() != record.image_id() ||
      manifest.job().cgroup() != record.request().cgroup()) {
    return absl::FailedPreconditionError(
        absl::StrCat("image ", image.path(),
                     " of the destination is not the one that this migration "
                     "has sent; it is left alone: choose another name"));
  }
  return manifest.image_id();
}

std::string RealDestinationJob::BootId() { return ckpt::BootId(); }

absl::Status RealDestinationJob::EndUnlistedBuild(
    const v1::MigrationRecord& record) {
  const auto group = freezer::OpenCgroup(record.cgroup());
  if (absl::IsNotFound(group.status())) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(group.status());
  // A guardian that is at work has the lock, as has whoever else restores.
  CKPT_ASSIGN_OR_RETURN(
      const auto hold,
      freezer::GroupHold::Take(**group, {.purpose = v1::HOLD_PURPOSE_FREEZE}));
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

absl::Status RealDestinationJob::EndBuilt(const v1::MigrationRecord& record) {
  (void)Take(record.id());  // its end kills what is held
  if (record.boot_id() != BootId()) return absl::OkStatus();
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kSettleLimit;
  KillTasks(record.tasks());
  while (AnyIsAlive(record.tasks())) {
    if (clock.Now() > deadline) {
      return absl::UnavailableError(
          absl::StrCat("tasks in ", record.cgroup(),
                       " that were built and never ran do not end, though they "
                       "are killed"));
    }
    clock.Sleep(kPause);
  }
  if (!record.building()) return absl::OkStatus();
  while (true) {
    absl::Status ended = EndUnlistedBuild(record);
    if (!absl::IsUnavailable(ended) || clock.Now() > deadline) return ended;
    clock.Sleep(kPause);
  }
}

absl::StatusOr<migrate::BuiltJob> RealDestinationJob::Hold(
    const v1::MigrationRecord& record) {
  CKPT_ASSIGN_OR_RETURN(const std::string criu, criu::FindCriu(criu_));
  auto held =
      std::make_shared<HeldRestoreThread>(store_, criu, RequestOf(record));
  CKPT_ASSIGN_OR_RETURN(migrate::BuiltJob built, held->AwaitHeld());
  const absl::MutexLock lock(&mutex_);
  held_[record.id()] = std::move(held);
  return built;
}

bool RealDestinationJob::IsHeld(const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = held_.find(id);
  return found != held_.end() && found->second->IsHeld();
}

absl::StatusOr<v1::RestoreReport> RealDestinationJob::Run(
    const v1::MigrationRecord& record, const Releasing& releasing) {
  if (const auto held = Take(record.id()); held != nullptr) {
    return held->Release(releasing);
  }
  CKPT_ASSIGN_OR_RETURN(const std::string criu, criu::FindCriu(criu_));
  return restore::Restore(
      RequestOf(record),
      {.store = &store_,
       .criu = criu,
       .hold = [&](const restore::HeldRestore& held) -> absl::Status {
         CKPT_ASSIGN_OR_RETURN(const migrate::BuiltJob built,
                               Describe(held, record.cgroup()));
         return releasing(built);
       }});
}

absl::StatusOr<migrate::DestinationJob::Fate> RealDestinationJob::FateOf(
    const v1::MigrationRecord& record) {
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kSettleLimit;
  const bool same_kernel = record.boot_id() == BootId();
  const auto group = freezer::OpenCgroup(record.cgroup());
  while (true) {
    const auto log = ReadFile(record.restore_log());
    const bool released = log.ok() && criu::ShowsRelease(*log);
    std::vector<pid_t> pids;
    if (group.ok() && same_kernel) {
      CKPT_ASSIGN_OR_RETURN(pids, (*group)->SubtreeProcesses());
    }
    if (released) return pids.empty() ? Fate::kEnded : Fate::kRuns;
    // Never kill what may have run.  Of another kernel, the log may have had
    // one more line.
    if (!log.ok() || !same_kernel) {
      return AnyIsAlive(record.tasks()) && same_kernel ? Fate::kRuns
                                                       : Fate::kUnknown;
    }
    if (!AnyIsAlive(record.tasks())) return Fate::kNeverRan;
    // CRIU may be about to let them go, or to kill them.
    if (clock.Now() > deadline) break;
    clock.Sleep(kPause);
  }
  // Neither: CRIU was killed, and what it built waits for it for ever.
  CKPT_RETURN_IF_ERROR(EndBuilt(record));
  return Fate::kNeverRan;
}

void RealDestinationJob::DropLog(const v1::MigrationRecord& record) {
  if (!record.restore_log().empty()) criu::RemoveLog(record.restore_log());
}

absl::Status RealDestinationJob::Drop(const v1::MigrationRecord& record) {
  {
    auto arriving = ArrivingImage::Open(store_, record.image());
    if (arriving.ok() && IsOf(record, (*arriving)->dir_fd())) {
      CKPT_RETURN_IF_ERROR((*arriving)->Remove());
    } else if (arriving.ok()) {
      return absl::OkStatus();  // there is no image of that name then
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
