#include "transfer/push.h"

#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "transfer/test_image.h"
#include "transfer/transfer_fixture.h"

namespace ckpt::transfer {
namespace {

class PushTest : public TransferFixture {
 protected:
  absl::StatusOr<v1::TransferReport> Send(int streams = 1) {
    const auto image = here_.Open("job");
    if (!image.ok()) return image.status();
    return Push::Begin(link_, AnnouncementOf(image->manifest(), "job"),
                       image->dir_fd(), Options(streams))
        ->Finish();
  }
  // Again and again, cut at one message after the other; how many there are.
  int SendCutAtEveryMessage() {
    const v1::Manifest manifest = MakeImage(here_, "job");
    return CutAtEveryMessage(
        absl::UnavailableError("cut"), [&](int cut, const bool& was_cut) {
          const auto report = Send();
          ASSERT_TRUE(report.ok())
              << "cut at " << cut << ": " << report.status();
          // A port for data that does not serve is not tried again.
          const int unused = report->data_port_problem().empty() ? 0 : 1;
          EXPECT_EQ(report->retries() + unused, was_cut ? 1 : 0);
          ExpectImage(there_, "job", manifest);
          ASSERT_EQ(there_.Remove("job"), absl::OkStatus());
        });
  }
  // The first chunk is message `first_chunk`.
  void ExpectCorruptChunkIsSentAgain(int first_chunk) {
    const v1::Manifest manifest = MakeImage(here_, "job");
    link_.set_on_message([=](int number, v1::ImageChunk* chunk) {
      if (number == first_chunk) (*chunk->mutable_data())[1] ^= 1;
      return absl::OkStatus();
    });
    const auto report = Send();
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->retries(), 1);
    ExpectImage(there_, "job", manifest);
  }
};

TEST_F(PushTest, WholeImageArrives) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  const auto report = Send();
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectImage(there_, "job", manifest);
  EXPECT_EQ(report->image_id(), manifest.image_id());
  EXPECT_EQ(report->image(), dir_.path() + "/there/job");
  EXPECT_EQ(report->retries(), 0);
  EXPECT_EQ(ArrivingCount(there_), 0);
}

TEST_F(PushTest, SeveralStreamsBringTheSame) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  ASSERT_TRUE(Send(4).ok());
  ExpectImage(there_, "job", manifest);
}

TEST_F(PushTest, DataGoByThePortForThem) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  link_.set_data_port(FakeLink::DataPort::kOpen);
  for (const int streams : {1, 4}) {
    const auto report = Send(streams);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->data_port_problem(), "");
    EXPECT_EQ(report->retries(), 0);
    EXPECT_GT(link_.data_chunks(), 0);
    EXPECT_EQ(link_.other_chunks(), 0);
    ExpectImage(there_, "job", manifest);
    ASSERT_EQ(there_.Remove("job"), absl::OkStatus());
  }
}

TEST_F(PushTest, PortForDataThatCannotBeReachedIsToldAndNotNeeded) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  link_.set_data_port(FakeLink::DataPort::kClosed);
  const auto report = Send(2);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(absl::StrContains(report->data_port_problem(), "a firewall"));
  EXPECT_EQ(report->retries(), 0);
  EXPECT_EQ(link_.data_chunks(), 0);
  ExpectImage(there_, "job", manifest);
}

TEST_F(PushTest, CutAtEveryMessageToThePortForDataItGoesOn) {
  link_.set_data_port(FakeLink::DataPort::kOpen);
  EXPECT_GT(SendCutAtEveryMessage(), 9);
}

TEST_F(PushTest, CorruptChunkToThePortForDataIsSentAgain) {
  link_.set_data_port(FakeLink::DataPort::kOpen);
  ExpectCorruptChunkIsSentAgain(6);
}

TEST_F(PushTest, HolesAndZerosAreNotSentAndStayHoles) {
  MakeImage(here_, "job");
  const auto report = Send();
  ASSERT_TRUE(report.ok()) << report.status();
  // The noise, and hardly anything of what compresses.
  EXPECT_LT(report->wire_bytes(), 1'200'000 + 710'000 + 20'000);
  struct stat about = {};
  ASSERT_EQ(::stat((dir_.path() + "/there/job/zeros.img").c_str(), &about), 0);
  EXPECT_EQ(about.st_size, 300'000);
  EXPECT_EQ(about.st_blocks, 0);
  ASSERT_EQ(::stat((dir_.path() + "/there/job/pages-4.img").c_str(), &about),
            0);
  EXPECT_LT(about.st_blocks * 512, 65536);
}

TEST_F(PushTest, ImageThatGrowsLeavesWhileItIsWritten) {
  auto pending = here_.Begin("job");
  ASSERT_TRUE(pending.ok());
  v1::ImageAnnouncement announcement;
  announcement.set_image("job");
  announcement.set_transfer_id("move-1");
  announcement.set_cgroup("/jobs/a");
  const auto push =
      Push::Begin(link_, announcement, (*pending)->dir_fd(), Options(2));
  WriteAt((*pending)->dir_fd(), "pages-1.img", 0, Noise(3 << 20));
  // Begin, its answer, for both streams: what comes after that are chunks.
  while (link_.messages() < 6) ::usleep(1000);
  WriteFiles((*pending)->dir_fd());  // pages-1.img begins with the same
  WriteAt((*pending)->dir_fd(), "pages-1.img", 3 << 20, Noise(2'000'000));
  const auto manifest = (*pending)->Seal(AboutJob());
  ASSERT_TRUE(manifest.ok());
  const auto report = push->Finish();
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectImage(there_, "job", *manifest);
}

TEST_F(PushTest, CutAtEveryMessageItGoesOnFromWhatHasArrived) {
  EXPECT_GT(SendCutAtEveryMessage(), 7);
}

TEST_F(PushTest, CutAndReceiverKilledAtEveryMessageItGoesOn) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  const int messages = CutAtEveryMessage(
      absl::InternalError("the sender is killed"),
      [&](int cut, const bool& was_cut) {
        const bool arrived = Send().ok();
        EXPECT_EQ(arrived, !was_cut);
        link_.set_on_message(nullptr);
        link_.RestartOtherNode();
        const auto report = Send();
        ASSERT_TRUE(report.ok()) << "cut at " << cut << ": " << report.status();
        if (cut > 4 && was_cut) {
          EXPECT_TRUE(report->resumed_bytes() > 0 || report->was_there())
              << cut;
        }
        ExpectImage(there_, "job", manifest);
        ASSERT_EQ(there_.Remove("job"), absl::OkStatus());
      });
  EXPECT_GT(messages, 7);
}

TEST_F(PushTest, DeadLinkIsGivenUp) {
  MakeImage(here_, "job");
  link_.set_on_message(
      [](int, v1::ImageChunk*) { return absl::UnavailableError("no route"); });
  EXPECT_TRUE(absl::IsUnavailable(Send().status()));
  EXPECT_EQ(link_.messages(), TransferOptions().attempts);
}

TEST_F(PushTest, CorruptChunkIsSentAgain) { ExpectCorruptChunkIsSentAgain(4); }

TEST_F(PushTest, ChunkThatIsCorruptTwiceIsNamed) {
  MakeImage(here_, "job");
  link_.set_on_message([](int, v1::ImageChunk* chunk) {
    if (chunk != nullptr && chunk->file() == "pages-1.img" &&
        chunk->offset() > 0) {
      (*chunk->mutable_data())[1] ^= 1;
    }
    return absl::OkStatus();
  });
  const absl::Status status = Send().status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_TRUE(
      absl::StrContains(status.message(), "'pages-1.img' at offset 262144"))
      << status;
}

TEST_F(PushTest, ImageThatIsThereIsNotSentAgain) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  ASSERT_TRUE(Send().ok());
  const auto report = Send();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->was_there());
  EXPECT_EQ(report->wire_bytes(), 0);
}

TEST_F(PushTest, NameOfAnotherImageIsRefused) {
  MakeImage(here_, "job");
  MakeImage(there_, "job");
  EXPECT_TRUE(absl::IsAlreadyExists(Send().status()));
}

TEST_F(PushTest, NameThatIsTakenMeanwhileCostsNothingThatHasArrived) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  const std::string taken = there_.directory() + "/job";
  link_.set_on_message([&](int number, v1::ImageChunk*) {
    return number == 4 && ::mkdir(taken.c_str(), 0700) != 0
               ? absl::InternalError("mkdir")
               : absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsAlreadyExists(Send().status()));
  ASSERT_EQ(::rmdir(taken.c_str()), 0);
  const auto report = Send();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(report->resumed_bytes(), 0);
  ExpectImage(there_, "job", manifest);
  EXPECT_NE(::access((taken + "/.arrival-record").c_str(), F_OK), 0);
}

TEST_F(PushTest, CancelledItKeepsWhatHasArrived) {
  MakeImage(here_, "job");
  Cancellation cancel;
  link_.set_on_message([&](int number, v1::ImageChunk*) {
    if (number == 5) cancel.Cancel();
    return absl::OkStatus();
  });
  const auto image = here_.Open("job");
  TransferOptions options = Options();
  options.cancel = &cancel;
  options.attempts = 1;
  const auto push = Push::Begin(link_, AnnouncementOf(image->manifest(), "job"),
                                image->dir_fd(), options);
  const auto report = push->Finish();
  // It may have been over when the cancellation came through.
  if (report.ok()) return;
  EXPECT_TRUE(absl::IsCancelled(report.status())) << report.status();
  // Or when all had been sent.
  EXPECT_TRUE(ArrivingCount(there_) == 1 || there_.Open("job").ok());
}

TEST_F(PushTest, DiscardedItLeavesNothing) {
  auto pending = here_.Begin("job");
  ASSERT_TRUE(pending.ok());
  WriteFiles((*pending)->dir_fd());
  v1::ImageAnnouncement announcement;
  announcement.set_image("job");
  announcement.set_transfer_id("move-1");
  const auto push =
      Push::Begin(link_, announcement, (*pending)->dir_fd(), Options());
  while (link_.messages() < 3) ::usleep(1000);
  EXPECT_EQ(push->Discard(), absl::OkStatus());
  EXPECT_EQ(ArrivingCount(there_), 0);
  EXPECT_TRUE(absl::IsNotFound(there_.Open("job").status()));
}

TEST_F(PushTest, ProgressEndsWithAll) {
  const v1::Manifest manifest = MakeImage(here_, "job");
  v1::OperationProgress last;
  TransferOptions options = Options();
  options.on_progress = [&](const v1::OperationProgress& now) { last = now; };
  const auto image = here_.Open("job");
  ASSERT_TRUE(Push::Begin(link_, AnnouncementOf(manifest, "job"),
                          image->dir_fd(), options)
                  ->Finish()
                  .ok());
  EXPECT_EQ(last.bytes_total(), TotalBytes(manifest));
  EXPECT_EQ(last.bytes_done(), last.bytes_total());
  EXPECT_EQ(last.percent(), 100);
}

}  // namespace
}  // namespace ckpt::transfer
