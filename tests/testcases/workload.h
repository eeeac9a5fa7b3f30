// The frame of a self-checking test workload, and the reading side for tests.
//
// A workload is started as `WORKLOAD --status FILE`.  It checks its own state
// in rounds of a few milliseconds, and keeps one fixed-size record in FILE:
//
//   int main(int argc, char** argv) {
//     ckpt::Workload workload(argc, argv);
//     for (;;) {
//       if (value != expected) workload.Fail("value is %d", value);
//       workload.Beat();
//       workload.Pause();
//     }
//   }
//
// A test looks on from outside:
//
//   ASSERT_TRUE(WaitForBeats(path, 10, clock.Now() + absl::Seconds(20)).ok());
//
// A workload never ends by itself, not even after an error: it reports the
// first one and goes on.  The record is written by pwrite(), never grows or
// shrinks, and no lock is held on it: CRIU can dump the workload at any point.
#ifndef CKPT_TESTS_TESTCASES_WORKLOAD_H_
#define CKPT_TESTS_TESTCASES_WORKLOAD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace ckpt {

// The whole content of a status file, in this machine's byte order.
struct StatusRecord {
  uint64_t magic;   // kStatusMagic, written last: without it there is no record
  uint64_t beat;    // rounds done; goes back when an older image is restored
  uint64_t errors;  // failed checks
  uint64_t run_id;  // drawn at start: a restored workload keeps it
  uint32_t pid;     // of the root process, in its own PID namespace
  uint32_t reserved;
  char error_text[216];  // of the first error, NUL-terminated
};
static_assert(sizeof(StatusRecord) == 256);

inline constexpr uint64_t kStatusMagic = 0x544b'4c57'5450'4b43;  // "CKPTWLKT"

// The writing side, in the workload.  One object a workload, made before it
// forks; children and threads may call Fail(), only the root calls Beat().
// Thread-safe but for the constructor.
class Workload {
 public:
  // Detaches the process from its starter: a new session, no descriptor but
  // the status file, stdin on /dev/null, stdout and stderr too unless they are
  // regular files, "/" as working directory.  Ends the process with status 64
  // when the arguments make no sense.
  Workload(int argc, char** argv);

  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  // The value of `--NAME VALUE`, or `fallback`.
  std::string Option(const std::string& name,
                     const std::string& fallback) const;
  int64_t IntOption(const std::string& name, int64_t fallback) const;

  // STATUS_FILE + `suffix`: where the workload may keep files of its own.
  std::string FilePath(const std::string& suffix) const;

  // One round of checks is done.
  void Beat();
  uint64_t beats() const { return beats_; }

  // A check failed.  The first text is kept, and takes 200 ms to be written, so
  // that what a killed workload sees of its own end is not reported.
  void Fail(const char* format, ...) __attribute__((format(printf, 2, 3)));

  // Reports what a system call that must not fail left in errno, and ends the
  // process: for set-up only.
  [[noreturn]] void Die(const char* what);

  // Sleeps until the next round (2 ms).
  static void Pause();

 private:
  uint64_t ErrorCount() const;

  int argc_;
  char** argv_;
  std::string path_;
  int fd_ = -1;
  uint64_t beats_ = 0;
};

// Forks a child that calls `body` and never returns; it dies with its parent's
// SIGKILL only through its cgroup.  Ends the workload when fork() fails.
template <typename Body>
pid_t ForkChild(Workload& workload, Body body);

// ---------------------------------------------------------------------------
// The reading side, in the test.

struct WorkloadStatus {
  uint64_t beat = 0;
  uint64_t errors = 0;
  uint64_t run_id = 0;
  pid_t pid = 0;
  std::string error_text;
};

// NotFound when there is no file or no record in it yet; DataLoss when the file
// holds something else.
absl::StatusOr<WorkloadStatus> ReadStatus(const std::string& path);

// Waits until the workload has done `beats` (> 0) rounds more than at the time
// of the call, or more than it had after going back: a restored workload counts
// on from its image.  A record that is not there yet is waited for.
//
// DataLoss, with the workload's words, as soon as it reports an error;
// DeadlineExceeded when the rounds are not done at `deadline` (of `clock`).
absl::Status WaitForBeats(const std::string& path, uint64_t beats,
                          absl::Time deadline, Clock& clock = Clock::Real());

}  // namespace ckpt

// Implementation only below.
namespace ckpt {

pid_t ForkOrDie(Workload& workload);

template <typename Body>
pid_t ForkChild(Workload& workload, Body body) {
  const pid_t pid = ForkOrDie(workload);
  if (pid != 0) return pid;
  body();
  __builtin_trap();
}

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_WORKLOAD_H_
