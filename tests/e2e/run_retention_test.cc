// Which images `ckpt run` and `ckpt remove` leave.

#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/run_fixture.h"
#include "tests/e2e/running_ckpt.h"

namespace ckpt {
namespace {

class RunRetentionTest : public RunFixture {
 protected:
  // A job with so many images, of which those are left that `options` tell.
  std::unique_ptr<RunningCkpt> StartWithImages(std::vector<std::string> options,
                                               int count) {
    options.insert(options.end(), {"--on-signal", "USR1"});
    auto run = Start(options, counting_);
    WaitForOutput();
    for (int number = 1; number <= count; ++number) {
      run->Signal(SIGUSR1);
      WaitForImage(number);
    }
    return run;
  }

  CommandResult Verb(const std::string& verb, int number) const {
    return ckpt_.Run({verb, absl::StrCat(name_, ".", number)});
  }

  void ExpectEndsWell(RunningCkpt& run) {
    LetItEnd();
    EXPECT_EQ(run.Wait(), 0) << run.ReadErrors();
  }

  bool Told(RunningCkpt& run, int number, const std::string& reason) const {
    return absl::StrContains(
        run.ReadErrors(),
        absl::StrCat("removed image ", name_, ".", number, ": ", reason));
  }
};
CKPT_INSTANTIATE_RUN_TESTS(RunRetentionTest);

TEST_P(RunRetentionTest, OnlyTheNewestImagesStayAndRemovalsAreTold) {
  const auto run = StartWithImages({"--keep", "1"}, 3);

  EXPECT_FALSE(HasImage(1));
  ExpectEndsWell(*run);
  EXPECT_TRUE(Told(*run, 1, "the newest one is kept")) << run->ReadErrors();
  EXPECT_TRUE(Told(*run, 2, "the newest one is kept")) << run->ReadErrors();
  EXPECT_TRUE(Told(*run, 3, "the job is done with it")) << run->ReadErrors();
}

TEST_P(RunRetentionTest, OldOnesGo) {
  const auto run = StartWithImages({"--keep-for", "1ms"}, 3);

  EXPECT_FALSE(HasImage(1));
  EXPECT_TRUE(HasImage(3));
  ExpectEndsWell(*run);
  EXPECT_TRUE(Told(*run, 1, "it is older")) << run->ReadErrors();
}

TEST_P(RunRetentionTest, TheNewestStaysThoughItHasNoRoom) {
  const auto run = StartWithImages({"--max-bytes", "1K"}, 3);

  EXPECT_FALSE(HasImage(1));
  EXPECT_TRUE(HasImage(3));
  ExpectEndsWell(*run);
  EXPECT_TRUE(Told(*run, 1, "those newer leave no room")) << run->ReadErrors();
}

TEST_P(RunRetentionTest, WithALimitOfAnotherKindTheNumberIsNone) {
  const auto run = StartWithImages({"--keep-for", "7d"}, 4);

  EXPECT_TRUE(HasImage(1));
  ExpectEndsWell(*run);
}

TEST_P(RunRetentionTest, PinnedImageOutlivesItsJob) {
  const auto run = StartWithImages({"--keep", "1"}, 1);
  ASSERT_EQ(Verb("pin", 1).exit_status, 0);
  for (const int number : {2, 3}) {
    run->Signal(SIGUSR1);
    WaitForImage(number);
  }
  EXPECT_TRUE(HasImage(1));
  ExpectEndsWell(*run);
  ASSERT_TRUE(HasImage(1));

  EXPECT_EQ(Verb("verify", 1).exit_status, 0);
  EXPECT_TRUE(
      absl::StrContains(ckpt_.Run({"list"}).out, absl::StrCat(name_, ".1 *")));
  EXPECT_TRUE(absl::StrContains(Verb("show", 1).out, "pinned"));
  const CommandResult refused = Verb("remove", 1);
  EXPECT_EQ(refused.exit_status,
            static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(absl::StrContains(refused.err, "ckpt unpin")) << refused.err;
  EXPECT_TRUE(HasImage(1));

  EXPECT_EQ(Verb("unpin", 1).exit_status, 0);
  EXPECT_EQ(Verb("remove", 1).exit_status, 0);
  EXPECT_FALSE(HasImage(1));
}

TEST_P(RunRetentionTest, JobStartsAfreshBesideAPinnedImageOfItsPast) {
  const auto run = StartWithImages({}, 1);
  ASSERT_EQ(Verb("pin", 1).exit_status, 0);
  ExpectEndsWell(*run);

  const CommandResult again = RunScript({}, counting_);

  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(absl::StrContains(again.err, "afresh")) << again.err;
  EXPECT_TRUE(HasImage(1));
}

}  // namespace
}  // namespace ckpt
