// A way to another node without a network: the other node's ends are called
// directly, and every message may be cut off or changed.
#ifndef CKPT_TRANSFER_FAKE_LINK_H_
#define CKPT_TRANSFER_FAKE_LINK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "store/image_store.h"
#include "transfer/link.h"
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
  // Whether the other node has a port for data, and it can be reached.
  enum class DataPort { kNone, kOpen, kClosed };
  void set_data_port(DataPort port) {
    const absl::MutexLock lock(&mutex_);
    data_port_ = port;
  }
  // Of those that have come that way, and of all others.
  int data_chunks() const {
    const absl::MutexLock lock(&mutex_);
    return data_chunks_;
  }
  int other_chunks() const {
    const absl::MutexLock lock(&mutex_);
    return other_chunks_;
  }
  int messages() const {
    const absl::MutexLock lock(&mutex_);
    return messages_;
  }

  std::unique_ptr<PushStream> OpenPush() override;
  absl::StatusOr<std::unique_ptr<PushStream>> OpenData(
      uint16_t data_port) override;
  std::unique_ptr<PullStream> OpenPull(const v1::PullRequest& request) override;

 private:
  static constexpr uint16_t kDataPort = 7071;

  void Count(bool is_data);
  void OfferDataPort(v1::PushReply& reply) const;
  absl::Status Pass(v1::ImageChunk* chunk);

  class FakePush;
  class FakePull;

  const ImageStore store_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<Receiver> receiver_ ABSL_GUARDED_BY(mutex_);
  OnMessage on_message_ ABSL_GUARDED_BY(mutex_);
  int messages_ ABSL_GUARDED_BY(mutex_) = 0;
  DataPort data_port_ ABSL_GUARDED_BY(mutex_) = DataPort::kNone;
  int data_chunks_ ABSL_GUARDED_BY(mutex_) = 0;
  int other_chunks_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_FAKE_LINK_H_
