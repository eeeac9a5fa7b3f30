// What differs between the v1 and the v2 freezer: the files, and how to wait.
// Freezer (freezer.h) holds what is common.
#ifndef CKPT_FREEZER_BACKEND_H_
#define CKPT_FREEZER_BACKEND_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "freezer/cgroup.h"

namespace ckpt::freezer {

struct FreezerFiles {
  bool self_request = false;  // this group's own
  v1::FreezerState effective = v1::FREEZER_STATE_UNSPECIFIED;
};

// Not thread-safe.  Borrows the group for its lifetime.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual absl::StatusOr<FreezerFiles> Read() = 0;
  // One group's own request alone: this one's, or that of its ancestor so many
  // levels up; NotFound past the hierarchy's root, which has none.
  virtual absl::StatusOr<bool> ReadRequest(int levels_up) = 0;
  virtual absl::Status Request(bool freeze) = 0;
  // Waits between two looks at a state that is not yet reached; `attempt`
  // counts from 0.  Sets `rewritten` when the request was written again.
  virtual absl::Status WaitForProgress(int attempt, bool freezing,
                                       absl::Duration limit, Clock& clock,
                                       const Cancellation* cancel,
                                       bool& rewritten) = 0;

  virtual std::string request_file() const = 0;
  virtual absl::string_view request_word(bool freeze) const = 0;
};

// By the group's hierarchy.
std::unique_ptr<Backend> MakeBackend(Cgroup& group);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_BACKEND_H_
