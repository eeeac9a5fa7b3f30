// Digests of CRIU's files of memory pages while CRIU still writes them: most of
// the work is done when the last byte is there.
//
//   auto growing = GrowingDigests::Start(dir_fd);
//   ... CRIU writes ...
//   growing->Changed("pages-1.img", offset);  // by whoever changes one later
//   ... growing->Take("pages-1.img") ...      // then add what is not in it yet
//
// A thread reads what is appended, and sends it on its way to the disk.  CRIU
// only ever appends to these files; other files are left alone.
//
// Caveat: takes processor time from CRIU where none is free.  Worth it where
// somebody waits for the disk, and not only for CRIU.
#ifndef CKPT_STORE_GROWING_DIGESTS_H_
#define CKPT_STORE_GROWING_DIGESTS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/unique_fd.h"
#include "store/block_sum.h"
#include "store/sha256.h"

namespace ckpt {

// Thread-compatible.
class GrowingDigests {
 public:
  // Borrows `dir_fd` for its lifetime.
  static std::unique_ptr<GrowingDigests> Start(int dir_fd);
  ~GrowingDigests() { Stop(); }
  GrowingDigests(const GrowingDigests&) = delete;
  GrowingDigests& operator=(const GrowingDigests&) = delete;

  // Reads no more.
  void Stop();

  // Stops.  Somebody has written to a file, from `offset` on: what comes after
  // that is forgotten.
  void Changed(const std::string& name, uint64_t offset);

  // The state of both sums after the first `bytes` of a file.
  struct Part {
    uint64_t bytes = 0;
    Sha256 hash;
    BlockSum sum;

    Part Copy() const {
      return {.bytes = bytes, .hash = hash.Copy(), .sum = sum};
    }
  };
  // Stops.  What was read of a file; no value: nothing.  Each once.
  std::optional<Part> Take(const std::string& name);

  // Of all files so far.
  uint64_t BytesReadForTest() const { return bytes_read_.load(); }

 private:
  struct File {
    UniqueFd fd;
    Part part;
    // Parts of it, ascending, to fall back to.
    std::vector<Part> earlier;
  };

  explicit GrowingDigests(int dir_fd) : dir_fd_(dir_fd) {}

  void Run();
  void FindFiles();
  // Whether there was something to read.
  bool ReadOn(File& file);

  const int dir_fd_;
  std::map<std::string, File> files_;  // of the thread, until it has ended
  std::string buffer_;
  std::atomic<uint64_t> bytes_read_{0};
  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace ckpt

#endif  // CKPT_STORE_GROWING_DIGESTS_H_
