// ckpt migrate between two nodes with agents of their own: there and back, and
// with an agent killed at each of its fault points: one copy runs, at the node
// that the decision says, and nothing else is left.
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/node/migration_lab.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

class MigrateTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
    ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
  }
  MigrationLab lab_{GetParam()};
};

TEST_P(MigrateTest, JobGoesThereAndBack) {
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  for (const int from : {1, 2}) {
    const CommandResult moved = lab_.Migrate(from, absl::StrCat("m", from));
    ASSERT_EQ(moved.exit_status, 0) << moved.err << lab_.Log(3 - from);
    EXPECT_EQ(lab_.AwaitOneCopy(), 3 - from);
    EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  }
  EXPECT_TRUE(
      absl::StrContains(lab_.Ckpt(1, {"ops", "show", "m1"}).out, "DONE"));
  EXPECT_TRUE(
      absl::StrContains(lab_.Ckpt(2, {"ops", "show", "m1"}).out, "RUNNING"));
}

TEST_P(MigrateTest, DestinationThatRefusesLeavesTheJobAlone) {
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  EXPECT_EQ(lab_.Migrate(1, "nobody").exit_status, 14);  // UNAVAILABLE
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitOneCopy(), 1);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
}

// Told before the job is frozen, with the findings as details.
TEST_P(MigrateTest, WhatTheDestinationLacksRefusesItBeforehand) {
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes", /*private_files=*/true), absl::OkStatus());
  const CommandResult refused = lab_.Migrate(1, "m", {"--json"});
  EXPECT_EQ(refused.exit_status, 9) << refused.err;  // FAILED_PRECONDITION
  const std::string said = refused.out + refused.err;
  EXPECT_TRUE(absl::StrContains(said, "check_report")) << said;
  EXPECT_TRUE(absl::StrContains(said, "file missing")) << said;
  EXPECT_TRUE(absl::StrContains(said, "/run/status")) << said;
  const std::string steps = lab_.Ckpt(1, {"ops", "show", "m"}).out;
  EXPECT_FALSE(absl::StrContains(steps, "LEAVING")) << steps;
  EXPECT_EQ(lab_.AwaitOneCopy(), 1);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(
    All, MigrateTest, testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
    [](const auto& info) { return CgroupVersionName(info.param); });

// Fault point, the node whose agent dies there, and where the job runs then.
using Case = std::tuple<std::string, int, int>;

class MigrateFaultTest : public testing::TestWithParam<Case> {
 protected:
  MigrationLab lab_{CgroupVersion::kV2};
};

TEST_P(MigrateFaultTest, OneCopyRunsWhenTheAgentIsBack) {
  const std::string why = WhyNoCgroup(CgroupVersion::kV2);
  if (!why.empty()) GTEST_SKIP() << why;
  const auto& [point, victim, runs_at] = GetParam();
  ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(victim, absl::StrCat(point, "=kill")),
            absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(3 - victim), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  EXPECT_NE(lab_.Migrate(1, "m").exit_status, 0);
  ASSERT_EQ(lab_.AwaitAgentGone(victim), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(victim), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitOneCopy(), runs_at)
      << lab_.Ckpt(1, {"ops", "show", "m"}).out
      << lab_.Ckpt(2, {"ops", "show", "m"}).out << lab_.Log(1) << lab_.Log(2);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(
    All, MigrateFaultTest,
    testing::Values(Case{"migrate.dumped", 1, 1}, Case{"migrate.ready", 1, 1},
                    Case{"migrate.decided", 1, 2}, Case{"migrate.gone", 1, 2},
                    Case{"migrate.received", 2, 1}, Case{"migrate.held", 2, 1}),
    [](const auto& info) {
      return absl::StrReplaceAll(std::get<0>(info.param), {{".", "_"}});
    });

// The destination dies after the decision: the operation still fails, as its
// end is not known, and the job runs there in the end.
class MigrateLateFaultTest : public testing::TestWithParam<std::string> {
 protected:
  MigrationLab lab_{CgroupVersion::kV2};
};

TEST_P(MigrateLateFaultTest, JobRunsThereWhenTheDestinationIsBack) {
  const std::string why = WhyNoCgroup(CgroupVersion::kV2);
  if (!why.empty()) GTEST_SKIP() << why;
  ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2, GetParam() + "=kill"), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  const CommandResult moved = lab_.Migrate(1, "m");
  EXPECT_EQ(moved.exit_status, 14);
  EXPECT_TRUE(absl::StrContains(moved.err, "has left")) << moved.err;
  ASSERT_EQ(lab_.AwaitAgentGone(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitOneCopy(), 2)
      << lab_.Ckpt(1, {"ops", "show", "m"}).out
      << lab_.Ckpt(2, {"ops", "show", "m"}).out << lab_.Log(2);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(All, MigrateLateFaultTest,
                         testing::Values("migrate.release_asked",
                                         "migrate.taken", "migrate.releasing",
                                         "restore.before_release",
                                         "migrate.released"),
                         [](const auto& info) {
                           return absl::StrReplaceAll(info.param, {{".", "_"}});
                         });

}  // namespace
}  // namespace ckpt
