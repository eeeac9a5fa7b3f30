// What a receiver compares with the manifest before there is an image.
#include "transfer/receiver.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "store/block_sum.h"
#include "store/manifest.h"
#include "store/sha256.h"
#include "transfer/chunk.h"
#include "transfer/test_image.h"
#include "transfer/transfer_fixture.h"

namespace ckpt::transfer {
namespace {

constexpr char kPages[] = "pages-1.img";
constexpr uint64_t kBlock = kChunkBytes;

class ReceiverTest : public TransferFixture {
 protected:
  void SetUp() override { Open(); }

  void Open() {
    v1::ImageAnnouncement announcement;
    announcement.set_image("job");
    announcement.set_transfer_id("one");
    announcement.set_cgroup("/jobs/a");
    auto arrival = receiver_->Open(announcement);
    ASSERT_TRUE(arrival.ok()) << arrival.status();
    arrival_ = *std::move(arrival);
  }
  // As if the receiver had been killed and started again.
  void Reopen() {
    arrival_.reset();
    receiver_ = std::make_unique<Receiver>(there_);
    ASSERT_NO_FATAL_FAILURE(Open());
  }

  void Add(const std::string& file, uint64_t offset, absl::string_view bytes) {
    v1::ImageChunk chunk;
    ASSERT_TRUE(ChunkEncoder().Encode(bytes, 0, &chunk));
    chunk.set_file(file);
    chunk.set_offset(offset);
    ASSERT_EQ(arrival_->Add(chunk), absl::OkStatus());
  }
  // All of it, as a sender cuts it.
  void AddAll(const std::string& file, absl::string_view bytes) {
    for (size_t at = 0; at < bytes.size(); at += kBlock) {
      Add(file, at, bytes.substr(at, kBlock));
    }
    ASSERT_EQ(arrival_->Flush(), absl::OkStatus());
  }
  // Into the file, behind the receiver's back.
  void Change(const std::string& file, uint64_t offset,
              const std::string& bytes) {
    const auto dir = OpenDirectory(there_.directory() + "/.ckpt-arriving-job");
    ASSERT_TRUE(dir.ok()) << dir.status();
    WriteAt(dir->get(), file, offset, bytes);
  }

  static v1::ManifestFile FileOf(const std::string& name,
                                 absl::string_view bytes) {
    v1::ManifestFile file;
    file.set_name(name);
    file.set_size_bytes(bytes.size());
    file.set_sha256(Sha256Of(bytes));
    BlockSum sum;
    sum.Add(bytes);
    file.set_block_sum(sum.Finish());
    return file;
  }
  absl::Status Commit(const std::vector<v1::ManifestFile>& files) {
    v1::Manifest manifest = AboutJob();
    for (const v1::ManifestFile& file : files) *manifest.add_files() = file;
    return arrival_->Commit(EncodeManifest(manifest)).status();
  }
  // The image is not there, and the message names the file.
  void ExpectRefused(const absl::Status& status,
                     const std::string& file = kPages) {
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), file)) << status;
    EXPECT_TRUE(absl::IsNotFound(there_.Open("job").status()));
    EXPECT_EQ(ArrivingCount(there_), 0);
  }
  void ExpectWhole() {
    const auto image = there_.Open("job");
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->Verify(), absl::OkStatus());
  }

  const std::string data_ = Noise(3 * kBlock + 5000);
  std::unique_ptr<Receiver> receiver_ = std::make_unique<Receiver>(there_);
  std::unique_ptr<Arrival> arrival_;
};

TEST_F(ReceiverTest, WhatTheManifestListsIsTaken) {
  AddAll(kPages, data_);
  AddAll("core-7.img", "core");
  ASSERT_EQ(Commit({FileOf(kPages, data_), FileOf("core-7.img", "core")}),
            absl::OkStatus());
  ExpectWhole();
}

TEST_F(ReceiverTest, PagesThatAreNotWhatTheManifestSaysAreRefused) {
  for (const size_t changed : {size_t{5}, data_.size() - 1}) {
    std::string other = data_;
    other[changed] ^= 1;
    AddAll(kPages, data_);
    ExpectRefused(Commit({FileOf(kPages, other)}));
    Reopen();
  }
}

TEST_F(ReceiverTest, OtherFilesAreComparedByBothSums) {
  AddAll(kPages, data_);
  AddAll("core-7.img", "core");
  v1::ManifestFile core = FileOf("core-7.img", "core");
  core.set_sha256(Sha256Of("other"));
  ExpectRefused(Commit({FileOf(kPages, data_), core}), "core-7.img");
  Reopen();
  AddAll("core-7.img", "core");
  core = FileOf("core-7.img", "core");
  core.set_block_sum(std::string(BlockSum::kBytes, 'x'));
  ExpectRefused(Commit({core}), "core-7.img");
}

TEST_F(ReceiverTest, WithoutBlockSumsTheSha256IsCompared) {
  v1::ManifestFile old = FileOf(kPages, data_);
  old.clear_block_sum();
  std::string other = data_;
  other[kBlock] ^= 1;
  AddAll(kPages, other);
  ExpectRefused(Commit({old}));
  Reopen();
  AddAll(kPages, data_);
  ASSERT_EQ(Commit({old}), absl::OkStatus());
  ExpectWhole();
}

// One file's sum does not stand for another's.
TEST_F(ReceiverTest, WhereOneHasNoBlockSumTheSha256OfAllIsCompared) {
  v1::ManifestFile pages = FileOf(kPages, data_);
  pages.set_sha256(Sha256Of("other"));
  v1::ManifestFile core = FileOf("core-7.img", "core");
  core.clear_block_sum();
  AddAll(kPages, data_);
  AddAll("core-7.img", "core");
  ExpectRefused(Commit({pages, core}));
}

TEST_F(ReceiverTest, BlockSumOfAnotherLengthIsRefused) {
  AddAll(kPages, data_);
  v1::ManifestFile pages = FileOf(kPages, data_);
  pages.set_block_sum(pages.block_sum().substr(1));
  const absl::Status status = Commit({pages});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(
      status.message(), "pages-1.img a block sum of 15 bytes instead of 16"))
      << status;
}

// A caveat, and who finds it instead.
TEST_F(ReceiverTest, ChangeBehindItsBackIsFoundByVerify) {
  AddAll(kPages, data_);
  Change(kPages, kBlock + 5, "changed");
  ASSERT_EQ(Commit({FileOf(kPages, data_)}), absl::OkStatus());
  const auto image = there_.Open("job");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(absl::IsDataLoss(image->Verify()));
}

TEST_F(ReceiverTest, FileOfAnotherLengthIsRefused) {
  AddAll(kPages, data_);
  ExpectRefused(Commit({FileOf(kPages, data_.substr(0, 2 * kBlock))}));
  Reopen();
  AddAll(kPages, data_.substr(0, 2 * kBlock));
  ExpectRefused(Commit({FileOf(kPages, data_)}));
}

TEST_F(ReceiverTest, HolesAreZeros) {
  std::string data(4 * kBlock + 100, '\0');
  data.replace(kBlock + 8192, 4096, Noise(4096));
  data.replace(3 * kBlock, kBlock, Noise(kBlock));
  Add(kPages, kBlock + 8192,
      absl::string_view(data).substr(kBlock + 8192, kBlock - 8192));
  Add(kPages, 3 * kBlock, absl::string_view(data).substr(3 * kBlock, kBlock));
  ASSERT_EQ(Commit({FileOf(kPages, data),
                    FileOf("pages-2.img", std::string(2 * kBlock + 1, '\0'))}),
            absl::OkStatus());
  ExpectWhole();
}

TEST_F(ReceiverTest, PiecesOfEveryLengthInEveryOrderAreTaken) {
  const absl::string_view all = data_;
  Add(kPages, 2 * kBlock + 4096, all.substr(2 * kBlock + 4096, kBlock));
  Add(kPages, 100, all.substr(100, 2 * kBlock));
  Add(kPages, 0, all.substr(0, 100));
  Add(kPages, 2 * kBlock + 100, all.substr(2 * kBlock + 100, 4096));
  Add(kPages, 3 * kBlock, all.substr(3 * kBlock));
  ASSERT_EQ(Commit({FileOf(kPages, data_)}), absl::OkStatus());
  ExpectWhole();
}

// Zeros are left out of what is written, so they do not undo what was there.
TEST_F(ReceiverTest, ZerosOverWhatHasArrivedAreNotBelieved) {
  AddAll(kPages, data_);
  std::string other = data_;
  other.replace(kBlock, 8192, std::string(8192, '\0'));
  Add(kPages, kBlock, absl::string_view(other).substr(kBlock, kBlock));
  ExpectRefused(Commit({FileOf(kPages, other)}));
}

TEST_F(ReceiverTest, WhatHasArrivedBeforeItWasKilledIsCounted) {
  const absl::string_view all = data_;
  Add(kPages, 0, all.substr(0, kBlock));
  Add(kPages, 2 * kBlock, all.substr(2 * kBlock, kBlock));
  // Written, and not recorded; and a file that is in no record at all.
  Change(kPages, kBlock, data_.substr(kBlock, 5000));
  Change("pages-2.img", 0, data_);
  Reopen();
  EXPECT_EQ(arrival_->state().arrived_size(), 1);
  Add(kPages, kBlock, all.substr(kBlock, kBlock));
  Add(kPages, 3 * kBlock, all.substr(3 * kBlock));
  ASSERT_EQ(Commit({FileOf(kPages, data_), FileOf("pages-2.img", data_)}),
            absl::OkStatus());
  ExpectWhole();
}

TEST_F(ReceiverTest, WhatIsLeftOfAKilledWriteIsNotTakenForZeros) {
  Change(kPages, kBlock, "left over");
  Reopen();
  std::string data = data_;
  data.replace(kBlock, 4096, std::string(4096, '\0'));
  AddAll(kPages, data);
  ExpectRefused(Commit({FileOf(kPages, data)}));
}

TEST_F(ReceiverTest, ChangeWhileNobodyReceivesIsFound) {
  AddAll(kPages, data_);
  Change(kPages, kBlock + 5, "changed");
  Reopen();
  // That piece is asked for again.
  ASSERT_EQ(arrival_->state().arrived_size(), 1);
  EXPECT_EQ(arrival_->state().arrived(0).bounds_size(), 4);
  ExpectRefused(Commit({FileOf(kPages, data_)}));
}

}  // namespace
}  // namespace ckpt::transfer
