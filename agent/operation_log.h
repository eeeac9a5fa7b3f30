// The operations written down, so that none is done twice even if the agent is
// killed: a file each, named by the operation's id.
//
//   FileOperationLog log("/run/ckpt/operations");
//   CKPT_RETURN_IF_ERROR(log.Save(operation));
//
// As groups do, it need not outlive the kernel.
#ifndef CKPT_AGENT_OPERATION_LOG_H_
#define CKPT_AGENT_OPERATION_LOG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/agent.pb.h"

namespace ckpt::agent {

// A seam for tests.  Thread-compatible.
class OperationLog {
 public:
  virtual ~OperationLog() = default;
  // Puts it in the place of what is known by its id; on failure that stays.
  virtual absl::Status Save(const v1::Operation& operation) = 0;
  virtual void Remove(const std::string& id) = 0;
  // In no particular order.
  virtual absl::StatusOr<std::vector<v1::Operation>> Load() = 0;
};

class FileOperationLog : public OperationLog {
 public:
  // The directory is made, for its owner alone, by the first Save().
  explicit FileOperationLog(std::string directory)
      : directory_(std::move(directory)) {}

  absl::Status Save(const v1::Operation& operation) override;
  void Remove(const std::string& id) override;
  absl::StatusOr<std::vector<v1::Operation>> Load() override;

 private:
  std::string PathOf(const std::string& id) const;

  const std::string directory_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_OPERATION_LOG_H_
