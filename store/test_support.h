// What the tests of store/ share: a directory that goes away, and CRIU image
// files made of messages.
#ifndef CKPT_STORE_TEST_SUPPORT_H_
#define CKPT_STORE_TEST_SUPPORT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "google/protobuf/message_lite.h"
#include "store/criu_image_file.h"

namespace ckpt {

// A directory in /tmp.  Removed with all it contains, and what is mounted there
// is unmounted.  Not thread-safe.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  std::string Path(absl::string_view name) const;
  // Names in it, hidden ones as well, sorted.
  std::vector<std::string> Names() const;

 private:
  std::string path_;
  UniqueFd fd_;
};

// Writes a file anew in the directory open as `dir_fd`.
void WriteFile(int dir_fd, const std::string& name, absl::string_view data);
std::string ReadBack(int dir_fd, const std::string& name);

// Bytes that differ from place to place.
std::string Pattern(size_t size);

// Writes a CRIU image file of these entries.
void WriteCriuFile(
    int dir_fd, const std::string& name, CriuMagic magic,
    const std::vector<const google::protobuf::MessageLite*>& entries);

// Writes a small and complete image, as CRIU would, into a directory:
//   process 100 (2 threads, 100 and 101; 3 pages; descriptors 0 and 3; shared
//   memory 77 of 2 pages) with a zombie child 102.
void WriteCriuImage(int dir_fd);

}  // namespace ckpt

#endif  // CKPT_STORE_TEST_SUPPORT_H_
