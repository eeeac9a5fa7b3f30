#include "base/last_will.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/numbers.h"
#include "base/cancellation.h"
#include "base/file.h"
#include "base/prepared_steps.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read.Reset(ends[0]);
    write.Reset(ends[1]);
  }
  UniqueFd read, write;
};

// Lets `write_will` fill a will in a child that arms it and dies by SIGKILL.
template <typename WriteWill>
void InAKilledProcess(WriteWill write_will) {
  const pid_t child = ::fork();
  if (child == 0) {
    LastWill will;
    write_will(will);
    if (!will.Arm().ok()) ::_exit(3);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

std::string ReadToEnd(int fd) {
  std::string all;
  char buffer[64];
  ssize_t count;
  while ((count = ::read(fd, buffer, sizeof(buffer))) > 0) {
    all.append(buffer, static_cast<size_t>(count));
  }
  return all;
}

TEST(LastWillTest, IsCarriedOutInOrderAfterSigkill) {
  Pipe pipe;
  InAKilledProcess([&](LastWill& will) {
    will.AddWrite(pipe.write.get(), "one ");
    will.AddWrite(pipe.write.get(), "two");
  });
  pipe.write.Reset();
  EXPECT_EQ(ReadToEnd(pipe.read.get()), "one two");
}

TEST(LastWillTest, ClosesInOrder) {
  Pipe pipe;
  InAKilledProcess([&](LastWill& will) {
    will.AddWrite(pipe.write.get(), "open");
    will.AddClose(pipe.write.get());
    will.AddWrite(pipe.write.get(), "never");
  });
  pipe.write.Reset();
  EXPECT_EQ(ReadToEnd(pipe.read.get()), "open");
}

TEST(LastWillTest, DoesNothingOnceDisarmed) {
  Pipe pipe;
  {
    LastWill will;
    will.AddWrite(pipe.write.get(), "never");
    ASSERT_TRUE(will.Arm().ok());
    EXPECT_TRUE(will.Disarm().ok());
  }
  pipe.write.Reset();
  EXPECT_EQ(ReadToEnd(pipe.read.get()), "");
}

TEST(LastWillTest, HoldsNoDescriptorButItsOwn) {
  Pipe pipe, other;
  const UniqueFd self(
      static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  InAKilledProcess([&](LastWill& will) {
    // It waits for a process that does not end (this test), so it is alive
    // while the other pipe is read to its end.
    will.AddWaitExit(self.get(), absl::Milliseconds(200));
    will.AddWrite(pipe.write.get(), "late");
  });
  other.write.Reset();
  EXPECT_EQ(ReadToEnd(other.read.get()), "");
  pipe.write.Reset();
  EXPECT_EQ(ReadToEnd(pipe.read.get()), "late");
}

TEST(LastWillTest, KillsAndWaitsForAProcess) {
  const pid_t victim = ::fork();
  if (victim == 0) {
    ::pause();
    ::_exit(0);
  }
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, victim, 0)));
  InAKilledProcess([&](LastWill& will) { will.AddKill(pidfd.get()); });
  int status = 0;
  ASSERT_EQ(::waitpid(victim, &status, 0), victim);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(PreparedStepsTest, SetsAnOptionOfASocket) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  PreparedSteps steps;
  steps.AddSocketOption(socket.get(), SOL_SOCKET, SO_PASSCRED, 1);
  steps.CarryOut();
  int value = 0;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &value, &size),
            0);
  EXPECT_EQ(value, 1);
}

TEST(LastWillTest, TellsWhenTheExecutorIsGone) {
  LastWill will;
  ASSERT_TRUE(will.Arm().ok());
  // The only child of this process now.
  const auto children = ReadFile("/proc/thread-self/children");
  ASSERT_TRUE(children.ok());
  pid_t executor = 0;
  ASSERT_TRUE(absl::SimpleAtoi(*children, &executor));
  ::kill(executor, SIGKILL);
  siginfo_t info = {};
  ASSERT_EQ(
      ::waitid(P_PID, static_cast<id_t>(executor), &info, WEXITED | WNOWAIT),
      0);
  EXPECT_EQ(will.Disarm().code(), absl::StatusCode::kInternal);
}

TEST(LastWillTest, LooksForAFileOnlyWhenItIsDue) {
  const TestDir dir;
  const auto dir_fd = OpenDirectory(dir.path());
  ASSERT_TRUE(dir_fd.ok());
  for (const bool exists : {false, true}) {
    Pipe pipe;
    const pid_t child = ::fork();
    if (child == 0) {
      LastWill will;
      const auto branch = will.AddIfExists(dir_fd->get(), "decision");
      branch.then.AddWrite(pipe.write.get(), "there");
      branch.otherwise.AddWrite(pipe.write.get(), "not there");
      will.AddWrite(pipe.write.get(), ", and on");
      if (!will.Arm().ok()) ::_exit(3);
      // After it was armed.
      if (exists &&
          !OpenAt(dir_fd->get(), "decision", O_CREAT | O_WRONLY).ok()) {
        ::_exit(4);
      }
      ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    pipe.write.Reset();
    EXPECT_EQ(ReadToEnd(pipe.read.get()),
              exists ? "there, and on" : "not there, and on");
  }
}

// A will that says "undone", to be handed over with a text for `output`.
struct Handing {
  explicit Handing(int output) : output_fd(output) {
    will.AddWrite(undone.write.get(), "undone");
    will.KeepOpen(output);
  }
  std::string Undone() {
    undone.write.Reset();
    return ReadToEnd(undone.read.get());
  }
  const int output_fd;
  Pipe undone;
  LastWill will;
};

TEST(LastWillTest, IsVoidOnceItsTextIsPrinted) {
  Pipe output;
  Handing handing(output.write.get());
  const TestDir dir;
  ASSERT_TRUE(
      WriteAll(OpenAt(AT_FDCWD, dir.File("a"), O_CREAT | O_WRONLY)->get(), "x",
               "a")
          .ok());
  const auto dir_fd = OpenDirectory(dir.path());
  ASSERT_TRUE(dir_fd.ok());
  handing.will.after_hand_over().AddRename(dir_fd->get(), "a", "b");
  ASSERT_TRUE(handing.will.Arm().ok());
  EXPECT_EQ(handing.will.HandOver("report", output.write.get(), nullptr),
            absl::OkStatus());
  output.write.Reset();
  EXPECT_EQ(ReadToEnd(output.read.get()), "report");
  EXPECT_EQ(handing.Undone(), "");
  EXPECT_TRUE(ReadFile(dir.File("b")).ok());
}

TEST(LastWillTest, LeavesOutPartsOfWhatComesAfterItsText) {
  Pipe output, parts;
  Handing handing(output.write.get());
  for (const char* part : {"0", "1", "2"}) {
    handing.will.AddPart().AddWrite(parts.write.get(), part);
  }
  ASSERT_TRUE(handing.will.Arm().ok());
  EXPECT_EQ(handing.will.HandOver("report", output.write.get(), nullptr, {1}),
            absl::OkStatus());
  output.write.Reset();
  EXPECT_EQ(ReadToEnd(output.read.get()), "report");
  parts.write.Reset();
  EXPECT_EQ(ReadToEnd(parts.read.get()), "02");
}

TEST(LastWillTest, PrintsWhatNoPipeHoldsAtOnce) {
  Pipe output;
  Handing handing(output.write.get());
  ASSERT_TRUE(handing.will.Arm().ok());
  const std::string text(1 << 20, 'x');
  const pid_t reader = ::fork();
  if (reader == 0) {
    output.write.Reset();
    ::_exit(ReadToEnd(output.read.get()) == text ? 0 : 1);
  }
  EXPECT_EQ(handing.will.HandOver(text, output.write.get(), nullptr),
            absl::OkStatus());
  output.write.Reset();
  int status = -1;
  ASSERT_EQ(::waitpid(reader, &status, 0), reader);
  EXPECT_EQ(status, 0);
}

TEST(LastWillTest, IsCarriedOutWhenItsTextCannotBePrinted) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  Handing handing(full.get());
  ASSERT_TRUE(handing.will.Arm().ok());
  EXPECT_EQ(handing.will.HandOver("report", full.get(), nullptr).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(handing.Undone(), "undone");
}

TEST(LastWillTest, IsCarriedOutWhenNobodyReadsAndTheCallerGivesUp) {
  Pipe output;  // nobody reads from it
  Handing handing(output.write.get());
  ASSERT_TRUE(handing.will.Arm().ok());
  Cancellation cancel;
  cancel.Cancel();
  EXPECT_EQ(
      handing.will
          .HandOver(std::string(1 << 20, 'x'), output.write.get(), &cancel)
          .code(),
      absl::StatusCode::kCancelled);
  EXPECT_EQ(handing.Undone(), "undone");
}

}  // namespace
}  // namespace ckpt
