// The decoder on images that the real CRIU makes here and now of a Python
// process with a bit of everything.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "store/criu_images.h"
#include "store/dump_stats.h"
#include "store/image.h"
#include "store/image_store.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

constexpr char kPython[] = "/usr/bin/python3";

// Says on descriptor 3 that all is set up.  After SIGUSR1 it reads its timer
// twice: first what has expired meanwhile, then once more, which takes a timer
// that runs.
constexpr char kJob[] = R"(
import ctypes, mmap, os, select, signal, socket, sys, threading
place = sys.argv[1]
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
class Times(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("is_", "ins", "vs", "vns")]
libc = ctypes.CDLL(None)
timer = libc.timerfd_create(1, 0)
libc.timerfd_settime(timer, 0, ctypes.byref(Times(0, 1000000, 0, 1000000)), 0)
shared = mmap.mmap(-1, 65536)
shared[0:4] = b"data"
untouched = mmap.mmap(-1, 65536)
memfd = os.memfd_create("cache")
os.pwrite(memfd, b"x" * 5000, 0)
pipe = os.pipe()
listener = socket.socket(socket.AF_UNIX)
listener.bind(place + "/socket")
listener.listen(1)
pair = socket.socketpair()
gone = open(place + "/gone", "w+")
gone.write("ghost")
gone.flush()
os.unlink(gone.name)
log = open(place + "/log", "w")
if len(sys.argv) > 2:
    threading.Thread(target=signal.pause, daemon=True).start()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
select.select([timer], [], [])
os.write(3, b"x")
os.close(3)
signal.sigwait({signal.SIGUSR1})
os.read(timer, 8)
os.read(timer, 8)
log.write("fired")
log.close()
)";

std::string CriuProgram() {
  const char* named =
      std::getenv("CKPT_CRIU");  // NOLINT(concurrency-mt-unsafe)
  return named != nullptr ? named : "/opt/ckpt/bin/criu";
}

// Starts a program in a session of its own with /dev/null and, as 3, `fd`.
pid_t Start(const std::vector<std::string>& words, int fd) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR);
  for (int standard = 0; standard < 3; ++standard) ::dup2(null, standard);
  if (fd >= 0) ::dup2(fd, 3);
  ::syscall(SYS_close_range, fd >= 0 ? 4U : 3U, ~0U, 0U);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

int ExitCode(pid_t pid) {
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class CriuImagesKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::access(CriuProgram().c_str(), X_OK) != 0) {
      GTEST_SKIP() << "no CRIU at " << CriuProgram();
    }
    if (::access(kPython, X_OK) != 0) GTEST_SKIP() << "no " << kPython;
  }

  void TearDown() override {
    if (job_ > 0) ::kill(job_, SIGKILL);
    if (job_ > 0 && ours_) ::waitpid(job_, nullptr, 0);
  }

  // Starts the job and waits until all is set up.
  void StartJob(const std::vector<std::string>& more = {}) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd ready(ends[0]);
    {
      const UniqueFd job_end(ends[1]);
      std::vector<std::string> words = {kPython, "-c", kJob, dir_.path()};
      words.insert(words.end(), more.begin(), more.end());
      job_ = Start(words, job_end.get());
    }
    char mark = 0;
    ASSERT_EQ(::read(ready.get(), &mark, 1), 1) << "the job did not start";
  }

  // Runs CRIU and expects success.
  void Criu(const std::string& action, const std::string& images,
            const std::vector<std::string>& more) {
    std::vector<std::string> words = {CriuProgram(), action, "-D", images};
    words.insert(words.end(), {"-o", dir_.Path(action + ".log"), "-v2",
                               "--manage-cgroups=ignore"});
    words.insert(words.end(), more.begin(), more.end());
    const pid_t criu = Start(words, -1);
    ASSERT_EQ(ExitCode(criu), 0)
        << absl::StrJoin(words, " ") << "\n"
        << ReadFile(dir_.Path(action + ".log")).value_or("(no log)");
  }

  const TempDirectory dir_;
  const ImageStore store_{dir_.Path("store")};
  pid_t job_ = 0;
  bool ours_ = true;  // our child, to be waited for
};

TEST_F(CriuImagesKernelTest, ImageOfTheRealCriuIsCompleteAndDecoded) {
  StartJob({"with thread and zombie"});
  const auto pending = store_.Begin("job");
  ASSERT_TRUE(pending.ok()) << pending.status();
  Criu("dump", (*pending)->path(),
       {"-t", absl::StrCat(job_), "--leave-running"});
  ASSERT_FALSE(HasFailure());
  const int dir_fd = (*pending)->dir_fd();

  EXPECT_TRUE(CheckComplete(dir_fd).ok()) << CheckComplete(dir_fd);
  const auto contents = ReadContents(dir_fd);
  ASSERT_TRUE(contents.ok()) << contents.status();
  ASSERT_EQ(contents->processes.size(), 2U);
  EXPECT_EQ(contents->threads, 3);
  const ImageProcess& process = contents->processes[0];
  EXPECT_EQ(process.pid, job_);
  EXPECT_EQ(process.sid, job_);
  EXPECT_EQ(process.comm, "python3");
  EXPECT_EQ(process.exe,
            ReadLink(absl::StrCat("/proc/", job_, "/exe")).value());
  EXPECT_EQ(process.cwd,
            ReadLink(absl::StrCat("/proc/", job_, "/cwd")).value());
  EXPECT_EQ(process.threads.size(), 2U);
  EXPECT_GT(process.dumped_bytes, 1U << 20);
  EXPECT_GT(contents->memory_bytes, process.dumped_bytes);
  EXPECT_EQ(contents->processes[1].state, ImageTaskState::kZombie);

  std::vector<std::string> open;
  for (const ImageFd& fd : process.fds) open.push_back(fd.description);
  for (const std::string& wanted :
       {std::string("/dev/null"), std::string("timerfd"),
        std::string("memfd:cache"), dir_.Path("log"),
        dir_.Path("gone") + " (deleted)",
        absl::StrCat("unix ", dir_.Path("socket"), " LISTEN")}) {
    EXPECT_NE(std::find(open.begin(), open.end(), wanted), open.end())
        << wanted << " is not among " << absl::StrJoin(open, ", ");
  }
  const auto stats = ReadDumpStats(dir_fd);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->pages_written, 256U);
  EXPECT_GT(stats->frozen, absl::ZeroDuration());
}

TEST_F(CriuImagesKernelTest, PublishedImageRestoresAndItsTimerStillRuns) {
  StartJob();
  auto pending = store_.Begin("job");
  ASSERT_TRUE(pending.ok()) << pending.status();
  Criu("dump", (*pending)->path(), {"-t", absl::StrCat(job_)});
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(ExitCode(job_), 128 + SIGKILL);
  ours_ = false;

  ASSERT_TRUE(CheckComplete((*pending)->dir_fd()).ok());
  const auto fixed = FixPeriodicTimerfds((*pending)->dir_fd());
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  EXPECT_EQ(*fixed, 1);
  ASSERT_TRUE((*pending)->Seal({}).ok());
  ASSERT_TRUE(std::move(**pending).Publish().ok());

  const auto image = store_.Open("job");
  ASSERT_TRUE(image.ok()) << image.status();
  ASSERT_TRUE(image->Verify().ok()) << image->Verify();
  Criu("restore", image->path(), {"-d"});
  ASSERT_FALSE(HasFailure());
  const UniqueFd restored(static_cast<int>(::syscall(SYS_pidfd_open, job_, 0)));
  ASSERT_TRUE(restored.ok());
  ASSERT_EQ(::kill(job_, SIGUSR1), 0);
  pollfd end{restored.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&end, 1, 20000), 1) << "the timer does not fire any more";
  job_ = 0;
  EXPECT_EQ(ReadFile(dir_.Path("log")).value_or("nothing"), "fired");
  // CRIU has left its figures in the image.
  EXPECT_TRUE(image->Verify().ok()) << image->Verify();
}

}  // namespace
}  // namespace ckpt
