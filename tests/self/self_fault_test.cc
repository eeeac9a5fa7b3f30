// The helper of a self-checkpoint, or a step of it, fails at every named point:
// the call returns -1 in the process that asked, with nothing left in it; the
// job runs on; and the next call works.

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "tests/self/self_job_runner.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

enum class Scope { kProcess, kTree };
using Case = std::tuple<std::string, std::string, Scope, CgroupVersion>;

class SelfFaultTest : public testing::TestWithParam<Case> {
 protected:
  const std::string& point() const { return std::get<0>(GetParam()); }
  const std::string& action() const { return std::get<1>(GetParam()); }
  bool is_tree() const { return std::get<2>(GetParam()) == Scope::kTree; }

  // Of the image that a line tells of.
  static std::string ImageIn(const std::string& line) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    const auto image = std::find(words.begin(), words.end(), "image");
    if (words.end() - image < 2) return "";
    return std::string(absl::StripSuffix(image[1], ":"));
  }

  void Start() {
    std::vector<std::string> words = {"--times", "2"};
    if (is_tree()) {
      words.insert(words.end(), {"--tree", "--children", "3"});
    }
    ASSERT_NO_FATAL_FAILURE(job_.Start(
        words, {absl::StrCat("CKPT_FAULT=", point(), "=", action())}));
  }

  SelfJob job_{std::get<3>(GetParam())};
};

TEST_P(SelfFaultTest, CallFailsAndTheNextWorks) {
  ASSERT_NO_FATAL_FAILURE(Start());

  const std::string first = job_.AwaitLine("call 1");
  // The image is whole when that one fails: ABORTED.
  const std::string error = action() == "kill"            ? "EIO"
                            : point() == "dump.committed" ? "EAGAIN"
                                                          : "ENOSPC";
  EXPECT_TRUE(absl::StartsWith(first, absl::StrCat("call 1 -1 ", error, " ")))
      << first;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");

  // The guardian of the first may still hold the group: the second is retried.
  const std::string second = job_.AwaitLine("call 2");
  EXPECT_TRUE(absl::StartsWith(second, "call 2 ") &&
              absl::StrContains(second, " 0 restarts 0 image "))
      << second;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");

  const std::string image = ImageIn(second);
  ASSERT_NO_FATAL_FAILURE(job_.End());
  ASSERT_NO_FATAL_FAILURE(job_.Restore(image));
  EXPECT_EQ(job_.AwaitLine("call 2"),
            absl::StrCat("call 2 0 0 restarts 1 image ", image, ": "));
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
}

// After the call has returned, with CKPT_ASYNC.
class SelfAsyncFaultTest
    : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  // In what the job says of an image that is lost at that point.
  static std::string Error(const std::string& action) {
    return action == "kill" ? "EIO" : "ENOSPC";
  }

  void Start(std::vector<std::string> words) {
    const auto& [point, action] = GetParam();
    words.insert(words.end(), {"--async", "--tree", "--children", "2"});
    ASSERT_NO_FATAL_FAILURE(
        job_.Start(words, {absl::StrCat("CKPT_FAULT=", point, "=", action)}));
    const std::string first = job_.AwaitLine("call 1");
    EXPECT_TRUE(absl::StartsWith(first, "call 1 1 0 ")) << first;
  }

  SelfJob job_{CgroupVersion::kV2};
};

TEST_P(SelfAsyncFaultTest, WaitTellsOfItAndTheNextCallWorks) {
  ASSERT_NO_FATAL_FAILURE(Start({"--times", "2"}));
  const std::string wait = job_.AwaitLine("wait 1");
  EXPECT_TRUE(absl::StartsWith(
      wait, absl::StrCat("wait 1 -1 ", Error(std::get<1>(GetParam())), " ")))
      << wait;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
  const std::string second = job_.AwaitLine("wait 2");
  EXPECT_TRUE(absl::StrContains(second, " 0 image ")) << second;
  EXPECT_EQ(job_.AwaitLine("trace"), "trace same");
}

TEST_P(SelfAsyncFaultTest, TheNextCallTellsOfItOnce) {
  ASSERT_NO_FATAL_FAILURE(Start({"--times", "3", "--no-wait"}));
  const std::string second = job_.AwaitLine("call 2");
  EXPECT_TRUE(absl::StartsWith(
      second, absl::StrCat("call 2 -1 ", Error(std::get<1>(GetParam())), " ")))
      << second;
  EXPECT_TRUE(absl::StrContains(second, "the checkpoint before")) << second;
  EXPECT_EQ(job_.AwaitLine("beat"), "beat");
  const std::string third = job_.AwaitLine("call 3");
  EXPECT_TRUE(absl::StrContains(third, " 0 restarts 0 image ")) << third;
}

INSTANTIATE_TEST_SUITE_P(
    Points, SelfAsyncFaultTest,
    testing::Combine(testing::Values("dump.released", "store.before_manifest",
                                     "store.before_rename"),
                     testing::Values("kill", "enospc")),
    [](const auto& info) {
      return absl::StrCat(
          absl::StrReplaceAll(std::get<0>(info.param), {{".", "_"}}), "_",
          std::get<1>(info.param));
    });

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  const auto& [point, action, scope, version] = info.param;
  return absl::StrCat(absl::StrReplaceAll(point, {{".", "_"}}), "_", action,
                      "_", scope == Scope::kTree ? "tree_" : "process_",
                      CgroupVersionName(version));
}

// A process alone has no group: one version is enough.
INSTANTIATE_TEST_SUITE_P(
    Process, SelfFaultTest,
    testing::Combine(
        testing::Values("self.outside", "dump.before_freeze", "dump.verified",
                        "dump.post_dump", "dump.released",
                        "store.before_manifest", "store.before_rename",
                        "store.after_rename", "dump.committed", "self.dumped"),
        testing::Values("kill", "enospc"), testing::Values(Scope::kProcess),
        testing::Values(CgroupVersion::kV2)),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Tree, SelfFaultTest,
    testing::Combine(testing::Values("self.outside", "dump.before_freeze",
                                     "dump.frozen", "dump.verified",
                                     "dump.post_dump", "dump.committed"),
                     testing::Values("kill", "enospc"),
                     testing::Values(Scope::kTree),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    CaseName);

}  // namespace
}  // namespace ckpt
