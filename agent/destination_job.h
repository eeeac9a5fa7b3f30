// The job at the destination of a migration, as restore/ builds it: held by a
// thread of its own, until it is let go, dropped, or held for too long.
#ifndef CKPT_AGENT_DESTINATION_JOB_H_
#define CKPT_AGENT_DESTINATION_JOB_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/migrations.h"
#include "store/image_store.h"

namespace ckpt::agent {

class HeldRestoreThread;

// Thread-safe.
class RealDestinationJob : public HoldingJob {
 public:
  // What is held for longer is dropped; its image stays.
  static constexpr absl::Duration kHoldLimit = absl::Minutes(30);

  // `criu` as --criu has it.
  RealDestinationJob(const ImageStore& store, std::string criu);
  ~RealDestinationJob() override;  // kills what is held

  absl::Status Reserve(const v1::MigrationRecord& record) override;
  absl::StatusOr<std::string> Verify(
      const v1::MigrationRecord& record) override;
  absl::Status Hold(const v1::MigrationRecord& record) override;
  bool IsHeld(const std::string& id) override;
  absl::StatusOr<v1::RestoreReport> Run(const v1::MigrationRecord& record,
                                        const Releasing& releasing) override;
  absl::StatusOr<Fate> FateOf(const v1::MigrationRecord& record) override;
  absl::Status Drop(const v1::MigrationRecord& record) override;
  absl::Status DropImage(const v1::MigrationRecord& record) override;

 private:
  absl::Status CheckNeeds(const v1::MigrationRecord& record) const;
  std::shared_ptr<HeldRestoreThread> Take(const std::string& id);
  // Kills what CRIU had built from the image when the agent, its guardian and
  // CRIU were killed at once: it was never let go, and waits for ever.  Leaves
  // a group alone that anything else is in.
  absl::Status EndLeftovers(const v1::MigrationRecord& record);

  const ImageStore store_;
  const std::string criu_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<HeldRestoreThread>> held_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_DESTINATION_JOB_H_
