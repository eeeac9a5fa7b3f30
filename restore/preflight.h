// Will this image restore here?  Asked before any process exists; CRIU would
// find out later, in worse words, or not at all.
#ifndef CKPT_RESTORE_PREFLIGHT_H_
#define CKPT_RESTORE_PREFLIGHT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/proc.h"
#include "proto/checkpoint.pb.h"
#include "proto/image.pb.h"
#include "store/criu_images.h"

namespace ckpt::restore {

// Same architecture, and all CPU features that the job may have looked for.
// FailedPrecondition names what is missing.
absl::Status CheckHost(const v1::Manifest& manifest);

// Every open, mapped or used file and directory is there, and has the size that
// CRIU will insist on, or will be cut to its size (`cuts`, written_files.h).
// `root` is --root, or "".  FailedPrecondition names it.
absl::Status CheckFiles(const ImageContents& contents, const std::string& root,
                        const std::vector<v1::CutFile>& cuts = {});

// No task, process group or session has a number that the image needs.  Waits
// until `deadline` for those that have ended but are not reaped yet; a zombie
// holds its number.  An image with a PID namespace of its own needs no wait.
// FailedPrecondition names number, task and its cgroup.
absl::Status WaitForPids(const ImageContents& contents, ProcFs& proc,
                         Clock& clock, absl::Time deadline,
                         const Cancellation* cancel);

}  // namespace ckpt::restore

#endif  // CKPT_RESTORE_PREFLIGHT_H_
