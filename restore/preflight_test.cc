#include "restore/preflight.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "base/fake_proc.h"
#include "base/host.h"
#include "gtest/gtest.h"

namespace ckpt::restore {
namespace {

void ExpectRefused(const absl::Status& status, absl::string_view words) {
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), words)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "nothing was started"))
      << status;
}

// --- Process ids ------------------------------------------------------------

class WaitForPidsTest : public testing::Test {
 protected:
  // An image of process 100 with threads 100 and 101, and its child 200.
  WaitForPidsTest() {
    ImageProcess root;
    root.pid = root.pgid = root.sid = 100;
    root.threads = {100, 101};
    ImageProcess child;
    child.pid = child.pgid = 200;
    child.ppid = child.sid = 100;
    child.threads = {200};
    contents_.processes = {root, child};
    proc_.AddProcess(1, 0, "init");
    clock_.on_sleep = [this] { ++sleeps_; };
  }

  absl::Status Wait(absl::Duration limit = absl::Seconds(10)) {
    return WaitForPids(contents_, proc_, clock_, clock_.Now() + limit,
                       &cancel_);
  }

  ImageContents contents_;
  FakeProcFs proc_;
  FakeClock clock_;
  Cancellation cancel_;
  int sleeps_ = 0;
};

TEST_F(WaitForPidsTest, FreeNumbersPassAtOnce) {
  proc_.AddProcess(102, 1, "neighbour");
  EXPECT_TRUE(Wait().ok());
  EXPECT_EQ(sleeps_, 0);
}

TEST_F(WaitForPidsTest, LiveProcessIsNamedWithItsGroupAtOnce) {
  proc_.AddProcess(200, 1, "daemon").files["cgroup"] =
      "6:freezer:/\n0::/system/daemon\n";

  const absl::Status status = Wait();

  ExpectRefused(status, "process id 200");
  ExpectRefused(status, "by process 200 (daemon)");
  ExpectRefused(status, "in cgroup /system/daemon");
  EXPECT_EQ(sleeps_, 0);
}

TEST_F(WaitForPidsTest, NumbersOfANamespaceInTheImageAreNotLookedFor) {
  contents_.processes.front().pid = 1;
  contents_.processes.front().threads = {1};
  EXPECT_TRUE(Wait().ok());
}

TEST_F(WaitForPidsTest, ThreadOfAnotherProcessIsNamed) {
  proc_.AddProcess(50, 1, "server");
  proc_.AddThread(101, 50);
  ExpectRefused(Wait(), "process id 101 of the image is taken here");
  EXPECT_EQ(sleeps_, 0);
}

TEST_F(WaitForPidsTest, ProcessGroupIsTakenThoughItsLeaderIsGone) {
  proc_.AddProcess(300, 1, "member").stat.pgid = 200;
  ExpectRefused(Wait(),
                "200 of the image is taken here as the group of "
                "process 300 (member)");
}

TEST_F(WaitForPidsTest, SessionIsTakenThoughItsLeaderIsGone) {
  FakeTask& member = proc_.AddProcess(300, 1, "member");
  member.stat.sid = 100;
  ExpectRefused(Wait(),
                "100 of the image is taken here as the session of "
                "process 300 (member)");
}

TEST_F(WaitForPidsTest, ZombieIsWaitedForUntilItIsReaped) {
  proc_.AddProcess(100, 1, "job");
  proc_.BecomeZombie(100);
  clock_.on_sleep = [this] {
    if (++sleeps_ == 3) proc_.Remove(100);
  };

  EXPECT_TRUE(Wait().ok());

  EXPECT_EQ(sleeps_, 3);
}

TEST_F(WaitForPidsTest, ZombieThatStaysIsNamedAtTheDeadline) {
  proc_.AddProcess(100, 1, "job");
  proc_.BecomeZombie(100);
  const absl::Time start = clock_.Now();

  const absl::Status status = Wait(absl::Seconds(2));

  ExpectRefused(status, "100 (job), which has ended but was not reaped");
  EXPECT_GE(clock_.Now() - start, absl::Seconds(2));
  EXPECT_LT(clock_.Now() - start, absl::Seconds(3));
}

TEST_F(WaitForPidsTest, LiveProcessIsNamedBeforeAZombie) {
  proc_.AddProcess(100, 1, "job");
  proc_.BecomeZombie(100);
  proc_.AddProcess(200, 1, "daemon");
  ExpectRefused(Wait(), "by process 200 (daemon)");
  EXPECT_EQ(sleeps_, 0);
}

TEST_F(WaitForPidsTest, CancellationEndsTheWait) {
  proc_.AddProcess(100, 1, "job");
  proc_.BecomeZombie(100);
  clock_.on_sleep = [this] { cancel_.Cancel(); };
  EXPECT_EQ(Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(WaitForPidsTest, PassedDeadlineStillLooksOnce) {
  EXPECT_TRUE(Wait(absl::ZeroDuration()).ok());
  proc_.AddProcess(100, 1, "job");
  proc_.BecomeZombie(100);
  ExpectRefused(Wait(absl::ZeroDuration()), "100 (job)");
  EXPECT_EQ(sleeps_, 0);
}

// --- Files ------------------------------------------------------------------

class CheckFilesTest : public testing::Test {
 protected:
  CheckFilesTest() : root_(testing::TempDir() + "/preflight_test") {
    ::mkdir(root_.c_str(), 0700);
    std::ofstream(root_ + "/data") << "12345";
  }
  ~CheckFilesTest() override {
    ::unlink((root_ + "/data").c_str());
    ::rmdir(root_.c_str());
  }

  static ImageFile File(const std::string& path) {
    ImageFile file;
    file.path = path;
    return file;
  }

  absl::Status Check(const ImageFile& file) {
    ImageContents contents;
    contents.files = {file};
    return CheckFiles(contents, root_);
  }

  const std::string root_;
};

TEST_F(CheckFilesTest, FileOfTheSameSizePasses) {
  ImageFile file = File("/data");
  file.size_bytes = 5;
  EXPECT_TRUE(Check(file).ok());
}

TEST_F(CheckFilesTest, FileOfUnknownSizePasses) {
  EXPECT_TRUE(Check(File("/data")).ok());
}

TEST_F(CheckFilesTest, FileOfAnotherSizeIsNamedWithBothSizes) {
  ImageFile file = File("/data");
  file.size_bytes = 6;
  file.open = true;
  const absl::Status status = Check(file);
  ExpectRefused(status, root_ + "/data");
  ExpectRefused(status, "has 5 bytes here, and had 6");
}

TEST_F(CheckFilesTest, MissingFileIsNamedWithItsUse) {
  ImageFile file = File("/missing");
  file.open = true;
  ExpectRefused(Check(file), root_ + "/missing open");
  file.mapped = true;
  ExpectRefused(Check(file), root_ + "/missing mapped");
  file.directory = true;
  ExpectRefused(Check(file), "as a directory it works in");
}

TEST_F(CheckFilesTest, DeletedAndExternalFilesNeedNotBeThere) {
  ImageFile deleted = File("/missing");
  deleted.deleted = true;
  EXPECT_TRUE(Check(deleted).ok());
  ImageFile external = File("/missing");
  external.external = true;
  EXPECT_TRUE(Check(external).ok());
}

TEST_F(CheckFilesTest, SizeOfADirectoryDoesNotMatter) {
  ImageFile file = File("/");
  file.directory = true;
  file.size_bytes = 1;
  EXPECT_TRUE(Check(file).ok());
}

// --- The node ---------------------------------------------------------------

class CheckHostTest : public testing::Test {
 protected:
  CheckHostTest() {
    const HostInfo here = ReadHostInfo();
    manifest_.mutable_host()->set_machine(here.machine);
    manifest_.mutable_host()->set_cpu_flags(here.cpu_flags);
    manifest_.mutable_host()->set_cpu_model("Model of the source");
  }

  v1::Manifest manifest_;
};

TEST_F(CheckHostTest, SameNodePasses) {
  EXPECT_TRUE(CheckHost(manifest_).ok());
}

TEST_F(CheckHostTest, NodeWithMoreFeaturesPasses) {
  manifest_.mutable_host()->set_cpu_flags("");
  EXPECT_TRUE(CheckHost(manifest_).ok());
}

TEST_F(CheckHostTest, OtherArchitectureIsNamed) {
  manifest_.mutable_host()->set_machine("pdp11");
  ExpectRefused(CheckHost(manifest_), "made on pdp11");
}

TEST_F(CheckHostTest, MissingCpuFeaturesAreNamed) {
  manifest_.mutable_host()->mutable_cpu_flags()->append(
      " warp_drive time_travel");
  const absl::Status status = CheckHost(manifest_);
  ExpectRefused(status, "time_travel warp_drive");
  ExpectRefused(status, "Model of the source");
}

TEST_F(CheckHostTest, MissingCpuFeaturesPassWhereTheyWereNotAskedFor) {
  manifest_.mutable_host()->mutable_cpu_flags()->append(" warp_drive");
  manifest_.mutable_options()->set_cpu_cap("none");
  EXPECT_TRUE(CheckHost(manifest_).ok());
}

TEST_F(CheckHostTest, OtherArchitectureIsRefusedWithoutCpuCheckToo) {
  manifest_.mutable_host()->set_machine("pdp11");
  manifest_.mutable_options()->set_cpu_cap("none");
  ExpectRefused(CheckHost(manifest_), "made on pdp11");
}

}  // namespace
}  // namespace ckpt::restore
