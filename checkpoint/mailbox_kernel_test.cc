// A mailbox in this very process, as another process would write it.

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fake_clock.h"
#include "checkpoint/mailbox.h"
#include "gtest/gtest.h"
#include "store/image_store.h"
#include "tests/support/test_dir.h"

namespace ckpt::checkpoint {
namespace {

class MailboxTest : public testing::Test {
 protected:
  void SetUp() override {
    box_.magic = CKPT_MAILBOX_MAGIC;
    box_.request = 7;
    box_.state = CKPT_MAILBOX_READY;
  }

  MailboxAddress Address() const {
    return {::getpid(), reinterpret_cast<uint64_t>(&box_), 7};
  }

  alignas(CKPT_MAILBOX_BYTES) ckpt_mailbox box_ = {};
};

TEST_F(MailboxTest, DoneBringsNumberAndPath) {
  const auto mailbox = Mailbox::Open(Address());
  ASSERT_TRUE(mailbox.ok()) << mailbox.status();
  EXPECT_EQ(mailbox->WriteDone(3, "/store/a.3"), absl::OkStatus());
  EXPECT_EQ(box_.state, CKPT_MAILBOX_DONE);
  EXPECT_EQ(box_.number, 3);
  EXPECT_STREQ(box_.text, "/store/a.3");
}

TEST_F(MailboxTest, FailureBringsErrnoAndMessageThatIsCutIfTooLong) {
  const auto mailbox = Mailbox::Open(Address());
  ASSERT_TRUE(mailbox.ok()) << mailbox.status();
  EXPECT_EQ(
      mailbox->WriteFailed(absl::UnavailableError(std::string(5000, 'x'))),
      absl::OkStatus());
  EXPECT_EQ(box_.state, CKPT_MAILBOX_FAILED);
  EXPECT_EQ(box_.error, EBUSY);
  EXPECT_EQ(std::strlen(box_.text), sizeof box_.text - 1);
}

TEST_F(MailboxTest, WrittenIsFollowedByTheEnd) {
  const auto mailbox = Mailbox::Open(Address());
  ASSERT_TRUE(mailbox.ok()) << mailbox.status();
  EXPECT_EQ(mailbox->WriteWritten(3, "/store/a.3"), absl::OkStatus());
  EXPECT_EQ(box_.state, CKPT_MAILBOX_WRITTEN);
  EXPECT_EQ(box_.number, 3);
  EXPECT_STREQ(box_.text, "/store/a.3");

  EXPECT_EQ(mailbox->WriteFailed(absl::ResourceExhaustedError("full")),
            absl::OkStatus());
  EXPECT_EQ(box_.state, CKPT_MAILBOX_FAILED);
  EXPECT_EQ(box_.error, ENOSPC);
  EXPECT_STREQ(box_.text, "full");
}

TEST_F(MailboxTest, WhoWaitsNoLongerIsNotWrittenTo) {
  const auto mailbox = Mailbox::Open(Address());
  ASSERT_TRUE(mailbox.ok()) << mailbox.status();
  box_.request = 8;  // another call meanwhile
  EXPECT_EQ(mailbox->WriteDone(3, "").code(), absl::StatusCode::kAborted);
  EXPECT_EQ(box_.state, CKPT_MAILBOX_READY);
}

TEST_F(MailboxTest, WhoHasGivenUpIsNotDumped) {
  FakeClock clock;
  const auto mailbox = Mailbox::Open(Address());
  ASSERT_TRUE(mailbox.ok()) << mailbox.status();
  ASSERT_EQ(mailbox->AwaitReady(clock, clock.Now()), absl::OkStatus());
  box_.state = CKPT_MAILBOX_LEFT;
  EXPECT_TRUE(absl::IsAborted(mailbox->AwaitReady(clock, clock.Now())));
  EXPECT_TRUE(absl::IsAborted(mailbox->WriteDone(3, "/store/a.3")));
  EXPECT_EQ(box_.state, CKPT_MAILBOX_LEFT);

  TestDir dir;
  auto pending = ImageStore(dir.path()).Begin("a.3");
  ASSERT_TRUE(pending.ok()) << pending.status();
  EXPECT_TRUE(absl::IsAborted(mailbox->MarkInImage(**pending, 3, "a.3")));
}

TEST_F(MailboxTest, ReadyIsWaitedForUntilTheDeadline) {
  box_.state = CKPT_MAILBOX_IDLE;
  FakeClock clock;
  const auto mailbox = Mailbox::Open(Address());
  ASSERT_TRUE(mailbox.ok()) << mailbox.status();
  EXPECT_EQ(mailbox->AwaitReady(clock, clock.Now() + absl::Seconds(1)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(MailboxTest, OtherMemoryIsRefused) {
  box_.magic = 0;
  EXPECT_EQ(Mailbox::Open(Address()).status().code(),
            absl::StatusCode::kInvalidArgument);
  MailboxAddress unaligned = Address();
  unaligned.address += 8;
  EXPECT_EQ(Mailbox::Open(unaligned).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ckpt::checkpoint
