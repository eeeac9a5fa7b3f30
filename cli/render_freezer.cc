// The reports of the freezer's verbs; render.cc has the others.

#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cli/render.h"
#include "cli/text.h"
#include "freezer/cgroup.h"

namespace ckpt::cli {
namespace {

// How long a blocker has been one, and what it is doing.
void AppendDetails(const v1::TaskInfo& task, std::string& text) {
  constexpr absl::string_view kIndent = "          ";
  if (task.blocked_seconds() > 0) {
    absl::StrAppend(
        &text, kIndent, "not frozen for ", Time(task.blocked_seconds()),
        task.asleep_seconds() > 0
            ? absl::StrCat(", asleep for ", Time(task.asleep_seconds()))
            : "",
        "\n");
  }
  if (!task.syscall().empty()) {
    absl::StrAppend(
        &text, kIndent, "system call ",
        task.syscall_name().empty()
            ? task.syscall()
            : absl::StrCat(task.syscall_name(), " (", task.syscall(), ")"),
        "\n");
  }
  for (const std::string& line : task.stack()) {
    absl::StrAppend(&text, kIndent, line, "\n");
  }
}

void AppendTasks(absl::string_view title,
                 const google::protobuf::RepeatedPtrField<v1::TaskInfo>& tasks,
                 std::string& text) {
  if (tasks.empty()) return;
  absl::StrAppend(&text, title, "\n");
  absl::StrAppendFormat(&text, "  %7s %7s S %-16s %s\n", "TID", "PID", "COMM",
                        "WAITS IN");
  for (const v1::TaskInfo& task : tasks) {
    absl::StrAppendFormat(
        &text, "  %7d %7d %1s %-16s %s%s%s\n", task.tid(), task.pid(),
        task.state(), task.comm(), task.wchan(),
        task.wchan().empty() || task.cgroup().empty() ? "" : "  ",
        task.cgroup());
    AppendDetails(task, text);
  }
}

// "yes", "no"; "?" where only root is told what a sleeping thread waits in.
absl::string_view FrozenWord(const v1::CgroupStatus& status,
                             const v1::TaskInfo& task) {
  if (task.frozen()) return "yes";
  const bool is_told =
      status.state() == v1::FREEZER_STATE_THAWED ||
      (task.state() != "S" && task.state() != "D") ||
      // v1 shows D for what is frozen.
      (status.hierarchy() == v1::HIERARCHY_V1 && task.state() == "S") ||
      // To root an empty one says that the thread does not wait.
      ::geteuid() == 0 || !task.wchan().empty();
  return is_told ? "no" : "?";
}

// After a "WAITS IN" that is 20 wide.
constexpr absl::string_view kGroupColumn = "             GROUP BELOW";

// The threads; those of groups below with their group.
std::string ThreadTable(const v1::CgroupStatus& status) {
  if (status.tasks().empty()) return "";
  const bool any_below =
      std::any_of(status.tasks().begin(), status.tasks().end(),
                  [](const auto& task) { return !task.cgroup().empty(); });
  std::string text =
      absl::StrFormat("  %7s %7s S %-6s %-16s WAITS IN%s\n", "TID", "PID",
                      "FROZEN", "COMM", any_below ? kGroupColumn : "");
  for (const v1::TaskInfo& task : status.tasks()) {
    std::string line = absl::StrFormat(
        "  %7d %7d %1s %-6s %-16s %-20s", task.tid(), task.pid(), task.state(),
        FrozenWord(status, task), task.comm(), task.wchan());
    if (!task.cgroup().empty()) {
      absl::StrAppend(&line, " ",
                      absl::StripPrefix(task.cgroup(), status.cgroup() + "/"));
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

absl::string_view WorkOf(v1::HoldPurpose purpose) {
  switch (purpose) {
    case v1::HOLD_PURPOSE_FREEZE:
      return "a freeze, thaw or kill";
    case v1::HOLD_PURPOSE_CHECKPOINT:
      return "a dump";
    case v1::HOLD_PURPOSE_RESTORE:
      return "a restore";
    case v1::HOLD_PURPOSE_LEASE:
      return "a lease";
    default:
      return "other work";
  }
}

// A group's part that failed.
template <typename Entry>
std::string RenderFailure(const Entry& entry) {
  return absl::StrCat(
      entry.cgroup(), ": ",
      absl::StatusCodeToString(static_cast<absl::StatusCode>(entry.code())),
      ": ", entry.error(), "\n");
}

std::string RenderHold(const v1::Hold& hold) {
  const std::string who =
      absl::StrCat("process ", hold.pid(), " (", hold.comm(), ")");
  const absl::string_view work = WorkOf(hold.purpose());
  std::string text;
  if (hold.abandoned()) {
    text = Row("left by",
               absl::StrCat(who, ", killed in ", work, "; see 'ckpt recover'"));
  } else if (hold.purpose() != v1::HOLD_PURPOSE_LEASE) {
    text = Row("in use by", absl::StrCat(who, ": ", work, ", since ",
                                         Date(hold.since_unix_ns())));
  }
  if (hold.lease_until_unix_ns() > 0) {
    absl::StrAppend(
        &text,
        Row("lease", absl::StrCat("until ", Date(hold.lease_until_unix_ns()))));
  }
  return text;
}

}  // namespace

std::string RenderStatus(const v1::CgroupStatus& status) {
  std::string why;
  if (status.self_freezing()) why = " (by its own request)";
  if (!status.frozen_ancestor().empty()) {
    absl::StrAppend(&why, " (by its ancestor ", status.frozen_ancestor(), ")");
  }
  std::string text = absl::StrCat(
      status.cgroup(), " (", freezer::HierarchyName(status.hierarchy()), ")\n",
      Row("state", absl::StrCat(StateWord(status.state()), why)));
  if (status.state() == v1::FREEZER_STATE_CHECKPOINTING) {
    absl::StrAppend(&text, Row("kernel", StateWord(status.kernel_state())));
  }
  if (status.has_hold()) {
    absl::StrAppend(&text, RenderHold(status.hold()));
  } else if (status.lock_holder_pid() > 0) {
    absl::StrAppend(
        &text,
        Row("in use by", absl::StrCat("process ", status.lock_holder_pid())));
  }
  absl::StrAppend(&text, Row("threads", absl::StrCat(status.tasks_size())));
  return absl::StrCat(text, ThreadTable(status));
}

std::string RenderEvidence(const v1::FreezeReport& report) {
  std::string text;
  AppendTasks("not frozen:", report.blockers(), text);
  AppendTasks("of the tree, outside the group:", report.strays(), text);
  AppendTasks("in the group, outside the tree:", report.outsiders(), text);
  return text;
}

std::string RenderFreeze(const v1::FreezeReport& report) {
  return absl::StrCat(
      report.after().cgroup(), ": ", StateWord(report.before().state()), " -> ",
      StateWord(report.after().state()), " in ", Time(report.seconds()),
      report.threads() > 0
          ? absl::StrCat(", ", Plural(report.threads(), "thread", "threads"))
          : "",
      report.lease_seconds() > 0
          ? absl::StrCat(
                "; thaws by itself in ",
                absl::FormatDuration(absl::Seconds(report.lease_seconds())))
          : "",
      "\n");
}

std::string RenderStatusSet(const v1::StatusSetReport& report) {
  std::string text;
  for (const v1::StatusSetEntry& entry : report.groups()) {
    absl::StrAppend(&text, entry.code() == 0 ? RenderStatus(entry.status())
                                             : RenderFailure(entry));
  }
  return text;
}

std::string RenderFreezeSet(const v1::FreezeSetReport& report) {
  std::string text;
  int done = 0;
  for (const v1::FreezeSetEntry& entry : report.groups()) {
    if (entry.code() == 0) ++done;
    absl::StrAppend(&text, entry.code() == 0 ? RenderFreeze(entry.report())
                                             : RenderFailure(entry));
    absl::StrAppend(&text, RenderEvidence(entry.report()));
  }
  absl::StrAppend(
      &text, done, " of ", Plural(report.groups_size(), "group", "groups"),
      " in ", Time(report.seconds()),
      report.rolled_back() ? "; all are given back as they were" : "", "\n");
  return text;
}

std::string RenderKillSet(const v1::KillSetReport& report) {
  std::string text;
  for (const v1::KillSetEntry& entry : report.groups()) {
    absl::StrAppend(&text, entry.code() == 0 ? RenderKill(entry.report())
                                             : RenderFailure(entry));
  }
  return text;
}

std::string RenderVerifyFreeze(const v1::VerifyFreezeReport& report) {
  const v1::CgroupStatus& status = report.freeze().after();
  std::string why = status.self_freezing() ? "by its own request" : "";
  if (!status.frozen_ancestor().empty()) {
    absl::StrAppend(&why, why.empty() ? "" : " and ", "by its ancestor ",
                    status.frozen_ancestor());
  }
  return absl::StrCat(
      report.cgroup(), ": a checkpoint of the tree of process ", report.tree(),
      " is legal: ", Plural(report.processes(), "process", "processes"), " (",
      Plural(report.freeze().threads(), "thread", "threads"),
      ") in one FROZEN group", report.subtree() ? " and those below it" : "",
      report.except() == 0
          ? ""
          : absl::StrCat(", process ", report.except(), " excepted"),
      "; frozen ", why, "\n");
}

std::string RenderWatchEvent(const v1::WatchEvent& event) {
  std::string text = absl::StrCat(
      absl::FormatTime("%H:%M:%E6S", absl::FromUnixNanos(event.unix_ns()),
                       absl::LocalTimeZone()),
      " ", event.cgroup(), ": ");
  if (event.removed()) return absl::StrCat(text, "removed\n");
  const v1::CgroupStatus& status = event.status();
  if (event.from() != v1::FREEZER_STATE_UNSPECIFIED &&
      event.from() != status.state()) {
    absl::StrAppend(&text, StateWord(event.from()), " -> ");
  }
  absl::StrAppend(&text, StateWord(status.state()));
  if (status.self_freezing()) absl::StrAppend(&text, " (by its own request)");
  if (!status.frozen_ancestor().empty()) {
    absl::StrAppend(&text, " (by its ancestor ", status.frozen_ancestor(), ")");
  }
  if (event.writer_pid() != 0) {
    absl::StrAppend(&text, ", written by process ", event.writer_pid(),
                    event.writer_comm().empty()
                        ? ""
                        : absl::StrCat(" (", event.writer_comm(), ")"));
  }
  return absl::StrCat(text, "\n");
}

std::string RenderRecovered(const v1::RecoveredGroup& group, bool dry_run) {
  std::string done;
  if (dry_run) {
    done = absl::StrCat("it is ", StateWord(group.found()));
  } else if (!group.problem().empty()) {
    done = absl::StrCat("not given back: ", group.problem());
  } else if (group.ended()) {
    done = "its job had left by a migration, and was ended here";
  } else if (group.lease_resumed()) {
    done = absl::StrCat("its lease goes on, until ",
                        Date(group.hold().lease_until_unix_ns()));
  } else {
    done = absl::StrCat("given back, ", StateWord(group.found()), " -> ",
                        StateWord(group.now()));
  }
  return absl::StrCat(group.cgroup(), ": left by process ", group.hold().pid(),
                      " (", group.hold().comm(), "), killed in ",
                      WorkOf(group.hold().purpose()), "; ", done, "\n");
}

std::string RenderRecover(const v1::RecoverReport& report, bool dry_run) {
  std::string text;
  for (const v1::RecoveredGroup& group : report.groups()) {
    absl::StrAppend(&text, RenderRecovered(group, dry_run));
  }
  if (report.stale() > 0) {
    absl::StrAppend(&text, Plural(report.stale(), "entry", "entries"),
                    " of groups that are no more\n");
  }
  return text.empty() ? "nothing to recover\n" : text;
}

std::string RenderKill(const v1::KillReport& report) {
  return absl::StrCat(report.cgroup(), ": signal ", report.signal(),
                      " sent to ",
                      Plural(report.processes(), "process", "processes"),
                      report.empty() ? "; none is left" : "", "\n");
}

}  // namespace ckpt::cli
