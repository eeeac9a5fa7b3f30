#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/common.h"
#include "proto/agent.pb.h"
#include "run/job_output.h"
#include "run/job_registry.h"
#include "run/output_copier.h"

namespace ckpt::cli {
namespace {

// A file system has no event for every kind of file that output may go to.
constexpr absl::Duration kLook = absl::Milliseconds(100);
// How often a node is asked.
constexpr absl::Duration kAsk = absl::Milliseconds(500);

// Of a node: asked for in parts, from where the last one ended.
absl::StatusOr<Output> PrintFromNode(const Arguments& arguments,
                                     const std::string& name,
                                     const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const auto remote, NodeFlag(arguments));
  v1::JobLogRequest request;
  request.set_name(name);
  request.set_error(arguments.Has("error"));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const v1::JobLogChunk chunk,
                          remote->ReadJobLog(request, context.cancel));
    request.set_offset(chunk.next_offset());
    CKPT_RETURN_IF_ERROR(
        WriteAll(STDOUT_FILENO, chunk.data(), "standard output"));
    if (!chunk.data().empty()) continue;
    if (!arguments.Has("follow") || chunk.ended() ||
        context.cancel->cancelled()) {
      return Output();
    }
    Clock::Real().Sleep(kAsk);
  }
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const std::string name,
                        arguments.OnlyPositional("JOB"));
  if (arguments.Has("node")) return PrintFromNode(arguments, name, context);
  CKPT_ASSIGN_OR_RETURN(
      const std::string path,
      run::JobOutputFile(run::JobRegistry::Default(), name,
                         arguments.Has("error"), StoreFlag(arguments)));
  if (!OpenAt(AT_FDCWD, path, O_RDONLY).ok()) {
    return absl::NotFoundError(
        absl::StrCat("no output of a job ", name, " at ", path));
  }
  run::OutputCopier copier(path, 0, STDOUT_FILENO);
  while (true) {
    // Looked at first: what it printed at its end is copied, too.
    const auto job = run::JobRegistry::Default().Find(name);
    copier.Copy();
    if (!arguments.Has("follow") || !job.ok() || !job->supervised ||
        context.cancel->cancelled()) {
      return Output();
    }
    Clock::Real().Sleep(kLook);
  }
}

}  // namespace

Command LogsCommand() {
  return {
      "logs",
      "print what a job of ckpt run has printed",
      "JOB",
      "Of all its runs since it was started afresh, without what was cut "
      "back.",
      "ckpt logs render --follow",
      /*needs_root=*/true,
      WithNodeFlag(WithStoreFlag({{"follow", "", "go on until the job ends"},
                                  {"error", "", "its standard error"}})),
      &Run};
}

}  // namespace ckpt::cli
