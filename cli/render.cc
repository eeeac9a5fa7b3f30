#include "cli/render.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cli/text.h"
#include "freezer/cgroup.h"

namespace ckpt::cli {
namespace {

std::string Warnings(
    const google::protobuf::RepeatedPtrField<std::string>& warnings) {
  std::string text;
  for (const std::string& warning : warnings) {
    absl::StrAppend(&text, Row("warning", warning));
  }
  return text;
}

std::string Groups(const v1::ManifestJob& job) {
  std::string text;
  for (const v1::ManifestTaskGroup& group : job.groups()) {
    absl::StrAppend(
        &text,
        Row("  below it", absl::StrCat(group.cgroup(), ": process ",
                                       absl::StrJoin(group.pids(), ", "))));
  }
  return text;
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

// A command in a table: a script may have many lines.
std::string OneLine(std::string text) {
  constexpr size_t kWidth = 60;
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char c) { return absl::ascii_iscntrl(c); }, ' ');
  if (text.size() > kWidth) text = text.substr(0, kWidth - 3) + "...";
  return text;
}

std::string JobStateWord(v1::JobState state) {
  switch (state) {
    case v1::JOB_STATE_RUNNING:
      return "running";
    case v1::JOB_STATE_SUSPENDED:
      return "suspended";
    case v1::JOB_STATE_CHECKPOINTING:
      return "checkpointing";
    case v1::JOB_STATE_ABANDONED:
      return "abandoned";
    default:
      return "unknown";
  }
}

}  // namespace

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
      Groups(job),
      Row("job", job.left_running() ? "was left running" : "was killed"),
      Row("frozen", Time(job.frozen_seconds())),
      Row("memory", Size(report.memory_bytes())),
      Row("files", absl::StrCat(manifest.files_size(), ", ",
                                Size(report.image_bytes()))),
      report.pinned() ? Row("pinned", "is not removed before ckpt unpin") : "");
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
  if (report.images().empty() && report.arriving().empty()) {
    return "no images\n";
  }
  std::string text = absl::StrFormat("%-24s %-24s %10s %-16s %s\n", "NAME",
                                     "MADE", "SIZE", "NODE", "COMMAND");
  for (const v1::ImageReport& image : report.images()) {
    const std::string name =
        absl::StrCat(image.name(), image.pinned() ? " *" : "");
    if (!image.problem().empty()) {
      absl::StrAppendFormat(&text, "%-24s %s\n", name, image.problem());
      continue;
    }
    absl::StrAppendFormat(
        &text, "%-24s %-24s %10s %-16s %s\n", name,
        Date(image.manifest().created_unix_ns()), Size(image.image_bytes()),
        image.manifest().host().node_name(), image.manifest().job().command());
  }
  for (const v1::ArrivingImage& image : report.arriving()) {
    absl::StrAppendFormat(
        &text, "%-24s %-24s %10s %s\n", image.name(),
        Date(image.changed_unix_ns()), Size(image.bytes()),
        image.active() ? "arriving" : "has arrived in part; push it again");
  }
  return text;
}

std::string RenderJobs(const v1::JobListReport& report) {
  if (report.jobs().empty()) return "no jobs\n";
  std::string text =
      absl::StrFormat("%-16s %-13s %5s %10s %-19s %-19s %s\n", "NAME", "STATE",
                      "PROCS", "MEMORY", "LAST CHECKPOINT", "NEXT", "COMMAND");
  for (const v1::JobStatus& job : report.jobs()) {
    const v1::JobRecord& record = job.record();
    const auto time = [](int64_t unix_ns) {
      return unix_ns == 0 ? std::string("-")
                          : absl::FormatTime("%Y-%m-%d %H:%M:%S",
                                             absl::FromUnixNanos(unix_ns),
                                             absl::LocalTimeZone());
    };
    absl::StrAppendFormat(&text, "%-16s %-13s %5d %10s %-19s %-19s %s\n",
                          record.name(), JobStateWord(job.state()),
                          job.processes(), Size(job.memory_bytes()),
                          time(record.last_image_unix_ns()),
                          time(record.next_checkpoint_unix_ns()),
                          OneLine(absl::StrJoin(record.command(), " ")));
    if (!record.last_problem().empty()) {
      absl::StrAppend(
          &text, "  last checkpoint failed: ", record.last_problem(), "\n");
    }
  }
  return text;
}

}  // namespace ckpt::cli
