#include "run/job_directory.h"

#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "absl/strings/numbers.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::run {
namespace {

class JobDirectoryTest : public testing::Test {
 protected:
  JobDirectory Make() const {
    auto made = JobDirectory::Make(dir_.File("store"), "render");
    EXPECT_TRUE(made.ok()) << made.status();
    return *made;
  }

  TestDir dir_;
};

TEST_F(JobDirectoryTest, LedgerOfANewJobIsEmpty) {
  const auto ledger = Make().ReadLedger();
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  EXPECT_EQ(ledger->finished_image(), 0);
}

TEST_F(JobDirectoryTest, ItsFilesAreNamedAsCriuNamesThem) {
  const JobDirectory direct = Make();
  ASSERT_EQ(::symlink(dir_.File("store").c_str(), dir_.File("link").c_str()),
            0);
  const auto by_link = JobDirectory::Make(dir_.File("link"), "render");
  ASSERT_TRUE(by_link.ok()) << by_link.status();
  EXPECT_EQ(by_link->restarts_file(), direct.restarts_file());
}

TEST_F(JobDirectoryTest, LedgerIsReadBackByTheNextRun) {
  v1::JobLedger ledger;
  ledger.set_finished_image(7);
  ledger.set_restarts(3);
  ASSERT_TRUE(Make().WriteLedger(ledger).ok());

  const auto read = Make().ReadLedger();

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->finished_image(), 7);
  EXPECT_EQ(read->restarts(), 3);
}

TEST_F(JobDirectoryTest, DamagedLedgerIsNotTakenForAnEmptyOne) {
  std::ofstream(Make().File("ledger.pb")) << "\xff\xff\xff";
  EXPECT_TRUE(absl::IsDataLoss(Make().ReadLedger().status()));
}

TEST_F(JobDirectoryTest, LedgerOfANewerCkptIsRefused) {
  v1::JobLedger ledger;
  ledger.set_format_version(2);
  std::ofstream(Make().File("ledger.pb")) << ledger.SerializeAsString();
  EXPECT_TRUE(absl::IsFailedPrecondition(Make().ReadLedger().status()));
}

TEST_F(JobDirectoryTest, FileOfRestartsIsAlwaysOfTheSameSize) {
  for (const int32_t restarts : {0, 9, INT32_MAX}) {
    ASSERT_TRUE(Make().WriteRestarts(restarts).ok());
    const auto text = ReadFile(Make().restarts_file());
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(text->size(), 11u);
    int32_t read = -1;
    EXPECT_TRUE(absl::SimpleAtoi(*text, &read));
    EXPECT_EQ(read, restarts);
  }
}

}  // namespace
}  // namespace ckpt::run
