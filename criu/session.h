// One CRIU worker (`criu swrk`) and one dump or restore through it, spoken to
// by protobuf messages over a SEQPACKET socket (CRIU's criu/cr-service.c).
//
//   class MyDump : public Notifications {
//     absl::Status PostDump() override { return image.Publish(); }
//   };
//   CKPT_ASSIGN_OR_RETURN(auto session, Session::Start({.binary = path}));
//   CKPT_RETURN_IF_ERROR(session->Dump(arguments, my_dump, {deadline,
//   cancel}));
//
// CRIU bounds only its own seizing of tasks in time.  Here everything has the
// caller's deadline: when it passes, CRIU is made to fail in order (its writes
// get EFBIG, so that it cures and resumes the tasks by itself), and only then
// killed.
//
// Not thread-safe.
#ifndef CKPT_CRIU_SESSION_H_
#define CKPT_CRIU_SESSION_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "criu/binary.h"
#include "criu/options.h"

namespace ckpt::criu {

// CRIU's hook points, in the order of their coming.  An error refuses: CRIU
// then undoes what it did, except where noted.  The defaults accept.
class Notifications {
 public:
  virtual ~Notifications() = default;

  // Dump.  CRIU is initialised, no task has been touched.
  virtual absl::Status PreDump() { return absl::OkStatus(); }
  // Tasks are held.  Only for jobs with TCP connections or a network namespace.
  virtual absl::Status NetworkLock() { return absl::OkStatus(); }
  // Refused or done: connections go on.  Restore: the point of no return.
  virtual absl::Status NetworkUnlock() { return absl::OkStatus(); }
  // All image files are written, all tasks still held.  An error makes CRIU
  // resume the tasks and fail: the commit point.
  virtual absl::Status PostDump() { return absl::OkStatus(); }

  // Not CRIU's: Limits::alarm_fd is readable while CRIU works.  An error ends
  // the operation, as a deadline that passes does.
  virtual absl::Status Alarm() { return absl::OkStatus(); }

  // Restore.
  virtual absl::Status PreRestore() { return absl::OkStatus(); }
  // `root` is in its namespaces, as a process of CRIU's code.
  virtual absl::Status SetupNamespaces(pid_t root) { return absl::OkStatus(); }
  virtual absl::Status PostSetupNamespaces() { return absl::OkStatus(); }
  // All tasks are built, none has run.  An error kills them: the gate.
  virtual absl::Status PostRestore(pid_t root) { return absl::OkStatus(); }
  // All tasks are held at their first instruction.  An error is only logged by
  // CRIU.
  virtual absl::Status PreResume() { return absl::OkStatus(); }
  // They run.
  virtual absl::Status PostResume() { return absl::OkStatus(); }
};

struct StartOptions {
  std::string binary;
  // If not -1: CRIU is born in the cgroup whose cgroup.procs this is.  The
  // caller's until Start() returns.
  int cgroup_procs_fd = -1;
  // Descriptors that CRIU holds to its end and does not use: locks that are to
  // last as long as it works, whatever becomes of us.  The caller's until
  // Start() returns.
  std::vector<int> inherited_fds = {};
};

struct Limits {
  absl::Time deadline = absl::InfiniteFuture();  // on Clock::Real()
  const Cancellation* cancel = nullptr;          // borrowed for the call
  // If set: a descriptor to watch while CRIU works, or -1; asked at each wait.
  std::function<int()> alarm_fd = nullptr;
};

class Session {
 public:
  // Starts CRIU and asks for its version.  FailedPrecondition when it is too
  // old; Internal when it does not start.
  static absl::StatusOr<std::unique_ptr<Session>> Start(
      const StartOptions& options);

  // Lets CRIU end, kills it if it does not, and reaps it.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Version& version() const { return version_; }
  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  // Our end of the connection: CRIU gives up what it does, in order, when the
  // last copy of it is closed.
  int connection_fd() const { return socket_.get(); }
  // A signal ended it, in an operation that failed.
  bool was_killed() const;

  // Runs a dump.  The error of a notification that refused comes first;
  // otherwise CRIU's own, explained from its log (see log.h); DeadlineExceeded;
  // Cancelled; Internal when CRIU was killed or broke the protocol.  After any
  // error CRIU has ended, and with it its hold on the tasks.
  absl::Status Dump(const DumpArguments& arguments, Notifications& notify,
                    const Limits& limits);

  // Runs a restore and returns the pid of the tree's root.  Errors as Dump().
  // After an error, tasks may be left over: kill all in the target cgroup.
  absl::StatusOr<pid_t> Restore(const RestoreArguments& arguments,
                                Notifications& notify, const Limits& limits);

  // CRIU's own check of the kernel (criu check).  FailedPrecondition with its
  // words when something is missing.
  absl::Status CheckKernel(int work_dir_fd, const std::string& log_file,
                           const Limits& limits);

  // Whole text of the log of the operation.
  std::string ReadLog() const;

 private:
  Session() = default;

  absl::Status Spawn(const StartOptions& options);
  absl::Status AskVersion(const std::string& binary);
  absl::Status Send(const criu_req& request);
  // The next message.
  absl::StatusOr<criu_resp> Receive(Notifications& notify,
                                    const Limits& limits);
  // Serves notifications until the final reply.
  absl::StatusOr<criu_resp> Serve(criu_req_type type, Notifications& notify,
                                  const Limits& limits);
  // Lets CRIU fail in order; kills it if it does not.
  void AbortWorker(bool writes_image);
  // For whoever has a copy of our end, too.
  void CloseConnection();
  absl::Status DescribeEnd();
  void Reap();
  absl::Status Run(const criu_req& request, Notifications& notify,
                   const Limits& limits, absl::string_view operation,
                   criu_resp& reply);

  pid_t pid_ = -1;
  int exit_status_ = 0;
  UniqueFd pidfd_;
  UniqueFd socket_;
  UniqueFd log_dir_;
  std::string log_file_;
  Version version_;
};

}  // namespace ckpt::criu

#endif  // CKPT_CRIU_SESSION_H_
