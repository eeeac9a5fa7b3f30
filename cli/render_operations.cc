#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "cli/render.h"
#include "cli/text.h"

namespace ckpt::cli {
namespace {

// "OPERATION_STATE_RUNNING" -> "RUNNING".
std::string Word(const std::string& name, absl::string_view prefix) {
  return std::string(absl::StripPrefix(name, prefix));
}

std::string State(const v1::Operation& operation) {
  return Word(v1::OperationState_Name(operation.state()), "OPERATION_STATE_");
}

std::string PhaseWord(const v1::Operation& operation) {
  if (operation.has_migrate_request()) {
    return MigrationStateWord(operation.migration_state());
  }
  if (operation.phase() == v1::PHASE_UNSPECIFIED) return "-";
  return Word(v1::Phase_Name(operation.phase()), "PHASE_");
}

absl::string_view Kind(const v1::Operation& operation) {
  return operation.has_restore_request()   ? "restore"
         : operation.has_migrate_request() ? "migrate"
                                           : "dump";
}

const std::string& ImageOf(const v1::Operation& operation) {
  return operation.has_restore_request()   ? operation.restore_request().image()
         : operation.has_migrate_request() ? operation.migrate_request().to()
                                           : operation.dump_request().image();
}

// What there is to say besides.
std::string Remark(const v1::Operation& operation) {
  if (operation.state() == v1::OPERATION_STATE_FAILED) {
    return absl::StrReplaceAll(operation.error().message(), {{"\n", " "}});
  }
  if (operation.state() == v1::OPERATION_STATE_SUCCEEDED) {
    return operation.has_migrate_report()
               ? absl::StrCat(
                     "downtime ",
                     Time(operation.migrate_report().downtime_seconds()))
               : "";
  }
  std::string progress =
      operation.has_migrate_request() ? RenderPhase(operation) : "";
  if (!operation.cancel_requested()) return progress;
  return absl::StrCat("to be cancelled", progress.empty() ? "" : "  ",
                      progress);
}

constexpr char kLine[] = "%-32s %-8s %-10s %-10s %-23s %-20s %s";

std::string Line(const v1::Operation& operation) {
  std::string line =
      absl::StrFormat(kLine, operation.id(), Kind(operation), State(operation),
                      PhaseWord(operation), Date(operation.asked_unix_ns()),
                      ImageOf(operation), operation.cgroup());
  const std::string remark = Remark(operation);
  if (!remark.empty()) absl::StrAppend(&line, "  ", remark);
  absl::StripTrailingAsciiWhitespace(&line);
  return absl::StrCat(line, "\n");
}

}  // namespace

std::string RenderOperations(const v1::OperationList& list) {
  if (list.operations().empty()) return "no operations\n";
  std::string text =
      absl::StrCat(absl::StrFormat(kLine, "ID", "KIND", "STATE", "PHASE",
                                   "ASKED", "IMAGE", "CGROUP"),
                   "\n");
  for (const v1::Operation& operation : list.operations()) {
    absl::StrAppend(&text, Line(operation));
  }
  return text;
}

std::string RenderOperation(const v1::Operation& operation) {
  return Line(operation);
}

std::string RenderPhase(const v1::Operation& operation) {
  if (operation.phase() == v1::PHASE_UNSPECIFIED) return "";
  const std::string progress = RenderProgress(
      operation.progress(), operation.phase() < v1::PHASE_COMMIT);
  return absl::StrCat(Word(v1::Phase_Name(operation.phase()), "PHASE_"),
                      progress.empty() ? "" : ": ", progress);
}

std::string RenderProgress(const v1::OperationProgress& progress, bool about) {
  std::string text;
  if (progress.bytes_total() > 0) {
    text = absl::StrFormat("%.1f %% of %s%s", progress.percent(),
                           about ? "about " : "", Size(progress.bytes_total()));
  } else if (progress.bytes_done() > 0) {
    text = Size(progress.bytes_done());
  }
  if (progress.bytes_per_second() > 0) {
    absl::StrAppend(&text, ", ",
                    Size(static_cast<uint64_t>(progress.bytes_per_second())),
                    "/s");
  }
  if (progress.eta_seconds() > 0) {
    absl::StrAppend(&text, ", ", Time(progress.eta_seconds()), " left");
  }
  if (progress.downtime_seconds() > 0) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", "stands still for ",
                    Time(progress.downtime_seconds()));
  }
  if (progress.expected_downtime_seconds() > 0) {
    absl::StrAppend(&text, ", ", Time(progress.expected_downtime_seconds()),
                    " expected");
  }
  return text;
}

}  // namespace ckpt::cli
