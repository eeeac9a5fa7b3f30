// What the tasks of a job are and have open, read once from /proc before
// anything is touched: what job_findings.h judges.
//
//   const JobSurvey survey = SurveyJob(tree, ProcFs::Real(), JobFiles::Real());
//
// It runs in every dump while the job does, so it is cheap: some microseconds
// for each descriptor, linear in their number, and nothing that grows with the
// machine.  What has ended or was closed meanwhile is left out.
#ifndef CKPT_CHECKPOINT_JOB_SURVEY_H_
#define CKPT_CHECKPOINT_JOB_SURVEY_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "base/proc.h"
#include "checkpoint/job_files.h"

namespace ckpt::checkpoint {

struct SurveyedFd {
  int fd = -1;
  std::string target;  // as OpenFile
  FileFacts file;
  int flags = 0;        // as for open(2)
  int mount_id = -1;    // of files with a path
  bool locked = false;  // a lock of this process
  pid_t pidfd_of = 0;   // -1: it has ended
  int tty_index = -1;   // of /dev/ptmx
  absl::optional<SocketFacts> socket;
};

// A mapping of a file, once for each file and process.
struct SurveyedMapping {
  std::string path;  // without " (deleted)"
  bool deleted = false;
  FileFacts file;  // of what is deleted, or below /dev
};

struct SurveyedProcess {
  ThreadStat stat;
  std::vector<pid_t> threads;
  std::map<std::string, std::string> namespaces;  // "net" -> "net:[4026531840]"
  std::vector<SurveyedFd> fds;
  std::vector<SurveyedMapping> mappings;
  std::vector<pid_t> threads_with_own_files;
  std::vector<pid_t> threads_with_own_net;
  uint64_t memory_bytes = 0;  // resident anonymous and shared, and swapped out
  std::string exe;
  std::string cwd;

  std::string Name() const;  // "process 12 (sh)"
};

struct JobSurvey {
  std::vector<SurveyedProcess> processes;  // the root first; no zombies
  std::vector<pid_t> zombies;
  // By mount namespace: the ids of its mounts.
  std::map<std::string, std::set<int>> mounts;
  // Of this process.
  std::map<std::string, std::string> own_namespaces;
  std::set<pid_t> pids;  // zombies included
};

JobSurvey SurveyJob(const std::vector<pid_t>& tree, ProcFs& proc,
                    JobFiles& files);

// The numbers of the mounts in a text of /proc/PID/mountinfo.
std::set<int> ParseMountIds(absl::string_view text);

// Fills what /proc/PID/fdinfo/FD tells.
void ParseFdInfo(absl::string_view text, SurveyedFd& fd);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_JOB_SURVEY_H_
