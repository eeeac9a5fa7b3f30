#include "freezer/recover.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/lease.h"
#include "base/unique_fd.h"
#include "freezer/group_hold.h"
#include "freezer/group_lease.h"
#include "freezer/group_status.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"

namespace ckpt::freezer {
namespace {

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

// A job in a group of its own, and a journal of the test's own.
class RecoverTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto made = TestCgroup::Create(GetParam());
    ASSERT_TRUE(made.ok()) << made.status();
    test_group_ = *std::move(made);
    const auto job = Job::Start({.argv = {"/bin/sleep", "1000"},
                                 .env = {},
                                 .cgroups = {test_group_.get()}});
    ASSERT_TRUE(job.ok()) << job.status();
    auto group = OpenCgroup(test_group_->path());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  // An entry whose owners have died.
  void Abandon(const v1::JournalEntry& entry,
               Journal::Kind kind = Journal::Kind::kOperation) {
    auto file = journal_.Write(kind, entry);
    ASSERT_TRUE(file.ok()) << file.status();
    (*file)->Forget();
  }
  v1::JournalEntry Entry(bool origin_frozen = false) {
    return MakeJournalEntry(*group_, v1::HOLD_PURPOSE_FREEZE, origin_frozen);
  }
  v1::JournalEntry LeavingEntry(const std::string& decision) {
    return MakeJournalEntry(*group_, v1::HOLD_PURPOSE_CHECKPOINT,
                            /*give_back_frozen=*/false, decision);
  }
  v1::JournalEntry LeaseEntry(absl::Duration left) {
    v1::JournalEntry entry = Entry();
    entry.mutable_hold()->set_purpose(v1::HOLD_PURPOSE_LEASE);
    entry.set_lease_end_boottime_ns(
        absl::ToInt64Nanoseconds(BootTime() + left));
    return entry;
  }

  void Freeze() {
    ASSERT_EQ(test_group_->RequestFreeze(), absl::OkStatus());
    Expect(CgroupState::kFrozen);
  }
  void Expect(CgroupState state) {
    EXPECT_EQ(test_group_->AwaitState(state, Soon()), absl::OkStatus());
  }
  // Freezes the group for a ckpt that is killed, as is its CRIU while it tries
  // the kernel out on a child: that child.
  pid_t LeaveOrphan() {
    Freeze();
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const pid_t ckpt = ::fork();
    if (ckpt == 0) {
      const auto hold = GroupHold::Take(
          *group_,
          {.purpose = v1::HOLD_PURPOSE_CHECKPOINT, .give_back_frozen = false},
          journal_);
      const pid_t criu = hold.ok() ? ::fork() : -1;
      if (criu == 0) {
        ::setsid();
        const pid_t child = ::fork();
        if (child == 0) ::raise(SIGSTOP);
        ::waitpid(child, nullptr, WUNTRACED);
        (void)!::write(writer.get(), &child, sizeof(child));
      } else {
        ::waitpid(criu, nullptr, 0);
      }
      ::raise(SIGKILL);
    }
    writer.Reset();
    pid_t orphan = 0;
    EXPECT_EQ(::read(reader.get(), &orphan, sizeof(orphan)), sizeof(orphan));
    ::waitpid(ckpt, nullptr, 0);
    return orphan;
  }
  v1::RecoverReport MustRecover(bool dry_run = false) {
    const auto report = Recover(journal_, {.dry_run = dry_run});
    EXPECT_TRUE(report.ok()) << report.status();
    return *report;
  }
  size_t Entries() { return journal_.List()->size(); }

  std::unique_ptr<TestCgroup> test_group_;
  std::unique_ptr<Cgroup> group_;
  const TestDir dir_;
  Journal journal_{dir_.File("journal")};
};

TEST_P(RecoverTest, AGroupThatAStoppedOrphanOfCriuHoldsIsTaken) {
  const pid_t orphan = LeaveOrphan();
  const auto hold =
      GroupHold::Take(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE}, journal_);
  ASSERT_TRUE(hold.ok()) << hold.status();
  Expect(CgroupState::kThawed);
  ::waitpid(orphan, nullptr, 0);  // this test is its reaper
  EXPECT_NE(::kill(orphan, 0), 0);
}

TEST_P(RecoverTest, AGroupThatAStoppedOrphanOfCriuHoldsIsThawed) {
  const pid_t orphan = LeaveOrphan();
  const v1::RecoverReport report = MustRecover();
  ASSERT_EQ(report.groups_size(), 1);
  EXPECT_TRUE(report.groups(0).thawed());
  Expect(CgroupState::kThawed);
  ::waitpid(orphan, nullptr, 0);
  EXPECT_EQ(Entries(), 0);
}

TEST_P(RecoverTest, AnAbandonedGroupIsThawed) {
  Freeze();
  Abandon(Entry());
  const v1::RecoverReport report = MustRecover();
  ASSERT_EQ(report.groups_size(), 1);
  EXPECT_TRUE(report.groups(0).thawed());
  EXPECT_EQ(report.groups(0).problem(), "");
  EXPECT_EQ(report.groups(0).hold().pid(), ::getpid());
  Expect(CgroupState::kThawed);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, AFrozenGroupThatADumpHadThawedIsFrozenAgain) {
  v1::JournalEntry entry = Entry(/*origin_frozen=*/true);
  entry.mutable_hold()->set_purpose(v1::HOLD_PURPOSE_CHECKPOINT);
  Abandon(entry);
  EXPECT_FALSE(MustRecover().groups(0).thawed());
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, AFrozenGroupThatSomebodyThawedSinceStaysThawed) {
  Abandon(Entry(/*origin_frozen=*/true));
  EXPECT_EQ(MustRecover().groups(0).problem(), "");
  Expect(CgroupState::kThawed);
  EXPECT_EQ(Entries(), 0U);
}

// Of a job that has left, not one instruction runs here any more.
TEST_P(RecoverTest, TasksThatAreSomebodyElsesAreKilledNotThawed) {
  const std::string decision = dir_.File("decision");
  Freeze();
  Abandon(LeavingEntry(decision));
  ASSERT_TRUE(OpenAt(AT_FDCWD, decision, O_CREAT | O_WRONLY).ok());
  EXPECT_EQ(MustRecover(/*dry_run=*/true).groups(0).now(),
            v1::FREEZER_STATE_FROZEN);
  const v1::RecoverReport report = MustRecover();
  ASSERT_EQ(report.groups_size(), 1);
  EXPECT_TRUE(report.groups(0).ended());
  EXPECT_EQ(report.groups(0).problem(), "");
  EXPECT_TRUE(test_group_->Processes().empty());
  Expect(CgroupState::kThawed);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, ATakerOfTheGroupEndsThemFirst) {
  const std::string decision = dir_.File("decision");
  Freeze();
  Abandon(LeavingEntry(decision));
  ASSERT_TRUE(OpenAt(AT_FDCWD, decision, O_CREAT | O_WRONLY).ok());
  const auto hold = GroupHold::Take(
      *group_, {.purpose = v1::HOLD_PURPOSE_FREEZE, .needs_journal = false},
      journal_);
  ASSERT_TRUE(hold.ok()) << hold.status();
  EXPECT_TRUE(test_group_->Processes().empty());
}

TEST_P(RecoverTest, WithoutTheFileTheyAreGivenBack) {
  Freeze();
  Abandon(LeavingEntry(dir_.File("decision")));
  const v1::RecoverReport report = MustRecover();
  EXPECT_FALSE(report.groups(0).ended());
  EXPECT_TRUE(report.groups(0).thawed());
  EXPECT_EQ(test_group_->Processes().size(), 1U);
}

TEST_P(RecoverTest, WhereTheFileCannotBeLookedForNothingRuns) {
  Freeze();
  Abandon(LeavingEntry(dir_.File("nowhere/decision")));
  EXPECT_NE(MustRecover().groups(0).problem(), "");
  EXPECT_TRUE(absl::IsFailedPrecondition(
      GroupHold::Take(
          *group_, {.purpose = v1::HOLD_PURPOSE_FREEZE, .needs_journal = false},
          journal_)
          .status()));
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(test_group_->Processes().size(), 1U);
  EXPECT_EQ(Entries(), 1U);
}

// Its guardian had killed them, and somebody has used the group since.
TEST_P(RecoverTest, WhoRunsInTheGroupByThenIsNotKilled) {
  const std::string decision = dir_.File("decision");
  Abandon(LeavingEntry(decision));
  ASSERT_TRUE(OpenAt(AT_FDCWD, decision, O_CREAT | O_WRONLY).ok());
  EXPECT_EQ(MustRecover().groups(0).problem(), "");
  EXPECT_EQ(test_group_->Processes().size(), 1U);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, AnEntryStaysWhenItsGroupCannotBeOpenedNow) {
  Freeze();
  Abandon(Entry());
  RecoverOptions options;
  options.open = [](const std::string&) {
    return absl::ResourceExhaustedError("too many open files");
  };
  const auto report = Recover(journal_, options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->groups_size(), 1);
  EXPECT_EQ(report->groups(0).problem(), "too many open files");
  EXPECT_EQ(report->stale(), 0);
  EXPECT_TRUE(MustRecover().groups(0).thawed());
  Expect(CgroupState::kThawed);
}

TEST_P(RecoverTest, AnEntryStaysWhereItsHierarchyIsNotMounted) {
  v1::JournalEntry entry = Entry();
  entry.set_cgroup("/not/mounted/here/job");
  Abandon(entry);
  EXPECT_NE(MustRecover().groups(0).problem(), "");
  EXPECT_EQ(Entries(), 1U);
}

TEST_P(RecoverTest, ADryRunChangesNothing) {
  Freeze();
  Abandon(Entry());
  EXPECT_EQ(MustRecover(/*dry_run=*/true).groups_size(), 1);
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(Entries(), 1U);
}

TEST_P(RecoverTest, AnEntryWithAnOwnerIsLeftAlone) {
  Freeze();
  const auto file = journal_.Write(Journal::Kind::kOperation, Entry());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(MustRecover().groups_size(), 0);
  Expect(CgroupState::kFrozen);
}

TEST_P(RecoverTest, AGroupThatIsInUseIsLeftAlone) {
  Freeze();
  Abandon(Entry());
  const auto lock = group_->Lock();
  ASSERT_TRUE(lock.ok());
  const v1::RecoverReport report = MustRecover();
  ASSERT_EQ(report.groups_size(), 1);
  EXPECT_TRUE(absl::StrContains(report.groups(0).problem(), "in use"))
      << report.groups(0).problem();
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(Entries(), 1U);
}

TEST_P(RecoverTest, EntriesOfAnotherStartOfTheKernelAreRemoved) {
  Freeze();
  v1::JournalEntry entry = Entry();
  entry.set_boot_id("another");
  Abandon(entry);
  const v1::RecoverReport report = MustRecover();
  EXPECT_EQ(report.groups_size(), 0);
  EXPECT_EQ(report.stale(), 1);
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, ANewGroupOfTheSameNameIsAnotherGroup) {
  Freeze();
  v1::JournalEntry entry = Entry();
  entry.set_inode(entry.inode() + 1);
  Abandon(entry);
  EXPECT_EQ(MustRecover().stale(), 1);
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, EntriesOfRemovedGroupsAreRemoved) {
  auto child = test_group_->CreateChild("gone");
  ASSERT_TRUE(child.ok());
  const auto group = OpenCgroup((*child)->path());
  ASSERT_TRUE(group.ok());
  Abandon(MakeJournalEntry(**group, v1::HOLD_PURPOSE_FREEZE, false));
  child->reset();
  EXPECT_EQ(MustRecover().stale(), 1);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, GarbageIsRemoved) {
  Abandon(Entry());
  const UniqueFd file(::open(dir_.File("journal/v2-1").c_str(),
                             O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_TRUE(WriteAll(file.get(), "\xff\xff", "garbage").ok());
  EXPECT_EQ(MustRecover().groups_size(), 1);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, EntriesOfANewerCkptStay) {
  Freeze();
  v1::JournalEntry entry = Entry();
  entry.set_format_version(kJournalVersion + 1);
  Abandon(entry);
  const v1::RecoverReport report = MustRecover();
  ASSERT_EQ(report.groups_size(), 1);
  EXPECT_TRUE(absl::StrContains(report.groups(0).problem(), "newer ckpt"))
      << report.groups(0).problem();
  Expect(CgroupState::kFrozen);
  EXPECT_EQ(Entries(), 1U);
  EXPECT_EQ(
      GroupHold::Take(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE}, journal_)
          .status()
          .code(),
      absl::StatusCode::kFailedPrecondition);
}

TEST_P(RecoverTest, TwoAtOnceGiveAGroupBackOnce) {
  Freeze();
  Abandon(Entry());
  v1::RecoverReport one, two;
  std::thread thread([&] { one = MustRecover(); });
  two = MustRecover();
  thread.join();
  int thawed = 0;
  for (const v1::RecoverReport* report : {&one, &two}) {
    for (const v1::RecoveredGroup& group : report->groups()) {
      if (group.problem().empty() && group.thawed()) ++thawed;
    }
  }
  EXPECT_EQ(thawed, 1);
  Expect(CgroupState::kThawed);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, WhoTakesAGroupRecoversItFirst) {
  Freeze();
  Abandon(Entry());
  const auto hold =
      GroupHold::Take(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE}, journal_);
  ASSERT_TRUE(hold.ok()) << hold.status();
  EXPECT_FALSE((*hold)->give_back_frozen());
  Expect(CgroupState::kThawed);
}

TEST_P(RecoverTest, AnAbandonedLeaseThatIsOverEnds) {
  Freeze();
  Abandon(LeaseEntry(-absl::Seconds(1)), Journal::Kind::kLease);
  EXPECT_TRUE(MustRecover().groups(0).thawed());
  Expect(CgroupState::kThawed);
  EXPECT_EQ(Entries(), 0U);
}

TEST_P(RecoverTest, AnAbandonedLeaseThatIsNotOverGoesOn) {
  Freeze();
  Abandon(LeaseEntry(absl::Hours(1)), Journal::Kind::kLease);
  EXPECT_TRUE(MustRecover().groups(0).lease_resumed());
  Expect(CgroupState::kFrozen);
  const auto lease = journal_.Find(Journal::Kind::kLease, *group_);
  ASSERT_TRUE(lease.has_value());
  EXPECT_FALSE(lease->hold().abandoned());
  EndLease(*group_, journal_);
  EXPECT_EQ(MustRecover().groups_size(), 0);
}

TEST_P(RecoverTest, AResumedLeaseEndsAtItsTime) {
  Freeze();
  Abandon(LeaseEntry(absl::Milliseconds(300)), Journal::Kind::kLease);
  (void)MustRecover();
  Expect(CgroupState::kThawed);
}

TEST_P(RecoverTest, TheStatusTellsWhoHoldsTheGroup) {
  Freezer freezer(*group_, ProcFs::Real(), Clock::Real());
  const auto hold = GroupHold::Take(
      *group_, {.purpose = v1::HOLD_PURPOSE_CHECKPOINT}, journal_);
  ASSERT_TRUE(hold.ok()) << hold.status();
  const auto status = DescribeGroup(freezer, /*with_tasks=*/false, journal_);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->state(), v1::FREEZER_STATE_CHECKPOINTING);
  EXPECT_EQ(status->kernel_state(), v1::FREEZER_STATE_THAWED);
  EXPECT_EQ(status->lock_holder_pid(), ::getpid());
  const auto second =
      GroupHold::Take(*group_, {.purpose = v1::HOLD_PURPOSE_FREEZE}, journal_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(second.status().message(), "checkpoints it"))
      << second.status();
}

TEST_P(RecoverTest, AnAbandonedDumpIsNoCheckpointAnyMore) {
  Freezer freezer(*group_, ProcFs::Real(), Clock::Real());
  Freeze();
  v1::JournalEntry entry = Entry();
  entry.mutable_hold()->set_purpose(v1::HOLD_PURPOSE_CHECKPOINT);
  Abandon(entry);
  const auto status = DescribeGroup(freezer, /*with_tasks=*/false, journal_);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->state(), v1::FREEZER_STATE_FROZEN);
  EXPECT_TRUE(status->hold().abandoned());
}

INSTANTIATE_TEST_SUITE_P(All, RecoverTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::freezer
