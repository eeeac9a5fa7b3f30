#include "checkpoint/findings.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace ckpt::checkpoint {
namespace {

std::string Sentence(const v1::CheckFinding& finding) {
  std::string text = finding.found();
  if (!finding.meaning().empty()) {
    absl::StrAppend(&text, ", ", finding.meaning());
  }
  if (!finding.advice().empty()) absl::StrAppend(&text, "; ", finding.advice());
  if (!finding.node().empty()) {
    absl::StrAppend(&text, " (found at ", finding.node(), ")");
  }
  return text;
}

}  // namespace

bool IsInTheWay(const v1::CheckFinding& finding) {
  return finding.level() == v1::CheckFinding::LEVEL_MISSING ||
         finding.level() == v1::CheckFinding::LEVEL_BLOCKER;
}

v1::CheckReport MakeReport(std::vector<v1::CheckFinding> findings) {
  v1::CheckReport report;
  report.set_usable(
      std::none_of(findings.begin(), findings.end(), &IsInTheWay));
  for (v1::CheckFinding& finding : findings) {
    *report.add_findings() = std::move(finding);
  }
  return report;
}

absl::Status ToStatus(const v1::CheckReport& report) {
  if (report.usable()) return absl::OkStatus();
  v1::CheckReport payload = report;
  payload.clear_needs();
  payload.clear_findings();
  const v1::CheckFinding* first = nullptr;
  int in_the_way = 0;
  bool will_pass = true;
  for (const v1::CheckFinding& finding : report.findings()) {
    if (finding.level() == v1::CheckFinding::LEVEL_OK) continue;
    *payload.add_findings() = finding;
    if (!IsInTheWay(finding)) continue;
    ++in_the_way;
    // What will not pass comes first.
    if (first == nullptr || (first->will_pass() && !finding.will_pass())) {
      first = &finding;
    }
    will_pass = will_pass && finding.will_pass();
  }
  std::string message =
      first == nullptr ? "something is in the way" : Sentence(*first);
  if (in_the_way > 1) {
    absl::StrAppend(&message, "; and ", in_the_way - 1, " more of that weight");
  }
  absl::Status status(will_pass && first != nullptr
                          ? absl::StatusCode::kUnavailable
                          : absl::StatusCode::kFailedPrecondition,
                      message);
  status.SetPayload(kCheckReportUrl, absl::Cord(payload.SerializeAsString()));
  return status;
}

}  // namespace ckpt::checkpoint
