// What ckpt asks of CRIU, and its translation into CRIU's RPC messages.  The
// only file pair that spells CRIU's option fields (rpc.proto of libcriu-dev).
#ifndef CKPT_CRIU_OPTIONS_H_
#define CKPT_CRIU_OPTIONS_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "criu_rpc/rpc.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::criu {

// Descriptors are those of this process and stay open during the operation:
// CRIU opens them as /proc/PID/fd/N.
struct DumpArguments {
  pid_t pid = 0;
  int image_dir_fd = -1;
  int work_dir_fd = -1;       // for the log
  std::string log_file;       // a name in it
  std::string freeze_cgroup;  // directory that is FROZEN when CRIU looks; or ""
  bool leave_running = false;
  v1::CriuOptions options;
};

struct RestoreArguments {
  int image_dir_fd = -1;
  int work_dir_fd = -1;
  std::string log_file;
  v1::CriuOptions options;
};

// InvalidArgument for values that CRIU does not know.
absl::StatusOr<criu_req> DumpMessage(const DumpArguments& arguments);
absl::StatusOr<criu_req> RestoreMessage(const RestoreArguments& arguments);

// Refuses the lines of a CRIU configuration file that would take from ckpt what
// it relies on (the freezer, cgroups, directories, the final state).
// InvalidArgument names file, line and option; NotFound when it is missing.
absl::Status CheckConfigFile(const std::string& path);

}  // namespace ckpt::criu

#endif  // CKPT_CRIU_OPTIONS_H_
