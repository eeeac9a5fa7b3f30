#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/fake_clock.h"
#include "gtest/gtest.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

class WorkloadReaderTest : public testing::Test {
 protected:
  void Write(uint64_t beat, uint64_t errors = 0) {
    StatusRecord record = {};
    record.magic = kStatusMagic;
    record.beat = beat;
    record.errors = errors;
    record.run_id = 77;
    record.pid = 5;
    std::strcpy(record.error_text, errors > 0 ? "lost a byte" : "");
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(&record), sizeof record);
  }

  // Waits on simulated time for ten rounds at most ten seconds.
  absl::Status Wait() {
    return WaitForBeats(path_, 10, clock_.Now() + absl::Seconds(10), clock_);
  }

  FakeClock clock_;
  const std::string path_ = testing::TempDir() + "/status";

 private:
  void SetUp() override { std::remove(path_.c_str()); }
};

TEST_F(WorkloadReaderTest, ReturnsTheRecord) {
  Write(3, 2);
  const auto status = ReadStatus(path_);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->beat, 3u);
  EXPECT_EQ(status->errors, 2u);
  EXPECT_EQ(status->run_id, 77u);
  EXPECT_EQ(status->pid, 5);
  EXPECT_EQ(status->error_text, "lost a byte");
}

TEST_F(WorkloadReaderTest, FindsNoRecordBeforeTheWorkloadHasStarted) {
  EXPECT_EQ(ReadStatus(path_).status().code(), absl::StatusCode::kNotFound);
  const std::ofstream empty(path_);
  EXPECT_EQ(ReadStatus(path_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(WorkloadReaderTest, RefusesAnotherFile) {
  std::ofstream(path_) << std::string(sizeof(StatusRecord), 'x');
  EXPECT_EQ(ReadStatus(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(WorkloadReaderTest, WaitsForRoundsFromTheCallOn) {
  Write(100);
  uint64_t beat = 100;
  clock_.on_sleep = [&] { Write(++beat); };
  EXPECT_TRUE(Wait().ok());
  EXPECT_EQ(beat, 110u);
}

TEST_F(WorkloadReaderTest, WaitsForTheFirstRecord) {
  uint64_t beat = 0;
  clock_.on_sleep = [&] { Write(beat++); };
  EXPECT_TRUE(Wait().ok());
}

TEST_F(WorkloadReaderTest, CountsFromWhereAnOlderImageBegins) {
  Write(100);
  uint64_t beat = 50;
  clock_.on_sleep = [&] { Write(beat++); };
  EXPECT_TRUE(Wait().ok());
  EXPECT_EQ(beat, 61u);
}

TEST_F(WorkloadReaderTest, ReportsAnErrorOfTheWorkload) {
  Write(1);
  clock_.on_sleep = [&] { Write(2, 1); };
  const absl::Status status = Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("lost a byte"), absl::string_view::npos);
}

TEST_F(WorkloadReaderTest, GivesUpAtTheDeadline) {
  Write(1);
  EXPECT_EQ(Wait().code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace ckpt
