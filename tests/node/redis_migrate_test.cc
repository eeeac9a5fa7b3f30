// A Redis server under load goes from one node to another and back.  Its client
// on a third connects anew, and finds every write that was acknowledged.
// $CKPT_TEST_ROUNDS: how often.
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/node/migration_lab.h"
#include "tests/node/node.h"
#include "tests/node/rounds.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr char kService[] = "10.77.0.100";
// Debian's redis-tools has the server under this name.
constexpr char kServer[] =
    "exec -a redis-server /usr/bin/redis-check-rdb --bind 0.0.0.0 "
    "--port 6379 --save '' --appendonly no --protected-mode no --dir /tmp";

// Enough for all keys to have been read back twice.
constexpr uint64_t kRounds = 130;

class RedisMigrateTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(WhyNoCgroup(CgroupVersion::kV2), "");
    ASSERT_EQ(lab_.SetUp(3), absl::OkStatus());
    ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
    ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
    ASSERT_EQ(lab_.node(1).AddAddress(kService), absl::OkStatus());
    Job::Options server;
    server.argv = {"/bin/bash", "-c", kServer};
    server.cgroups = {&lab_.group(1)};
    ASSERT_TRUE(lab_.node(1).Start(server).ok());
    Job::Options client;
    client.argv = {RunfilesPath("tests/testcases/redis_client"),
                   "--status",
                   writer_status_,
                   "--address",
                   kService,
                   "--port",
                   "6379",
                   "--retry",
                   "1"};
    ASSERT_TRUE(lab_.node(3).Start(client).ok());
  }

  absl::Status AwaitWrites() {
    return WaitForBeats(writer_status_, kRounds,
                        Clock::Real().Now() + absl::Seconds(90));
  }

  MigrationLab lab_{CgroupVersion::kV2};
  const std::string writer_status_ = lab_.File("writer");
};

TEST_F(RedisMigrateTest, NoAcknowledgedWriteIsLostThereAndBack) {
  ASSERT_EQ(AwaitWrites(), absl::OkStatus());
  const int rounds = TestRounds(2);
  for (int step = 0; step < 2 * rounds; ++step) {
    const int from = 1 + step % 2;
    const CommandResult moved =
        lab_.Migrate(from, absl::StrCat("m", step), {"--tcp-close"});
    ASSERT_EQ(moved.exit_status, 0)
        << step << ": " << moved.err << lab_.Log(1) << lab_.Log(2);
    ASSERT_EQ(lab_.node(from).RemoveAddress(kService), absl::OkStatus());
    ASSERT_EQ(lab_.node(3 - from).AddAddress(kService), absl::OkStatus());
    ASSERT_EQ(lab_.node(3 - from).Announce(kService), absl::OkStatus());
    ASSERT_EQ(lab_.AwaitOneCopy(), 3 - from) << step;
    ASSERT_EQ(AwaitWrites(), absl::OkStatus()) << step;
  }
  const auto writer = ReadStatus(writer_status_);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ(writer->errors, 0u) << writer->error_text;
  RecordProperty("acknowledged_writes", static_cast<int>(writer->beat));
}

}  // namespace
}  // namespace ckpt
