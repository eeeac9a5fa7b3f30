#include "tests/campaign/migrate_faults.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/status.h"
#include "tests/node/node.h"

namespace ckpt {
namespace {

constexpr int kSource = 1;
constexpr int kDestination = 2;
constexpr absl::string_view kCriuVerb("\0swrk\0", 6);
constexpr char kFiller[] = "/run/store/filler";

// In the order of a migration; the source's CRIU counts only where it stands,
// for killed in the middle of a dump it may take the job with it
// (docs/life_of_a_dump.md).
constexpr MigrationPoint kPoints[] = {
    {"migrate.preparing", kSource, false, false, false, false},
    {"migrate.reserve", kDestination, false, false, false, false},
    {"dump.before_freeze", kSource, false, false, false, false},
    {"dump.frozen", kSource, false, false, false, false},
    {"dump.verified", kSource, false, false, false, false},
    {"transfer.receive", kDestination, false, false, true, false},
    {"dump.post_dump", kSource, true, false, false, false},
    {"store.before_manifest", kSource, true, false, false, false},
    {"migrate.dumped", kSource, true, false, false, false},
    {"store.before_manifest", kDestination, true, false, true, false},
    {"store.before_rename", kDestination, true, false, true, false},
    {"store.after_rename", kDestination, true, false, true, false},
    {"migrate.sent", kSource, true, false, true, false},
    {"migrate.arrived", kDestination, true, false, true, false},
    {"migrate.received", kDestination, true, false, false, false},
    {"restore.before_criu", kDestination, true, false, false, false},
    {"restore.built", kDestination, true, true, false, false},
    {"restore.placed", kDestination, true, true, false, false},
    {"migrate.held", kDestination, true, true, false, false},
    {"migrate.ready", kSource, true, true, false, false},
    {"migrate.decided", kSource, true, true, false, false},
    {"migrate.gone", kSource, false, true, false, false},
    {"migrate.release_asked", kDestination, false, true, false, false},
    {"migrate.taken", kDestination, false, true, false, false},
    {"migrate.releasing", kDestination, false, true, false, false},
    {"restore.before_release", kDestination, false, true, false, false},
    {"migrate.released", kDestination, false, false, false, false},
    {"migrate.aborted", kSource, false, true, false, true},
    {"migrate.drop", kDestination, false, true, false, true},
};

struct Process {
  pid_t pid = 0;  // in the node
  std::string name;
  char state = '?';
  pid_t parent = 0;
};

std::vector<Process> ProcessesOf(const Node& node) {
  std::vector<Process> processes;
  const auto names = ListDirectory(node.OutsidePath("/proc"));
  if (!names.ok()) return processes;
  for (const std::string& name : *names) {
    Process process;
    if (!absl::SimpleAtoi(name, &process.pid)) continue;
    const auto stat =
        ReadFile(node.OutsidePath(absl::StrCat("/proc/", name, "/stat")));
    if (!stat.ok()) continue;
    const size_t begin = stat->find('(');
    const size_t end = stat->rfind(')');
    if (end == std::string::npos) continue;
    process.name = stat->substr(begin + 1, end - begin - 1);
    const auto words =
        ReadFile(node.OutsidePath(absl::StrCat("/proc/", name, "/cmdline")));
    // By its verb: it may be started by way of a loader of its own.
    if (words.ok() && absl::StrContains(*words, kCriuVerb)) {
      process.name = "criu";
    }
    const std::vector<absl::string_view> fields =
        absl::StrSplit(absl::string_view(*stat).substr(end + 2), ' ');
    process.state = fields[0][0];
    if (!absl::SimpleAtoi(fields[1], &process.parent)) continue;
    processes.push_back(process);
  }
  return processes;
}

bool HasName(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Those with one of the names; no zombies, and no task that CRIU has forked
// and that has no name of its own yet.
std::vector<Process> Named(const Node& node,
                           const std::vector<std::string>& names) {
  const std::vector<Process> all = ProcessesOf(node);
  std::vector<Process> found;
  for (const Process& process : all) {
    if (!HasName(names, process.name) || process.state == 'Z') continue;
    const auto parent = std::find_if(
        all.begin(), all.end(),
        [&](const Process& one) { return one.pid == process.parent; });
    const bool is_task =
        process.name == "criu" && parent != all.end() && parent->name == "criu";
    if (!is_task) found.push_back(process);
  }
  return found;
}

absl::Status Signal(const Node& node, const std::string& signal,
                    const std::vector<Process>& processes) {
  std::vector<std::string> argv = {"kill", signal};
  for (const Process& process : processes) {
    argv.push_back(absl::StrCat(process.pid));
  }
  return node.RunOrError(argv);
}

int NodeOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kSourceAgent:
    case FaultKind::kSourceCriu:
    case FaultKind::kSourceNode:
      return kSource;
    default:
      return kDestination;
  }
}

bool KillsAgent(FaultKind kind) {
  return kind == FaultKind::kSourceAgent || kind == FaultKind::kSourceNode ||
         kind == FaultKind::kDestinationAgent ||
         kind == FaultKind::kDestinationNode;
}

}  // namespace

const char* FaultKindName(FaultKind kind) {
  switch (kind) {
    case FaultKind::kSourceAgent:
      return "source ckptd";
    case FaultKind::kDestinationAgent:
      return "destination ckptd";
    case FaultKind::kSourceCriu:
      return "source criu";
    case FaultKind::kDestinationCriu:
      return "destination criu";
    case FaultKind::kSourceNode:
      return "source lost";
    case FaultKind::kDestinationNode:
      return "destination lost";
    case FaultKind::kLink:
      return "link cut";
    case FaultKind::kLinkToDestination:
      return "link cut one way (to destination)";
    case FaultKind::kLinkToSource:
      return "link cut one way (to source)";
    case FaultKind::kDiskFull:
      return "disk full";
    case FaultKind::kCorrupt:
      return "image corrupted";
  }
  return "?";
}

std::vector<MigrationPoint> PointsFor(FaultKind kind) {
  std::vector<MigrationPoint> points;
  for (const MigrationPoint& point : kPoints) {
    // There the source's CRIU is in the middle of its dump.
    const bool in_dump = absl::string_view(point.name) == "transfer.receive";
    if (kind == FaultKind::kSourceNode && in_dump) continue;
    if (kind == FaultKind::kSourceCriu && !point.source_criu) continue;
    if (kind == FaultKind::kDestinationCriu && !point.destination_criu) {
      continue;
    }
    if (kind == FaultKind::kCorrupt && !point.arriving) continue;
    points.push_back(point);
  }
  return points;
}

std::string FaultSpec(const MigrationPoint& point, int node) {
  std::string spec;
  if (point.aborting && node == kSource) spec = "migrate.ready=error,";
  if (point.node == node) absl::StrAppend(&spec, point.name, "=stop");
  return spec;
}

bool IsStopped(const MigrationLab& lab, int node) {
  for (const Process& process : Named(lab.node(node), {"ckptd"})) {
    if (process.state == 'T') return true;
  }
  return false;
}

void Continue(const MigrationLab& lab) {
  for (const int node : {kSource, kDestination}) {
    if (!IsStopped(lab, node)) continue;
    // It may have died meanwhile.
    (void)Signal(lab.node(node), "-CONT", Named(lab.node(node), {"ckptd"}));
  }
}

absl::Status MigrationFault::Prepare() {
  if (kind_ != FaultKind::kDiskFull) return absl::OkStatus();
  return lab_.node(kDestination)
      .RunOrError({"mount", "-o", "remount,size=16m", kNodeStore});
}

absl::Status MigrationFault::Kill(int node,
                                  const std::vector<std::string>& names) {
  const std::vector<Process> victims = Named(lab_.node(node), names);
  if (victims.empty()) return absl::NotFoundError("nothing to be killed");
  // Where there are several, one's end may be the other's.
  const absl::Status killed = Signal(lab_.node(node), "-KILL", victims);
  if (victims.size() == 1) CKPT_RETURN_IF_ERROR(killed);
  return KillsAgent(kind_) ? lab_.AwaitAgentGone(node) : absl::OkStatus();
}

absl::Status MigrationFault::LoseWhatIsSent(int from) {
  // Nobody has that link address.
  return lab_.node(from).RunOrError(
      {"ip", "neighbour", "replace", lab_.node(3 - from).address(), "lladdr",
       "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent"});
}

absl::Status MigrationFault::FlipByte() {
  const std::filesystem::path store =
      lab_.node(kDestination).OutsidePath("/run/store/images");
  std::filesystem::path largest;
  uintmax_t size = 0;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(store, error)) {
    if (!entry.is_regular_file(error) ||
        absl::StrContains(entry.path().string(), "/.migrations/")) {
      continue;
    }
    if (entry.file_size(error) <= size) continue;
    largest = entry.path();
    size = entry.file_size(error);
  }
  if (size == 0) return absl::NotFoundError("nothing has arrived yet");
  std::fstream file(largest, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(size / 2);
  const int byte = file.seekg(middle).get();
  file.seekp(middle).put(static_cast<char>(byte ^ 1));
  file.close();
  return file.good() ? absl::OkStatus()
                     : absl::InternalError("cannot change an image's file");
}

absl::Status MigrationFault::Strike() {
  const Node& destination = lab_.node(kDestination);
  switch (kind_) {
    case FaultKind::kSourceAgent:
    case FaultKind::kDestinationAgent:
      return Kill(NodeOf(kind_), {"ckptd"});
    case FaultKind::kSourceCriu:
    case FaultKind::kDestinationCriu:
      return Kill(NodeOf(kind_), {"criu"});
    case FaultKind::kSourceNode:
    case FaultKind::kDestinationNode:
      return Kill(NodeOf(kind_),
                  {"ckptd", "ckpt", "ckpt-guardian", "ckpt-lease", "criu"});
    case FaultKind::kLink:
      return destination.RunOrError({"ip", "link", "set", "eth0", "down"});
    case FaultKind::kLinkToDestination:
      return LoseWhatIsSent(kSource);
    case FaultKind::kLinkToSource:
      return LoseWhatIsSent(kDestination);
    case FaultKind::kDiskFull: {
      CKPT_ASSIGN_OR_RETURN(
          const CommandResult filled,
          destination.Run(
              {"dd", "if=/dev/zero", absl::StrCat("of=", kFiller), "bs=4096"}));
      return filled.exit_status != 0
                 ? absl::OkStatus()
                 : absl::InternalError("the disk has no end");
    }
    case FaultKind::kCorrupt:
      return FlipByte();
  }
  return absl::InternalError("no such fault");
}

absl::Status MigrationFault::Heal() {
  const Node& destination = lab_.node(kDestination);
  switch (kind_) {
    case FaultKind::kLink:
      return destination.RunOrError({"ip", "link", "set", "eth0", "up"});
    case FaultKind::kLinkToDestination:
    case FaultKind::kLinkToSource: {
      const int from = kind_ == FaultKind::kLinkToSource ? 2 : 1;
      return lab_.node(from).RunOrError({"ip", "neighbour", "del",
                                         lab_.node(3 - from).address(), "dev",
                                         "eth0"});
    }
    case FaultKind::kDiskFull:
      return destination.RunOrError({"rm", kFiller});
    default:
      return KillsAgent(kind_) ? lab_.StartAgent(NodeOf(kind_))
                               : absl::OkStatus();
  }
}

}  // namespace ckpt
