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
    return Word(v1::MigrationState_Name(operation.migration_state()),
                "MIGRATION_STATE_");
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
  return operation.cancel_requested() &&
                 operation.state() != v1::OPERATION_STATE_SUCCEEDED
             ? "to be cancelled"
             : "";
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

}  // namespace ckpt::cli
