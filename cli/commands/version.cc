#include "base/version.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "criu/binary.h"
#include "criu/session.h"

namespace ckpt::cli {
namespace {

absl::StatusOr<Output> Run(const Arguments& arguments, const Context&) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  v1::VersionReport report;
  report.set_ckpt_version(kVersion);
  std::string text = absl::StrCat("ckpt ", kVersion, "\n");
  const auto path = criu::FindCriu(arguments.Get("criu"));
  if (!path.ok()) {
    absl::StrAppend(&text, "CRIU: ", path.status().message(), "\n");
    return MakeOutput(std::move(report), std::move(text));
  }
  report.set_criu_path(*path);
  const auto session = criu::Session::Start({.binary = *path});
  if (session.ok()) {
    report.set_criu_version((*session)->version().ToString());
    absl::StrAppend(&text, "CRIU ", report.criu_version(), " (", *path, ")\n");
  } else {
    absl::StrAppend(&text, "CRIU: ", session.status().message(), "\n");
  }
  return MakeOutput(std::move(report), std::move(text));
}

}  // namespace

Command VersionCommand() {
  return {"version",
          "show the versions of ckpt and CRIU",
          "",
          "",
          "ckpt version",
          /*needs_root=*/false,
          {{"criu", "PATH", "the CRIU to ask ($CKPT_CRIU, /opt/ckpt, PATH)"}},
          &Run};
}

}  // namespace ckpt::cli
