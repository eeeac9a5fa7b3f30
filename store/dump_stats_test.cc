#include "store/dump_stats.h"

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

class DumpStatsTest : public testing::Test {
 protected:
  void WriteStats() {
    criu_images::Stats stats;
    stats.mutable_dump()->set_freezing_time(100);
    stats.mutable_dump()->set_frozen_time(2500);
    stats.mutable_dump()->set_memdump_time(300);
    stats.mutable_dump()->set_memwrite_time(400);
    stats.mutable_dump()->set_pages_written(77);
    WriteCriuFile(dir_.fd(), "stats-dump", CriuMagic::kStats, {&stats});
  }

  const TempDirectory dir_;
};

TEST_F(DumpStatsTest, TimesAreInMicroseconds) {
  WriteStats();
  const auto stats = ReadDumpStats(dir_.fd());
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->freezing, absl::Microseconds(100));
  EXPECT_EQ(stats->frozen, absl::Microseconds(2500));
  EXPECT_EQ(stats->memdump, absl::Microseconds(300));
  EXPECT_EQ(stats->memwrite, absl::Microseconds(400));
  EXPECT_EQ(stats->pages_written, 77U);
}

TEST_F(DumpStatsTest, NoFiguresIsNotFound) {
  EXPECT_EQ(ReadDumpStats(dir_.fd()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(DumpStatsTest, DamagedFiguresAreDataLoss) {
  WriteStats();
  const std::string bytes = ReadBack(dir_.fd(), "stats-dump");
  WriteFile(dir_.fd(), "stats-dump", bytes.substr(0, bytes.size() - 1));
  EXPECT_EQ(ReadDumpStats(dir_.fd()).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(DumpStatsTest, DeletedFiguresAreGoneAndDeletingAgainIsFine) {
  WriteStats();
  EXPECT_TRUE(DeleteDumpStats(dir_.fd()).ok());
  EXPECT_TRUE(dir_.Names().empty());
  EXPECT_TRUE(DeleteDumpStats(dir_.fd()).ok());
}

}  // namespace
}  // namespace ckpt
