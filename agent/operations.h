// The agent's long operations, dumps and restores, by the id that the caller
// chose.
//
//   Operations operations(pool, log);
//   CKPT_RETURN_IF_ERROR(operations.Recover(explain));      // at start-up
//   CKPT_ASSIGN_OR_RETURN(v1::Operation now,
//                         operations.Start(wanted, prepare));
//
// An id stands for one operation: who asks for it again is attached to it,
// whether it runs or has ended, and even if the agent was killed meanwhile:
// then it is FAILED with ABORTED and never done again.
//
// Thread-safe.  The pool and the log are borrowed for its life; the pool must
// be idle before it ends.
#ifndef CKPT_AGENT_OPERATIONS_H_
#define CKPT_AGENT_OPERATIONS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "agent/operation_log.h"
#include "agent/worker_pool.h"
#include "base/cancellation.h"
#include "proto/agent.pb.h"

namespace ckpt::agent {

class Operations {
 public:
  // How many that have ended are remembered.
  static constexpr size_t kRemembered = 500;

  // What a running operation may do.
  struct Running {
    const Cancellation* cancel;
    std::function<void(v1::Phase)> on_phase;
    // Changes what the operation shows of itself; must not block.
    std::function<void(const std::function<void(v1::Operation&)>&)> change;
    v1::Operation* result;  // to be filled with a report
  };
  // What it holds is let go before its end is told.
  using Work = std::function<absl::Status(const Running&)>;
  // Called for a new operation alone: checks and reserves what it needs.
  using Prepare = std::function<absl::StatusOr<Work>()>;

  // Must not block and not call back.
  using Observer = std::function<void(const v1::Operation&)>;

  Operations(WorkerPool& pool, OperationLog& log) : pool_(pool), log_(log) {}

  // Called with each operation that ends, as an Observer is.  Set it before the
  // first one starts.
  void OnEnd(Observer ended) { ended_ = std::move(ended); }

  // Takes over what a former agent has written down.  One that had not ended
  // becomes FAILED, ABORTED, with what `explain` tells of the present state.
  absl::Status Recover(
      const std::function<std::string(const v1::Operation&)>& explain);

  // `wanted` has id, caller, cgroup and request.  The operation as it is after
  // that.
  //   InvalidArgument  the id is no id
  //   AlreadyExists    the id stands for another request
  //   Unavailable      too much to do
  //   errors of `prepare` and of the log; in all cases nothing was started
  absl::StatusOr<v1::Operation> Start(const v1::Operation& wanted,
                                      const Prepare& prepare);

  // NotFound.
  absl::StatusOr<v1::Operation> Get(const std::string& id);
  // The oldest first.
  v1::OperationList List();
  // Asks it to end; one that has ended stays as it is.  NotFound.
  absl::StatusOr<v1::Operation> Cancel(const std::string& id);
  void CancelAll();

  // Calls `observer` with the operation now and after each change, until
  // Unobserve(), after which it is not called any more.  NotFound.
  absl::StatusOr<int64_t> Observe(const std::string& id, Observer observer);
  void Unobserve(const std::string& id, int64_t number);

 private:
  struct Entry {
    v1::Operation operation;
    Cancellation cancel;
    std::map<int64_t, Observer> observers;
  };
  using EntryPtr = std::shared_ptr<Entry>;

  void Run(const EntryPtr& entry, Work work);
  void Change(Entry& entry, const std::function<void(v1::Operation&)>& change);
  void Tell(const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<EntryPtr> Find(const std::string& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  WorkerPool& pool_;
  OperationLog& log_;
  Observer ended_;
  absl::Mutex mutex_;
  std::map<std::string, EntryPtr> entries_ ABSL_GUARDED_BY(mutex_);
  int64_t next_observer_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_OPERATIONS_H_
