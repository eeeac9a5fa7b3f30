#include "restore/fit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/build_id.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "proto/image.pb.h"
#include "restore/preflight.h"
#include "store/criu_images.h"
#include "store/image_store.h"

namespace ckpt::restore {
namespace {

using Finding = v1::CheckFinding;
constexpr Finding::Level kOk = Finding::LEVEL_OK;
constexpr Finding::Level kWarning = Finding::LEVEL_WARNING;
constexpr Finding::Level kBlocker = Finding::LEVEL_BLOCKER;

// So many of a kind are listed; the rest is counted.
constexpr int kListed = 5;

class Findings {
 public:
  Finding& Add(absl::string_view subject, Finding::Level level,
               absl::string_view found, absl::string_view meaning = "",
               absl::string_view advice = "") {
    const auto same = [&](const Finding& known) {
      return known.subject() == subject && known.meaning() == meaning;
    };
    const auto last = std::find_if(all_.rbegin(), all_.rend(), same);
    if (std::count_if(all_.begin(), all_.end(), same) >= kListed) {
      last->set_more(last->more() + 1);
      return *last;
    }
    Finding& finding = all_.emplace_back();
    finding.set_subject(std::string(subject));
    finding.set_level(level);
    finding.set_found(std::string(found));
    finding.set_meaning(std::string(meaning));
    finding.set_advice(std::string(advice));
    return finding;
  }

  bool Has(absl::string_view subject) const {
    return std::any_of(all_.begin(), all_.end(), [&](const Finding& finding) {
      return finding.subject() == subject;
    });
  }

  std::vector<Finding> Take() { return std::move(all_); }

 private:
  std::vector<Finding> all_;
};

std::string Mebibytes(uint64_t bytes) {
  return absl::StrCat((bytes + (1 << 20) - 1) >> 20, " MiB");
}

// "6.1.0-18" -> {6, 1, 0, 18}.
std::vector<int> Numbers(absl::string_view version) {
  std::vector<int> numbers;
  for (const absl::string_view word :
       absl::StrSplit(version, absl::ByAnyChar(".-"))) {
    int number = 0;
    if (!absl::SimpleAtoi(word, &number)) break;
    numbers.push_back(number);
  }
  return numbers;
}

void CompareCpu(const v1::JobNeeds& needs, const NodeFacts& here,
                Findings& findings) {
  v1::Manifest manifest;
  *manifest.mutable_host() = needs.host();
  manifest.mutable_options()->set_cpu_cap(needs.criu().cpu_cap());
  const absl::Status status = CheckHost(manifest);
  if (!status.ok()) {
    findings
        .Add("cpu", kBlocker,
             absl::StripSuffix(status.message(), "; nothing was started"),
             "so that the job may end by SIGILL", "choose another node")
        .set_option("--cpu-cap none");
  } else if (needs.xsave_bytes() != 0 && here.cpu.bytes != 0 &&
             needs.xsave_bytes() > here.cpu.bytes) {
    findings.Add(
        "cpu", kWarning,
        absl::StrCat("a thread's CPU state has ", here.cpu.bytes,
                     " bytes here, and ", needs.xsave_bytes(), " there"),
        "so that CRIU may refuse it", "try a restore before you rely on it");
  } else {
    findings.Add("cpu", kOk, here.host.cpu_model);
  }
}

void CompareVersions(const v1::JobNeeds& needs, const NodeFacts& here,
                     Findings& findings) {
  const std::string kernels =
      absl::StrCat("Linux ", here.host.kernel_release, " here, ",
                   needs.host().kernel_release(), " there");
  if (Numbers(here.host.kernel_release) <
      Numbers(needs.host().kernel_release())) {
    findings.Add("kernel", kWarning, kernels,
                 "so that something the job uses may be missing here",
                 "try a restore before you rely on it");
  } else {
    findings.Add("kernel", kOk, kernels);
  }
  if (here.criu_version.empty()) return;  // told of as missing
  const std::string crius = absl::StrCat("CRIU ", here.criu_version, " here, ",
                                         needs.criu_version(), " there");
  if (Numbers(here.criu_version) < Numbers(needs.criu_version())) {
    findings.Add("CRIU version", kWarning, crius,
                 "so that it may not know what is in the image",
                 "install the same CRIU at both nodes");
  } else {
    findings.Add("CRIU version", kOk, crius);
  }
}

void CompareIds(const v1::JobNeeds& needs, ProcFs& proc, Findings& findings) {
  if (needs.own_pid_namespace()) {
    findings.Add("process ids", kOk, "the job has a PID namespace of its own");
    return;
  }
  ImageContents contents;
  for (const int id : needs.ids()) {
    contents.processes.emplace_back().pid = id;
  }
  Clock& clock = Clock::Real();
  const absl::Status status =
      WaitForPids(contents, proc, clock, clock.Now(), /*cancel=*/nullptr);
  if (status.ok()) {
    findings.Add("process ids", kOk,
                 absl::StrCat(needs.ids_size(), " numbers are free"));
    return;
  }
  findings.Add("process ids", kBlocker,
               absl::StripSuffix(status.message(), "; nothing was started"));
}

// What is wrong with a file here.
void CompareFile(const v1::NeededFile& file, Findings& findings) {
  struct stat info;
  if (::stat(file.path().c_str(), &info) != 0) {
    findings
        .Add("file missing", kBlocker,
             absl::StrCat(file.path(), ", which the job has ",
                          file.directory() ? "as a directory"
                          : file.mapped()  ? "mapped"
                                           : "open"),
             "without which CRIU does not restore it", "put it there")
        .set_path(file.path());
    return;
  }
  if (!S_ISREG(info.st_mode)) return;
  const std::string sizes =
      absl::StrCat(file.path(), " has ", info.st_size, " bytes here, ",
                   file.size_bytes(), " there");
  const bool differs = file.has_size_bytes() &&
                       static_cast<uint64_t>(info.st_size) != file.size_bytes();
  if (file.written()) {
    if (!differs) return;
    findings
        .Add("file written", kWarning, sizes,
             "and the job writes to it: at the restore it has to be as it was "
             "at the dump",
             "have it on storage that both nodes share, or copy it after the "
             "dump")
        .set_path(file.path());
    return;
  }
  if (differs) {
    findings
        .Add("file differs", kBlocker, sizes,
             "with which CRIU does not restore it", "put the same file there")
        .set_path(file.path());
    return;
  }
  if (file.build_id().empty()) return;
  const std::string build_id = ReadBuildId(file.path());
  if (build_id == file.build_id()) return;
  findings
      .Add("file differs", kBlocker,
           absl::StrCat(file.path(), " has build-id ",
                        build_id.empty() ? "none" : build_id, " here, ",
                        file.build_id(), " there"),
           "with which CRIU does not restore it", "put the same file there")
      .set_path(file.path());
}

void CompareFiles(const v1::JobNeeds& needs, Findings& findings) {
  for (const v1::NeededFile& file : needs.files()) CompareFile(file, findings);
  if (findings.Has("file missing") || findings.Has("file differs")) return;
  findings.Add("files", kOk,
               absl::StrCat("all ", needs.files_size(), " are there"));
}

// errno of an attempt to bind a socket so; 0: it can be.
int TryBind(const v1::NeededAddress& address, uint16_t port) {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  auto* const in = reinterpret_cast<sockaddr_in*>(&storage);
  auto* const in6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (::inet_pton(AF_INET, address.address().c_str(), &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    size = sizeof(*in);
  } else if (::inet_pton(AF_INET6, address.address().c_str(),
                         &in6->sin6_addr) == 1 &&
             !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) {
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    size = sizeof(*in6);
  } else {
    return 0;
  }
  const int type = address.protocol() == "tcp" ? SOCK_STREAM : SOCK_DGRAM;
  const UniqueFd fd(::socket(storage.ss_family, type | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return 0;
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) ==
                 0
             ? 0
             : errno;
}

void CompareAddresses(const v1::JobNeeds& needs, Findings& findings) {
  if (needs.own_network_namespace()) return;
  for (const v1::NeededAddress& address : needs.addresses()) {
    const bool dropped = address.connected() && needs.criu().tcp_close();
    if (dropped) continue;
    const std::string name = absl::StrCat(
        address.protocol(), " ", address.address(), " port ", address.port());
    const int error = TryBind(
        address,
        address.connected() ? 0 : static_cast<uint16_t>(address.port()));
    if (error == EADDRINUSE) {
      findings.Add("port taken", kBlocker, absl::StrCat(name, " is in use"),
                   "and the job needs it", "end who has it");
    } else if (error == EADDRNOTAVAIL) {
      findings.Add("address", kWarning,
                   absl::StrCat(name, " is no address of this node"),
                   "without which CRIU does not restore the socket",
                   "move it here between dump and restore");
    }
  }
}

void CompareGroup(const v1::JobNeeds& needs, const NodeFacts& here,
                  ProcFs& proc, Findings& findings) {
  if (needs.cgroup().empty() && here.cgroup.empty()) return;
  if (here.cgroup.empty()) {
    findings.Add("cgroup", kBlocker, here.cgroup_problem,
                 "so that the job has no group to be restored in",
                 "name one, or mount the hierarchy");
    return;
  }
  const auto group = freezer::OpenCgroup(here.cgroup);
  if (!group.ok()) {
    findings.Add("cgroup", kOk,
                 absl::StrCat(here.cgroup, " is made by the restore"));
    return;
  }
  const auto pids = (*group)->SubtreeProcesses();
  freezer::Freezer freezer(**group, proc, Clock::Real());
  const auto status = freezer.GetStatus(/*with_tasks=*/false);
  if (pids.ok() && !pids->empty()) {
    findings
        .Add("cgroup", kBlocker,
             absl::StrCat(here.cgroup, " has ", pids->size(), " processes"),
             "and a restore needs an empty one",
             "end them, or name another group")
        .set_path(here.cgroup);
  } else if (status.ok() && status->state() != v1::FREEZER_STATE_THAWED) {
    findings
        .Add("cgroup", kBlocker, absl::StrCat(here.cgroup, " is frozen"),
             "and a restore needs a thawed one",
             "thaw it, or name another group")
        .set_path(here.cgroup);
  } else {
    findings.Add("cgroup", kOk, absl::StrCat(here.cgroup, " is empty"));
  }
}

// The directory, or the nearest above it that is there.
std::string Existing(std::string path) {
  while (path.size() > 1 && ::access(path.c_str(), F_OK) != 0) {
    path.resize(std::max<size_t>(path.rfind('/'), 1));
  }
  return path;
}

void CompareSizes(const v1::JobNeeds& needs, const NodeFacts& here,
                  Findings& findings) {
  const std::string memory =
      absl::StrCat(Mebibytes(here.available_bytes), " are free, the job has ",
                   Mebibytes(needs.memory_bytes()));
  if (here.available_bytes != 0 &&
      here.available_bytes < needs.memory_bytes()) {
    findings.Add("memory", kBlocker, memory, "so that it does not fit",
                 "make room, or choose another node");
  } else {
    findings.Add("memory", kOk, memory);
  }
  if (here.store.empty()) return;
  const auto directory = OpenDirectory(Existing(here.store));
  if (!directory.ok()) return;
  const absl::Status status = CheckSpace(directory->get(), needs.image_bytes());
  if (status.ok()) {
    findings.Add(
        "store space", kOk,
        absl::StrCat("the image of about ", Mebibytes(needs.image_bytes()),
                     " fits into ", here.store));
  } else {
    findings.Add("store space", kBlocker, status.message(),
                 "so that the image does not fit",
                 "make room, or choose another node");
  }
}

}  // namespace

NodeFacts ReadNodeFacts() {
  NodeFacts facts;
  facts.host = ReadHostInfo();
  facts.cpu = ReadCpuState();
  const auto text = ReadFile("/proc/meminfo");
  if (!text.ok()) return facts;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" :"), absl::SkipEmpty());
    uint64_t kib = 0;
    if (words.size() >= 2 &&
        (words[0] == "MemAvailable" || words[0] == "SwapFree") &&
        absl::SimpleAtoi(words[1], &kib)) {
      facts.available_bytes += kib * 1024;
    }
  }
  return facts;
}

std::vector<v1::CheckFinding> CompareWithNode(const v1::JobNeeds& needs,
                                              const NodeFacts& here,
                                              ProcFs& proc) {
  Findings findings;
  CompareCpu(needs, here, findings);
  CompareVersions(needs, here, findings);
  CompareIds(needs, proc, findings);
  CompareFiles(needs, findings);
  CompareAddresses(needs, findings);
  CompareGroup(needs, here, proc, findings);
  CompareSizes(needs, here, findings);
  return findings.Take();
}

}  // namespace ckpt::restore
