// Cgroup directories of the real kernel: how they are found, made, removed,
// refused and locked.  The contract suite has what the fake one does too.
#include "freezer/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/last_will.h"
#include "freezer/lookup.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::freezer {
namespace {

constexpr absl::Duration kPlenty = absl::Minutes(1);

class CgroupTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    const std::string why = WhyNoCgroup(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    directory_ = *std::move(group);
    mount_ = *CgroupMount(GetParam());
  }

  v1::Hierarchy hierarchy() const {
    return GetParam() == CgroupVersion::kV1 ? v1::HIERARCHY_V1
                                            : v1::HIERARCHY_V2;
  }
  const std::string& path() const { return directory_->path(); }
  std::string name() const { return path().substr(mount_.size() + 1); }

  std::unique_ptr<Cgroup> Open() {
    auto group = OpenCgroup(path());
    EXPECT_TRUE(group.ok()) << group.status();
    return *std::move(group);
  }

  // A child of the test that sleeps in the group.
  pid_t AddSleeper() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    EXPECT_TRUE(directory_->Add(pid).ok());
    return pid;
  }

  std::unique_ptr<TestCgroup> directory_;
  std::string mount_;
};

// --- Finding ----------------------------------------------------------------

TEST_P(CgroupTest, IsFoundByItsPath) {
  const auto group = FindCgroup(path(), v1::HIERARCHY_UNSPECIFIED);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ((*group)->path(), path());
  EXPECT_EQ((*group)->hierarchy(), hierarchy());
  EXPECT_FALSE((*group)->is_root());
}

TEST_P(CgroupTest, IsFoundByItsNameInEitherHierarchy) {
  for (const auto where : {hierarchy(), v1::HIERARCHY_UNSPECIFIED}) {
    const auto group = FindCgroup(name(), where);
    ASSERT_TRUE(group.ok()) << group.status();
    EXPECT_EQ((*group)->path(), path());
  }
}

TEST_P(CgroupTest, NameMayHoldSlashesAndDots) {
  const auto inner = directory_->CreateChild("inner.1");
  ASSERT_TRUE(inner.ok()) << inner.status();
  for (const std::string& spelled :
       {absl::StrCat(name(), "/inner.1"), absl::StrCat("/", name(), "/inner.1"),
        absl::StrCat("./", name(), "//./inner.1/"),
        absl::StrCat(path(), "/inner.1/")}) {
    const auto group = FindCgroup(spelled, hierarchy());
    ASSERT_TRUE(group.ok()) << group.status();
    EXPECT_EQ((*group)->path(), (*inner)->path()) << spelled;
  }
}

TEST_P(CgroupTest, IsNotFoundInTheOtherHierarchy) {
  const auto other =
      hierarchy() == v1::HIERARCHY_V1 ? v1::HIERARCHY_V2 : v1::HIERARCHY_V1;
  if (!CgroupMount(other == v1::HIERARCHY_V1 ? CgroupVersion::kV1
                                             : CgroupVersion::kV2)
           .ok()) {
    GTEST_SKIP() << "only one hierarchy is mounted";
  }
  EXPECT_EQ(FindCgroup(name(), other).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(FindCgroup(path(), other).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(CgroupTest, NotFoundTellsWhereItLooked) {
  const auto group = FindCgroup("no-such-group", v1::HIERARCHY_UNSPECIFIED);
  EXPECT_EQ(group.status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::StrContains(group.status().message(),
                                absl::StrCat(mount_, "/no-such-group")))
      << group.status();
}

TEST_P(CgroupTest, WayUpIsRefused) {
  for (const std::string& spelled :
       {std::string(".."), absl::StrCat(name(), "/../", name()),
        absl::StrCat(path(), "/..")}) {
    EXPECT_EQ(FindCgroup(spelled, hierarchy()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << spelled;
  }
}

TEST_P(CgroupTest, EmptyNameIsRefused) {
  EXPECT_EQ(FindCgroup("", hierarchy()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(CgroupTest, MountPointIsTheRoot) {
  for (const std::string& spelled : {mount_, std::string("/")}) {
    const auto group = FindCgroup(spelled, hierarchy());
    ASSERT_TRUE(group.ok()) << group.status();
    EXPECT_TRUE((*group)->is_root());
    EXPECT_EQ((*group)->path(), mount_);
    EXPECT_EQ(*PathInHierarchy(**group), "/");
  }
}

TEST_P(CgroupTest, DirectoryOfAnotherFileSystemIsNoCgroup) {
  EXPECT_EQ(OpenCgroup("/proc/self").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(CgroupTest, FileIsNoCgroup) {
  EXPECT_EQ(OpenCgroup(directory_->procs_path()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Seen when a group is removed while it is opened.
TEST_P(CgroupTest, RemovedGroupIsNotFound) {
  const auto held = OpenDirectory(path());
  ASSERT_TRUE(held.ok()) << held.status();
  directory_.reset();
  EXPECT_EQ(
      OpenCgroup(absl::StrCat("/proc/self/fd/", held->get())).status().code(),
      absl::StatusCode::kNotFound);
}

TEST_P(CgroupTest, HierarchyWithoutAFreezerIsRefused) {
  const auto mounts = ReadFile("/proc/mounts");
  ASSERT_TRUE(mounts.ok());
  std::string other;
  for (const absl::string_view line :
       absl::StrSplit(*mounts, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields[2] == "cgroup" && !absl::StrContains(fields[3], "freezer")) {
      other = fields[1];
    }
  }
  if (other.empty()) GTEST_SKIP() << "no other v1 hierarchy is mounted";
  EXPECT_EQ(OpenCgroup(other).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindCgroup(other, v1::HIERARCHY_UNSPECIFIED).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(CgroupTest, PathInHierarchyIsWithoutTheMountPoint) {
  EXPECT_EQ(*PathInHierarchy(*Open()), absl::StrCat("/", name()));
}

TEST_P(CgroupTest, GroupOfAProcessIsFound) {
  const pid_t pid = AddSleeper();
  const auto group = CgroupOf(pid, hierarchy());
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ((*group)->path(), path());
}

TEST_P(CgroupTest, GroupOfAGoneProcessIsNotFound) {
  const pid_t pid = AddSleeper();
  ASSERT_TRUE(directory_->KillAll(Clock::Real().Now() + kPlenty).ok());
  EXPECT_EQ(CgroupOf(pid, hierarchy()).status().code(),
            absl::StatusCode::kNotFound);
}

// --- Making and removing ----------------------------------------------------

TEST_P(CgroupTest, IsMadeWithItsParentsWhereItIsMissing) {
  const std::string inner = absl::StrCat(name(), "/a/b");
  std::vector<std::string> made;

  const auto group = FindOrCreateCgroup(inner, hierarchy(), made);

  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ((*group)->path(), absl::StrCat(path(), "/a/b"));
  EXPECT_EQ(made, (std::vector<std::string>{absl::StrCat(path(), "/a"),
                                            absl::StrCat(path(), "/a/b")}));
  EXPECT_EQ(RemoveMadeCgroups(made), absl::OkStatus());
  EXPECT_EQ(OpenCgroup(absl::StrCat(path(), "/a")).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(CgroupTest, IsNotMadeTwice) {
  std::vector<std::string> made = {"of a call before"};
  const auto group = FindOrCreateCgroup(path(), hierarchy(), made);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_TRUE(made.empty());
}

TEST_P(CgroupTest, MadeAnewUnderItsNameItIsAnotherGroup) {
  const auto inner = directory_->CreateChild("inner");
  const std::string inner_path = (*inner)->path();
  const auto before = OpenCgroup(inner_path);
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(RemoveCgroup(inner_path, kPlenty).ok());
  ASSERT_EQ(::mkdir(inner_path.c_str(), 0755), 0);

  EXPECT_EQ((*before)->Processes().status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ((*before)->AddProcess(::getpid()).code(),
            absl::StatusCode::kNotFound);
}

TEST_P(CgroupTest, RemovalOfAMissingGroupSucceeds) {
  EXPECT_TRUE(RemoveCgroup(path() + "/missing", kPlenty).ok());
}

TEST_P(CgroupTest, RemovalWaitsForKilledTasksToLeave) {
  const auto inner = directory_->CreateChild("inner");
  std::vector<pid_t> pids;
  for (int i = 0; i < 20; ++i) {
    pids.push_back(AddSleeper());
    ASSERT_TRUE((*inner)->Add(pids.back()).ok());
  }
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);

  EXPECT_TRUE(RemoveCgroup((*inner)->path(), kPlenty).ok());

  EXPECT_NE(::access((*inner)->path().c_str(), F_OK), 0);
  EXPECT_TRUE(WaitUntilGone(pids, Clock::Real().Now() + kPlenty).ok());
}

TEST_P(CgroupTest, RemovalOfAGroupWithTasksIsUnavailable) {
  AddSleeper();
  EXPECT_EQ(RemoveCgroup(path(), absl::Milliseconds(5)).code(),
            absl::StatusCode::kUnavailable);
}

// --- Files ------------------------------------------------------------------

TEST_P(CgroupTest, ProcessJoinsThroughADescriptorAndIsListedThroughAnother) {
  const auto group = Open();
  const auto writer = group->OpenProcsForWrite();
  const auto reader = group->OpenProcsForRead();
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(reader.ok()) << reader.status();
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::write(writer->get(), "0", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  const absl::Time deadline = Clock::Real().Now() + kPlenty;
  while (group->Processes()->empty() && Clock::Real().Now() < deadline) {
  }
  char text[64];
  const ssize_t size = ::pread(reader->get(), text, sizeof text, 0);
  EXPECT_EQ(std::string(text, static_cast<size_t>(size)),
            absl::StrCat(pid, "\n"));
}

// In a process that dies of kill -9 with a will about the group.
[[noreturn]] void DieWithAWill(Cgroup& group, int kept_fd) {
  const auto procs = group.OpenProcsForRead();
  LastWill will;
  will.AddKillListed(procs->get(), kPlenty);
  will.KeepOpen(kept_fd);
  if (!will.Arm().ok()) ::_exit(1);
  ::raise(SIGKILL);
  ::_exit(1);
}

TEST_P(CgroupTest, LastWillKillsWhatForksMeanwhileAndThenEnds) {
  for (int i = 0; i < 4; ++i) {
    if (::fork() != 0) continue;
    if (!directory_->Add(::getpid()).ok()) ::_exit(1);
    for (;;) {  // each generation is replaced by the next
      if (::fork() > 0) ::_exit(0);
    }
  }
  const auto group = Open();
  const absl::Time start = Clock::Real().Now();
  while (group->Processes()->empty())
    ASSERT_LT(Clock::Real().Now(), start + kPlenty);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) DieWithAWill(*group, writer.get());
  writer.Reset();
  ::waitpid(pid, nullptr, 0);

  char byte;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0);  // the executor has ended

  EXPECT_TRUE(group->Processes()->empty());
  EXPECT_LT(Clock::Real().Now() - start, kPlenty);
}

TEST_P(CgroupTest, ErrorsNameTheGroupAndTheFile) {
  const absl::Status status = Open()->Read("no.such.file").status();
  EXPECT_TRUE(absl::StrContains(status.message(), path())) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "no.such.file")) << status;
}

// v2 tells of changes; v1 does not.
TEST_P(CgroupTest, WaitEndsAtAChangeOnV2AndOutlastsItOnV1) {
  const bool is_v2 = hierarchy() == v1::HIERARCHY_V2;
  const absl::Duration limit = is_v2 ? kPlenty : absl::Milliseconds(3);
  AddSleeper();
  const auto group = Open();
  ASSERT_TRUE(group->Read(is_v2 ? "cgroup.events" : "freezer.state").ok());
  ASSERT_TRUE(directory_->RequestFreeze().ok());
  const absl::Time start = Clock::Real().Now();

  EXPECT_TRUE(group->WaitForChange(limit, nullptr).ok());

  EXPECT_EQ(Clock::Real().Now() - start < limit, is_v2);
}

TEST_P(CgroupTest, WaitEndsAtTheLimit) {
  const auto group = Open();
  const absl::Time start = Clock::Real().Now();
  EXPECT_TRUE(group->WaitForChange(absl::Milliseconds(3), nullptr).ok());
  EXPECT_GE(Clock::Real().Now() - start, absl::Milliseconds(3));
}

TEST_P(CgroupTest, WaitEndsWhenCancelled) {
  const auto group = Open();
  Cancellation cancel;
  cancel.Cancel();
  EXPECT_EQ(group->WaitForChange(kPlenty, &cancel).code(),
            absl::StatusCode::kCancelled);
}

// --- The lock ---------------------------------------------------------------

TEST_P(CgroupTest, LockOfAnotherProcessIsNamedAndEndsWithIt) {
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const UniqueFd reader(ready[0]);
  UniqueFd writer(ready[1]);
  const auto group = Open();
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto lock = group->Lock();
    (void)!::write(writer.get(), lock.ok() ? "y" : "n", 1);
    for (;;) ::pause();
  }
  writer.Reset();
  char locked = 0;
  ASSERT_EQ(::read(reader.get(), &locked, 1), 1);
  ASSERT_EQ(locked, 'y');

  EXPECT_EQ(group->LockHolder(), pid);
  const auto second = group->Lock();
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(
      absl::StrContains(second.status().message(), absl::StrCat(pid, " (")))
      << second.status();

  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  EXPECT_EQ(group->LockHolder(), 0);
  EXPECT_TRUE(group->Lock().ok());
}

INSTANTIATE_TEST_SUITE_P(Versions, CgroupTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::freezer
