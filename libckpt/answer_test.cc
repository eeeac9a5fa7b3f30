// What is left of a call that is not answered.

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "proto/mailbox.h"
#include "tests/support/test_dir.h"

extern "C" {
#include "libckpt/answer.h"
#include "libckpt/service.h"
const char* ckpt_last_error(void);
}

namespace ckpt {
namespace {

class AnswerTest : public testing::Test {
 protected:
  void SetUp() override {
    service_.address.sun_family = AF_UNIX;
    std::memcpy(service_.address.sun_path, path_.data(), path_.size());
  }

  // Which nobody reads from.
  UniqueFd Listen() {
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(socket.get(),
                     reinterpret_cast<const sockaddr*>(&service_.address),
                     sizeof(service_.address)),
              0);
    return socket;
  }

  TestDir dir_;
  const std::string path_ = dir_.File("socket");
  ckpt_service service_ = {};
};

TEST_F(AnswerTest, CallThatHasGivenUpIsNotCarriedOutLater) {
  const UniqueFd listener = Listen();
  const ckpt_mailbox* const mailbox = ckpt_answer_prepare();
  EXPECT_EQ(ckpt_answer_await_service(&service_, 1, /*early=*/0), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_TRUE(absl::StrContains(ckpt_last_error(), "after this it is not"))
      << ckpt_last_error();
  EXPECT_EQ(mailbox->state, CKPT_MAILBOX_LEFT);
}

TEST_F(AnswerTest, CallThatNobodyCanKnowOfSaysThatNothingWasTouched) {
  const ckpt_mailbox* const mailbox = ckpt_answer_prepare();
  EXPECT_EQ(ckpt_answer_await_service(&service_, 1, /*early=*/0), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_TRUE(absl::StrContains(ckpt_last_error(), "nothing was touched"))
      << ckpt_last_error();
  EXPECT_EQ(mailbox->state, CKPT_MAILBOX_LEFT);
}

}  // namespace
}  // namespace ckpt
