// Jobs of `ckpt run` in a test: each test has a group, a store and a job name
// of its own.
//
//   class MyTest : public RunFixture {};  // or RunFixtureBase, for more
//   CKPT_INSTANTIATE_RUN_TESTS(MyTest);
//   TEST_P(MyTest, ...) {
//     const auto run = Start({"--every", "50ms"}, counting_);
//     WaitForImage(1);
//
// The job counts, a line a number, until LetItEnd().  Not thread-safe.
#ifndef CKPT_TESTS_E2E_RUN_FIXTURE_H_
#define CKPT_TESTS_E2E_RUN_FIXTURE_H_

#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {

// Ends with `status` once the file `stop` is there; prints 1, 2, 3 ...
inline std::string CountingScript(const std::string& stop, int status) {
  return absl::StrCat("i=0; while ! test -e ", stop,
                      "; do i=$((i+1)); echo $i; sleep 0.002; done; exit ",
                      status);
}

class RunFixtureBase : public testing::Test {
 protected:
  virtual CgroupVersion version() const = 0;

  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(version());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  std::vector<std::string> Words(const std::vector<std::string>& options,
                                 const std::vector<std::string>& argv) const {
    std::vector<std::string> words = {"run",        "--name",       name_,
                                      "--cgroup",   group_->path(), "--store",
                                      ckpt_.store()};
    words.insert(words.end(), options.begin(), options.end());
    words.emplace_back("--");
    words.insert(words.end(), argv.begin(), argv.end());
    return words;
  }

  CommandResult Run(const std::vector<std::string>& options,
                    const std::vector<std::string>& argv) const {
    return ckpt_.Run(Words(options, argv));
  }

  CommandResult RunScript(const std::vector<std::string>& options,
                          const std::string& script) const {
    return Run(options, {"sh", "-c", script});
  }

  std::unique_ptr<RunningCkpt> Start(const std::vector<std::string>& options,
                                     const std::string& script,
                                     const std::string& fault = "") const {
    return std::make_unique<RunningCkpt>(
        ckpt_.CommandLine(Words(options, {"sh", "-c", script})), fault);
  }

  std::string Output() const {
    return ReadFile(absl::StrCat(ckpt_.store(), "/.jobs/", name_, "/out"))
        .value_or("");
  }

  void WaitForOutput() const {
    const size_t size = Output().size();
    while (Output().size() < size + 10) {
      Clock::Real().Sleep(absl::Milliseconds(1));
    }
  }

  std::string JobGroup() const {
    return absl::StrCat(group_->path(), "/", name_, "/job");
  }

  bool HasImage(int number) const {
    struct stat info = {};
    return ::stat(ImagePath(number).c_str(), &info) == 0;
  }

  std::string ImagePath(int number) const {
    return absl::StrCat(ckpt_.store(), "/", name_, ".", number);
  }

  void WaitForImage(int number) const {
    while (!HasImage(number)) Clock::Real().Sleep(absl::Milliseconds(1));
  }

  void LetItEnd() const { std::ofstream{stop_}; }

  // All that the job printed, in all its runs, is "1\n2\n3\n...".
  void ExpectCountsWithoutGap() const {
    const std::string text = Output();
    std::string expected;
    for (int i = 1; expected.size() < text.size(); ++i) {
      absl::StrAppend(&expected, i, "\n");
    }
    EXPECT_EQ(text, expected);
  }

  // Nothing is left in the frame, which is gone as well.
  void ExpectNothingLeft() const {
    EXPECT_TRUE(group_->Processes().empty());
    EXPECT_FALSE(OpenDirectory(group_->path() + "/" + name_).ok());
    EXPECT_FALSE(OpenDirectory("/run/ckpt/jobs/" + name_).ok());
  }

  CkptRunner ckpt_;
  const std::string name_ =
      ckpt_.dir().path().substr(ckpt_.dir().path().rfind('/') + 1);
  const std::string stop_ = ckpt_.dir().File("stop");
  const std::string counting_ = CountingScript(stop_, 0);
  std::unique_ptr<TestCgroup> group_;
};

class RunFixture : public RunFixtureBase,
                   public testing::WithParamInterface<CgroupVersion> {
 protected:
  CgroupVersion version() const override { return GetParam(); }
};

// Both hierarchies.
#define CKPT_INSTANTIATE_RUN_TESTS(name)                                  \
  INSTANTIATE_TEST_SUITE_P(                                               \
      All, name, testing::Values(CgroupVersion::kV1, CgroupVersion::kV2), \
      [](const auto& info) {                                              \
        return std::string(CgroupVersionName(info.param));                \
      })

}  // namespace ckpt

#endif  // CKPT_TESTS_E2E_RUN_FIXTURE_H_
