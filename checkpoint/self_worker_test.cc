#include "checkpoint/self_worker.h"

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "checkpoint/self_port.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

absl::Status Start(const std::string& argument) {
  SelfCall call;
  call.image = "solver";
  call.timeout = absl::Seconds(1);
  call.arguments = {argument, "1"};
  // Not there: what is taken goes as far as that.
  return SelfWorker::Start(call, {}, {.ckpt = "/nonexistent/ckpt", .criu = ""})
      .status();
}

TEST(SelfWorkerTest, ArgumentsDoNotStandForWhatTheServiceSays) {
  for (const char* const argument :
       {"--pid", "--pid=1", "--p", "--mailbox", "--mail=0x0", "--request",
        "--owner=0", "--served", "--store", "--image", "--g"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Start(argument))) << argument;
  }
}

TEST(SelfWorkerTest, OtherArgumentsAreTaken) {
  for (const char* const argument :
       {"--tcp-established", "--external", "--criu", "--freezer", "v2"}) {
    EXPECT_TRUE(absl::IsNotFound(Start(argument))) << Start(argument);
  }
}

}  // namespace
}  // namespace ckpt::checkpoint
