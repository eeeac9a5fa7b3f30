#include "checkpoint/self.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "checkpoint/asker_group.h"
#include "checkpoint/call_lock.h"
#include "checkpoint/task_owner.h"
#include "freezer/lookup.h"
#include "store/criu_images.h"

namespace ckpt::checkpoint {
namespace {

constexpr absl::Duration kReadyLimit = absl::Seconds(10);
constexpr char kUntouched[] = "; nothing was touched";

class SelfDumpOperation {
 public:
  SelfDumpOperation(const SelfDumpRequest& request,
                    const DumpEnvironment& environment, const Mailbox& mailbox)
      : request_(request), environment_(environment), mailbox_(mailbox) {}

  absl::StatusOr<v1::DumpReport> Run();

 private:
  pid_t asker() const { return request_.asker.pid; }

  // We must be no part of what we dump.
  absl::Status CheckWeAreOutside(pid_t root) const;
  absl::Status BelongsToTree(pid_t root) const;
  absl::StatusOr<v1::DumpRequest> MakeRequest();
  absl::Status CheckIsAlone() const;
  // Of the tree, and of all that a freeze would stop.
  absl::Status CheckOwners(const v1::DumpRequest& dump) const;
  absl::Status ChooseImage(v1::DumpRequest& dump);
  // Numbers of the images there are, ascending.
  absl::StatusOr<std::vector<int64_t>> Numbers() const;
  absl::Status OnImageWritten(PendingImage& image);
  void RemoveOldImages(v1::DumpReport& report) const;

  const SelfDumpRequest& request_;
  const DumpEnvironment& environment_;
  const Mailbox& mailbox_;
  ProcFs& proc_ = ProcFs::Real();
  v1::DumpRequest dump_;
  std::string name_path_;  // of the images, without the number
  int64_t number_ = 0;
};

// Adds the processes of the group and of those below it.
absl::Status AddProcessesBelow(freezer::Cgroup& group,
                               std::vector<pid_t>& pids) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> own, group.Processes());
  pids.insert(pids.end(), own.begin(), own.end());
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  for (const auto& child : children) {
    CKPT_RETURN_IF_ERROR(AddProcessesBelow(*child, pids));
  }
  return absl::OkStatus();
}

absl::Status SelfDumpOperation::BelongsToTree(pid_t root) const {
  return absl::FailedPreconditionError(absl::StrCat(
      "ckpt itself (process ", ::getpid(), ") belongs to the tree of process ",
      DescribeTask(proc_, root),
      ", which adopts orphans: start a service outside of it (ckpt self-serve) "
      "and name its socket by $CKPT_SOCKET",
      kUntouched));
}

absl::Status SelfDumpOperation::CheckWeAreOutside(pid_t root) const {
  pid_t pid = ::getpid();
  while (pid > 1) {
    CKPT_ASSIGN_OR_RETURN(const ThreadStat stat, proc_.Stat(pid));
    pid = stat.ppid;
    if (pid == root) return BelongsToTree(root);
  }
  return absl::OkStatus();
}

absl::Status SelfDumpOperation::CheckIsAlone() const {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> children,
                        proc_.Children(asker()));
  for (const pid_t child : children) {
    const auto stat = proc_.Stat(child);
    if (!stat.ok() || stat->state == 'Z' || stat->state == 'X') continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "process ", DescribeTask(proc_, asker()), " is not alone: ", child,
        " (", stat->comm,
        ") is a child of it; checkpoint the tree (CKPT_TREE), or end the child "
        "first",
        kUntouched));
  }
  return absl::OkStatus();
}

absl::Status SelfDumpOperation::CheckOwners(const v1::DumpRequest& dump) const {
  if (!request_.owner.has_value() && !request_.within) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(std::vector<pid_t> pids,
                        ProcessTree(proc_, dump.pid()));
  if (!dump.cgroup().empty()) {
    CKPT_ASSIGN_OR_RETURN(const auto group,
                          freezer::FindCgroup(dump.cgroup(), dump.hierarchy()));
    CKPT_RETURN_IF_ERROR(AddProcessesBelow(*group, pids));
  }
  if (request_.within) {
    CKPT_RETURN_IF_ERROR(CheckPidNamespace(proc_, pids, asker()));
  }
  if (!request_.owner.has_value()) return absl::OkStatus();
  return CheckOwner(proc_, pids, *request_.owner);
}

absl::StatusOr<std::vector<int64_t>> SelfDumpOperation::Numbers() const {
  std::vector<int64_t> numbers;
  const size_t slash = name_path_.rfind('/');
  const std::string directory = slash == 0 ? "/" : name_path_.substr(0, slash);
  const auto names = ListDirectory(directory);
  if (absl::IsNotFound(names.status())) return numbers;  // made by Begin()
  CKPT_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    const int64_t number = ImageNumber(
        absl::StrCat(directory, slash == 0 ? "" : "/", name), name_path_);
    if (number > 0) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

absl::Status SelfDumpOperation::ChooseImage(v1::DumpRequest& dump) {
  CKPT_ASSIGN_OR_RETURN(name_path_, environment_.store->PathOf(request_.image));
  CKPT_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, Numbers());
  number_ = numbers.empty() ? 1 : numbers.back() + 1;
  dump.set_image(absl::StrCat(request_.image, ".", number_));
  return absl::OkStatus();
}

absl::StatusOr<v1::DumpRequest> SelfDumpOperation::MakeRequest() {
  v1::DumpRequest dump;
  dump.set_leave_running(!request_.exit);
  dump.set_timeout_seconds(request_.timeout_seconds);
  *dump.mutable_criu() = request_.criu;
  CKPT_RETURN_IF_ERROR(ChooseImage(dump));
  bool alone = request_.scope == SelfScope::kProcess;
  if (request_.scope == SelfScope::kTree) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> tree,
                          ProcessTree(proc_, asker()));
    alone = tree.size() == 1;
  }
  dump.set_pid(asker());
  dump.set_hierarchy(request_.hierarchy);
  if (alone) {
    CKPT_RETURN_IF_ERROR(CheckIsAlone());
    dump.set_no_freezer(true);
  } else {
    CKPT_RETURN_IF_ERROR(NameJobOfAsker(
        asker(), request_.scope == SelfScope::kGroup, request_.cgroup, dump));
  }
  // A job that was started by a shell is in the shell's session.  The restored
  // one is then in that of whoever restores it.
  CKPT_ASSIGN_OR_RETURN(const ThreadStat root, proc_.Stat(dump.pid()));
  if (root.sid != root.pid) dump.mutable_criu()->set_shell_job(true);
  return dump;
}

absl::Status SelfDumpOperation::OnImageWritten(PendingImage& image) {
  // No task runs, forks or executes anything now: what is seen is what was
  // dumped.
  CKPT_RETURN_IF_ERROR(CheckOwners(dump_));
  if (request_.scope == SelfScope::kProcess) {
    // No freezer kept it from forking until CRIU had stopped it.
    CKPT_ASSIGN_OR_RETURN(const ImageContents contents,
                          ReadContents(image.dir_fd()));
    for (const ImageProcess& process : contents.processes) {
      if (process.pid == InnermostPid(proc_, asker()) ||
          process.state == ImageTaskState::kZombie) {
        continue;
      }
      return absl::FailedPreconditionError(absl::StrCat(
          "process ", asker(), " is not alone: it had started ", process.pid,
          " (", process.comm, ") by the time it was stopped"));
    }
  }
  return mailbox_.MarkInImage(image, number_,
                              absl::StrCat(name_path_, ".", number_));
}

void SelfDumpOperation::RemoveOldImages(v1::DumpReport& report) const {
  if (request_.keep == 0) return;
  const auto numbers = Numbers();
  if (!numbers.ok() || numbers->size() <= request_.keep) return;
  for (size_t i = 0; i < numbers->size() - request_.keep; ++i) {
    const absl::Status removed = environment_.store->Remove(
        absl::StrCat(name_path_, ".", (*numbers)[i]));
    if (removed.ok() || absl::IsNotFound(removed)) continue;
    report.add_warnings(absl::StrCat("an old image is still there: ",
                                     std::string(removed.message())));
  }
}

absl::StatusOr<v1::DumpReport> SelfDumpOperation::Run() {
  CKPT_RETURN_IF_ERROR(CheckWeAreOutside(asker()));
  CKPT_RETURN_IF_ERROR(LeaveGroupsOf(asker()));
  CKPT_RETURN_IF_ERROR(FaultPoint("self.outside"));
  CKPT_ASSIGN_OR_RETURN(dump_, MakeRequest());
  CKPT_RETURN_IF_ERROR(CheckWeAreOutside(dump_.pid()));
  if (const absl::Status own = CheckOwners(dump_); !own.ok()) {
    return WithMessage(own, absl::StrCat(own.message(), kUntouched));
  }
  DumpEnvironment environment = environment_;
  environment.image_written = [this](PendingImage& image) {
    return OnImageWritten(image);
  };
  environment.read_ahead = !request_.early;
  if (request_.early) {
    environment.job_released = [this] {
      // One that has ended, or executes another program, is not told; its image
      // is worth as much.
      (void)mailbox_.WriteWritten(number_,
                                  absl::StrCat(name_path_, ".", number_));
    };
  }
  CKPT_ASSIGN_OR_RETURN(v1::DumpReport report, Dump(dump_, environment));
  CKPT_RETURN_IF_ERROR(FaultPoint("self.dumped"));
  // The job is gone if it was to end, and nobody waits.
  if (!request_.exit) {
    CKPT_RETURN_IF_ERROR(mailbox_.WriteDone(number_, report.image()));
  }
  RemoveOldImages(report);
  return report;
}

}  // namespace

absl::StatusOr<v1::DumpReport> SelfDump(const SelfDumpRequest& request,
                                        const DumpEnvironment& environment) {
  Clock& clock = Clock::Real();
  CKPT_ASSIGN_OR_RETURN(const Mailbox mailbox, Mailbox::Open(request.asker));
  UniqueFd lock;
  if (request.served) {
    CKPT_ASSIGN_OR_RETURN(lock, LockCall(request.asker.pid, [&mailbox, &clock] {
                            return mailbox.AwaitReady(clock, clock.Now());
                          }));
  }
  CKPT_RETURN_IF_ERROR(mailbox.AwaitReady(clock, clock.Now() + kReadyLimit));
  auto report = SelfDumpOperation(request, environment, mailbox).Run();
  if (report.ok()) return report;
  return AppendError(report.status(), "telling the process",
                     mailbox.WriteFailed(report.status()));
}

absl::Status TellFailure(const MailboxAddress& asker, absl::Status why) {
  Clock& clock = Clock::Real();
  const auto mailbox = Mailbox::Open(asker);
  absl::Status told = mailbox.status();
  if (told.ok()) {
    told = mailbox->AwaitReady(clock, clock.Now() + kReadyLimit);
  }
  // One that was told early waits for more.
  if (told.ok() || absl::IsAborted(told)) told = mailbox->WriteFailed(why);
  return AppendError(std::move(why), "telling the process", told);
}

int64_t ImageNumber(absl::string_view path, absl::string_view name_path) {
  int64_t number = 0;
  if (!absl::ConsumePrefix(&path, name_path) ||
      !absl::ConsumePrefix(&path, ".") || path.empty() || path.front() < '1' ||
      path.front() > '9' || !absl::SimpleAtoi(path, &number)) {
    return 0;
  }
  return number;
}

}  // namespace ckpt::checkpoint
