#include "migrate/journal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>

#include "base/file.h"
#include "gtest/gtest.h"
#include "migrate/states.h"
#include "tests/support/test_dir.h"

namespace ckpt::migrate {
namespace {

v1::MigrationRecord Record(const std::string& id) {
  v1::MigrationRecord record;
  record.set_format_version(kRecordVersion);
  record.set_id(id);
  record.set_generation("g1");
  return record;
}

class JournalTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    journal_ = nullptr;
    auto journal = FileJournal::Open(dir_.File("j"));
    ASSERT_TRUE(journal.ok()) << journal.status();
    journal_ = *std::move(journal);
  }

  const TestDir dir_;
  std::unique_ptr<FileJournal> journal_;
};

TEST_F(JournalTest, KeepsStatesAndReasonsOverARestart) {
  v1::MigrationRecord record = Record("a");
  ASSERT_EQ(Advance(*journal_, record, v1::MIGRATION_STATE_PREPARING, "asked"),
            absl::OkStatus());
  ASSERT_EQ(Advance(*journal_, record, v1::MIGRATION_STATE_ABORTED, "refused"),
            absl::OkStatus());
  Reopen();
  const auto found = journal_->Find("a");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->state(), v1::MIGRATION_STATE_ABORTED);
  ASSERT_EQ(found->steps_size(), 2);
  EXPECT_EQ(found->steps(1).why(), "refused");
  EXPECT_EQ(journal_->Load()->size(), 1);
}

TEST_F(JournalTest, RefusesAStateThatDoesNotFollow) {
  v1::MigrationRecord record = Record("a");
  EXPECT_TRUE(absl::IsInternal(
      Advance(*journal_, record, v1::MIGRATION_STATE_DONE, "no")));
  EXPECT_EQ(record.state(), v1::MIGRATION_STATE_UNSPECIFIED);
  EXPECT_TRUE(absl::IsNotFound(journal_->Find("a").status()));
}

TEST_F(JournalTest, DecisionIsOfOneGeneration) {
  v1::MigrationRecord record = Record("a");
  EXPECT_FALSE(*journal_->IsDecided(record));
  ASSERT_EQ(journal_->Save(record), absl::OkStatus());
  ASSERT_EQ(journal_->Decide(record), absl::OkStatus());
  Reopen();
  EXPECT_TRUE(*journal_->IsDecided(record));
  record.set_generation("g2");
  EXPECT_FALSE(*journal_->IsDecided(record));
}

TEST_F(JournalTest, DecisionThatCannotBeWrittenIsNone) {
  v1::MigrationRecord record = Record("a");
  // A directory is in the way of the rename.
  ASSERT_EQ(::mkdirat(journal_->dir_fd(), "a.g1.decision", 0700), 0);
  EXPECT_FALSE(journal_->Decide(record).ok());
  const auto decided = journal_->IsDecided(record);
  EXPECT_FALSE(decided.ok() && *decided);
}

TEST_F(JournalTest, HasOneOwner) {
  EXPECT_TRUE(absl::IsUnavailable(
      FileJournal::Open(dir_.File("j"), absl::ZeroDuration()).status()));
}

TEST_F(JournalTest, NamesNoFileElsewhere) {
  EXPECT_TRUE(absl::IsInvalidArgument(journal_->Save(Record("../x"))));
  EXPECT_TRUE(absl::IsInvalidArgument(journal_->Find(".hidden").status()));
}

TEST_F(JournalTest, DamagedRecordIsToldAndLeftOut) {
  ASSERT_EQ(journal_->Save(Record("a")), absl::OkStatus());
  const auto file = OpenAt(journal_->dir_fd(), "a.migration", O_WRONLY);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(WriteAll(file->get(), "\xff\xff\xff", "a"), absl::OkStatus());
  EXPECT_TRUE(absl::IsDataLoss(journal_->Find("a").status()));
  EXPECT_TRUE(journal_->Load()->empty());
}

TEST_F(JournalTest, ForgetsRecordAndDecision) {
  const v1::MigrationRecord record = Record("a");
  ASSERT_EQ(journal_->Save(record), absl::OkStatus());
  ASSERT_EQ(journal_->Decide(record), absl::OkStatus());
  ASSERT_EQ(journal_->Remove("a"), absl::OkStatus());
  EXPECT_FALSE(*journal_->IsDecided(record));
  EXPECT_TRUE(journal_->Load()->empty());
}

// Killed between the two files of Forget(), it leaves a decision; a later
// migration of the same id is not decided by it.
TEST_F(JournalTest, LeftoversDecideNothingAndAreRemoved) {
  v1::MigrationRecord record = Record("a.b");
  ASSERT_EQ(journal_->Decide(record), absl::OkStatus());
  const v1::MigrationRecord kept = Record("k");
  ASSERT_EQ(journal_->Save(kept), absl::OkStatus());
  ASSERT_EQ(journal_->Decide(kept), absl::OkStatus());
  const std::string name = FileJournal::DecisionName(record);
  record.set_generation("g2");
  EXPECT_NE(FileJournal::DecisionName(record), name);
  EXPECT_FALSE(*journal_->IsDecided(record));
  ASSERT_TRUE(
      OpenAt(journal_->dir_fd(), "k.migration.new", O_WRONLY | O_CREAT).ok());
  Reopen();
  EXPECT_FALSE(ReadFileAt(journal_->dir_fd(), name).ok());
  EXPECT_FALSE(ReadFileAt(journal_->dir_fd(), "k.migration.new").ok());
  EXPECT_TRUE(*journal_->IsDecided(kept));
}

TEST_F(JournalTest, LongHistoryKeepsItsStatesAndItsLastSteps) {
  v1::MigrationRecord record = Record("a");
  ASSERT_EQ(Advance(*journal_, record, v1::MIGRATION_STATE_PREPARING, "asked"),
            absl::OkStatus());
  for (int i = 0; i < 300; ++i) {
    Note(*journal_, record, "try " + std::to_string(i));
  }
  ASSERT_EQ(Advance(*journal_, record, v1::MIGRATION_STATE_ABORTED, "refused"),
            absl::OkStatus());
  Note(*journal_, record, "told");
  ASSERT_EQ(record.steps_size(), 200);
  EXPECT_EQ(record.steps(0).why(), "asked");
  EXPECT_EQ(record.steps(197).why(), "try 299");
  EXPECT_EQ(record.steps(198).why(), "refused");
  EXPECT_EQ(record.steps(199).why(), "told");
}

TEST(StatesTest, BothSidesHaveOneEndForEachDecision) {
  for (const auto state :
       {v1::MIGRATION_STATE_DONE, v1::MIGRATION_STATE_CLOSED,
        v1::MIGRATION_STATE_LOST, v1::MIGRATION_STATE_RUNNING,
        v1::MIGRATION_STATE_DROPPED}) {
    EXPECT_TRUE(IsFinal(state)) << StateName(state);
  }
  EXPECT_FALSE(IsFinal(v1::MIGRATION_STATE_GONE));
  // From the decision on nothing leads back.
  EXPECT_FALSE(CheckTransition(v1::MIGRATION_STATE_COMMITTED,
                               v1::MIGRATION_STATE_ABORTED)
                   .ok());
  EXPECT_FALSE(
      CheckTransition(v1::MIGRATION_STATE_TAKEN, v1::MIGRATION_STATE_DROPPED)
          .ok());
}

}  // namespace
}  // namespace ckpt::migrate
