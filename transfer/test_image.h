// Images of the tests' own, and comparing them.
#ifndef CKPT_TRANSFER_TEST_IMAGE_H_
#define CKPT_TRANSFER_TEST_IMAGE_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "proto/image.pb.h"
#include "store/image_store.h"
#include "store/pending_image.h"

namespace ckpt::transfer {

// Bytes that no compressor makes smaller; the same for the same `seed`.
inline std::string Noise(size_t size, uint64_t seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<char>(seed >> 56);
  }
  return bytes;
}

inline void WriteAt(int dir_fd, const std::string& name, uint64_t offset,
                    const std::string& bytes) {
  auto fd = OpenAt(dir_fd, name, O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(fd.ok()) << fd.status();
  ASSERT_EQ(::pwrite(fd->get(), bytes.data(), bytes.size(),
                     static_cast<off_t>(offset)),
            static_cast<ssize_t>(bytes.size()));
}

inline v1::Manifest AboutJob(const std::string& cgroup = "/jobs/a") {
  v1::Manifest manifest;
  manifest.mutable_job()->set_cgroup(cgroup);
  return manifest;
}

// Files of every kind: noise, text, empty, zeros, with holes, of odd length.
inline void WriteFiles(int dir_fd) {
  WriteAt(dir_fd, "pages-1.img", 0, Noise(1'200'000));
  WriteAt(dir_fd, "pages-2.img", 0, std::string(700'001, 'x'));
  WriteAt(dir_fd, "pages-3.img", 3 << 20, "after a hole");
  WriteAt(dir_fd, "pages-4.img", 0,
          std::string(8192, 'a') + std::string(65536, '\0') +
              std::string(4096, 'b') + std::string(100, '\0'));
  WriteAt(dir_fd, "core-7.img", 0, "small");
  WriteAt(dir_fd, "empty.img", 0, "");
  WriteAt(dir_fd, "zeros.img", 0, std::string(300'000, '\0'));
}

// An image `name` in the store, with those files.
inline v1::Manifest MakeImage(const ImageStore& store,
                              const std::string& name) {
  auto pending = store.Begin(name);
  EXPECT_TRUE(pending.ok()) << pending.status();
  WriteFiles((*pending)->dir_fd());
  auto manifest = (*pending)->Seal(AboutJob());
  EXPECT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(std::move(**pending).Publish(), absl::OkStatus());
  return *std::move(manifest);
}

// Whether the store has the whole image of that manifest.
inline void ExpectImage(const ImageStore& store, const std::string& name,
                        const v1::Manifest& manifest) {
  const auto image = store.Open(name);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->manifest().manifest_sha256(), manifest.manifest_sha256());
  EXPECT_EQ(image->Verify(), absl::OkStatus());
}

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_TEST_IMAGE_H_
