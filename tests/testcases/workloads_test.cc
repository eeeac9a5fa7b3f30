// Proves each workload with CRIU alone, without ckpt: it survives, and it would
// notice if it had not.
#include "tests/testcases/workloads.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

// Enough rounds for every check of every workload to have been made.
constexpr uint64_t kRounds = 110;

absl::Time Soon() { return Clock::Real().Now() + absl::Seconds(30); }

std::string CriuPath() {
  const char* const chosen = std::getenv("CKPT_CRIU");
  if (chosen != nullptr) return chosen;
  const char* const installed = "/opt/ckpt/bin/criu";
  return ::access(installed, X_OK) == 0 ? installed : "criu";
}

// "4.1.1", or an error when there is no CRIU.
absl::StatusOr<std::string> CriuVersion() {
  CKPT_ASSIGN_OR_RETURN(const CommandResult result,
                        RunCommand({CriuPath(), "--version"}));
  for (absl::string_view line : absl::StrSplit(result.out, '\n')) {
    if (absl::ConsumePrefix(&line, "Version: ")) return std::string(line);
  }
  return absl::InternalError(absl::StrCat("no version in ", result.out));
}

std::vector<std::string> CriuArguments(const CriuNeeds& needs) {
  std::vector<std::string> arguments = {"--manage-cgroups=ignore"};
  if (needs.tcp_established) {
    arguments.insert(arguments.end(),
                     {"--tcp-established", "--network-lock", "nftables"});
  }
  if (needs.link_remap) arguments.push_back("--link-remap");
  if (needs.file_locks) arguments.push_back("--file-locks");
  if (needs.shell_job) arguments.push_back("--shell-job");
  if (needs.ghost_limit_bytes > 0) {
    arguments.insert(arguments.end(),
                     {"--ghost-limit", absl::StrCat(needs.ghost_limit_bytes)});
  }
  return arguments;
}

// The tasks of an image: it has a core-PID.img of each.
std::vector<pid_t> PidsOfImage(const std::string& directory) {
  std::vector<pid_t> pids;
  const auto names = ListDirectory(directory);
  if (!names.ok()) return pids;
  for (const std::string& name : *names) {
    absl::string_view number = name;
    pid_t pid;
    if (absl::ConsumePrefix(&number, "core-") &&
        absl::ConsumeSuffix(&number, ".img") &&
        absl::SimpleAtoi(number, &pid)) {
      pids.push_back(pid);
    }
  }
  return pids;
}

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
    const auto version = CriuVersion();
    if (!version.ok()) why = std::string(version.status().message());
    if (why.empty()) why = WhyCannotRun(spec, *version);
    if (!why.empty()) GTEST_SKIP() << why;

    criu_needs_ = spec.criu;
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
  absl::Status Criu(std::vector<std::string> arguments,
                    const std::string& image) {
    arguments.insert(arguments.begin(), CriuPath());
    arguments.insert(arguments.end(), {"-D", image, "-o", "log", "-v2"});
    const auto needs = CriuArguments(criu_needs_);
    arguments.insert(arguments.end(), needs.begin(), needs.end());
    CommandOptions options;
    options.cgroups = {group_.get()};
    CKPT_ASSIGN_OR_RETURN(const CommandResult result,
                          RunCommand(arguments, options));
    if (result.exit_status == 0) return absl::OkStatus();
    const auto log = ReadFile(absl::StrCat(image, "/log"));
    return absl::InternalError(
        absl::StrCat("criu ", arguments[1], " ended with status ",
                     result.exit_status, ": ", log.ok() ? *log : ""));
  }

  // Returns the image's directory.
  absl::StatusOr<std::string> Dump(const std::string& name,
                                   const std::vector<std::string>& more = {}) {
    const std::string image = dir_.MakeDirectory(name);
    std::vector<std::string> arguments = {"dump", "-t", absl::StrCat(pid_)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    CKPT_RETURN_IF_ERROR(Criu(arguments, image));
    return image;
  }

  // The tasks of the image must be dead or dying.
  absl::Status Restore(const std::string& image) {
    CKPT_RETURN_IF_ERROR(WaitUntilGone(PidsOfImage(image), Soon()));
    return Criu({"restore", "-d"}, image);
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
  CriuNeeds criu_needs_;
};

class WorkloadsTest : public WorkloadTestBase,
                      public testing::WithParamInterface<WorkloadSpec> {
 protected:
  void SetUp() override { StartOrSkip(GetParam()); }
};

TEST_P(WorkloadsTest, HasTheTasksOfItsTable) {
  EXPECT_GE(group_->Processes().size(),
            static_cast<size_t>(GetParam().min_processes));
  const auto image = Dump("image", {"--leave-running"});
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
  const auto image = Dump("image", {"--leave-running"});
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
