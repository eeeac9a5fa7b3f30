#include "checkpoint/pipes.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fake_proc.h"
#include "checkpoint/findings.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

constexpr pid_t kJob = 5'000'000;
constexpr pid_t kChild = 5'000'001;
constexpr pid_t kShell = 6'000'000;
constexpr char kReads[] = "pos:\t0\nflags:\t0100000\nmnt_id:\t15\n";
constexpr char kWrites[] = "pos:\t0\nflags:\t0100001\nmnt_id:\t15\n";

class PipesTest : public testing::Test {
 protected:
  PipesTest() {
    proc_.AddProcess(kJob, 1, "job");
    proc_.AddProcess(kChild, kJob, "child");
    proc_.AddProcess(kShell, 1, "tee");
  }

  void Open(pid_t pid, int fd, const std::string& target, const char* info) {
    FakeTask& task = *proc_.Find(pid);
    task.open_files.push_back({fd, target});
    task.files[absl::StrCat("fdinfo/", fd)] = info;
  }

  absl::Status Check(const v1::CriuOptions& options = {}) {
    const auto found = FindOutsidePipe(proc_, {kJob, kChild}, options);
    if (!found.ok()) return found.status();
    v1::CheckReport report;
    report.set_usable(!found->has_value());
    if (found->has_value()) *report.add_findings() = **found;
    return ToStatus(report);
  }

  FakeProcFs proc_;
};

TEST_F(PipesTest, PipeWithinTheJobPasses) {
  Open(kJob, 3, "pipe:[7]", kReads);
  Open(kChild, 1, "pipe:[7]", kWrites);
  EXPECT_TRUE(Check().ok());
}

TEST_F(PipesTest, PipeToAProcessOutsideIsRefusedWithBothNamed) {
  Open(kChild, 1, "pipe:[7]", kWrites);
  Open(kShell, 0, "pipe:[7]", kReads);

  const absl::Status status = Check();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  for (const char* words :
       {"descriptor 1 of process 5000001 (child)", "writing end of pipe:[7]",
        "in process 6000000 (tee)", "--inherit-fd fd[N]:pipe:[7]"}) {
    EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
  }
}

TEST_F(PipesTest, PipeFromAProcessOutsideIsRefused) {
  Open(kJob, 0, "pipe:[7]", kReads);
  Open(kShell, 1, "pipe:[7]", kWrites);
  EXPECT_EQ(Check().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PipesTest, PipeThatTheCallerKnowsOfPasses) {
  Open(kChild, 1, "pipe:[7]", kWrites);
  Open(kShell, 0, "pipe:[7]", kReads);
  v1::CriuOptions options;
  options.add_external("pipe:[7]");
  EXPECT_TRUE(Check(options).ok());
}

TEST_F(PipesTest, PipeWhoseOtherEndIsClosedPasses) {
  Open(kChild, 1, "pipe:[7]", kWrites);
  EXPECT_TRUE(Check().ok());
}

TEST_F(PipesTest, PipeWhoseSameEndIsOpenOutsidePasses) {
  Open(kChild, 1, "pipe:[7]", kWrites);
  Open(kShell, 1, "pipe:[7]", kWrites);
  EXPECT_TRUE(Check().ok());
}

TEST_F(PipesTest, PipeOfTheJobThatIsAlsoOpenOutsidePasses) {
  Open(kJob, 3, "pipe:[7]", kReads);
  Open(kChild, 1, "pipe:[7]", kWrites);
  Open(kShell, 3, "pipe:[7]", kReads);
  EXPECT_TRUE(Check().ok());
}

}  // namespace
}  // namespace ckpt::checkpoint
