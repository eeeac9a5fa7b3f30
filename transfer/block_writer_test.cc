#include "transfer/block_writer.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/aligned_bytes.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"
#include "transfer/chunk.h"
#include "transfer/test_image.h"

namespace ckpt::transfer {
namespace {

// Through the page cache, and past it.
class BlockWriterTest : public testing::TestWithParam<bool> {
 protected:
  BlockWriterTest() { Start(dir_.path()); }

  // On a file system of its own.
  void StartOn(const char* type, const char* options) {
    const std::string directory = dir_.MakeDirectory(type);
    ASSERT_EQ(::mount("none", directory.c_str(), type, 0, options), 0);
    writer_ = nullptr;
    Start(directory);
  }
  void Start(const std::string& directory) {
    directory_ = directory;
    auto fd = OpenDirectory(directory);
    ASSERT_TRUE(fd.ok()) << fd.status();
    dir_fd_ = *std::move(fd);
    writer_ = std::make_unique<BlockWriter>(
        dir_fd_.get(), BlockWriter::Options{.past_cache = GetParam()},
        BlockWriter::Notes{
            .begin =
                [this]() {
                  const absl::MutexLock lock(&mutex_);
                  begun_ += refusal_.ok() ? 1 : 0;
                  return refusal_;
                },
            .end =
                [this](const v1::ArrivedChunk& piece, bool written) {
                  const absl::MutexLock lock(&mutex_);
                  (written ? written_ : failed_).push_back(piece);
                  return absl::OkStatus();
                }});
  }

  static absl::Status Add(BlockWriter::Stream& stream, const std::string& file,
                          absl::string_view all, size_t begin, size_t end) {
    v1::ArrivedChunk piece;
    piece.set_file(file);
    piece.set_offset(begin);
    piece.set_length(static_cast<uint32_t>(end - begin));
    AlignedBytes bytes(all.data() + begin, end - begin);
    return stream.Add(piece, bytes);
  }
  std::string Content(const std::string& file) const {
    const auto bytes = ReadFile(directory_ + "/" + file);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.ok() ? *bytes : "";
  }
  void Refuse(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    refusal_ = status;
  }
  size_t Written() {
    const absl::MutexLock lock(&mutex_);
    return written_.size();
  }
  size_t Failed() {
    const absl::MutexLock lock(&mutex_);
    return failed_.size();
  }

  TestDir dir_;
  std::string directory_;
  UniqueFd dir_fd_;
  absl::Mutex mutex_;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  int begun_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<v1::ArrivedChunk> written_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::ArrivedChunk> failed_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<BlockWriter> writer_;
};

INSTANTIATE_TEST_SUITE_P(All, BlockWriterTest, testing::Bool());

TEST_P(BlockWriterTest, PiecesOfOneFileComeTogether) {
  const std::string all = Noise(5'000'000);  // no multiple of anything
  BlockWriter::Stream stream(*writer_);
  for (size_t at = 0; at < all.size(); at += kChunkBytes) {
    ASSERT_EQ(Add(stream, "pages-1.img", all, at,
                  std::min(all.size(), at + kChunkBytes)),
              absl::OkStatus());
  }
  ASSERT_EQ(stream.Flush(), absl::OkStatus());
  EXPECT_EQ(Content("pages-1.img"), all);
  const absl::MutexLock lock(&mutex_);
  ASSERT_EQ(written_.size(), 20);
  EXPECT_EQ(begun_, 20);
  for (size_t i = 0; i < written_.size(); ++i) {
    EXPECT_EQ(written_[i].offset(), i * kChunkBytes);
  }
}

TEST_P(BlockWriterTest, GapsOddLengthsAndOtherFilesAreAsTheyCame) {
  const std::string all = Noise(3'000'000);
  std::string wanted(all.size(), '\0');
  BlockWriter::Stream stream(*writer_);
  // Unaligned in every way, and not in order.
  const std::vector<transfer::Run> runs = {
      {4096, 8192}, {8192, 8193},       {2'000'001, 2'500'000},
      {100, 4000},  {12288, 1'012'288}, {2'999'999, 3'000'000}};
  for (const transfer::Run& run : runs) {
    for (const char* const file : {"pages-1.img", "pages-2.img"}) {
      ASSERT_EQ(Add(stream, file, all, run.begin, run.end), absl::OkStatus());
    }
    wanted.replace(run.begin, run.end - run.begin, all, run.begin,
                   run.end - run.begin);
  }
  ASSERT_EQ(stream.Flush(), absl::OkStatus());
  EXPECT_TRUE(Content("pages-1.img") == wanted);
  EXPECT_TRUE(Content("pages-2.img") == wanted);
  EXPECT_EQ(Written(), 2 * runs.size());
}

TEST_P(BlockWriterTest, SeveralStreamsWriteOneFile) {
  const std::string all = Noise(16 << 20);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      BlockWriter::Stream stream(*writer_);
      const size_t end = (i + 1) * (4 << 20);
      for (size_t at = i * (4 << 20); at < end; at += kChunkBytes) {
        EXPECT_EQ(Add(stream, "pages-1.img", all, at, at + kChunkBytes),
                  absl::OkStatus());
      }
      EXPECT_EQ(stream.Flush(), absl::OkStatus());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Content("pages-1.img") == all);
  EXPECT_EQ(Written(), all.size() / kChunkBytes);
}

TEST_P(BlockWriterTest, WhatIsLeftIsWrittenAtTheEnd) {
  const std::string all = Noise(10'000);
  {
    BlockWriter::Stream stream(*writer_);
    ASSERT_EQ(Add(stream, "pages-1.img", all, 0, all.size()), absl::OkStatus());
  }
  EXPECT_EQ(Written(), 1);
  EXPECT_EQ(Content("pages-1.img"), all);
}

TEST_P(BlockWriterTest, FailureIsToldToAllAndNothingIsTakenForWritten) {
  ASSERT_EQ(::mkdir(dir_.File("pages-1.img").c_str(), 0700), 0);
  const std::string all = Noise(3 << 20);
  BlockWriter::Stream stream(*writer_);
  ASSERT_EQ(Add(stream, "pages-1.img", all, 0, kChunkBytes), absl::OkStatus());
  const absl::Status failed = stream.Flush();
  EXPECT_FALSE(failed.ok());
  EXPECT_TRUE(absl::StrContains(failed.message(), "pages-1.img")) << failed;
  BlockWriter::Stream other(*writer_);
  (void)Add(other, "pages-2.img", all, 0, kChunkBytes);
  EXPECT_EQ(other.Flush(), failed);
  EXPECT_EQ(Written(), 0);
  EXPECT_EQ(Failed(), 2);
}

TEST_P(BlockWriterTest, FullDiskIsTold) {
  ASSERT_NO_FATAL_FAILURE(StartOn("tmpfs", "size=1m"));
  const std::string all = Noise(3 << 20);
  BlockWriter::Stream stream(*writer_);
  for (size_t at = 0; at < all.size(); at += kChunkBytes) {
    (void)Add(stream, "pages-1.img", all, at, at + kChunkBytes);
  }
  const absl::Status failed = stream.Flush();
  EXPECT_TRUE(absl::IsResourceExhausted(failed)) << failed;
  EXPECT_TRUE(absl::StrContains(failed.message(), "pages-1.img")) << failed;
  EXPECT_EQ(writer_->status(), failed);
  EXPECT_LE(Written(), 4);
}

TEST_P(BlockWriterTest, FileSystemWithoutDirectWritesServesAsWell) {
  ASSERT_NO_FATAL_FAILURE(StartOn("ramfs", ""));
  ASSERT_FALSE(
      OpenAt(dir_fd_.get(), "other", O_WRONLY | O_CREAT | O_DIRECT, 0600).ok());
  const std::string all = Noise(2 << 20);
  BlockWriter::Stream stream(*writer_);
  for (size_t at = 0; at < all.size(); at += kChunkBytes) {
    ASSERT_EQ(Add(stream, "pages-1.img", all, at, at + kChunkBytes),
              absl::OkStatus());
  }
  ASSERT_EQ(stream.Flush(), absl::OkStatus());
  EXPECT_TRUE(Content("pages-1.img") == all);
}

TEST_P(BlockWriterTest, WhatIsRefusedIsDropped) {
  Refuse(absl::AbortedError("late"));
  const std::string all = Noise(100);
  BlockWriter::Stream stream(*writer_);
  EXPECT_EQ(Add(stream, "pages-1.img", all, 0, all.size()),
            absl::AbortedError("late"));
  EXPECT_EQ(stream.Flush(), absl::OkStatus());
  EXPECT_EQ(Written() + Failed(), 0);
  struct stat about = {};
  EXPECT_NE(::stat(dir_.File("pages-1.img").c_str(), &about), 0);
}

}  // namespace
}  // namespace ckpt::transfer
