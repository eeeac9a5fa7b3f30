#include "cli/render.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "freezer/cgroup.h"

namespace ckpt::cli {
namespace {

void AppendTasks(absl::string_view title,
                 const google::protobuf::RepeatedPtrField<v1::TaskInfo>& tasks,
                 std::string& text) {
  if (tasks.empty()) return;
  absl::StrAppend(&text, title, "\n");
  absl::StrAppendFormat(&text, "  %7s %7s S %-16s %s\n", "TID", "PID", "COMM",
                        "WAITS IN");
  for (const v1::TaskInfo& task : tasks) {
    absl::StrAppendFormat(&text, "  %7d %7d %1s %-16s %s%s\n", task.tid(),
                          task.pid(), task.state(), task.comm(), task.wchan(),
                          task.cgroup());
    if (!task.syscall().empty()) {
      absl::StrAppend(&text, "          system call ", task.syscall(), "\n");
    }
    for (const std::string& line : task.stack()) {
      absl::StrAppend(&text, "          ", line, "\n");
    }
  }
}

std::string Row(absl::string_view name, absl::string_view value) {
  return absl::StrFormat("  %-11s%s\n", name, value);
}

std::string Warnings(
    const google::protobuf::RepeatedPtrField<std::string>& warnings) {
  std::string text;
  for (const std::string& warning : warnings) {
    absl::StrAppend(&text, Row("warning", warning));
  }
  return text;
}

std::string Plural(int64_t count, absl::string_view one,
                   absl::string_view many) {
  return absl::StrCat(count, " ", count == 1 ? one : many);
}

// The tree, each process below its parent.
void AppendTree(
    const std::multimap<int32_t, const v1::ImageProcessReport*>& children,
    int32_t parent, int depth, std::string& text) {
  const auto [begin, end] = children.equal_range(parent);
  for (auto it = begin; it != end; ++it) {
    const v1::ImageProcessReport& process = *it->second;
    absl::StrAppendFormat(
        &text, "  %7d %-8s %4d %10s  %*s%s%s\n", process.pid(), process.state(),
        process.threads_size(), Size(process.dumped_bytes()), 2 * depth, "",
        process.comm(),
        process.exe().empty() ? "" : absl::StrCat("  ", process.exe()));
    if (process.pid() != parent) {
      AppendTree(children, process.pid(), depth + 1, text);
    }
  }
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

std::string Date(int64_t unix_ns) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromUnixNanos(unix_ns),
                          absl::UTCTimeZone());
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
    text = Row("in use by", absl::StrCat(who, ": ", work));
  }
  if (hold.lease_until_unix_ns() > 0) {
    absl::StrAppend(
        &text,
        Row("lease", absl::StrCat("until ", Date(hold.lease_until_unix_ns()))));
  }
  return text;
}

}  // namespace

std::string StateWord(v1::FreezerState state) {
  constexpr size_t kPrefix = sizeof("FREEZER_STATE_") - 1;
  return v1::FreezerState_Name(state).substr(kPrefix);
}

std::string Size(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string Time(double seconds) {
  return seconds < 1 ? absl::StrFormat("%.1f ms", 1000 * seconds)
                     : absl::StrFormat("%.2f s", seconds);
}

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
  if (!status.tasks().empty()) {
    absl::StrAppendFormat(&text, "  %7s %7s S %s\n", "TID", "PID", "COMM");
    for (const v1::TaskInfo& task : status.tasks()) {
      absl::StrAppendFormat(&text, "  %7d %7d %1s %s\n", task.tid(), task.pid(),
                            task.state(), task.comm());
    }
  }
  return text;
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
      "\n");
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

std::string RenderRecovered(const v1::RecoveredGroup& group, bool dry_run) {
  std::string done;
  if (dry_run) {
    done = absl::StrCat("it is ", StateWord(group.found()));
  } else if (!group.problem().empty()) {
    done = absl::StrCat("not given back: ", group.problem());
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

std::string RenderDump(const v1::DumpReport& report) {
  absl::string_view job = "the job was killed";
  if (report.outcome() == v1::DUMP_OUTCOME_LEFT_RUNNING) {
    job = report.final_state() == v1::FREEZER_STATE_FROZEN
              ? "the job is frozen, as before"
              : "the job runs on";
  } else if (report.outcome() == v1::DUMP_OUTCOME_LEFT_FROZEN) {
    job = "the job is left frozen";
  }
  const v1::PhaseTimes& times = report.times();
  return absl::StrCat(
      "dumped ", Plural(report.processes(), "process", "processes"), ", ",
      Plural(report.threads(), "thread", "threads"), ", ",
      Size(report.memory_bytes()), " of memory; ", job, "\n",
      Row("image",
          absl::StrCat(report.image(), " (", Size(report.image_bytes()), ")")),
      Row("id", report.image_id()),
      Row("frozen",
          absl::StrCat(Time(times.frozen_seconds()), ", of it ",
                       Time(times.freeze_seconds()), " to freeze and verify")),
      Row("total",
          absl::StrCat(Time(times.total_seconds()), ", of it ",
                       Time(times.commit_seconds()), " for digests and disk")),
      Warnings(report.warnings()));
}

std::string RenderCuts(const v1::RestoreReport& report) {
  std::string text;
  for (const v1::CutFile& cut : report.cut_files()) {
    absl::StrAppend(
        &text,
        Row("cut back", absl::StrCat(cut.path(), ", from ", cut.from_bytes(),
                                     " to ", cut.to_bytes(), " bytes")));
  }
  return text;
}

std::string RenderRestore(const v1::RestoreReport& report) {
  const v1::PhaseTimes& times = report.times();
  return absl::StrCat(
      "restored ", Plural(report.processes(), "process", "processes"),
      " as pid ", report.pid(), " in ", report.cgroup(), "; the job is ",
      report.final_state() == v1::FREEZER_STATE_THAWED
          ? "running"
          : StateWord(report.final_state()),
      "\n", Row("image", report.image()), Row("id", report.image_id()),
      Row("total",
          absl::StrCat(Time(times.total_seconds()), ", of it ",
                       Time(times.verify_seconds()), " to verify the image")),
      RenderCuts(report), Warnings(report.warnings()));
}

std::string RenderImage(const v1::ImageReport& report) {
  const v1::Manifest& manifest = report.manifest();
  const v1::ManifestJob& job = manifest.job();
  std::string text = absl::StrCat(
      report.path(), "\n", Row("id", manifest.image_id()),
      Row("made", absl::StrCat(Date(manifest.created_unix_ns()), " on ",
                               manifest.host().node_name(), " (",
                               manifest.host().machine(), ", Linux ",
                               manifest.host().kernel_release(), ")")),
      Row("by", absl::StrCat("ckpt ", manifest.ckpt_version(), ", CRIU ",
                             manifest.criu_version())),
      Row("command", job.command()),
      Row("cgroup",
          job.cgroup().empty()
              ? "none (dumped without freezer)"
              : absl::StrCat(job.cgroup(), " (",
                             freezer::HierarchyName(
                                 static_cast<v1::Hierarchy>(job.hierarchy())),
                             ")")),
      Row("job", job.left_running() ? "was left running" : "was killed"),
      Row("frozen", Time(job.frozen_seconds())),
      Row("memory", Size(report.memory_bytes())),
      Row("files", absl::StrCat(manifest.files_size(), ", ",
                                Size(report.image_bytes()))));
  absl::StrAppendFormat(&text, "\n  %7s %-8s %4s %10s  %s\n", "PID", "STATE",
                        "THR", "MEMORY", "COMMAND");
  std::multimap<int32_t, const v1::ImageProcessReport*> children;
  for (const v1::ImageProcessReport& process : report.processes()) {
    children.emplace(process.ppid(), &process);
  }
  if (!report.processes().empty()) {
    AppendTree(children, report.processes(0).ppid(), 0, text);
  }
  if (!report.files().empty()) absl::StrAppend(&text, "\nfiles\n");
  for (const v1::ImageFileReport& file : report.files()) {
    absl::StrAppendFormat(&text, "  %10s  %s  (%s)\n", Size(file.size_bytes()),
                          file.path(), absl::StrJoin(file.uses(), ", "));
  }
  if (!report.sockets().empty()) absl::StrAppend(&text, "\nsockets\n");
  for (const v1::ImageSocketReport& socket : report.sockets()) {
    absl::StrAppendFormat(&text, "  %-8s %-22s %-22s %s\n", socket.protocol(),
                          socket.local(), socket.remote(), socket.state());
  }
  return text;
}

std::string RenderList(const v1::ImageListReport& report) {
  if (report.images().empty()) return "no images\n";
  std::string text = absl::StrFormat("%-24s %-24s %10s %-16s %s\n", "NAME",
                                     "MADE", "SIZE", "NODE", "COMMAND");
  for (const v1::ImageReport& image : report.images()) {
    if (!image.problem().empty()) {
      absl::StrAppendFormat(&text, "%-24s %s\n", image.name(), image.problem());
      continue;
    }
    absl::StrAppendFormat(
        &text, "%-24s %-24s %10s %-16s %s\n", image.name(),
        Date(image.manifest().created_unix_ns()), Size(image.image_bytes()),
        image.manifest().host().node_name(), image.manifest().job().command());
  }
  return text;
}

std::string RenderCheck(const v1::CheckReport& report) {
  std::string text;
  for (const v1::CheckFinding& finding : report.findings()) {
    absl::string_view mark = "ok";
    if (finding.level() == v1::CheckFinding::LEVEL_WARNING) mark = "warning";
    if (finding.level() == v1::CheckFinding::LEVEL_MISSING) mark = "MISSING";
    absl::StrAppendFormat(&text, "%-8s %-22s %s\n", mark, finding.subject(),
                          finding.found());
    if (!finding.advice().empty()) {
      absl::StrAppendFormat(&text, "%-8s %-22s -> %s\n", "", "",
                            finding.advice());
    }
  }
  absl::StrAppend(&text, report.usable()
                             ? "this machine can dump and restore\n"
                             : "this machine cannot dump and restore yet\n");
  return text;
}

}  // namespace ckpt::cli
