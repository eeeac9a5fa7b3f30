// Ends what does not end by itself.
//
//   EndLimit limit([] { ::_exit(4); });
//   ... all that is to end before it ...
//   limit.Arm(absl::Seconds(30), hurry, absl::Seconds(5));
//
// Its destructor comes when all has ended: then the function is not called.
//
// Not thread-safe.
#ifndef CKPT_AGENT_END_LIMIT_H_
#define CKPT_AGENT_END_LIMIT_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "base/cancellation.h"

namespace ckpt::agent {

class EndLimit {
 public:
  // Called by a thread of its own.
  explicit EndLimit(std::function<void()> expired)
      : expired_(std::move(expired)) {}
  ~EndLimit();
  EndLimit(const EndLimit&) = delete;
  EndLimit& operator=(const EndLimit&) = delete;

  // Once.  From now on `limit` is left, and once `hurry` is cancelled, which
  // must outlive this, no more than `hurried`.
  void Arm(absl::Duration limit, const Cancellation& hurry,
           absl::Duration hurried);

 private:
  // Whether the end has come within `limit`, or before `hurry`.
  bool AwaitEnd(absl::Duration limit, const Cancellation* hurry) const;

  const std::function<void()> expired_;
  Cancellation ended_;
  std::thread thread_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_END_LIMIT_H_
