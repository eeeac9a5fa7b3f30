// A ckptd without a node below it: the services, desks and worker pools are the
// real ones, groups and jobs are names, images are real and in a scratch store.
#ifndef CKPT_TESTS_FUZZ_FAKE_NODE_H_
#define CKPT_TESTS_FUZZ_FAKE_NODE_H_

#include <memory>
#include <string>
#include <vector>

#include "agent/caller.h"
#include "agent/fake_work.h"
#include "agent/gate.h"
#include "agent/group_claims.h"
#include "agent/grpc_server.h"
#include "agent/local_listener.h"
#include "agent/metrics.h"
#include "agent/migration_desk.h"
#include "agent/migrations.h"
#include "agent/operations.h"
#include "agent/run_desk.h"
#include "agent/service.h"
#include "agent/transfer_desk.h"
#include "agent/worker_pool.h"
#include "base/unique_fd.h"
#include "migrate/journal.h"
#include "migrate/seams.h"
#include "store/image_store.h"
#include "tests/fuzz/target.h"
#include "transfer/receiver.h"

namespace ckpt::fuzz {

// Jobs of `ckpt run` by their names.
class FakeRunWork : public agent::RunWork {
 public:
  absl::StatusOr<std::vector<v1::JobStatus>> List() override;
  absl::StatusOr<v1::JobStatus> Get(const std::string& name) override;
  absl::Status Suspend(const std::string& name) override;
  absl::Status Resume(const std::string& name) override;
  absl::StatusOr<v1::StopReport> Stop(const v1::StopJobRequest& request,
                                      const Cancellation& cancel) override;
  absl::StatusOr<v1::KillReport> Kill(const v1::KillJobRequest& request,
                                      const Cancellation& cancel) override;
  absl::StatusOr<v1::JobLogChunk> ReadLog(
      const v1::JobLogRequest& request) override;

  std::vector<std::string> done;
};

// Jobs that leave and arrive at once.
class FakeSourceJob : public migrate::SourceJob {
 public:
  absl::StatusOr<v1::JobNeeds> Describe(const v1::MigrationRecord&) override;
  absl::StatusOr<v1::DumpReport> Leave(const v1::MigrationRecord&,
                                       const Steps& steps,
                                       const Cancellation*) override;
  std::string BootId() override { return "boot"; }
  absl::Status EndTasks(const v1::MigrationRecord&) override;
  absl::Status DropImage(const v1::MigrationRecord&) override;
  absl::Status Unlock(const v1::MigrationRecord&, Whereabouts) override;
};

class FakeDestinationJob : public migrate::DestinationJob {
 public:
  absl::Status Reserve(const v1::MigrationRecord&) override;
  absl::StatusOr<std::string> Verify(const v1::MigrationRecord&) override;
  std::string BootId() override { return "boot"; }
  absl::StatusOr<migrate::BuiltJob> Hold(const v1::MigrationRecord&) override;
  absl::StatusOr<v1::RestoreReport> Run(const v1::MigrationRecord&,
                                        const Releasing& releasing) override;
  absl::Status EndBuilt(const v1::MigrationRecord&) override;
  absl::StatusOr<Fate> FateOf(const v1::MigrationRecord&) override;
  void DropLog(const v1::MigrationRecord&) override {}
  absl::Status Drop(const v1::MigrationRecord&) override;
  absl::Status DropImage(const v1::MigrationRecord&) override;
  bool IsHeld(const std::string&) override { return true; }
};

// Thread-compatible.
class FakeNode {
 public:
  explicit FakeNode(agent::Caller caller);
  ~FakeNode();
  FakeNode(const FakeNode&) = delete;
  FakeNode& operator=(const FakeNode&) = delete;

  // An end of a new connection of the caller's.
  UniqueFd Connect();

  // An image "job" of the group /jobs/a, really there.
  void MakeImage();

  // Waits for dumps and restores: the fakes stand one at a time.
  void Settle();

  // Requires that nothing was done which the caller may not do, and that there
  // is nothing where nothing ought to be.
  void RequireClean();

 private:
  const agent::Caller caller_;
  const Scratch scratch_;
  const ImageStore store_;
  agent::Metrics metrics_;
  const agent::Gate gate_;
  agent::GroupClaims claims_;
  agent::FakeGroupWork group_work_;
  agent::FakeJobWork job_work_;
  FakeRunWork run_work_;
  FakeSourceJob source_job_;
  FakeDestinationJob destination_job_;
  agent::ForgetfulLog log_;
  std::unique_ptr<migrate::FileJournal> journal_;
  transfer::Receiver receiver_;
  std::unique_ptr<agent::Migrations> migrations_;
  agent::WorkerPool operation_pool_;
  agent::Operations operations_;
  agent::GroupDesk group_desk_;
  agent::JobDesk job_desk_;
  agent::RunDesk run_desk_;
  agent::TransferDesk transfer_desk_;
  agent::WorkerPool calls_, long_calls_, watches_, carriers_, peers_, verdicts_;
  std::unique_ptr<agent::MigrationDesk> migration_desk_;
  std::unique_ptr<agent::CallerServer> server_;
};

}  // namespace ckpt::fuzz

#endif  // CKPT_TESTS_FUZZ_FAKE_NODE_H_
