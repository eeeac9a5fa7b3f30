#include "transfer/fake_link.h"

#include <deque>

#include "transfer/pull_session.h"
#include "transfer/push_session.h"

namespace ckpt::transfer {

class FakeLink::FakePush : public PushStream {
 public:
  FakePush(FakeLink& link, std::shared_ptr<Receiver> receiver, bool is_data)
      : link_(link),
        is_data_(is_data),
        receiver_(std::move(receiver)),
        session_(std::make_unique<PushSession>(
            *receiver_, [](const std::string&, const std::string&) {
              return absl::OkStatus();
            })) {}

  bool Write(v1::PushRequest sent) override {
    const absl::Status passed =
        link_.Pass(sent.has_chunk() ? sent.mutable_chunk() : nullptr);
    if (!passed.ok()) return End(passed);
    const absl::MutexLock lock(&mutex_);
    if (session_ == nullptr) return false;
    auto reply = session_->Take(sent);
    if (!reply.ok()) {
      status_ = reply.status();
      session_ = nullptr;
      return false;
    }
    if (sent.has_chunk()) link_.Count(is_data_);
    if (reply->has_value()) {
      link_.OfferDataPort(**reply);
      replies_.push_back(**std::move(reply));
    }
    return true;
  }
  bool Read(v1::PushReply* reply) override {
    const absl::Status passed = link_.Pass(nullptr);
    if (!passed.ok()) return End(passed);
    const absl::MutexLock lock(&mutex_);
    if (replies_.empty()) return false;
    *reply = std::move(replies_.front());
    replies_.pop_front();
    return true;
  }
  absl::Status Finish() override {
    const absl::MutexLock lock(&mutex_);
    if (session_ != nullptr) status_ = session_->End();
    session_ = nullptr;
    return status_;
  }
  void Cancel() override { End(absl::CancelledError("cancelled")); }

 private:
  bool End(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    if (session_ != nullptr) status_ = status;
    session_ = nullptr;
    return false;
  }

  FakeLink& link_;
  const bool is_data_;
  const std::shared_ptr<Receiver> receiver_;
  absl::Mutex mutex_;
  std::unique_ptr<PushSession> session_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::PushReply> replies_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

class FakeLink::FakePull : public PullStream {
 public:
  FakePull(FakeLink& link, const v1::PullRequest& request) : link_(link) {
    auto image = link.store_.Open(request.image());
    auto session = image.ok() ? PullSession::Begin(*std::move(image), request)
                              : image.status();
    if (session.ok()) {
      session_ = *std::move(session);
    } else {
      status_ = session.status();
    }
  }

  bool Read(v1::PullReply* reply) override {
    const absl::MutexLock lock(&mutex_);
    if (!status_.ok() || session_ == nullptr) return false;
    const auto more = session_->Next(reply);
    status_ = more.status();
    if (!more.ok() || !*more) return false;
    status_ = link_.Pass(reply->has_chunk() ? reply->mutable_chunk() : nullptr);
    return status_.ok();
  }
  absl::Status Finish() override {
    const absl::MutexLock lock(&mutex_);
    return status_;
  }
  void Cancel() override {
    const absl::MutexLock lock(&mutex_);
    status_ = absl::CancelledError("cancelled");
  }

 private:
  FakeLink& link_;
  absl::Mutex mutex_;
  std::unique_ptr<PullSession> session_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

void FakeLink::Count(bool is_data) {
  const absl::MutexLock lock(&mutex_);
  ++(is_data ? data_chunks_ : other_chunks_);
}

void FakeLink::OfferDataPort(v1::PushReply& reply) const {
  const absl::MutexLock lock(&mutex_);
  if (reply.has_state() && data_port_ != DataPort::kNone) {
    reply.mutable_state()->set_data_port(kDataPort);
  }
}

absl::Status FakeLink::Pass(v1::ImageChunk* chunk) {
  const absl::MutexLock lock(&mutex_);
  const int number = messages_++;
  return on_message_ == nullptr ? absl::OkStatus() : on_message_(number, chunk);
}

std::unique_ptr<PushStream> FakeLink::OpenPush() {
  const absl::MutexLock lock(&mutex_);
  return std::make_unique<FakePush>(*this, receiver_, /*is_data=*/false);
}

absl::StatusOr<std::unique_ptr<PushStream>> FakeLink::OpenData(
    uint16_t data_port) {
  const absl::MutexLock lock(&mutex_);
  if (data_port != kDataPort || data_port_ != DataPort::kOpen) {
    return absl::UnavailableError("a firewall");
  }
  return std::make_unique<FakePush>(*this, receiver_, /*is_data=*/true);
}

std::unique_ptr<PullStream> FakeLink::OpenPull(const v1::PullRequest& request) {
  return std::make_unique<FakePull>(*this, request);
}

}  // namespace ckpt::transfer
