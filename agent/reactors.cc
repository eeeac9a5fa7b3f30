#include "agent/reactors.h"

#include "rpc/operation_end.h"

namespace ckpt::agent {

WatchCall* WatchCall::Start(WorkerPool& pool, const std::string& caller,
                            Work work, const CallEnded& ended) {
  auto* const call = new WatchCall;  // deletes itself in OnDone()
  const absl::Status taken = pool.Submit(
      [call, work = std::move(work), ended] {
        const absl::Status status = work(
            call->cancel_,
            [call](const v1::WatchEvent& event) { return call->Send(event); });
        ended(status);
        call->Finish(rpc::ToGrpcStatus(status));
      },
      caller);
  if (!taken.ok()) {
    const absl::Status refused = absl::ResourceExhaustedError(
        "too many watch groups of this node already; ask again later");
    ended(refused);
    call->Finish(rpc::ToGrpcStatus(refused));
  }
  return call;
}

absl::Status WatchCall::Send(const v1::WatchEvent& event) {
  const absl::MutexLock lock(&mutex_);
  writing_ = true;
  StartWrite(&event);
  // A call that is cancelled has its write done, too, with failure.
  mutex_.Await(absl::Condition(
      +[](bool* writing) { return !*writing; }, &writing_));
  return broken_ ? absl::CancelledError("the caller has gone")
                 : absl::OkStatus();
}

void WatchCall::OnWriteDone(bool ok) {
  const absl::MutexLock lock(&mutex_);
  writing_ = false;
  broken_ = !ok;
}

OperationCall* OperationCall::Start(
    WorkerPool& pool, const std::string& caller, Operations& operations,
    const std::string& id, std::function<absl::StatusOr<v1::Operation>()> admit,
    CallEnded ended) {
  const Self self(new OperationCall(operations, id, std::move(ended)));
  const absl::MutexLock lock(&self->mutex_);
  self->self_ = self;
  const absl::Status taken = pool.Submit(
      [self, admit = std::move(admit)] {
        const auto admitted = admit();
        if (admitted.ok()) {
          Observe(self);
          return;
        }
        const absl::MutexLock lock(&self->mutex_);
        self->End(admitted.status());
      },
      caller);
  if (!taken.ok()) self->End(taken);
  return self.get();
}

void OperationCall::Observe(const Self& self) {
  const auto number = self->operations_.Observe(
      self->id_,
      [self](const v1::Operation& operation) { self->Tell(operation); });
  bool is_over = false;
  {
    const absl::MutexLock lock(&self->mutex_);
    if (number.ok()) {
      self->observer_ = *number;
    } else {
      self->End(number.status());
    }
    is_over = self->self_ == nullptr;
  }
  if (is_over && number.ok()) self->operations_.Unobserve(self->id_, *number);
}

void OperationCall::Tell(const v1::Operation& operation) {
  const absl::MutexLock lock(&mutex_);
  newest_ = operation;
  has_news_ = true;
  Proceed();
}

void OperationCall::Proceed() {
  if (writing_ || ended_) return;
  if (has_news_) {
    has_news_ = false;
    writing_ = true;
    sent_ = newest_;
    StartWrite(&sent_);
  } else if (rpc::HasEnded(newest_)) {
    End(absl::OkStatus());
  }
}

void OperationCall::End(const absl::Status& status) {
  if (ended_) return;
  ended_ = true;
  on_end_(status);
  Finish(rpc::ToGrpcStatus(status));
}

void OperationCall::OnWriteDone(bool ok) {
  const absl::MutexLock lock(&mutex_);
  writing_ = false;
  if (ok) {
    Proceed();
  } else {
    End(absl::CancelledError("the caller has gone"));
  }
}

void OperationCall::OnCancel() {
  const absl::MutexLock lock(&mutex_);
  // A write that is under way ends by itself.
  if (!writing_) End(absl::CancelledError("the caller has gone"));
}

void OperationCall::OnDone() {
  Self self;
  int64_t observer = 0;
  {
    const absl::MutexLock lock(&mutex_);
    self = std::move(self_);
    observer = observer_;
  }
  if (observer != 0) operations_.Unobserve(id_, observer);
}

}  // namespace ckpt::agent
