// Makes an image without a job: files of pages of some kind, for tests and
// benches of transfers.
//
//   make_image STORE NAME MEBIBYTES KIND
//
// KIND: noise (no compressor makes it smaller), memory (half noise, half words
// of a few bits, as memory is), sparse (holes, but for a mebibyte in 64).

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "proto/image.pb.h"
#include "store/image_store.h"

namespace ckpt {
namespace {

constexpr size_t kMebibyte = 1 << 20;

// xorshift64*: fast, and no pattern that zstd finds.
class Noise {
 public:
  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 2685821657736338717u;
  }

 private:
  uint64_t state_ = 88172645463325252u;
};

void Fill(std::string& bytes, const std::string& kind, Noise& noise) {
  auto* words = reinterpret_cast<uint64_t*>(bytes.data());
  for (size_t i = 0; i < bytes.size() / sizeof(uint64_t); ++i) {
    const uint64_t word = noise.Next();
    const bool in_noise = kind != "memory" || (i / 512) % 2 == 0;
    words[i] = in_noise ? word : 0x00007f0000000000u + (word & 0xff8);
  }
}

absl::Status Make(const std::string& directory, const std::string& name,
                  size_t mebibytes, const std::string& kind) {
  const ImageStore store(directory);
  CKPT_ASSIGN_OR_RETURN(auto pending, store.Begin(name));
  Noise noise;
  std::string bytes(kMebibyte, '\0');
  const UniqueFd fd(::openat(pending->dir_fd(), "pages-1.img",
                             O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  for (size_t i = 0; i < mebibytes; ++i) {
    if (kind == "sparse" && i % 64 != 0) continue;
    Fill(bytes, kind, noise);
    if (::pwrite(fd.get(), bytes.data(), bytes.size(),
                 static_cast<off_t>(i * kMebibyte)) !=
        static_cast<ssize_t>(bytes.size())) {
      return absl::ResourceExhaustedError("cannot write pages-1.img");
    }
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(mebibytes * kMebibyte)) != 0) {
    return absl::InternalError("cannot extend pages-1.img");
  }
  v1::Manifest about;
  about.mutable_job()->set_cgroup("/jobs/a");
  CKPT_RETURN_IF_ERROR(pending->Seal(about).status());
  return std::move(*pending).Publish();
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: make_image STORE NAME MEBIBYTES KIND\n", stderr);
    return 64;
  }
  const absl::Status made = ckpt::Make(
      argv[1], argv[2], static_cast<size_t>(std::atoll(argv[3])), argv[4]);
  if (!made.ok()) std::fprintf(stderr, "%s\n", made.ToString().c_str());
  return static_cast<int>(made.code());
}
