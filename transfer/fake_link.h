// A way to another node without a network: the other node's ends are called
// directly, and every message may be cut off or changed.
#ifndef CKPT_TRANSFER_FAKE_LINK_H_
#define CKPT_TRANSFER_FAKE_LINK_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "store/image_store.h"
#include "transfer/link.h"
#include "transfer/pull_session.h"
#include "transfer/push_session.h"
#include "transfer/receiver.h"

namespace ckpt::transfer {

// Thread-safe.
class FakeLink : public Link {
 public:
  // What happens to message number `number` (from 0, of all streams, both
  // ways), which may be changed: an error cuts its stream off, before the
  // message has arrived.
  using OnMessage = std::function<absl::Status(int number, v1::ImageChunk*)>;

  // The other node's store.
  explicit FakeLink(const std::string& store)
      : store_(store),
        receiver_(std::make_shared<Receiver>(ImageStore(store))) {}

  void set_on_message(OnMessage on_message) {
    const absl::MutexLock lock(&mutex_);
    on_message_ = std::move(on_message);
    messages_ = 0;
  }
  // As if the other node's agent had been killed and started again: nothing but
  // the disk is left.
  void RestartOtherNode() {
    const absl::MutexLock lock(&mutex_);
    receiver_ = std::make_shared<Receiver>(store_);
  }
  int messages() const {
    const absl::MutexLock lock(&mutex_);
    return messages_;
  }

  std::unique_ptr<PushStream> OpenPush() override {
    const absl::MutexLock lock(&mutex_);
    return std::make_unique<FakePush>(*this, receiver_);
  }
  std::unique_ptr<PullStream> OpenPull(
      const v1::PullRequest& request) override {
    return std::make_unique<FakePull>(*this, request);
  }

 private:
  absl::Status Pass(v1::ImageChunk* chunk) {
    const absl::MutexLock lock(&mutex_);
    const int number = messages_++;
    return on_message_ == nullptr ? absl::OkStatus()
                                  : on_message_(number, chunk);
  }

  class FakePush : public PushStream {
   public:
    FakePush(FakeLink& link, std::shared_ptr<Receiver> receiver)
        : link_(link),
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
      if (reply->has_value()) replies_.push_back(**std::move(reply));
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
    const std::shared_ptr<Receiver> receiver_;
    absl::Mutex mutex_;
    std::unique_ptr<PushSession> session_ ABSL_GUARDED_BY(mutex_);
    std::deque<v1::PushReply> replies_ ABSL_GUARDED_BY(mutex_);
    absl::Status status_ ABSL_GUARDED_BY(mutex_);
  };

  class FakePull : public PullStream {
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
      status_ =
          link_.Pass(reply->has_chunk() ? reply->mutable_chunk() : nullptr);
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

  const ImageStore store_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<Receiver> receiver_ ABSL_GUARDED_BY(mutex_);
  OnMessage on_message_ ABSL_GUARDED_BY(mutex_);
  int messages_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_FAKE_LINK_H_
