#include <sys/resource.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "checkpoint/self.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/render.h"
#include "criu/binary.h"

namespace ckpt::cli {
namespace {

// Decimal, or hexadecimal with 0x.
absl::StatusOr<uint64_t> Number64(const Arguments& arguments,
                                  absl::string_view name) {
  const std::string text = arguments.Get(name);
  uint64_t value = 0;
  const bool is_hex = text.rfind("0x", 0) == 0;
  if (is_hex ? absl::SimpleHexAtoi(text, &value)
             : absl::SimpleAtoi(text, &value)) {
    return value;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", std::string(name), " '", text, "' is no number"));
}

absl::StatusOr<checkpoint::SelfScope> Scope(const Arguments& arguments) {
  if (arguments.Has("tree") && arguments.Has("group")) {
    return absl::InvalidArgumentError("--tree and --group exclude each other");
  }
  if (arguments.Has("cgroup") && !arguments.Has("group")) {
    return absl::InvalidArgumentError("--cgroup goes with --group");
  }
  if (arguments.Has("tree")) return checkpoint::SelfScope::kTree;
  if (arguments.Has("group")) return checkpoint::SelfScope::kGroup;
  return checkpoint::SelfScope::kProcess;
}

absl::StatusOr<checkpoint::MailboxAddress> ParseAsker(
    const Arguments& arguments) {
  checkpoint::MailboxAddress asker;
  CKPT_ASSIGN_OR_RETURN(asker.pid, arguments.Number("pid"));
  CKPT_ASSIGN_OR_RETURN(asker.address, Number64(arguments, "mailbox"));
  CKPT_ASSIGN_OR_RETURN(asker.request, Number64(arguments, "request"));
  return asker;
}

absl::StatusOr<checkpoint::SelfDumpRequest> ParseRequest(
    const Arguments& arguments) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  checkpoint::SelfDumpRequest request;
  CKPT_ASSIGN_OR_RETURN(request.scope, Scope(arguments));
  request.cgroup = arguments.Get("cgroup");
  CKPT_ASSIGN_OR_RETURN(request.hierarchy, HierarchyFlag(arguments));
  request.image = arguments.Get("image");
  request.exit = arguments.Has("exit");
  request.early = arguments.Has("early");
  if (request.exit && request.early) {
    return absl::InvalidArgumentError("--exit and --early exclude each other");
  }
  CKPT_ASSIGN_OR_RETURN(const int32_t keep, arguments.Number("keep"));
  request.keep = static_cast<uint32_t>(keep);
  CKPT_ASSIGN_OR_RETURN(
      request.timeout_seconds,
      arguments.Seconds("timeout", checkpoint::kDefaultTimeoutSeconds));
  CKPT_ASSIGN_OR_RETURN(request.criu, CriuFlags(arguments));
  if (arguments.Has("owner")) {
    CKPT_ASSIGN_OR_RETURN(const uint64_t uid, Number64(arguments, "owner"));
    request.owner = static_cast<uid_t>(uid);
  }
  request.within = arguments.Has("within");
  request.served = arguments.Has("served");
  return request;
}

// Those of the job, which CRIU would inherit from us: as far up as they go.
void RaiseLimits() {
  for (const auto resource : {RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE,
                              RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK}) {
    rlimit limit;
    if (::getrlimit(resource, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(resource, &limit);
  }
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const checkpoint::MailboxAddress asker,
                        ParseAsker(arguments));
  RaiseLimits();
  auto request = ParseRequest(arguments);
  if (!request.ok()) return checkpoint::TellFailure(asker, request.status());
  request->asker = asker;
  const auto criu = criu::FindCriu(arguments.Get("criu"));
  if (!criu.ok()) return checkpoint::TellFailure(asker, criu.status());
  const ImageStore store = StoreFlag(arguments);
  CKPT_ASSIGN_OR_RETURN(
      v1::DumpReport report,
      checkpoint::SelfDump(
          *request,
          {.store = &store, .criu = *criu, .cancel = context.cancel}));
  std::string text = RenderDump(report);
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command SelfDumpCommand() {
  return {
      "self-dump",
      "for libckpt: dump the process that asks for it",
      "",
      "Programs call ckpt_self() of libckpt, which starts this outside the job "
      "(ckpt_self(3)).  The result\nis written into the memory of the process "
      "that asked.",
      "ckpt self-dump --pid 1234 --mailbox 0x5581c0a3f400 --request 1 --image "
      "solver",
      /*needs_root=*/true,
      WithCriuFlags(WithStoreFlag(WithGroupFlags(
          {{"pid", "N", "the process that asks"},
           {"mailbox", "ADDRESS", "where it waits for the result"},
           {"request", "N", "which of its requests this is"},
           {"tree", "", "with all its descendants"},
           {"group", "", "the tree in --cgroup, or in its own group"},
           {"image", "NAME|PATH", "a name, to which .NUMBER is added"},
           {"exit", "", "end the job"},
           {"early", "",
            "tell the process when it goes on, before the image is on the "
            "disk"},
           {"keep", "N", "remove all but the N newest images (keep all)"},
           {"timeout", "D", "give up after this long (120s)"},
           {"owner", "UID", "only if all tasks are this user's (any)"},
           {"within", "",
            "only if all tasks are in the process's PID namespace"},
           {"served", "",
            "asked for by a service: wait if the same is at work already"}}))),
      &Run};
}

}  // namespace ckpt::cli
