#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

// Rounds take 2 to 10 ms.
constexpr absl::Duration kPollInterval = absl::Milliseconds(2);

}  // namespace

absl::StatusOr<WorkloadStatus> ReadStatus(const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const std::string data, ReadFile(path));
  if (data.empty()) return absl::NotFoundError(path + ": no record yet");
  StatusRecord record;
  if (data.size() == sizeof record) {
    std::memcpy(&record, data.data(), sizeof record);
  }
  if (data.size() != sizeof record || record.magic != kStatusMagic) {
    return absl::DataLossError(path + ": not the record of a workload");
  }
  WorkloadStatus status;
  status.beat = record.beat;
  status.errors = record.errors;
  status.run_id = record.run_id;
  status.pid = static_cast<pid_t>(record.pid);
  status.error_text.assign(
      record.error_text,
      ::strnlen(record.error_text, sizeof record.error_text));
  return status;
}

absl::Status WaitForBeats(const std::string& path, uint64_t beats,
                          absl::Time deadline, Clock& clock) {
  std::optional<uint64_t> first;
  for (;;) {
    const auto status = ReadStatus(path);
    if (!status.ok() && !absl::IsNotFound(status.status())) {
      return status.status();
    }
    if (status.ok()) {
      if (status->errors > 0) {
        return absl::DataLossError(
            absl::StrCat("workload ", status->pid, " found ", status->errors,
                         " errors by round ", status->beat,
                         "; the first: ", status->error_text));
      }
      if (!first.has_value() || status->beat < *first) first = status->beat;
      if (status->beat >= *first + beats) return absl::OkStatus();
    }
    if (clock.Now() >= deadline) {
      return absl::DeadlineExceededError(
          status.ok()
              ? absl::StrCat("workload ", status->pid, " is at round ",
                             status->beat, ", not yet at ", *first + beats)
              : std::string(status.status().message()));
    }
    clock.Sleep(kPollInterval);
  }
}

}  // namespace ckpt
