#include "agent/transfer_desk.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "agent/gate.h"
#include "agent/metrics.h"
#include "agent/policy.h"
#include "gtest/gtest.h"
#include "store/image_store.h"
#include "tests/support/test_dir.h"
#include "transfer/receiver.h"

namespace ckpt::agent {
namespace {

// Says nothing, and ends the call when it is asked to say something.
class SilentCaller : public PushCaller {
 public:
  bool Read(v1::PushRequest*, AlignedBytes*) override {
    ++reads;
    return false;
  }
  bool Write(const v1::PushReply&) override { return false; }

  int reads = 0;
};

class TransferDeskTest : public testing::Test {
 protected:
  static Caller Named(const std::string& client) {
    Caller caller;
    caller.clients = {client};
    caller.name = "client " + client;
    return caller;
  }

  TestDir dir_;
  std::string audit_;
  const Gate gate_{*Policy::Parse("rule { client: 'friend' verb: PUSH "
                                  "cgroup: '/jobs' }",
                                  UserNames::Real()),
                   [this](const std::string& line) { audit_ += line; }};
  const ImageStore store_{dir_.path()};
  transfer::Receiver receiver_{store_};
  Metrics metrics_;
  TransferDesk desk_{gate_, store_, receiver_, metrics_, nullptr};
};

TEST_F(TransferDeskTest, WhoMayPushNowhereIsNotWaitedFor) {
  SilentCaller call;
  EXPECT_TRUE(absl::IsPermissionDenied(desk_.Push(Named("stranger"), call)));
  EXPECT_EQ(call.reads, 0);
  EXPECT_TRUE(absl::StrContains(audit_, "\"allowed\":false")) << audit_;
}

TEST_F(TransferDeskTest, WhoMayIsAskedWhatComes) {
  SilentCaller call;
  EXPECT_TRUE(absl::IsFailedPrecondition(desk_.Push(Named("friend"), call)));
  EXPECT_EQ(call.reads, 1);
}

}  // namespace
}  // namespace ckpt::agent
