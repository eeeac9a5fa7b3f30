// What is left of an image when its writer dies, or fails, at each of the
// store's fault points.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "store/image.h"
#include "store/image_store.h"
#include "store/pending_image.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

using Strings = std::vector<std::string>;

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kAlreadyExists = 2;

absl::Status MakeImage(const ImageStore& store) {
  auto pending = store.Begin("job");
  if (!pending.ok()) return pending.status();
  WriteCriuImage((*pending)->dir_fd());
  const auto sealed = (*pending)->Seal({});
  if (!sealed.ok()) return sealed.status();
  return std::move(**pending).Publish();
}

class StoreCrashTest : public testing::TestWithParam<const char*> {
 protected:
  // Makes the image "job" in a child with that fault, or without one if
  // `action` is "".  Returns what waitpid() says.  (Never in this process: it
  // would remember for all tests that there is no fault.)
  int MakeImageInChild(const std::string& action) {
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string fault =
          action.empty() ? "" : absl::StrCat(GetParam(), "=", action);
      // A child of a test without threads.
      // NOLINTNEXTLINE(concurrency-mt-unsafe)
      ::setenv("CKPT_FAULT", fault.c_str(), 1);
      const absl::Status status = MakeImage(store_);
      ::_exit(status.ok()                     ? kOk
              : absl::IsAlreadyExists(status) ? kAlreadyExists
                                              : kFailed);
    }
    int result = 0;
    EXPECT_EQ(::waitpid(child, &result, 0), child);
    return result;
  }

  const TempDirectory dir_;
  const ImageStore store_{dir_.path()};
};

TEST_P(StoreCrashTest, KilledWriterLeavesNoImageOrAWholeOne) {
  const int result = MakeImageInChild("kill");
  ASSERT_TRUE(WIFSIGNALED(result));
  ASSERT_EQ(WTERMSIG(result), SIGKILL);

  const auto image = store_.Open("job");
  const bool published = std::string(GetParam()) == "store.after_rename";
  ASSERT_EQ(image.status().code(),
            published ? absl::StatusCode::kOk : absl::StatusCode::kNotFound);
  if (published) {
    EXPECT_TRUE(image->Verify().ok()) << image->Verify();
  } else {
    EXPECT_TRUE(store_.List()->empty());
    EXPECT_EQ(dir_.Names().size(), 1U);  // the hidden directory
  }

  const auto next = store_.Begin("next");
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE((*next)->Abort().ok());
  EXPECT_EQ(dir_.Names(), published ? Strings{"job"} : Strings());
}

// The job goes on after an error, so there must be no image of it.
TEST_P(StoreCrashTest, FailedWriterLeavesNothing) {
  for (const std::string action : {"error", "enospc"}) {
    const int result = MakeImageInChild(action);
    ASSERT_TRUE(WIFEXITED(result));
    EXPECT_EQ(WEXITSTATUS(result), kFailed);
    EXPECT_EQ(dir_.Names(), Strings());
  }
}

TEST_P(StoreCrashTest, ImageIsThereAfterASecondTry) {
  ASSERT_TRUE(WIFSIGNALED(MakeImageInChild("kill")));
  const bool published = std::string(GetParam()) == "store.after_rename";
  const int again = MakeImageInChild("");
  ASSERT_TRUE(WIFEXITED(again));
  EXPECT_EQ(WEXITSTATUS(again), published ? kAlreadyExists : kOk);
  EXPECT_EQ(dir_.Names(), Strings{"job"});
  EXPECT_TRUE(store_.Open("job")->Verify().ok());
}

INSTANTIATE_TEST_SUITE_P(AtEachPoint, StoreCrashTest,
                         testing::Values("store.before_manifest",
                                         "store.before_rename",
                                         "store.after_rename"));

}  // namespace
}  // namespace ckpt
