#include "transfer/pull.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "transfer/test_image.h"
#include "transfer/transfer_fixture.h"

namespace ckpt::transfer {
namespace {

class PullTest : public TransferFixture {
 protected:
  absl::StatusOr<v1::TransferReport> Get(int streams = 1) {
    Receiver receiver(here_);
    return Pull(link_, "job", receiver, "job", Options(streams));
  }
};

TEST_F(PullTest, WholeImageComes) {
  const v1::Manifest manifest = MakeImage(there_, "job");
  const auto report = Get();
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectImage(here_, "job", manifest);
  EXPECT_EQ(report->image(), dir_.path() + "/here/job");
}

TEST_F(PullTest, SeveralStreamsBringTheSame) {
  const v1::Manifest manifest = MakeImage(there_, "job");
  ASSERT_TRUE(Get(4).ok());
  ExpectImage(here_, "job", manifest);
}

TEST_F(PullTest, ImageThatIsNotThereIsTold) {
  EXPECT_TRUE(absl::IsNotFound(Get().status()));
}

TEST_F(PullTest, CutAtEveryMessageItGoesOnFromWhatHasArrived) {
  const v1::Manifest manifest = MakeImage(there_, "job");
  const int messages = CutAtEveryMessage(
      absl::UnavailableError("cut"), [&](int cut, const bool& was_cut) {
        const auto report = Get();
        ASSERT_TRUE(report.ok()) << "cut at " << cut << ": " << report.status();
        EXPECT_EQ(report->retries(), was_cut ? 1 : 0);
        ExpectImage(here_, "job", manifest);
        ASSERT_EQ(here_.Remove("job"), absl::OkStatus());
      });
  EXPECT_GT(messages, 5);
}

TEST_F(PullTest, CorruptChunkIsFetchedAgainAndTwiceIsNamed) {
  const v1::Manifest manifest = MakeImage(there_, "job");
  bool for_ever = false;
  int corrupted = 0;
  link_.set_on_message([&](int, v1::ImageChunk* chunk) {
    if (chunk != nullptr && (for_ever || corrupted == 0)) {
      (*chunk->mutable_data())[0] ^= 1;
      ++corrupted;
    }
    return absl::OkStatus();
  });
  ASSERT_TRUE(Get().ok());
  ExpectImage(here_, "job", manifest);
  ASSERT_EQ(here_.Remove("job"), absl::OkStatus());
  for_ever = true;
  EXPECT_TRUE(absl::IsDataLoss(Get().status()));
}

TEST_F(PullTest, CancelledItKeepsWhatHasArrived) {
  const v1::Manifest manifest = MakeImage(there_, "job");
  Cancellation cancel;
  // Nothing more comes then: only the cancellation can end it.
  link_.set_on_message([&](int number, v1::ImageChunk*) -> absl::Status {
    if (number < 3) return absl::OkStatus();
    cancel.Cancel();
    return absl::UnavailableError("cut");
  });
  Receiver receiver(here_);
  TransferOptions options = Options();
  options.cancel = &cancel;
  options.attempts = 1'000'000;
  const auto report = Pull(link_, "job", receiver, "job", options);
  EXPECT_TRUE(absl::IsCancelled(report.status())) << report.status();
  EXPECT_EQ(ArrivingCount(here_), 1);

  link_.set_on_message(nullptr);
  ASSERT_TRUE(Get().ok());
  ExpectImage(here_, "job", manifest);
}

}  // namespace
}  // namespace ckpt::transfer
