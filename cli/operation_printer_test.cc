#include "cli/operation_printer.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/render.h"
#include "gtest/gtest.h"

namespace ckpt::cli {
namespace {

v1::Operation Migration(v1::Phase phase, double percent) {
  v1::Operation operation;
  operation.set_id("m");
  operation.set_state(v1::OPERATION_STATE_RUNNING);
  operation.set_migration_state(v1::MIGRATION_STATE_LEAVING);
  operation.set_phase(phase);
  operation.mutable_migrate_request()->set_to("node2:7070");
  v1::OperationProgress& progress = *operation.mutable_progress();
  progress.set_bytes_total(1 << 30);
  progress.set_percent(percent);
  progress.set_bytes_per_second(100 << 20);
  progress.set_eta_seconds(3);
  progress.set_downtime_seconds(2.5);
  progress.set_expected_downtime_seconds(5.5);
  return operation;
}

class OperationPrinterTest : public testing::Test {
 protected:
  OperationPrinter Printer(bool json, bool on_terminal) {
    return OperationPrinter(
        json, on_terminal,
        [this](const google::protobuf::Message&, const std::string& text) {
          lines_.push_back(text);
          return absl::OkStatus();
        });
  }
  std::vector<std::string> lines_;
};

TEST_F(OperationPrinterTest, LineTellsOfBytesRateTimeAndDowntime) {
  const std::string text =
      RenderProgress(Migration(v1::PHASE_WRITE, 42).progress());
  EXPECT_EQ(text,
            "42.0 % of 1.0 GiB, 100.0 MiB/s, 3.00 s left; stands still for "
            "2.50 s, 5.50 s expected");
}

TEST_F(OperationPrinterTest, EstimateIsNamedAsOne) {
  v1::OperationProgress progress;
  EXPECT_EQ(RenderProgress(progress), "");
  progress.set_bytes_total(1 << 20);
  EXPECT_EQ(RenderProgress(progress, /*about=*/true), "0.0 % of about 1.0 MiB");
  progress.set_bytes_total(0);
  progress.set_bytes_done(2 << 20);
  EXPECT_EQ(RenderProgress(progress), "2.0 MiB");
}

TEST_F(OperationPrinterTest, EndTellsTheDowntime) {
  v1::Operation operation = Migration(v1::PHASE_RELEASE, 100);
  operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
  operation.mutable_migrate_report()->set_downtime_seconds(0.25);
  const std::string line = RenderOperation(operation);
  EXPECT_TRUE(absl::StrContains(line, "downtime 250.0 ms")) << line;
  EXPECT_FALSE(absl::StrContains(line, "expected")) << line;
}

TEST_F(OperationPrinterTest, PlainLinesAreStepsAndTenths) {
  OperationPrinter printer = Printer(/*json=*/false, /*on_terminal=*/false);
  for (const double percent : {0.0, 3.0, 9.9, 10.0, 19.0, 35.0}) {
    ASSERT_TRUE(printer.Show(Migration(v1::PHASE_WRITE, percent)).ok());
  }
  ASSERT_EQ(lines_.size(), 3);
  EXPECT_TRUE(absl::StrContains(lines_[0], "WRITE: 0.0 % of about"))
      << lines_[0];
  EXPECT_TRUE(absl::StrContains(lines_[1], "WRITE: 10.0 % of about"))
      << lines_[1];
  EXPECT_TRUE(absl::StrContains(lines_[2], "WRITE: 35.0 % of about"))
      << lines_[2];
  ASSERT_TRUE(printer.Show(Migration(v1::PHASE_BUILD, 35)).ok());
  EXPECT_EQ(lines_.size(), 4);
}

TEST_F(OperationPrinterTest, OnATerminalOnlyStepsStay) {
  OperationPrinter printer = Printer(/*json=*/false, /*on_terminal=*/true);
  for (const double percent : {0.0, 50.0, 100.0}) {
    ASSERT_TRUE(printer.Show(Migration(v1::PHASE_WRITE, percent)).ok());
  }
  ASSERT_TRUE(printer.Show(Migration(v1::PHASE_BUILD, 100)).ok());
  EXPECT_EQ(lines_.size(), 2);
}

TEST_F(OperationPrinterTest, JsonHasAllThatChanges) {
  OperationPrinter printer = Printer(/*json=*/true, /*on_terminal=*/true);
  for (const double percent : {0.0, 1.0, 2.0}) {
    ASSERT_TRUE(printer.Show(Migration(v1::PHASE_WRITE, percent)).ok());
  }
  EXPECT_EQ(lines_.size(), 3);
}

}  // namespace
}  // namespace ckpt::cli
