#include "run/job_registry.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::run {
namespace {

class JobRegistryTest : public testing::Test {
 protected:
  static v1::JobRecord RecordOf(pid_t supervisor) {
    v1::JobRecord record;
    record.set_name("render");
    record.set_supervisor_pid(supervisor);
    return record;
  }

  // A pid that nobody has: of a child that has been reaped.
  static pid_t EndedPid() {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    ::waitpid(pid, nullptr, 0);
    return pid;
  }

  TestDir dir_;
  const JobRegistry registry_{dir_.File("jobs")};
  FakeClock clock_;
};

TEST_F(JobRegistryTest, JobIsFoundWhileItsEntryLives) {
  auto entry = registry_.Enter("render", clock_);
  ASSERT_TRUE(entry.ok()) << entry.status();
  ASSERT_TRUE((*entry)->Write(RecordOf(::getpid())).ok());

  const auto job = registry_.Find("render");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(job->supervised);
  EXPECT_EQ(registry_.List()->size(), 1U);

  entry->reset();
  EXPECT_TRUE(absl::IsNotFound(registry_.Find("render").status()));
  EXPECT_TRUE(registry_.List()->empty());
}

TEST_F(JobRegistryTest, SecondOfANameIsRefusedAtOnceAndNamesTheFirst) {
  const auto entry = registry_.Enter("render", clock_);
  ASSERT_TRUE(entry.ok()) << entry.status();
  ASSERT_TRUE((*entry)->Write(RecordOf(::getpid())).ok());
  const absl::Time before = clock_.Now();

  const absl::Status second = registry_.Enter("render", clock_).status();

  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  EXPECT_TRUE(absl::StrContains(second.message(), absl::StrCat(::getpid())));
  EXPECT_EQ(clock_.Now(), before);
}

TEST_F(JobRegistryTest, GuardianOfAKilledSupervisorIsWaitedFor) {
  auto entry = registry_.Enter("render", clock_);
  ASSERT_TRUE(entry.ok()) << entry.status();
  ASSERT_TRUE((*entry)->Write(RecordOf(EndedPid())).ok());
  clock_.on_sleep = [&] { entry->reset(); };

  const auto second = registry_.Enter("render", clock_);

  EXPECT_TRUE(second.ok()) << second.status();
}

TEST_F(JobRegistryTest, LeftoverOfAKilledSupervisorIsRemovedByAList) {
  const std::string left = dir_.MakeDirectory("jobs") + "/left";
  ASSERT_EQ(::mkdir(left.c_str(), 0755), 0);

  EXPECT_TRUE(registry_.List()->empty());

  EXPECT_NE(::access(left.c_str(), F_OK), 0);
}

TEST_F(JobRegistryTest, OtherNamesAreFree) {
  const auto entry = registry_.Enter("render", clock_);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_TRUE(registry_.Enter("compile", clock_).ok());
}

}  // namespace
}  // namespace ckpt::run
