// `ckpt check` by an agent, and with one as the destination; findings as the
// details of a dump that is refused.

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/check.pb.h"
#include "proto/error.pb.h"
#include "tests/agent/agent_fixture.h"
#include "tests/support/job.h"
#include "tests/support/test_dir.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr int kPermissionDenied =
    static_cast<int>(absl::StatusCode::kPermissionDenied);
constexpr int kFailedPrecondition =
    static_cast<int>(absl::StatusCode::kFailedPrecondition);
constexpr int kUnavailable = static_cast<int>(absl::StatusCode::kUnavailable);

class AgentCheckTest : public AgentTest {
 protected:
  void SetUp() override { ASSERT_NO_FATAL_FAILURE(StartAgent()); }

  static v1::CheckReport Parse(const CommandResult& result) {
    v1::CheckReport report;
    EXPECT_TRUE(
        google::protobuf::util::JsonStringToMessage(result.out, &report).ok())
        << result.out << result.err;
    return report;
  }

  // Of that subject; an empty one when there is none.
  static v1::CheckFinding Find(const v1::CheckReport& report,
                               const std::string& subject) {
    for (const v1::CheckFinding& finding : report.findings()) {
      if (finding.subject() == subject) return finding;
    }
    return {};
  }

  // A job with a file lock.
  void StartLocker() {
    auto group = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    const std::string ready = ckpt_.dir().File("ready");
    Job::Options options;
    options.argv = {RunfilesPath("tests/testcases/odd_job"), "--ready", ready,
                    "flock", ckpt_.dir().File("locked")};
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    const absl::Time deadline = Soon();
    while (ReadFile(ready).value_or("") != "ready" &&
           Clock::Real().Now() < deadline) {
      Clock::Real().Sleep(absl::Milliseconds(5));
    }
  }
};

TEST_F(AgentCheckTest, JobThatCanBeDumpedIsFoundSo) {
  ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));

  const CommandResult result =
      Ask({"check", "--cgroup", group_->path(), "--json"});

  EXPECT_EQ(result.exit_status, 0) << result.err;
  const v1::CheckReport report = Parse(result);
  EXPECT_TRUE(report.usable());
  EXPECT_EQ(report.cgroup(), group_->path());
  EXPECT_EQ(report.processes(), 1);
  ExpectJobRuns();
}

TEST_F(AgentCheckTest, DestinationTellsWhatIsInTheWayThere) {
  ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));

  const CommandResult result = ckpt_.Run(
      {"check", "--cgroup", group_->path(), "--to", node(), "--json"});

  EXPECT_EQ(result.exit_status, kFailedPrecondition) << result.err;
  const v1::CheckReport report = Parse(result);
  // The destination is the source's machine.
  const v1::CheckFinding ids = Find(report, "process ids");
  EXPECT_EQ(ids.level(), v1::CheckFinding::LEVEL_BLOCKER);
  EXPECT_EQ(ids.node(), node());
  EXPECT_EQ(Find(report, "cgroup").level(), v1::CheckFinding::LEVEL_BLOCKER);
  EXPECT_EQ(Find(report, "files").level(), v1::CheckFinding::LEVEL_OK)
      << report.DebugString();
  EXPECT_EQ(Find(report, "cpu").level(), v1::CheckFinding::LEVEL_OK);
}

TEST_F(AgentCheckTest, GroupAtTheDestinationCanBeNamed) {
  ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));

  const CommandResult result =
      Ask({"check", "--cgroup", group_->path(), "--to", node(), "--into",
           absl::StrCat(group_->path(), "-other"), "--json"});

  const v1::CheckFinding cgroup = Find(Parse(result), "cgroup");
  EXPECT_EQ(cgroup.level(), v1::CheckFinding::LEVEL_OK);
  EXPECT_TRUE(absl::StrContains(cgroup.found(), "-other")) << cgroup.found();
}

TEST_F(AgentCheckTest, UnreachableDestinationIsAFindingBesideTheOthers) {
  ASSERT_NO_FATAL_FAILURE(StartLocker());

  const CommandResult result =
      ckpt_.Run({"check", "--cgroup", group_->path(), "--to",
                 absl::StrCat("unix:", ckpt_.dir().File("none")), "--json"});

  EXPECT_EQ(result.exit_status, kFailedPrecondition) << result.err;
  const v1::CheckReport report = Parse(result);
  EXPECT_EQ(Find(report, "file lock").option(), "--file-locks");
  EXPECT_TRUE(Find(report, "destination").will_pass());

  const CommandResult only =
      ckpt_.Run({"check", "--cgroup", group_->path(), "--file-locks", "--to",
                 absl::StrCat("unix:", ckpt_.dir().File("none"))});
  EXPECT_EQ(only.exit_status, kUnavailable) << only.err;
}

TEST_F(AgentCheckTest, DumpThatIsRefusedHasTheFindingsAsDetails) {
  ASSERT_NO_FATAL_FAILURE(StartLocker());

  const CommandResult result =
      Ask({"dump", "--cgroup", group_->path(), "--image", "a", "--json"});

  EXPECT_EQ(result.exit_status, kFailedPrecondition);
  v1::ErrorDocument document;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(result.out, &document).ok())
      << result.out;
  const v1::CheckReport& report = document.error().check_report();
  EXPECT_EQ(Find(report, "file lock").option(), "--file-locks");
  EXPECT_TRUE(absl::StrContains(result.err, "--file-locks")) << result.err;
}

TEST_F(AgentCheckTest, WhoMayNotCheckLearnsNothing) {
  ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  for (const std::string& group :
       {group_->path(), std::string("no-such-group")}) {
    EXPECT_EQ(AskAsNobody({"check", "--cgroup", group}).exit_status,
              kPermissionDenied);
  }
}

TEST_F(AgentCheckTest, WithoutRootNothingIsSaidOfAJobHere) {
  ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  // The build's directories are not for everybody, and no test's is.
  const TestDir open_to_all;
  ASSERT_EQ(::chmod(open_to_all.path().c_str(), 0755), 0);
  const std::string copy = open_to_all.File("ckpt");
  ASSERT_TRUE(
      RunCommand({"cp", "--dereference", CkptRunner::Binary(), copy}).ok());
  const auto result =
      RunCommand({"setpriv", "--reuid", "65534", "--regid", "65534",
                  "--clear-groups", copy, "check", "--cgroup", group_->path()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_status, kPermissionDenied) << result->err;
}

TEST_F(AgentCheckTest, NeedsOfAJobGoWithAJob) {
  EXPECT_EQ(ckpt_.Run({"check", "--to", node()}).exit_status,
            static_cast<int>(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace ckpt
