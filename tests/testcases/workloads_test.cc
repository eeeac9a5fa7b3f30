// Proves each workload with CRIU alone, without ckpt: it survives, and it would
// notice if it had not.
#include "tests/testcases/workloads.h"

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"
#include "tests/testcases/plain_criu.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

// Enough rounds for every check of every workload to have been made.
constexpr uint64_t kRounds = 110;

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

// Turns every bit of the byte in the middle of a file.
void DamageMiddle(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(0, std::ios::end);
  const std::streamoff middle = file.tellg() / 2;
  file.seekg(middle);
  const int byte = file.get();
  file.seekp(middle);
  file.put(static_cast<char>(~byte));
}

class WorkloadTestBase : public testing::Test {
 protected:
  // Skips the test, or starts the workload and waits for its first rounds.
  void StartOrSkip(const WorkloadSpec& spec) {
    std::string why = WhyNoCgroup(CgroupVersion::kV2);
    const auto version = PlainCriu::Version();
    if (!version.ok()) why = std::string(version.status().message());
    if (why.empty()) why = WhyCannotRun(spec, *version);
    if (!why.empty()) GTEST_SKIP() << why;

    criu_ = PlainCriu(spec.criu);
    BecomeReaper();
    auto group = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    Job::Options options;
    options.argv = spec.CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_TRUE(AwaitRounds().ok()) << AwaitRounds();
    const auto status = ReadStatus(status_path_);
    ASSERT_TRUE(status.ok()) << status.status();
    pid_ = job->pid();
    run_id_ = status->run_id;
  }

  absl::Status AwaitRounds() {
    return WaitForBeats(status_path_, kRounds, Soon());
  }

  // Runs CRIU in the workload's group, so that what it restores is there too.
  absl::Status Run(const std::vector<std::string>& command,
                   const std::string& image) {
    CommandOptions options;
    options.cgroups = {group_.get()};
    CKPT_ASSIGN_OR_RETURN(const CommandResult result,
                          RunCommand(command, options));
    if (result.exit_status == 0) return absl::OkStatus();
    const auto log = ReadFile(absl::StrCat(image, "/log"));
    return absl::InternalError(
        absl::StrCat(command[0], " ", command[1], " ended with status ",
                     result.exit_status, ": ", log.ok() ? *log : ""));
  }

  // Returns the image's directory.
  absl::StatusOr<std::string> Dump(const std::string& name,
                                   bool leave_running = false) {
    const std::string image = dir_.MakeDirectory(name);
    CKPT_RETURN_IF_ERROR(Run(criu_.Dump(pid_, image, leave_running), image));
    return image;
  }

  // The tasks of the image must be dead or dying.
  absl::Status Restore(const std::string& image) {
    CKPT_RETURN_IF_ERROR(WaitUntilGone(PidsOfImage(image), Soon()));
    return Run(criu_.Restore(image), image);
  }

  void ExpectSameRunGoesOn() {
    const absl::Status rounds = AwaitRounds();
    EXPECT_TRUE(rounds.ok()) << rounds;
    const auto status = ReadStatus(status_path_);
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(status->run_id, run_id_);
  }

  TestDir dir_;
  const std::string status_path_ = dir_.File("status");
  std::unique_ptr<TestCgroup> group_;
  pid_t pid_ = -1;
  uint64_t run_id_ = 0;

 private:
  PlainCriu criu_{CriuNeeds()};
};

class WorkloadsTest : public WorkloadTestBase,
                      public testing::WithParamInterface<WorkloadSpec> {
 protected:
  void SetUp() override { StartOrSkip(GetParam()); }
};

TEST_P(WorkloadsTest, HasTheTasksOfItsTable) {
  EXPECT_GE(group_->Processes().size(),
            static_cast<size_t>(GetParam().min_processes));
  const auto image = Dump("image", /*leave_running=*/true);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_GE(PidsOfImage(*image).size(),
            static_cast<size_t>(GetParam().min_threads));
}

TEST_P(WorkloadsTest, GoesOnAfterEachOfTwoDumps) {
  for (const char* const name : {"first", "second"}) {
    const auto image = Dump(name);
    ASSERT_TRUE(image.ok()) << image.status();
    const absl::Status restored = Restore(*image);
    ASSERT_TRUE(restored.ok()) << restored;
    ExpectSameRunGoesOn();
  }
}

TEST_P(WorkloadsTest, GoesOnBesideItsImageAndFromItLater) {
  const auto image = Dump("image", /*leave_running=*/true);
  ASSERT_TRUE(image.ok()) << image.status();
  ExpectSameRunGoesOn();
  ASSERT_TRUE(group_->KillAll(Soon()).ok());
  const absl::Status restored = Restore(*image);
  ASSERT_TRUE(restored.ok()) << restored;
  ExpectSameRunGoesOn();
}

INSTANTIATE_TEST_SUITE_P(All, WorkloadsTest, testing::ValuesIn(AllWorkloads()),
                         [](const auto& info) { return info.param.name; });

// What a workload says is worth something only if it says no when it should.
class DamagedWorkloadTest : public WorkloadTestBase {
 protected:
  void SetUp() override { StartOrSkip(WorkloadNamed("memory")); }
};

TEST_F(DamagedWorkloadTest, ReportsAByteThatCameBackWrong) {
  const auto image = Dump("image");
  ASSERT_TRUE(image.ok()) << image.status();
  DamageMiddle(*image + "/pages-1.img");
  const absl::Status restored = Restore(*image);
  ASSERT_TRUE(restored.ok()) << restored;
  // 16 MiB are verified within 256 rounds.
  const absl::Status rounds = WaitForBeats(status_path_, 257, Soon());
  EXPECT_EQ(rounds.code(), absl::StatusCode::kDataLoss) << rounds;
}

}  // namespace
}  // namespace ckpt
