#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "cli/render.h"
#include "cli/text.h"

namespace ckpt::cli {

std::string MigrationStateWord(v1::MigrationState state) {
  const std::string name = v1::MigrationState_Name(state);
  return std::string(absl::StripPrefix(name, "MIGRATION_STATE_"));
}

std::string RenderMigration(const v1::MigrateReport& report) {
  std::string text = absl::StrCat(
      "moved ", Plural(report.processes(), "process", "processes"), ", ",
      Size(report.memory_bytes()), " of memory, to ", report.to(), "\n",
      Row("there", absl::StrCat("pid ", report.pid(), " in ", report.cgroup())),
      Row("downtime", Time(report.downtime_seconds())),
      Row("total", Time(report.total_seconds())));
  if (!report.image().empty()) {
    text += Row("image", absl::StrCat(report.image(), ", kept at both nodes"));
  }
  for (const std::string& warning : report.warnings()) {
    text += Row("warning", warning);
  }
  return text;
}

std::string RenderMigrationRecord(const v1::MigrationRecord& record) {
  std::string text = absl::StrCat(
      "migration ", record.id(), ": ", MigrationStateWord(record.state()), "\n",
      Row("other node", record.peer()), Row("group", record.cgroup()),
      Row("image", record.image()));
  if (record.has_network_lock()) {
    text +=
        Row("network lock",
            absl::StrCat("table inet ", record.network_lock().table(), ", for ",
                         Plural(record.network_lock().connections_size(),
                                "connection", "connections")));
  }
  for (const v1::MigrationStep& step : record.steps()) {
    absl::StrAppendFormat(&text, "  %-23s %-10s %s\n", Date(step.unix_ns()),
                          MigrationStateWord(step.state()), step.why());
  }
  return text;
}

}  // namespace ckpt::cli
