// The job at the source of a migration, as checkpoint/ dumps it.
#ifndef CKPT_AGENT_SOURCE_JOB_H_
#define CKPT_AGENT_SOURCE_JOB_H_

#include <string>
#include <utility>

#include "migrate/journal.h"
#include "migrate/seams.h"
#include "store/image_store.h"

namespace ckpt::agent {

// Thread-safe.
class RealSourceJob : public migrate::SourceJob {
 public:
  // `criu` as --criu has it.  The journal is borrowed.
  RealSourceJob(const ImageStore& store, std::string criu,
                const migrate::FileJournal& journal)
      : store_(store), criu_(std::move(criu)), journal_(journal) {}

  absl::StatusOr<v1::JobNeeds> Describe(
      const v1::MigrationRecord& record) override;
  absl::StatusOr<v1::DumpReport> Leave(const v1::MigrationRecord& record,
                                       const Steps& steps,
                                       const Cancellation* cancel) override;
  std::string BootId() override;
  absl::Status EndTasks(const v1::MigrationRecord& record) override;
  absl::Status DropImage(const v1::MigrationRecord& record) override;
  absl::Status Unlock(const v1::MigrationRecord& record,
                      Whereabouts job) override;

 private:
  const ImageStore store_;
  const std::string criu_;
  const migrate::FileJournal& journal_;
};

// Removes an image if it is the one of that id.  OK when there is none, or
// another; "" is no image's.
absl::Status RemoveImageOf(const ImageStore& store, const std::string& name,
                           const std::string& image_id);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_SOURCE_JOB_H_
