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
#include "migrate/seams.h"
#include "store/image_store.h"

namespace ckpt::agent {

class HeldRestoreThread;

// Thread-safe.
class RealDestinationJob : public migrate::DestinationJob {
 public:
  // What is held for longer is dropped; its image stays.
  static constexpr absl::Duration kHoldLimit = absl::Minutes(30);

  // `criu` as --criu has it.
  RealDestinationJob(const ImageStore& store, std::string criu);
  ~RealDestinationJob() override;  // kills what is held

  absl::Status Reserve(const v1::MigrationRecord& record) override;
  absl::StatusOr<std::string> Verify(
      const v1::MigrationRecord& record) override;
  std::string BootId() override;
  absl::StatusOr<migrate::BuiltJob> Hold(
      const v1::MigrationRecord& record) override;
  bool IsHeld(const std::string& id) override;
  absl::StatusOr<v1::RestoreReport> Run(const v1::MigrationRecord& record,
                                        const Releasing& releasing) override;
  absl::Status EndBuilt(const v1::MigrationRecord& record) override;
  absl::StatusOr<Fate> FateOf(const v1::MigrationRecord& record) override;
  void DropLog(const v1::MigrationRecord& record) override;
  absl::Status Drop(const v1::MigrationRecord& record) override;
  absl::Status DropImage(const v1::MigrationRecord& record) override;

 private:
  absl::Status CheckNeeds(const v1::MigrationRecord& record) const;
  std::shared_ptr<HeldRestoreThread> Take(const std::string& id);
  // What CRIU had built when the agent, its guardian and CRIU were killed at
  // once, before the tasks were written down: all in the group, if nothing but
  // processes of the image is there.
  absl::Status EndUnlistedBuild(const v1::MigrationRecord& record);

  const ImageStore store_;
  const std::string criu_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<HeldRestoreThread>> held_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_DESTINATION_JOB_H_
