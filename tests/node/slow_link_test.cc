// Migration over a link that is slow and narrow.
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/agent.pb.h"
#include "tests/node/migration_lab.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr absl::Duration kDelay = absl::Milliseconds(20);
// 16 MiB, which do not compress, in about 3 seconds.
constexpr int64_t kBits = 45'000'000;

absl::Time Soon() { return Clock::Real().Now() + absl::Seconds(90); }

class SlowLinkTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
    ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
    ASSERT_EQ(lab_.SlowDown(2, kDelay, kBits), absl::OkStatus());
    ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
    ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
    ASSERT_EQ(lab_.StartJob("memory"), absl::OkStatus());
  }

  void ExpectOneCopyAt(int node) {
    EXPECT_EQ(lab_.AwaitOneCopy(), node)
        << lab_.Ckpt(1, {"ops", "show", "m"}).out << lab_.Log(1) << lab_.Log(2);
    EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  }

  // As the source's agent tells of it.
  v1::OperationProgress Progress() {
    v1::OperationList list;
    const std::string json = lab_.Ckpt(1, {"ops", "--json"}).out;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &list).ok())
        << json;
    return list.operations_size() == 1 ? list.operations(0).progress()
                                       : v1::OperationProgress();
  }

  MigrationLab lab_{GetParam()};
};

TEST_P(SlowLinkTest, JobMovesThereAndBack) {
  const CommandResult moved = lab_.Migrate(1, "m", {"--json"});
  ASSERT_EQ(moved.exit_status, 0) << moved.err;
  ExpectOneCopyAt(2);
  const CommandResult back = lab_.Migrate(2, "b");
  ASSERT_EQ(back.exit_status, 0) << back.err;
  ExpectOneCopyAt(1);
}

TEST_P(SlowLinkTest, CancelledInTheMiddleGivesTheJobBack) {
  const auto migration = lab_.StartMigration(1, "m");
  ASSERT_TRUE(migration.ok()) << migration.status();
  const absl::Time deadline = Soon();
  v1::OperationProgress progress;
  while (progress.bytes_wire() == 0) {
    ASSERT_LT(Clock::Real().Now(), deadline);
    Clock::Real().Sleep(absl::Milliseconds(10));
    progress = Progress();
  }
  EXPECT_LT(progress.percent(), 100);
  EXPECT_EQ(lab_.Ckpt(1, {"ops", "cancel", "m"}).exit_status, 0);
  EXPECT_EQ(lab_.Ckpt(1, {"ops", "watch", "m"}).exit_status, 1);  // CANCELLED
  ExpectOneCopyAt(1);
}

INSTANTIATE_TEST_SUITE_P(
    All, SlowLinkTest, testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
    [](const auto& info) { return CgroupVersionName(info.param); });

}  // namespace
}  // namespace ckpt
