// What an operator does with a migration between two nodes: watches it, has it
// wait, goes on or cancels, and decides by hand where a node is lost for ever.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/agent.pb.h"
#include "tests/node/migration_lab.h"
#include "tests/node/node.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr int kFailedPrecondition = 9;
constexpr int kUnavailable = 14;

absl::Time Soon() { return Clock::Real().Now() + absl::Seconds(90); }

class MigrateOperatorTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
    ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
  }

  void Start(const std::string& faults1 = "", const std::string& faults2 = "") {
    ASSERT_EQ(lab_.StartAgent(1, faults1), absl::OkStatus());
    ASSERT_EQ(lab_.StartAgent(2, faults2), absl::OkStatus());
    ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  }

  // A migration that only lacks the decision.
  void Pause(const std::vector<std::string>& flags = {}) {
    ASSERT_NO_FATAL_FAILURE(Start());
    std::vector<std::string> all = {"--pause-before-switchover"};
    all.insert(all.end(), flags.begin(), flags.end());
    const auto migration = lab_.StartMigration(1, "m", all);
    ASSERT_TRUE(migration.ok()) << migration.status();
    ASSERT_EQ(lab_.AwaitMigration(1, "m", "READY"), absl::OkStatus());
    const auto state = lab_.group(1).State();
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_EQ(*state, CgroupState::kFrozen);
  }

  void ExpectOneCopyAt(int node) {
    EXPECT_EQ(lab_.AwaitOneCopy(), node)
        << lab_.Ckpt(1, {"ops", "show", "m"}).out
        << lab_.Ckpt(2, {"ops", "show", "m"}).out << lab_.Log(1) << lab_.Log(2);
    EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  }

  // As the source's agent tells of it.
  v1::Operation Operation() {
    v1::OperationList list;
    const std::string json = lab_.Ckpt(1, {"ops", "--json"}).out;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &list).ok())
        << json;
    return list.operations_size() == 1 ? list.operations(0) : v1::Operation();
  }

  MigrationLab lab_{GetParam()};
};

class MigrateLossTest : public MigrateOperatorTest {};

TEST_P(MigrateOperatorTest, PausedMigrationGoesOnWhenItIsToldTo) {
  ASSERT_NO_FATAL_FAILURE(Pause());
  const v1::OperationProgress paused = Operation().progress();
  EXPECT_EQ(Operation().phase(), v1::PHASE_BUILD);
  EXPECT_GT(paused.bytes_total(), 0);
  EXPECT_EQ(paused.bytes_done(), paused.bytes_total());
  EXPECT_GT(paused.bytes_wire(), 0);
  EXPECT_EQ(paused.percent(), 100);
  EXPECT_GT(paused.downtime_seconds(), 0);
  EXPECT_GE(paused.expected_downtime_seconds(), paused.downtime_seconds());
  // The source answers: nobody decides in its place.
  const CommandResult early = lab_.Ckpt(2, {"ops", "decide", "m", "--keep"});
  EXPECT_EQ(early.exit_status, kFailedPrecondition) << early.out << early.err;
  const CommandResult gone_on = lab_.Ckpt(1, {"ops", "continue", "m"});
  EXPECT_EQ(gone_on.exit_status, 0) << gone_on.err;
  const CommandResult watched = lab_.Ckpt(1, {"ops", "watch", "m"});
  EXPECT_EQ(watched.exit_status, 0) << watched.err;
  EXPECT_TRUE(absl::StrContains(watched.out, "downtime ")) << watched.out;
  ExpectOneCopyAt(2);
  const v1::Operation ended = Operation();
  EXPECT_EQ(ended.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_GE(ended.progress().downtime_seconds(), paused.downtime_seconds());
  EXPECT_DOUBLE_EQ(ended.progress().downtime_seconds(),
                   ended.migrate_report().downtime_seconds());
}

TEST_P(MigrateOperatorTest, PausedMigrationThatIsCancelledGivesTheJobBack) {
  ASSERT_NO_FATAL_FAILURE(Pause());
  EXPECT_EQ(lab_.Ckpt(1, {"ops", "cancel", "m"}).exit_status, 0);
  EXPECT_EQ(lab_.Ckpt(1, {"ops", "watch", "m"}).exit_status, 1);  // CANCELLED
  ExpectOneCopyAt(1);
  EXPECT_EQ(lab_.AwaitMigration(1, "m", "CLOSED"), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitMigration(2, "m", "DROPPED"), absl::OkStatus());
  EXPECT_EQ(lab_.Ckpt(1, {"ops", "continue", "m"}).exit_status,
            kFailedPrecondition);
}

// While the destination hangs in the middle of what it is sent, and takes no
// more of it: the job does not wait for it.
TEST_P(MigrateOperatorTest, CancelledWhileTheImageLeavesTheJobRunsOn) {
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2, "transfer.receive=stop"), absl::OkStatus());
  WorkloadSpec large = WorkloadNamed("memory");
  // More than gRPC and the kernel take ahead.
  large.args = {"--mib", "96"};
  ASSERT_EQ(lab_.StartJob(large), absl::OkStatus());
  const auto migration = lab_.StartMigration(1, "m");
  ASSERT_TRUE(migration.ok()) << migration.status();
  ASSERT_EQ(lab_.AwaitAgentStopped(2), absl::OkStatus());
  const absl::Time start = Clock::Real().Now();
  EXPECT_EQ(lab_.Ckpt(1, {"ops", "cancel", "m"}).exit_status, 0);
  EXPECT_EQ(lab_.AwaitMigration(1, "m", "ABORTED"), absl::OkStatus());
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  // TCP gives a connection up after 20 s.
  EXPECT_LT(Clock::Real().Now() - start, absl::Seconds(15));
  ASSERT_EQ(lab_.KillAgent(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  ExpectOneCopyAt(1);
}

TEST_P(MigrateOperatorTest, EachChangeIsALineOfJson) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const CommandResult moved = lab_.Migrate(1, "m", {"--json"});
  ASSERT_EQ(moved.exit_status, 0) << moved.err;
  const std::vector<std::string> lines =
      absl::StrSplit(moved.out, '\n', absl::SkipEmpty());
  ASSERT_GE(lines.size(), 2) << moved.out;
  v1::MigrateReport report;
  EXPECT_TRUE(
      google::protobuf::util::JsonStringToMessage(lines.back(), &report).ok())
      << lines.back();
  EXPECT_GT(report.downtime_seconds(), 0);
  v1::Operation last;
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    last.Clear();
    ASSERT_TRUE(
        google::protobuf::util::JsonStringToMessage(lines[i], &last).ok())
        << lines[i];
    EXPECT_EQ(last.id(), "m");
  }
  EXPECT_EQ(last.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(last.progress().percent(), 100);
  ExpectOneCopyAt(2);
}

// The value of a line of a node's metrics; -1: there is none.
double Metric(const std::string& text, const std::string& name) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    double value = 0;
    if (absl::StartsWith(line, name + " ") &&
        absl::SimpleAtod(line.substr(name.size() + 1), &value)) {
      return value;
    }
  }
  return -1;
}

TEST_P(MigrateOperatorTest, MetricsTellOfTransferAndDowntime) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_EQ(lab_.Migrate(1, "m").exit_status, 0);
  const std::string source = lab_.Metrics(1);
  for (const char* const name :
       {"ckpt_operations_total{code=\"OK\",kind=\"migrate\"}",
        "ckpt_calls_total{code=\"OK\",method=\"WatchOperation\"}",
        "ckpt_blackout_seconds_count", "ckpt_transfer_seconds_count"}) {
    EXPECT_EQ(Metric(source, name), 1) << name << "\n" << source;
  }
  EXPECT_GT(Metric(source, "ckpt_blackout_seconds_sum"), 0);
  EXPECT_GT(Metric(source, "ckpt_bytes_total{kind=\"image\"}"), 0);
  const std::string destination = lab_.Metrics(2);
  for (const char* const name :
       {"ckpt_operations_total{code=\"OK\",kind=\"push\"}",
        "ckpt_transfer_seconds_count"}) {
    EXPECT_EQ(Metric(destination, name), 1) << name << "\n" << destination;
  }
  EXPECT_GE(
      Metric(destination, "ckpt_calls_total{code=\"OK\",method=\"PushImage\"}"),
      1);
  const double received =
      Metric(destination, "ckpt_bytes_total{kind=\"received\"}");
  EXPECT_GT(received, 0);
  EXPECT_EQ(received, Metric(source, "ckpt_bytes_total{kind=\"sent\"}"));
}

// Before anything is touched, with the finding.
TEST_P(MigrateOperatorTest, ProcessIdThatIsTakenThereRefusesIt) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string pid = absl::StrCat(lab_.job_pid());
  const std::string take = absl::StrCat(
      "echo ", lab_.job_pid() - 1,
      " > /proc/sys/kernel/ns_last_pid; sleep 1000 & test $! = ", pid);
  // The agent's threads take numbers, too.
  const absl::Time deadline = Soon();
  int status = 1;
  while (status != 0 && Clock::Real().Now() < deadline) {
    const auto taken = lab_.node(2).Run({"sh", "-c", take});
    ASSERT_TRUE(taken.ok()) << taken.status();
    status = taken->exit_status;
  }
  ASSERT_EQ(status, 0);
  const CommandResult refused = lab_.Migrate(1, "m", {"--json"});
  EXPECT_EQ(refused.exit_status, kFailedPrecondition) << refused.err;
  const std::string said = refused.out + refused.err;
  EXPECT_TRUE(absl::StrContains(said, "process ids")) << said;
  EXPECT_TRUE(absl::StrContains(said, absl::StrCat("process id ", pid, " of")))
      << said;
  const std::string steps = lab_.Ckpt(1, {"ops", "show", "m"}).out;
  EXPECT_FALSE(absl::StrContains(steps, "LEAVING")) << steps;
  ExpectOneCopyAt(1);
}

INSTANTIATE_TEST_SUITE_P(All, MigrateOperatorTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return CgroupVersionName(info.param);
                         });

// The source is lost when only its decision is missing.
TEST_P(MigrateLossTest, DestinationOfALostSourceKeepsTheJob) {
  ASSERT_NO_FATAL_FAILURE(Start("migrate.ready=kill"));
  EXPECT_NE(lab_.Migrate(1, "m").exit_status, 0);
  ASSERT_EQ(lab_.AwaitAgentGone(1), absl::OkStatus());
  // As if the machine were off; its guardian is not in the way any more.
  ASSERT_EQ(lab_.group(1).AwaitState(CgroupState::kThawed, Soon()),
            absl::OkStatus());
  ASSERT_EQ(lab_.group(1).KillAll(Soon()), absl::OkStatus());
  const CommandResult decided = lab_.Ckpt(2, {"ops", "decide", "m", "--keep"});
  EXPECT_EQ(decided.exit_status, 0) << decided.err << lab_.Log(2);
  EXPECT_TRUE(absl::StrContains(decided.out, "migration m: RUNNING"))
      << decided.out;
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  EXPECT_FALSE(lab_.Tasks(2).empty());
  const CommandResult again = lab_.Ckpt(2, {"ops", "decide", "m", "--drop"});
  EXPECT_EQ(again.exit_status, kFailedPrecondition) << again.out << again.err;
}

TEST_P(MigrateLossTest, DestinationOfALostSourceDropsTheJob) {
  ASSERT_NO_FATAL_FAILURE(Start("migrate.ready=kill"));
  EXPECT_NE(lab_.Migrate(1, "m").exit_status, 0);
  ASSERT_EQ(lab_.AwaitAgentGone(1), absl::OkStatus());
  const CommandResult decided = lab_.Ckpt(2, {"ops", "decide", "m", "--drop"});
  EXPECT_EQ(decided.exit_status, 0) << decided.err << lab_.Log(2);
  EXPECT_TRUE(absl::StrContains(decided.out, "migration m: DROPPED"))
      << decided.out;
  EXPECT_TRUE(lab_.Tasks(2).empty());
  const auto left = lab_.Images(2);
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ(*left, std::vector<std::string>{".migrations"});
  // The guardian of the source has given the job back there.
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  EXPECT_FALSE(lab_.Tasks(1).empty());
}

// It answers, and will never decide: its store was lost.
TEST_P(MigrateLossTest, SourceWithoutItsJournalIsNoObstacle) {
  ASSERT_NO_FATAL_FAILURE(Start("migrate.ready=kill"));
  EXPECT_NE(lab_.Migrate(1, "m").exit_status, 0);
  ASSERT_EQ(lab_.AwaitAgentGone(1), absl::OkStatus());
  ASSERT_EQ(
      lab_.node(1).RunOrError({"rm", "-r", "/run/store/images/.migrations"}),
      absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  const CommandResult decided = lab_.Ckpt(2, {"ops", "decide", "m", "--drop"});
  EXPECT_EQ(decided.exit_status, 0) << decided.err << lab_.Log(2);
  EXPECT_TRUE(absl::StrContains(decided.out, "migration m: DROPPED"))
      << decided.out;
  ExpectOneCopyAt(1);
}

// The destination is lost when the job has left: it is where it was kept.
TEST_P(MigrateLossTest, SourceOfALostDestinationEndsAskingAndHasTheImage) {
  ASSERT_NO_FATAL_FAILURE(Start("", "migrate.release_asked=kill"));
  EXPECT_EQ(lab_.Migrate(1, "m", {"--keep-image"}).exit_status, kUnavailable);
  ASSERT_EQ(lab_.AwaitAgentGone(2), absl::OkStatus());
  ASSERT_EQ(lab_.group(2).KillAll(Soon()), absl::OkStatus());
  EXPECT_TRUE(lab_.Tasks(1).empty());
  const CommandResult kept = lab_.Ckpt(1, {"ops", "decide", "m", "--keep"});
  EXPECT_EQ(kept.exit_status, kFailedPrecondition) << kept.out << kept.err;
  const CommandResult decided = lab_.Ckpt(1, {"ops", "decide", "m", "--drop"});
  EXPECT_EQ(decided.exit_status, 0) << decided.err << lab_.Log(1);
  EXPECT_TRUE(absl::StrContains(decided.out, "migration m: CLOSED"))
      << decided.out;
  const CommandResult restored = lab_.Ckpt(
      1, {"restore", "migration-m", "--node", "unix:/run/ckpt/ckptd.sock"});
  EXPECT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
  EXPECT_FALSE(lab_.Tasks(1).empty());
}

INSTANTIATE_TEST_SUITE_P(All, MigrateLossTest,
                         testing::Values(CgroupVersion::kV2),
                         [](const auto& info) {
                           return CgroupVersionName(info.param);
                         });

}  // namespace
}  // namespace ckpt
