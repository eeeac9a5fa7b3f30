// A job whose pipes lead out of it: refused, allowed by name, and given new
// ones at the restore.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

struct Pipe {
  UniqueFd reading;
  UniqueFd writing;

  static Pipe Make() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
  }

  // "pipe:[123]"
  std::string Name() const {
    struct stat info = {};
    EXPECT_EQ(::fstat(reading.get(), &info), 0);
    return absl::StrCat("pipe:[", info.st_ino, "]");
  }
};

// A path at which another process can open our descriptor.
std::string PathOf(const UniqueFd& fd) {
  return absl::StrCat("/proc/", ::getpid(), "/fd/", fd.get());
}

class OutsidePipeTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    Job::Options options;
    options.argv = {"/bin/sh", "-c",
                    absl::StrCat("exec cat <", PathOf(in_.reading), " >",
                                 PathOf(out_.writing))};
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    root_ = job->pid();
    ASSERT_EQ(Echo(in_, out_, "started"), "started");
  }

  // What the job, which copies, makes of `word`.
  static std::string Echo(const Pipe& in, const Pipe& out,
                          const std::string& word) {
    EXPECT_EQ(::write(in.writing.get(), word.data(), word.size()),
              static_cast<ssize_t>(word.size()));
    std::string answer(word.size(), '\0');
    const ssize_t count =
        ::read(out.reading.get(), answer.data(), answer.size());
    return count < 0 ? "" : answer.substr(0, static_cast<size_t>(count));
  }

  CommandResult Dump(std::vector<std::string> more) {
    std::vector<std::string> words = {"dump", "--cgroup", group_->path(),
                                      "--image", "image"};
    words.insert(words.end(), more.begin(), more.end());
    return ckpt_.Run(std::move(words));
  }

  void DumpAndAwaitEnd() {
    const CommandResult result =
        Dump({"--external", in_.Name(), "--external", out_.Name()});
    ASSERT_EQ(result.exit_status, 0) << result.err;
    const std::vector<pid_t> pids = {root_};
    ASSERT_EQ(WaitUntilGone(pids, Soon()), absl::OkStatus());
  }

  CkptRunner ckpt_;
  const Pipe in_ = Pipe::Make();
  const Pipe out_ = Pipe::Make();
  std::unique_ptr<TestCgroup> group_;
  pid_t root_ = 0;
};

INSTANTIATE_TEST_SUITE_P(All, OutsidePipeTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(OutsidePipeTest, DumpIsRefusedAndNamesThePipe) {
  const CommandResult result = Dump({});

  EXPECT_EQ(result.exit_status,
            static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(absl::StrContains(result.err, in_.Name()) ||
              absl::StrContains(result.err, out_.Name()))
      << result.err;
  EXPECT_EQ(Echo(in_, out_, "untouched"), "untouched");
}

TEST_P(OutsidePipeTest, RestoreGoesOnWithTheNewPipes) {
  ASSERT_NO_FATAL_FAILURE(DumpAndAwaitEnd());
  const Pipe in = Pipe::Make();
  const Pipe out = Pipe::Make();

  const std::string command =
      absl::StrCat(absl::StrJoin(ckpt_.CommandLine({"restore", "image"}), " "),
                   " --inherit-fd 'fd[10]:", in_.Name(),
                   "' --inherit-fd 'fd[11]:", out_.Name(), "' 10<",
                   PathOf(in.reading), " 11>", PathOf(out.writing));
  const auto result = RunCommand({"/bin/bash", "-c", command});

  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->exit_status, 0) << result->err;
  EXPECT_FALSE(absl::StrContains(result->out, "warning")) << result->out;
  EXPECT_EQ(Echo(in, out, "restored"), "restored");
}

TEST_P(OutsidePipeTest, RestoreWithoutThePipesWarns) {
  ASSERT_NO_FATAL_FAILURE(DumpAndAwaitEnd());

  const CommandResult result = ckpt_.Run({"restore", "image"});

  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, in_.Name())) << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, out_.Name())) << result.out;
}

}  // namespace
}  // namespace ckpt
