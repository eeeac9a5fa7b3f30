#include "agent/operations.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/id.h"
#include "base/status.h"
#include "google/protobuf/util/message_differencer.h"
#include "rpc/operation_end.h"
#include "rpc/status_proto.h"

namespace ckpt::agent {
namespace {

absl::Status CheckId(const std::string& id) {
  if (IsId(id)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "an operation's id is 1 to 100 letters, digits and . _ - without a dot "
      "first; nothing was started");
}

bool SameRequest(const v1::Operation& one, const v1::Operation& other) {
  using google::protobuf::util::MessageDifferencer;
  return one.has_dump_request() == other.has_dump_request() &&
         one.has_migrate_request() == other.has_migrate_request() &&
         MessageDifferencer::Equals(one.migrate_request(),
                                    other.migrate_request()) &&
         MessageDifferencer::Equals(one.dump_request(), other.dump_request()) &&
         MessageDifferencer::Equals(one.restore_request(),
                                    other.restore_request());
}

int64_t NowUnixNs() { return absl::ToUnixNanos(absl::Now()); }

}  // namespace

absl::Status Operations::Recover(
    const std::function<std::string(const v1::Operation&)>& explain) {
  const absl::MutexLock lock(&mutex_);
  CKPT_ASSIGN_OR_RETURN(std::vector<v1::Operation> operations, log_.Load());
  for (v1::Operation& operation : operations) {
    if (!rpc::HasEnded(operation)) {
      operation.set_state(v1::OPERATION_STATE_FAILED);
      operation.set_ended_unix_ns(NowUnixNs());
      *operation.mutable_error() = rpc::ToStatusProto(absl::AbortedError(
          absl::StrCat("ckptd was killed in the middle; ", explain(operation),
                       "; this id is not done again: choose another")));
      CKPT_RETURN_IF_ERROR(log_.Save(operation));
    }
    auto entry = std::make_shared<Entry>();
    entry->operation = std::move(operation);
    entries_[entry->operation.id()] = std::move(entry);
  }
  ForgetOldest();
  return absl::OkStatus();
}

absl::StatusOr<v1::Operation> Operations::Start(const v1::Operation& wanted,
                                                const Prepare& prepare) {
  CKPT_RETURN_IF_ERROR(CheckId(wanted.id()));
  const absl::MutexLock lock(&mutex_);
  if (const auto found = entries_.find(wanted.id()); found != entries_.end()) {
    const v1::Operation& known = found->second->operation;
    if (SameRequest(known, wanted)) return known;
    return absl::AlreadyExistsError(absl::StrCat(
        "operation ", wanted.id(), " is another one, of cgroup ",
        known.cgroup(), ": choose another id; nothing was started"));
  }
  CKPT_ASSIGN_OR_RETURN(Work work, prepare());
  auto entry = std::make_shared<Entry>();
  entry->operation = wanted;
  entry->operation.set_state(v1::OPERATION_STATE_WAITING);
  entry->operation.set_asked_unix_ns(NowUnixNs());
  // Before anything is done, or it might be done again.
  CKPT_RETURN_IF_ERROR(log_.Save(entry->operation));
  const absl::Status submitted =
      pool_.Submit([this, entry, work = std::move(work)]() mutable {
        Run(entry, std::move(work));
      });
  if (!submitted.ok()) {
    log_.Remove(wanted.id());
    return submitted;
  }
  entries_[wanted.id()] = entry;
  ForgetOldest();
  return entry->operation;
}

void Operations::Run(const EntryPtr& entry, Work work) {
  v1::Operation result;
  absl::Status status;
  if (entry->cancel.cancelled()) {
    status = absl::CancelledError(
        "cancelled before it had begun; nothing was touched");
  } else {
    Change(*entry, [](v1::Operation& operation) {
      operation.set_state(v1::OPERATION_STATE_RUNNING);
    });
    status = work(
        {.cancel = &entry->cancel,
         .on_phase =
             [this, &entry](v1::Phase phase) {
               Change(*entry, [phase](v1::Operation& operation) {
                 operation.set_phase(phase);
               });
             },
         .change =
             [this, &entry](const std::function<void(v1::Operation&)>& change) {
               Change(*entry, change);
             },
         .result = &result});
  }
  // Whoever hears of the end may start the next one on the same group.
  work = nullptr;
  Change(*entry, [&](v1::Operation& operation) {
    operation.set_ended_unix_ns(NowUnixNs());
    if (status.ok()) {
      operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
      operation.MergeFrom(result);
    } else {
      operation.set_state(v1::OPERATION_STATE_FAILED);
      *operation.mutable_error() = rpc::ToStatusProto(status);
    }
    // Not written down, it would be told as aborted after the agent's death.
    (void)log_.Save(operation);
    if (ended_ != nullptr) ended_(operation);
  });
}

void Operations::Change(Entry& entry,
                        const std::function<void(v1::Operation&)>& change) {
  const absl::MutexLock lock(&mutex_);
  change(entry.operation);
  Tell(entry);
}

void Operations::Tell(const Entry& entry) {
  for (const auto& [number, observer] : entry.observers) {
    observer(entry.operation);
  }
}

absl::StatusOr<Operations::EntryPtr> Operations::Find(const std::string& id) {
  const auto found = entries_.find(id);
  if (found != entries_.end()) return found->second;
  return absl::NotFoundError(absl::StrCat(
      "this node's ckptd knows of no operation ", id,
      "; 'ckpt ops' lists them; those that ended long ago are forgotten"));
}

absl::StatusOr<v1::Operation> Operations::Get(const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  CKPT_ASSIGN_OR_RETURN(const EntryPtr entry, Find(id));
  return entry->operation;
}

v1::OperationList Operations::List() {
  std::vector<v1::Operation> operations;
  {
    const absl::MutexLock lock(&mutex_);
    for (const auto& [id, entry] : entries_) {
      operations.push_back(entry->operation);
    }
  }
  std::sort(operations.begin(), operations.end(),
            [](const v1::Operation& one, const v1::Operation& other) {
              return one.asked_unix_ns() < other.asked_unix_ns();
            });
  v1::OperationList list;
  for (v1::Operation& operation : operations) {
    *list.add_operations() = std::move(operation);
  }
  return list;
}

absl::StatusOr<v1::Operation> Operations::Cancel(const std::string& id) {
  const absl::MutexLock lock(&mutex_);
  CKPT_ASSIGN_OR_RETURN(const EntryPtr entry, Find(id));
  if (!rpc::HasEnded(entry->operation) &&
      !entry->operation.cancel_requested()) {
    entry->operation.set_cancel_requested(true);
    entry->cancel.Cancel();
    Tell(*entry);
  }
  return entry->operation;
}

void Operations::CancelAll() {
  const absl::MutexLock lock(&mutex_);
  for (const auto& [id, entry] : entries_) {
    if (rpc::HasEnded(entry->operation)) continue;
    entry->operation.set_cancel_requested(true);
    entry->cancel.Cancel();
    Tell(*entry);
  }
}

absl::StatusOr<int64_t> Operations::Observe(const std::string& id,
                                            Observer observer) {
  const absl::MutexLock lock(&mutex_);
  CKPT_ASSIGN_OR_RETURN(const EntryPtr entry, Find(id));
  observer(entry->operation);
  entry->observers[++next_observer_] = std::move(observer);
  return next_observer_;
}

void Operations::Unobserve(const std::string& id, int64_t number) {
  const absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end()) found->second->observers.erase(number);
}

void Operations::ForgetOldest() {
  while (entries_.size() > kRemembered) {
    auto oldest = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      const Entry& entry = *it->second;
      if (!rpc::HasEnded(entry.operation) || !entry.observers.empty()) continue;
      if (oldest == entries_.end() ||
          entry.operation.asked_unix_ns() <
              oldest->second->operation.asked_unix_ns()) {
        oldest = it;
      }
    }
    if (oldest == entries_.end()) return;
    log_.Remove(oldest->first);
    entries_.erase(oldest);
  }
}

}  // namespace ckpt::agent
