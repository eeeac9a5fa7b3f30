// Streams that nobody honest sends: each is refused, and leaves no image and
// nothing outside the arriving one's directory.
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "store/arriving_image.h"
#include "store/manifest.h"
#include "tests/support/test_dir.h"
#include "transfer/chunk.h"
#include "transfer/push_session.h"
#include "transfer/receiver.h"

namespace ckpt::transfer {
namespace {

absl::Status AdmitAll(const std::string&, const std::string&) {
  return absl::OkStatus();
}

class HostileTest : public ::testing::Test {
 protected:
  static v1::PushRequest Begin(const std::string& image = "job",
                               const std::string& id = "one") {
    v1::PushRequest request;
    request.mutable_begin()->set_image(image);
    request.mutable_begin()->set_transfer_id(id);
    request.mutable_begin()->set_cgroup("/jobs/a");
    return request;
  }
  static v1::PushRequest Chunk(const std::string& file = "pages-1.img",
                               uint64_t offset = 0) {
    v1::PushRequest request;
    ChunkEncoder encoder;
    encoder.Encode(std::string(5000, 'x'), 1, request.mutable_chunk());
    request.mutable_chunk()->set_file(file);
    request.mutable_chunk()->set_offset(offset);
    return request;
  }
  static v1::PushRequest Commit(const std::string& cgroup = "/jobs/a") {
    v1::Manifest manifest;
    manifest.mutable_job()->set_cgroup(cgroup);
    v1::ManifestFile& file = *manifest.add_files();
    file.set_name("pages-1.img");
    file.set_size_bytes(5000);
    v1::PushRequest request;
    request.mutable_commit()->set_manifest(EncodeManifest(manifest));
    return request;
  }

  // What the last of the messages is answered.
  absl::Status Send(const std::vector<v1::PushRequest>& requests) {
    PushSession session(receiver_, &AdmitAll);
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto reply = session.Take(requests[i]);
      if (i + 1 == requests.size() && !reply.ok()) return reply.status();
      EXPECT_TRUE(reply.ok()) << i << ": " << reply.status();
    }
    return session.End();  // what was taken may fail when it is written
  }
  // The same for a chunk that was changed.
  absl::Status SendChanged(const std::function<void(v1::ImageChunk&)>& change) {
    v1::PushRequest request = Chunk();
    change(*request.mutable_chunk());
    return Send({Begin(), request});
  }

  void TearDown() override {
    EXPECT_TRUE(absl::IsNotFound(store_.Open("job").status()));
    // The store alone, beside what the test has.
    EXPECT_NE(::access((dir_.path() + "/outside").c_str(), F_OK), 0);
  }

  const TestDir dir_;
  const ImageStore store_{dir_.path() + "/store"};
  Receiver receiver_{store_};
};

TEST_F(HostileTest, MessagesOutOfOrderAreRefused) {
  EXPECT_TRUE(absl::IsFailedPrecondition(Send({Chunk()})));
  EXPECT_TRUE(absl::IsFailedPrecondition(Send({Commit()})));
  EXPECT_TRUE(absl::IsFailedPrecondition(Send({Begin(), Begin()})));
  EXPECT_TRUE(absl::IsFailedPrecondition(Send({Begin(), v1::PushRequest()})));
  EXPECT_TRUE(absl::IsFailedPrecondition(Send({})));
}

TEST_F(HostileTest, NamesThatArePathsAreRefused) {
  for (const char* const name :
       {"../outside", "/etc/passwd", "a/b", "..", ".", "", ".hidden",
        "ckpt-manifest.pb", "ckpt-pinned", "ckpt-arrived", "stats-dump",
        ".arrival-record"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin(), Chunk(name)}))) << name;
  }
  EXPECT_TRUE(
      absl::IsInvalidArgument(Send({Begin(), Chunk(std::string("a\0b", 3))})));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Send({Begin(), Chunk(std::string(201, 'a'))})));
  for (const char* const image : {"../outside", "/outside", "", ".job"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin(image)}))) << image;
  }
}

TEST_F(HostileTest, AnnouncementsThatLieAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin("job", "")})));
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin("job", "a/b")})));
  v1::PushRequest begin = Begin();
  begin.mutable_begin()->set_cgroup("/jobs/../other");
  EXPECT_TRUE(absl::IsInvalidArgument(Send({begin})));
  begin = Begin();
  begin.mutable_begin()->set_bytes_total(4000);
  EXPECT_TRUE(absl::IsInvalidArgument(Send({begin, Chunk()})));
}

TEST_F(HostileTest, MorePiecesThanAnyImageHasAreRefused) {
  PushSession session(receiver_, &AdmitAll);
  ASSERT_TRUE(session.Take(Begin()).ok());
  v1::PushRequest piece;
  ChunkEncoder encoder;
  encoder.Encode("x", 0, piece.mutable_chunk());
  piece.mutable_chunk()->set_file("pages-1.img");
  size_t taken = 0;
  absl::Status status;
  while (status.ok() && taken <= 2 * kMaxRanges) {
    piece.mutable_chunk()->set_offset(2 * taken++);
    status = session.Take(piece).status();
  }
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  // And those that wait to be written.
  EXPECT_GT(taken, kMaxRanges);
  EXPECT_LT(taken, kMaxRanges + 50);
}

TEST_F(HostileTest, TheSamePieceAgainAndAgainIsRefused) {
  PushSession session(receiver_, &AdmitAll);
  ASSERT_TRUE(session.Take(Begin()).ok());
  const v1::PushRequest piece = Chunk();
  absl::Status status;
  for (size_t i = 0; status.ok() && i <= 2 * kMaxRanges; ++i) {
    status = session.Take(piece).status();
  }
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

TEST_F(HostileTest, LengthsThatLieAreRefused) {
  EXPECT_FALSE(
      SendChanged([](v1::ImageChunk& chunk) { chunk.set_length(4999); }).ok());
  EXPECT_FALSE(
      SendChanged([](v1::ImageChunk& chunk) { chunk.set_length(5001); }).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      SendChanged([](v1::ImageChunk& chunk) { chunk.set_length(0); })));
  EXPECT_TRUE(absl::IsInvalidArgument(SendChanged(
      [](v1::ImageChunk& chunk) { chunk.set_length(kMaxChunkBytes + 1); })));
  EXPECT_TRUE(absl::IsInvalidArgument(SendChanged(
      [](v1::ImageChunk& chunk) { chunk.set_offset(kMaxFileBytes); })));
  EXPECT_TRUE(absl::IsInvalidArgument(SendChanged(
      [](v1::ImageChunk& chunk) { chunk.set_offset(~uint64_t{0}); })));
  EXPECT_TRUE(absl::IsInvalidArgument(
      SendChanged([](v1::ImageChunk& chunk) { chunk.add_runs(3); })));
  EXPECT_TRUE(absl::IsInvalidArgument(
      SendChanged([](v1::ImageChunk& chunk) { chunk.add_runs(~0u); })));
  EXPECT_TRUE(absl::IsInvalidArgument(SendChanged([](v1::ImageChunk& chunk) {
    chunk.add_runs(1);
    chunk.add_runs(~0u);
  })));
}

TEST_F(HostileTest, ChunksThatAreNotWhatWasSentAreNamed) {
  const absl::Status sum =
      SendChanged([](v1::ImageChunk& chunk) { chunk.set_xxh3(1); });
  EXPECT_TRUE(absl::IsDataLoss(sum));
  EXPECT_TRUE(absl::StrContains(sum.message(), "'pages-1.img' at offset 0"))
      << sum;
  EXPECT_TRUE(absl::IsDataLoss(SendChanged(
      [](v1::ImageChunk& chunk) { chunk.set_data("no zstd frame"); })));
  EXPECT_TRUE(absl::IsDataLoss(
      SendChanged([](v1::ImageChunk& chunk) { chunk.clear_data(); })));
  EXPECT_TRUE(absl::IsDataLoss(
      SendChanged([](v1::ImageChunk& chunk) { chunk.set_zstd(false); })));
}

TEST_F(HostileTest, ManifestsThatLieAreRefused) {
  EXPECT_TRUE(
      absl::IsPermissionDenied(Send({Begin(), Chunk(), Commit("/other")})));
  // No digest is that of the content.
  EXPECT_TRUE(absl::IsDataLoss(Send({Begin(), Chunk(), Commit()})));
  v1::PushRequest commit;
  commit.mutable_commit()->set_manifest("no manifest");
  EXPECT_TRUE(absl::IsDataLoss(Send({Begin(), Chunk(), commit})));
  commit.mutable_commit()->set_manifest(
      std::string(kMaxManifestBytes + 1, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin(), Chunk(), commit})));
}

TEST_F(HostileTest, ManifestThatListsAPathIsRefused) {
  v1::Manifest manifest;
  manifest.mutable_job()->set_cgroup("/jobs/a");
  manifest.add_files()->set_name("../outside");
  v1::PushRequest commit;
  commit.mutable_commit()->set_manifest(EncodeManifest(manifest));
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin(), commit})));
}

TEST_F(HostileTest, ManifestBeyondTheBoundsIsRefusedBeforeAFileIsMade) {
  const auto commit = [](const v1::Manifest& listed) {
    v1::Manifest manifest = listed;
    manifest.mutable_job()->set_cgroup("/jobs/a");
    v1::PushRequest request;
    request.mutable_commit()->set_manifest(EncodeManifest(manifest));
    return request;
  };
  v1::PushRequest announced = Begin();
  announced.mutable_begin()->set_bytes_total(6000);
  v1::Manifest manifest;
  manifest.add_files()->set_name("pages-1.img");
  manifest.mutable_files(0)->set_size_bytes(6001);
  EXPECT_TRUE(absl::IsInvalidArgument(Send({announced, commit(manifest)})));
  manifest.mutable_files(0)->set_size_bytes(kMaxFileBytes + 1);
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin(), commit(manifest)})));
  manifest.mutable_files(0)->set_size_bytes(kMaxFileBytes);
  manifest.add_files()->set_name("pages-2.img");
  manifest.mutable_files(1)->set_size_bytes(1);
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin(), commit(manifest)})));
  manifest.clear_files();
  for (size_t i = 0; i <= kMaxFiles; ++i) {
    manifest.add_files()->set_name(absl::StrCat("f", i));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Begin(), commit(manifest)})));
  const auto names = ListDirectory(store_.directory() + "/.ckpt-arriving-job");
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(*names, std::vector<std::string>{".arrival-record"});
}

TEST_F(HostileTest, AnotherTransferToTheNameHasToWait) {
  PushSession first(receiver_, &AdmitAll);
  ASSERT_TRUE(first.Take(Begin()).ok());
  EXPECT_TRUE(absl::IsUnavailable(Send({Begin("job", "two")})));
}

TEST_F(HostileTest, PartOfAnotherGroupIsNotReplaced) {
  ASSERT_EQ(Send({Begin(), Chunk()}), absl::OkStatus());
  v1::PushRequest begin = Begin("job", "two");
  begin.mutable_begin()->set_cgroup("/jobs/b");
  EXPECT_TRUE(absl::IsAlreadyExists(Send({begin})));
}

TEST_F(HostileTest, WhoIsNotAdmittedLearnsNothing) {
  PushSession session(receiver_, [](const std::string&, const std::string&) {
    return absl::PermissionDeniedError("no");
  });
  EXPECT_TRUE(absl::IsPermissionDenied(session.Take(Begin()).status()));
  const auto arriving = ListArriving(store_);
  ASSERT_TRUE(arriving.ok());
  EXPECT_TRUE(arriving->empty());
}

}  // namespace
}  // namespace ckpt::transfer
