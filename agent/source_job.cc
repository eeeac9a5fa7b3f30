#include "agent/source_job.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agent/migration_tasks.h"
#include "base/clock.h"
#include "base/host.h"
#include "base/status.h"
#include "checkpoint/dump.h"
#include "checkpoint/hand_over.h"
#include "checkpoint/kept_connections.h"
#include "criu/binary.h"
#include "criu/network_lock.h"
#include "freezer/cgroup.h"
#include "freezer/journal.h"
#include "freezer/recover.h"
#include "preflight/preflight.h"

namespace ckpt::agent {
namespace {

// What a guardian needs, and then what the kernel needs to end killed tasks.
constexpr absl::Duration kGuardianLimit = absl::Seconds(10);
constexpr absl::Duration kEndLimit = absl::Seconds(20);
constexpr absl::Duration kPause = absl::Milliseconds(20);

void AwaitGuardian(const std::string& directory) {
  const auto group = freezer::OpenCgroup(directory);
  if (!group.ok()) return;
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kGuardianLimit;
  while ((*group)->LockHolder() != 0 && clock.Now() < deadline) {
    clock.Sleep(kPause);
  }
}

// CRIU or a guardian has done it, but for the case that both were killed.
absl::Status GoOnHere(const v1::MigrationRecord& record) {
  AwaitGuardian(record.cgroup());
  const std::string& table = record.network_lock().table();
  CKPT_ASSIGN_OR_RETURN(const bool locked, criu::NetworkLockExists(table));
  if (!locked) return absl::OkStatus();
  std::vector<pid_t> pids;
  for (const v1::MigrationTask& task : record.tasks()) {
    if (IsAlive(task)) pids.push_back(task.pid());
  }
  CKPT_ASSIGN_OR_RETURN(const auto kept,
                        checkpoint::KeptConnections::Open(pids));
  CKPT_RETURN_IF_ERROR(kept->GoOn());
  return criu::RemoveNetworkLock(table);
}

}  // namespace

absl::StatusOr<v1::JobNeeds> RealSourceJob::Describe(
    const v1::MigrationRecord& record) {
  v1::CheckRequest request;
  request.set_cgroup(record.cgroup());
  request.set_subtree(record.request().subtree());
  *request.mutable_criu() = record.request().criu();
  request.set_with_needs(true);
  // What is in the way of the dump, the dump itself tells, before it freezes.
  CKPT_ASSIGN_OR_RETURN(
      v1::CheckReport report,
      preflight::Check(request, {.store = &store_, .criu = criu_}));
  return std::move(*report.mutable_needs());
}

absl::StatusOr<v1::DumpReport> RealSourceJob::Leave(
    const v1::MigrationRecord& record, const Steps& steps,
    const Cancellation* cancel) {
  CKPT_ASSIGN_OR_RETURN(const std::string criu, criu::FindCriu(criu_));
  const v1::MigrateRequest& asked = record.request();
  v1::DumpRequest request;
  request.set_cgroup(record.cgroup());
  request.set_subtree(asked.subtree());
  request.set_image(record.image());
  request.set_timeout_seconds(asked.timeout_seconds());
  *request.mutable_criu() = asked.criu();
  checkpoint::HandOver over;
  over.decision_dir_fd = journal_.dir_fd();
  over.decision_name = migrate::FileJournal::DecisionName(record);
  over.keep_image = asked.keep_image();
  over.image_begun = steps.begun;
  over.give = [&](const checkpoint::GivenJob& job) {
    migrate::HeldJob held;
    held.image_dir_fd = job.image_dir_fd;
    held.image_id = job.manifest->image_id();
    held.check_held = job.check_held;
    held.frozen_at = job.frozen_at;
    held.network_lock = job.network_lock;
    for (const checkpoint::GivenProcess& process : job.processes) {
      v1::MigrationTask& task = held.tasks.emplace_back();
      task.set_pid(process.pid);
      task.set_start_ticks(process.start_ticks);
    }
    return steps.hand_over(held);
  };
  return checkpoint::Dump(request, {.store = &store_,
                                    .criu = criu,
                                    .cancel = cancel,
                                    .hand_over = &over,
                                    .on_phase = steps.on_phase});
}

std::string RealSourceJob::BootId() { return ckpt::BootId(); }

absl::Status RealSourceJob::EndTasks(const v1::MigrationRecord& record) {
  if (record.boot_id() != BootId()) return absl::OkStatus();
  AwaitGuardian(record.cgroup());
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kEndLimit;
  bool recovered = false;
  while (true) {
    // First, while they are frozen: not one instruction of them runs here.
    KillTasks(record.tasks());
    if (!AnyIsAlive(record.tasks())) break;
    if (clock.Now() > deadline) {
      return absl::UnavailableError(absl::StrCat(
          "tasks of the job in ", record.cgroup(),
          " do not end, though they are killed; nothing is told to the "
          "destination before they have"));
    }
    // Frozen tasks of v1 end when they are thawed.
    if (!recovered) (void)freezer::Recover(freezer::Journal::Default());
    recovered = true;
    clock.Sleep(kPause);
  }
  return absl::OkStatus();
}

absl::Status RealSourceJob::DropImage(const v1::MigrationRecord& record) {
  if (record.image_id().empty()) return absl::OkStatus();
  return RemoveImageOf(store_, record.image(), record.image_id());
}

absl::Status RealSourceJob::Unlock(const v1::MigrationRecord& record,
                                   Whereabouts job) {
  const v1::NetworkLock& lock = record.network_lock();
  if (record.boot_id() != BootId()) return absl::OkStatus();
  if (job == Whereabouts::kStayed) return GoOnHere(record);
  // Somebody may have removed it by hand.
  CKPT_ASSIGN_OR_RETURN(const bool locked,
                        criu::NetworkLockExists(lock.table()));
  if (!locked) return absl::OkStatus();
  if (!checkpoint::MayUnlock(lock, job == Whereabouts::kMayBeBack)) {
    return absl::UnavailableError(absl::StrCat(
        "table inet ", lock.table(),
        " stays as long as an address of the connections is this node's"));
  }
  return criu::RemoveNetworkLock(lock.table());
}

absl::Status RemoveImageOf(const ImageStore& store, const std::string& name,
                           const std::string& image_id) {
  {
    const auto image = store.Open(name);
    if (!image.ok() || image_id.empty() ||
        image->manifest().image_id() != image_id) {
      return absl::OkStatus();
    }
  }
  absl::Status removed = store.Remove(name);
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

}  // namespace ckpt::agent
