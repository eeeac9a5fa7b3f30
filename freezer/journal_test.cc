#include "freezer/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/fake_clock.h"
#include "base/file.h"
#include "freezer/fake_cgroup.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::freezer {
namespace {

constexpr Journal::Kind kOperation = Journal::Kind::kOperation;
constexpr Journal::Kind kLease = Journal::Kind::kLease;

class JournalTest : public testing::Test {
 protected:
  v1::JournalEntry Entry(v1::HoldPurpose purpose = v1::HOLD_PURPOSE_FREEZE) {
    return MakeJournalEntry(*group_, purpose, /*give_back_frozen=*/false);
  }
  std::unique_ptr<JournalFile> Write(Journal::Kind kind = kOperation) {
    auto file = journal_.Write(kind, Entry());
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }

  FakeClock clock_;
  FakeKernel kernel_{v1::HIERARCHY_V2, clock_};
  const std::unique_ptr<Cgroup> group_ = kernel_.MakeGroup("/job");
  const TestDir dir_;
  const std::string directory_ = dir_.File("run") + "/journal";
  Journal journal_{directory_};
};

TEST_F(JournalTest, WithNoDirectoryThereIsNothing) {
  EXPECT_FALSE(journal_.Find(kOperation, *group_).has_value());
  EXPECT_TRUE(journal_.List()->empty());
}

TEST_F(JournalTest, AnEntryTellsItsGroupAndItsOwner) {
  const auto file = Write();
  const auto found = journal_.Find(kOperation, *group_);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->cgroup(), group_->path());
  EXPECT_EQ(found->inode(), group_->id());
  EXPECT_EQ(found->hold().pid(), ::getpid());
  EXPECT_EQ(found->hold().purpose(), v1::HOLD_PURPOSE_FREEZE);
  EXPECT_FALSE(found->hold().abandoned());
}

TEST_F(JournalTest, ItsDirectoryIsForRootAlone) {
  const auto file = Write();
  struct stat info;
  ASSERT_EQ(::stat(directory_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(JournalTest, AnEntryGoesWithItsOwner) {
  Write().reset();
  EXPECT_TRUE(journal_.List()->empty());
}

TEST_F(JournalTest, AnEntryWhoseOwnersAreGoneIsAbandoned) {
  auto file = Write();
  const int copy = ::fcntl(file->fd(), F_DUPFD_CLOEXEC, 0);  // a guardian's
  file->Forget();
  EXPECT_FALSE(journal_.Find(kOperation, *group_)->hold().abandoned());
  ::close(copy);
  EXPECT_TRUE(journal_.Find(kOperation, *group_)->hold().abandoned());
  EXPECT_TRUE(journal_.List()->front().entry.hold().abandoned());
}

TEST_F(JournalTest, AnOwnedEntryCannotBeTakenOver) {
  const auto file = Write();
  EXPECT_EQ(journal_.TakeOver(file->name()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(JournalTest, AnAbandonedEntryIsTakenOverOnce) {
  Write()->Forget();
  const std::string name = Journal::FileName(kOperation, *group_);
  auto owner = journal_.TakeOver(name);
  ASSERT_TRUE(owner.ok()) << owner.status();
  EXPECT_EQ((*owner)->entry().inode(), group_->id());
  EXPECT_FALSE(journal_.Find(kOperation, *group_)->hold().abandoned());
  EXPECT_EQ(journal_.TakeOver(name).status().code(),
            absl::StatusCode::kUnavailable);
  owner->reset();
  EXPECT_EQ(journal_.TakeOver(name).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(JournalTest, OperationAndLeaseOfAGroupAreTwoEntries) {
  const auto operation = Write(kOperation);
  const auto lease = Write(kLease);
  EXPECT_EQ(journal_.List()->size(), 2U);
  journal_.Erase(kLease, *group_);
  EXPECT_TRUE(journal_.Find(kOperation, *group_).has_value());
  EXPECT_FALSE(journal_.Find(kLease, *group_).has_value());
}

TEST_F(JournalTest, AReplacedEntryIsNotRemovedByItsFormerOwner) {
  auto first = Write();
  const auto second = Write();
  first.reset();
  EXPECT_TRUE(journal_.Find(kOperation, *group_).has_value());
}

TEST_F(JournalTest, APreparedEntryIsSeenOnceItIsPublished) {
  const auto file = journal_.Prepare(Entry());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(journal_.Find(kOperation, *group_).has_value());
  EXPECT_EQ((*file)->Publish(Journal::FileName(kOperation, *group_)),
            absl::OkStatus());
  EXPECT_TRUE(journal_.Find(kOperation, *group_).has_value());
}

TEST_F(JournalTest, AnEntryThatWasNeverPublishedIsGarbageOnceItsOwnerIsGone) {
  auto file = journal_.Prepare(Entry());
  ASSERT_TRUE(file.ok()) << file.status();
  (*file)->Forget();
  ASSERT_EQ(journal_.List()->size(), 1U);
  EXPECT_FALSE(journal_.List()->front().parsed);
}

TEST_F(JournalTest, AnEntryOfAnotherStartOfTheKernelIsNotFound) {
  v1::JournalEntry entry = Entry();
  entry.set_boot_id("another");
  const auto file = journal_.Write(kOperation, entry);
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(journal_.Find(kOperation, *group_).has_value());
  EXPECT_EQ(journal_.List()->size(), 1U);
}

TEST_F(JournalTest, GarbageIsListedAsSuch) {
  Write().reset();
  const UniqueFd file(::open((directory_ + "/v2-7").c_str(),
                             O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_TRUE(WriteAll(file.get(), "no entry", "v2-7").ok());
  ASSERT_EQ(journal_.List()->size(), 1U);
  EXPECT_FALSE(journal_.List()->front().parsed);
}

TEST_F(JournalTest, WhatIsNoFileIsNeitherListedNorWaitedFor) {
  Write();
  ASSERT_EQ(::mkfifo((directory_ + "/fifo").c_str(), 0600), 0);
  const auto items = journal_.List();
  ASSERT_TRUE(items.ok()) << items.status();
  EXPECT_TRUE(items->empty());
}

TEST_F(JournalTest, WhatCannotBeWrittenIsAnError) {
  const UniqueFd file(
      ::open(dir_.File("run").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_FALSE(journal_.Write(kOperation, Entry()).ok());
}

}  // namespace
}  // namespace ckpt::freezer
