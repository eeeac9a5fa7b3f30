// A bash in a bash, both with job control, in a terminal: what the freezer was
// invented for.  A frozen shell looks to the outer one like one that has
// nothing to say; a stopped one makes it take the terminal back and say so.

#include <signal.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/proc.h"
#include "tests/transparency/cycles.h"
#include "tests/transparency/terminal.h"

namespace ckpt {
namespace {

// Numbers of four and more digits are pids.
std::string WithoutPids(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && absl::ascii_isdigit(text[end])) ++end;
    if (end - i >= 4) {
      result += "PID";
    } else if (end > i) {
      result += text.substr(i, end - i);
    } else {
      result += text[end++];
    }
    i = end;
  }
  return result;
}

// The outer shell, with one job in the background and $? of 1, and the inner
// one in it, with one job and $? of 7.
class NestedShells {
 public:
  NestedShells()
      : terminal_({"/bin/bash", "--norc", "--noprofile", "--noediting", "-i"},
                  {"PS1=outer:$?> ", "TERM=dumb", "PATH=/usr/bin:/bin"}) {
    terminal_.ReadUntil("outer:0> ");
    terminal_.Type("sleep 1001 &");
    terminal_.ReadUntil("outer:0> ");
    terminal_.Type("(exit 1)");
    terminal_.ReadUntil("outer:1> ");
    terminal_.Type("PS1='inner:$?> ' bash --norc --noprofile --noediting -i");
    terminal_.ReadUntil("inner:0> ");
    terminal_.Type("sleep 1002 &");
    terminal_.ReadUntil("inner:0> ");
    terminal_.Type("echo $$");
    inner_ = 0;
    const std::string answer = terminal_.ReadUntil("inner:0> ");
    (void)absl::SimpleAtoi(answer.substr(0, answer.find('\n')), &inner_);
    terminal_.Type("(exit 7)");
    terminal_.ReadUntil("inner:7> ");
  }

  Terminal& terminal() { return terminal_; }
  pid_t outer() const { return terminal_.pid(); }
  pid_t inner() const { return inner_; }

 private:
  Terminal terminal_;
  pid_t inner_ = 0;
};

// Uses both shells, calls `disturb` between any two lines that it types, and
// returns all that the terminal showed.
std::string UseShells(NestedShells& shells,
                      const std::function<void()>& disturb) {
  constexpr struct {
    const char* line;
    const char* until;
  } kSteps[] = {
      {"echo status $?", "inner:0> "},
      {"jobs", "inner:0> "},
      // In the foreground, reading.
      {"sh -c 'echo waiting; head -n 1'", "waiting\n"},
      {"what head reads", "inner:0> "},
      {"sleep 1003 &", "inner:0> "},
      {"jobs", "inner:0> "},
      {"exit 3", "outer:3> "},
      {"echo status $?", "outer:0> "},
      {"jobs", "outer:0> "},
  };
  Terminal& terminal = shells.terminal();
  std::string transcript;
  for (const auto& step : kSteps) {
    disturb();
    terminal.Type(step.line);
    transcript += terminal.ReadUntil(step.until);
  }
  return WithoutPids(transcript + terminal.ReadAvailable());
}

constexpr char kUndisturbed[] =
    "status 7\n"
    "inner:0> "
    "[1]+  Running                 sleep PID &\n"
    "inner:0> "
    "waiting\n"
    "what head reads\n"
    "inner:0> "
    "[2] PID\n"
    "inner:0> "
    "[1]-  Running                 sleep PID &\n"
    "[2]+  Running                 sleep PID &\n"
    "inner:0> "
    "exit\n"
    "outer:3> "
    "status 3\n"
    "outer:0> "
    "[1]+  Running                 sleep PID &\n"
    "outer:0> ";

enum class Members { kInner, kOuter, kBoth };

using ShellCase = std::tuple<Members, CgroupVersion>;

class ShellTest : public CyclesTest,
                  public testing::WithParamInterface<ShellCase> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(MakeGroup(std::get<1>(GetParam())));
  }

  // The shell and all that it has started, but not the other shell.
  void AddShell(pid_t shell, pid_t other) {
    ASSERT_EQ(group().Add(shell), absl::OkStatus());
    const auto children = ProcFs::Real().Children(shell);
    ASSERT_TRUE(children.ok());
    for (const pid_t child : *children) {
      if (child == other) continue;
      ASSERT_EQ(group().Add(child), absl::OkStatus());
    }
  }

  void AddMembers(const NestedShells& shells) {
    const Members members = std::get<0>(GetParam());
    if (members != Members::kOuter) AddShell(shells.inner(), shells.outer());
    if (members != Members::kInner) AddShell(shells.outer(), shells.inner());
  }
};

TEST_P(ShellTest, ShowsNothingOfAFreeze) {
  NestedShells shells;
  ASSERT_NO_FATAL_FAILURE(AddMembers(shells));
  EXPECT_EQ(UseShells(shells,
                      [&] {
                        const pid_t before =
                            shells.terminal().ForegroundProcessGroup();
                        Cycle();
                        EXPECT_EQ(shells.terminal().ForegroundProcessGroup(),
                                  before);
                      }),
            kUndisturbed);
}

std::string ShellCaseName(const testing::TestParamInfo<ShellCase>& info) {
  constexpr const char* kNames[] = {"Inner", "Outer", "Both"};
  return absl::StrCat(kNames[static_cast<int>(std::get<0>(info.param))], "_",
                      CgroupVersionName(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(
    Frozen, ShellTest,
    testing::Combine(testing::Values(Members::kInner, Members::kOuter,
                                     Members::kBoth),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    ShellCaseName);

// The controls.

TEST(NestedShellsTest, ShowThatTranscriptUndisturbed) {
  NestedShells shells;
  EXPECT_EQ(UseShells(shells, [] {}), kUndisturbed);
}

TEST(NestedShellsTest, ShowThatTheInnerOneWasStopped) {
  NestedShells shells;
  ::kill(shells.inner(), SIGSTOP);
  // 128 + SIGSTOP.
  EXPECT_TRUE(absl::StrContains(shells.terminal().ReadUntil("outer:147> "),
                                "[2]+  Stopped"));
  ::kill(shells.inner(), SIGCONT);
  // It goes on in the background: the terminal is the outer one's now.
  EXPECT_EQ(shells.terminal().ForegroundProcessGroup(), shells.outer());
}

}  // namespace
}  // namespace ckpt
