// What is to be sent next of an image that may still grow: hands out spans of
// its files to several senders.
//
//   Feed feed(dir_fd);
//   feed.Restart(arrived);
//   while (true) {
//     CKPT_ASSIGN_OR_RETURN(const auto span, feed.Next());   // by each sender
//     if (!span.has_value()) break;
//     ... send it ...
//   }
//
//   feed.Complete(files);   // by whoever knows that the image is whole
//
// Until Complete() only files that are appended to (pages-*.img) are handed
// out, as far as they have grown, and Next() waits for more.
//
// Thread-safe.  Borrows the directory.
#ifndef CKPT_TRANSFER_FEED_H_
#define CKPT_TRANSFER_FEED_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "proto/image.pb.h"
#include "transfer/ranges.h"

namespace ckpt::transfer {

// Part of a file, from `begin` to before `end`.
struct Span {
  std::string file;
  uint64_t begin = 0;
  uint64_t end = 0;
};

class Feed {
 public:
  // Of one of several receivers' requests: each `streams`th span.
  struct Part {
    uint64_t stream = 0;
    uint64_t streams = 1;
  };

  explicit Feed(int dir_fd) : Feed(dir_fd, Part()) {}
  Feed(int dir_fd, Part part) : dir_fd_(dir_fd), part_(part) {}

  // The image is whole, with these files.
  void Complete(const v1::Manifest& manifest);

  // Begins anew, leaving out what has arrived.  Ends an Interrupt().
  void Restart(FileRangeSets arrived);

  // Next() returns nothing from now on.
  void Interrupt();

  // At most 16 MiB; nothing when all have been handed out.  Errors of the
  // file system.
  absl::StatusOr<absl::optional<Span>> Next();

 private:
  struct File {
    uint64_t size = 0;   // as far as it may be sent
    uint64_t taken = 0;  // handed out, or left out
  };

  absl::Status LookForGrowth() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::optional<Span> Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::optional<Span> TakeOf(const std::string& name, File& file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int dir_fd_;
  const Part part_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::map<std::string, File> files_ ABSL_GUARDED_BY(mutex_);
  // Those before it have nothing left, once the image is complete.
  std::string next_file_ ABSL_GUARDED_BY(mutex_);
  FileRangeSets arrived_ ABSL_GUARDED_BY(mutex_);
  uint64_t spans_ ABSL_GUARDED_BY(mutex_) = 0;
  bool complete_ ABSL_GUARDED_BY(mutex_) = false;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = true;  // until Restart()
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_FEED_H_
