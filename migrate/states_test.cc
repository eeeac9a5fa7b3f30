#include "migrate/states.h"

#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace ckpt::migrate {
namespace {

// node, from, to, when
using Line = std::tuple<std::string, std::string, std::string, std::string>;

// The states' table of docs/migration.md.
std::vector<Line> PrintedTable() {
  std::vector<Line> table;
  // Tests run where their files are.
  const auto page = ReadFile("docs/migration.md");
  EXPECT_TRUE(page.ok()) << page.status();
  if (!page.ok()) return table;
  bool inside = false;
  for (const absl::string_view line : absl::StrSplit(*page, '\n')) {
    if (absl::StartsWith(line, "| node | from | to |")) {
      inside = true;
    } else if (inside && !absl::StartsWith(line, "|")) {
      break;
    } else if (inside && !absl::StartsWith(line, "|---")) {
      std::vector<std::string> cells = absl::StrSplit(line, '|');
      EXPECT_EQ(cells.size(), 6) << line;
      if (cells.size() != 6) continue;
      for (std::string& cell : cells) absl::StripAsciiWhitespace(&cell);
      table.emplace_back(cells[1], cells[2], cells[3], cells[4]);
    }
  }
  return table;
}

TEST(StatesTest, ManualPrintsTheTable) {
  std::vector<Line> table;
  for (const Transition& line : Transitions()) {
    table.emplace_back(IsOfSource(line.to) ? "source" : "destination",
                       line.from == v1::MIGRATION_STATE_UNSPECIFIED
                           ? "-"
                           : StateName(line.from),
                       StateName(line.to), line.when);
  }
  EXPECT_EQ(PrintedTable(), table);
}

TEST(StatesTest, NoLineLeadsFromOneNodeToTheOther) {
  for (const Transition& line : Transitions()) {
    if (line.from == v1::MIGRATION_STATE_UNSPECIFIED) continue;
    EXPECT_EQ(IsOfSource(line.from), IsOfSource(line.to)) << line.when;
  }
}

TEST(StatesTest, WhatTheTableDoesNotHaveIsRefused) {
  EXPECT_EQ(
      CheckTransition(v1::MIGRATION_STATE_READY, v1::MIGRATION_STATE_COMMITTED),
      absl::OkStatus());
  // What is decided is never taken back.
  for (const v1::MigrationState from :
       {v1::MIGRATION_STATE_COMMITTED, v1::MIGRATION_STATE_GONE,
        v1::MIGRATION_STATE_DONE}) {
    EXPECT_TRUE(
        absl::IsInternal(CheckTransition(from, v1::MIGRATION_STATE_ABORTED)));
  }
  for (const v1::MigrationState from :
       {v1::MIGRATION_STATE_TAKEN, v1::MIGRATION_STATE_RELEASING,
        v1::MIGRATION_STATE_RUNNING}) {
    EXPECT_TRUE(
        absl::IsInternal(CheckTransition(from, v1::MIGRATION_STATE_DROPPED)));
  }
}

TEST(StatesTest, FinalStatesAreThoseWithoutALineOn) {
  for (int number = v1::MigrationState_MIN; number <= v1::MigrationState_MAX;
       ++number) {
    if (!v1::MigrationState_IsValid(number)) continue;
    const auto state = static_cast<v1::MigrationState>(number);
    const bool is_end = state == v1::MIGRATION_STATE_DONE ||
                        state == v1::MIGRATION_STATE_CLOSED ||
                        state == v1::MIGRATION_STATE_LOST ||
                        state == v1::MIGRATION_STATE_RUNNING ||
                        state == v1::MIGRATION_STATE_DROPPED;
    EXPECT_EQ(IsFinal(state), is_end) << StateName(state);
  }
}

}  // namespace
}  // namespace ckpt::migrate
