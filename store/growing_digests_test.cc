#include "store/growing_digests.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "store/file_digests.h"
#include "store/sha256.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

constexpr char kPages[] = "pages-1.img";

// Bytes that differ from place to place.
std::string Pattern(size_t size) {
  std::string data(size, '\0');
  uint32_t state = 1;
  for (char& c : data) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return data;
}

class GrowingDigestsTest : public testing::Test {
 protected:
  void Append(const std::string& name, absl::string_view data) {
    const auto fd =
        OpenAt(dir_.fd(), name, O_WRONLY | O_APPEND | O_CREAT, 0600);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_EQ(WriteAll(fd->get(), data, name), absl::OkStatus());
  }

  void AwaitRead(uint64_t bytes) {
    Clock& clock = Clock::Real();
    const absl::Time deadline = clock.Now() + absl::Minutes(1);
    while (growing_->BytesReadForTest() < bytes) {
      ASSERT_LT(clock.Now(), deadline);
      clock.Sleep(absl::Milliseconds(1));
    }
  }

  // What a file's entry says that is made from there on.
  std::string DigestOf(const std::string& name) {
    const auto files =
        DigestFiles(dir_.fd(), {name}, Durability::kOnDisk, growing_.get());
    EXPECT_TRUE(files.ok()) << files.status();
    return files.ok() ? files->front().sha256() : "";
  }

  const TempDirectory dir_;
  std::unique_ptr<GrowingDigests> growing_ = GrowingDigests::Start(dir_.fd());
};

TEST_F(GrowingDigestsTest, WhatIsAppendedIsReadMeanwhile) {
  const std::string data = Pattern(3 << 20);
  const absl::string_view all = data;
  Append(kPages, all.substr(0, 1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(1 << 20));
  Append(kPages, all.substr(1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(data.size()));
  auto part = growing_->Take(kPages);
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(part->bytes, data.size());
  EXPECT_EQ(part->hash.Finish(), Sha256Of(data));
  EXPECT_FALSE(growing_->Take(kPages).has_value());
}

TEST_F(GrowingDigestsTest, RestIsAddedBySeal) {
  const std::string data = Pattern(2 << 20);
  Append(kPages, absl::string_view(data).substr(0, 1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(1 << 20));
  growing_->Stop();
  Append(kPages, absl::string_view(data).substr(1 << 20));
  EXPECT_EQ(DigestOf(kPages), Sha256Of(data));
}

TEST_F(GrowingDigestsTest, ChangeIsInTheDigestWhereverItIs) {
  const size_t size = (40 << 20) + 5;  // more than two steps to fall back to
  for (const size_t offset :
       {size_t{0}, size_t{16} << 20, (size_t{32} << 20) - 1, size_t{32} << 20,
        size - 1}) {
    growing_ = nullptr;
    std::string data = Pattern(size);
    WriteFile(dir_.fd(), kPages, data);
    growing_ = GrowingDigests::Start(dir_.fd());
    ASSERT_NO_FATAL_FAILURE(AwaitRead(size));
    data[offset] = static_cast<char>(data[offset] + 1);
    growing_->Changed(kPages, offset);
    WriteFile(dir_.fd(), kPages, data);
    EXPECT_EQ(DigestOf(kPages), Sha256Of(data)) << offset;
  }
}

TEST_F(GrowingDigestsTest, FileThatShrankIsReadAnew) {
  Append(kPages, Pattern(1 << 20));
  ASSERT_NO_FATAL_FAILURE(AwaitRead(1 << 20));
  growing_->Stop();
  WriteFile(dir_.fd(), kPages, "short");
  EXPECT_EQ(DigestOf(kPages), Sha256Of("short"));
}

TEST_F(GrowingDigestsTest, OtherFilesAreLeftAlone) {
  Append("core-1.img", "core");
  Append(kPages, "pages");
  ASSERT_NO_FATAL_FAILURE(AwaitRead(5));
  EXPECT_FALSE(growing_->Take("core-1.img").has_value());
  EXPECT_EQ(DigestOf("core-1.img"), Sha256Of("core"));
}

TEST_F(GrowingDigestsTest, MoreFilesThanAreFollowedHaveTheirDigests) {
  for (int i = 0; i < 200; ++i) {
    Append(absl::StrCat("pages-", i, ".img"), Pattern(1000 + i));
  }
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(DigestOf(absl::StrCat("pages-", i, ".img")),
              Sha256Of(Pattern(1000 + i)));
  }
}

TEST_F(GrowingDigestsTest, NoMoreThanIsReadyIsRead) {
  growing_.reset();
  std::atomic<uint64_t> ready{1000};
  growing_ = GrowingDigests::Start(
      dir_.fd(), [&](const std::string&) { return ready.load(); });
  Append(kPages, std::string(3000, 'x'));
  AwaitRead(1000);
  growing_->Stop();
  EXPECT_EQ(growing_->BytesReadForTest(), 1000);
}

}  // namespace
}  // namespace ckpt
