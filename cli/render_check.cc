#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "cli/render.h"
#include "google/protobuf/repeated_ptr_field.h"

namespace ckpt::cli {
namespace {

absl::string_view Mark(v1::CheckFinding::Level level) {
  switch (level) {
    case v1::CheckFinding::LEVEL_WARNING:
      return "warning";
    case v1::CheckFinding::LEVEL_MISSING:
      return "MISSING";
    case v1::CheckFinding::LEVEL_BLOCKER:
      return "BLOCKER";
    default:
      return "ok";
  }
}

void AppendFinding(const v1::CheckFinding& finding, std::string& text) {
  absl::StrAppendFormat(&text, "%-8s %-22s %s\n", Mark(finding.level()),
                        finding.subject(), finding.found());
  const auto more = [&](absl::string_view words) {
    absl::StrAppendFormat(&text, "%-8s %-22s %s\n", "", "", words);
  };
  if (finding.more() > 0) {
    more(absl::StrCat("and ", finding.more(), " more like it"));
  }
  if (!finding.meaning().empty()) more(finding.meaning());
  if (!finding.advice().empty()) more(absl::StrCat("-> ", finding.advice()));
}

// A job's verdict.
std::string JobVerdict(const v1::CheckReport& report) {
  if (report.usable()) return "nothing is in the way\n";
  return "this job, as it is, cannot be dumped and restored so\n";
}

}  // namespace

std::string RenderFindings(const v1::CheckReport& report) {
  std::string text;
  std::string node;
  for (const v1::CheckFinding& finding : report.findings()) {
    if (finding.node() != node) {
      node = finding.node();
      absl::StrAppend(&text, "at ", node, ":\n");
    }
    AppendFinding(finding, text);
  }
  return text;
}

std::string RenderCheck(const v1::CheckReport& report) {
  std::string text;
  if (report.root_pid() != 0) {
    absl::StrAppendFormat(
        &text, "%-8s %-22s process %d in %s: %d process%s, %d thread%s\n", "",
        "job", report.root_pid(), report.cgroup(), report.processes(),
        report.processes() == 1 ? "" : "es", report.threads(),
        report.threads() == 1 ? "" : "s");
  }
  absl::StrAppend(&text, RenderFindings(report));
  if (report.root_pid() != 0) return absl::StrCat(text, JobVerdict(report));
  return absl::StrCat(text, report.usable()
                                ? "this machine can dump and restore\n"
                                : "this machine cannot dump and restore yet\n");
}

}  // namespace ckpt::cli
