// What `ckpt run` was asked for, and what it works with.
#ifndef CKPT_RUN_RUN_OPTIONS_H_
#define CKPT_RUN_RUN_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/checkpoint.pb.h"
#include "run/hooks.h"
#include "run/retention.h"
#include "store/image_store.h"

namespace ckpt::run {

struct RunOptions {
  std::string name;               // one that an image could have
  std::vector<std::string> argv;  // the command; looked up in PATH
  // Where the frame is made, and in which hierarchy; see freezer/lookup.h.
  std::string parent_group = "ckpt";
  v1::Hierarchy hierarchy = v1::HIERARCHY_UNSPECIFIED;
  // Files to print to.  "": one in the job's directory, which is copied to
  // RunEnvironment's descriptor.
  std::string output;
  std::string error_output;
  bool fresh = false;  // do not restore
  v1::OutputPolicy output_policy = v1::OUTPUT_POLICY_TRUNCATE;
  v1::CriuOptions criu;
  HookOptions hooks;
  double timeout_seconds = 0;  // of a checkpoint or a restore; 0: 120 s

  // When to checkpoint; the job goes on.
  absl::Duration every = absl::InfiniteDuration();
  std::set<int> checkpoint_signals;
  // Which images stay when a new one is whole.
  RetentionLimits retention = {.keep = 2};
  // On SIGTERM: checkpoint, end, and report this exit status.
  bool before_end = false;
  int before_end_status = 85;
};

struct RunEnvironment {
  const ImageStore* store = nullptr;  // borrowed for the call
  std::string criu;                   // path of the binary
  // Told of what goes on, a line without newline each.
  std::function<void(const std::string&)> tell;
  // Where the job's output is copied to; -1: nowhere.
  int output_fd = -1;
  int error_fd = -1;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_RUN_OPTIONS_H_
