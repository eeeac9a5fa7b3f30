#include "rpc/push_call.h"

#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "proto/agent.grpc.pb.h"

namespace ckpt::rpc {
namespace {

// How long each wait goes on for a proper end after Cancel().
constexpr absl::Duration kEndLimit = absl::Milliseconds(500);

// Belongs to gRPC and to the stream; who is the last to be done with it
// deletes it.
//
// Thread-safe.
class PushReactor
    : public grpc::ClientBidiReactor<v1::PushRequest, v1::PushReply> {
 public:
  explicit PushReactor(std::shared_ptr<Channel> channel)
      : channel_(std::move(channel)),
        stub_(v1::Agent::NewStub(channel_->grpc())) {}

  // Call it once, first.
  void Start();
  // As those of PushStream.
  bool Write(v1::PushRequest request);
  bool Read(v1::PushReply* reply);
  grpc::Status Finish();
  void Cancel();
  // The stream's last use of it.
  void Leave();

  const Channel& channel() const { return *channel_; }

 private:
  ~PushReactor() override = default;

  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  // Waits until `flag` is `value`, but not for long once the call is
  // cancelled; whether it is.
  bool Await(const bool& flag, bool value) ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LetEnd() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Channel> channel_;
  const std::unique_ptr<v1::Agent::Stub> stub_;
  grpc::ClientContext context_;
  v1::PushRequest sent_;  // gRPC's until OnWriteDone()
  v1::PushReply reply_;   // gRPC's until OnReadDone()

  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool wrote_ ABSL_GUARDED_BY(mutex_) = false;  // the last time
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_reply_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // a write or read has failed
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // the hold is removed
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;  // for gRPC
  bool left_ ABSL_GUARDED_BY(mutex_) = false;  // for the stream
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

void PushReactor::Start() {
  const absl::MutexLock lock(&mutex_);
  stub_->async()->PushImage(&context_, this);
  AddHold();
  ReadOn();
  StartCall();
}

bool PushReactor::Await(const bool& flag, bool value) {
  struct Wait {
    const bool& flag;
    const bool value;
    const bool& cancelled;
  };
  const Wait wait = {flag, value, cancelled_};
  mutex_.Await(absl::Condition(
      +[](const Wait* wait) {
        return wait->flag == wait->value || wait->cancelled;
      },
      &wait));
  return mutex_.AwaitWithTimeout(
      absl::Condition(
          +[](const Wait* wait) { return wait->flag == wait->value; }, &wait),
      kEndLimit);
}

void PushReactor::ReadOn() {
  reading_ = true;
  has_reply_ = false;
  StartRead(&reply_);
}

void PushReactor::LetEnd() {
  if (!std::exchange(ending_, true)) RemoveHold();
}

bool PushReactor::Write(v1::PushRequest request) {
  const absl::MutexLock lock(&mutex_);
  // One that was given up may be under way.
  if (writing_ || broken_ || cancelled_) return false;
  writing_ = true;
  sent_ = std::move(request);
  StartWrite(&sent_);
  return Await(writing_, false) && wrote_;
}

bool PushReactor::Read(v1::PushReply* reply) {
  const absl::MutexLock lock(&mutex_);
  if (!Await(reading_, false) || !has_reply_) return false;
  reply->Swap(&reply_);
  ReadOn();
  return true;
}

grpc::Status PushReactor::Finish() {
  const absl::MutexLock lock(&mutex_);
  if (!writing_ && !broken_) StartWritesDone();
  // What nobody asked for keeps a call from ending.  While the hold is there:
  // without it gRPC may be done with the call already.
  if (has_reply_) ReadOn();
  LetEnd();
  if (Await(done_, true)) return status_;
  return {grpc::StatusCode::CANCELLED,
          "the call was cancelled while the node took nothing"};
}

void PushReactor::Cancel() {
  context_.TryCancel();
  const absl::MutexLock lock(&mutex_);
  cancelled_ = true;
}

void PushReactor::Leave() {
  Cancel();
  bool last = false;
  {
    const absl::MutexLock lock(&mutex_);
    LetEnd();
    left_ = true;
    last = done_;
  }
  if (last) delete this;
}

void PushReactor::OnWriteDone(bool ok) {
  const absl::MutexLock lock(&mutex_);
  writing_ = false;
  wrote_ = ok;
  broken_ = broken_ || !ok;
}

void PushReactor::OnReadDone(bool ok) {
  const absl::MutexLock lock(&mutex_);
  reading_ = false;
  has_reply_ = ok;
  broken_ = broken_ || !ok;
  if (ok && ending_) ReadOn();
}

void PushReactor::OnDone(const grpc::Status& status) {
  bool last = false;
  {
    const absl::MutexLock lock(&mutex_);
    status_ = status;
    done_ = true;
    last = left_;
  }
  // The channel waits for gRPC's threads when it goes, and this is one.
  if (last) std::thread([this] { delete this; }).detach();
}

class PushCall : public transfer::PushStream {
 public:
  explicit PushCall(std::shared_ptr<Channel> channel)
      : reactor_(new PushReactor(std::move(channel))) {
    reactor_->Start();
  }
  ~PushCall() override { reactor_->Leave(); }

  bool Write(v1::PushRequest request) override {
    return reactor_->Write(std::move(request));
  }
  bool Read(v1::PushReply* reply) override { return reactor_->Read(reply); }
  absl::Status Finish() override {
    return reactor_->channel().Describe(reactor_->Finish());
  }
  void Cancel() override { reactor_->Cancel(); }

 private:
  PushReactor* const reactor_;
};

}  // namespace

std::unique_ptr<transfer::PushStream> StartPushCall(
    std::shared_ptr<Channel> channel) {
  return std::make_unique<PushCall>(std::move(channel));
}

}  // namespace ckpt::rpc
