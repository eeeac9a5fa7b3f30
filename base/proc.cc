#include "base/proc.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "base/utf8.h"

namespace ckpt {
namespace {

std::vector<pid_t> ParsePids(absl::string_view text) {
  std::vector<pid_t> pids;
  for (const absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    pid_t pid;
    if (absl::SimpleAtoi(word, &pid)) pids.push_back(pid);
  }
  return pids;
}

absl::StatusOr<std::vector<pid_t>> ListPids(const std::string& directory) {
  CKPT_ASSIGN_OR_RETURN(const auto names, ListDirectory(directory));
  std::vector<pid_t> pids;
  for (const std::string& name : names) {
    pid_t pid;
    if (absl::SimpleAtoi(name, &pid)) pids.push_back(pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

class RealProcFs : public ProcFs {
 public:
  absl::StatusOr<ThreadStat> Stat(pid_t tid) override {
    // Not /proc/TID/stat, for which the kernel sums up the whole process: with
    // thousands of threads that takes a quarter of a millisecond each time.
    CKPT_ASSIGN_OR_RETURN(const std::string line,
                          Read(tid, absl::StrCat("task/", tid, "/stat")));
    CKPT_ASSIGN_OR_RETURN(ThreadStat stat, ParseStat(line));
    CKPT_ASSIGN_OR_RETURN(const std::string tgid, StatusField(tid, "Tgid"));
    if (!absl::SimpleAtoi(tgid, &stat.pid)) stat.pid = tid;
    return stat;
  }

  absl::StatusOr<std::vector<pid_t>> Threads(pid_t pid) override {
    return ListPids(absl::StrCat("/proc/", pid, "/task"));
  }

  absl::StatusOr<std::vector<ThreadStat>> ThreadStats(pid_t pid) override {
    CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, Threads(pid));
    std::vector<ThreadStat> stats;
    stats.reserve(threads.size());
    for (const pid_t tid : threads) {
      const auto line =
          ReadFile(absl::StrCat("/proc/", pid, "/task/", tid, "/stat"));
      if (!line.ok()) continue;  // the thread ended
      CKPT_ASSIGN_OR_RETURN(ThreadStat stat, ParseStat(*line));
      stat.pid = pid;
      stats.push_back(std::move(stat));
    }
    return stats;
  }

  absl::StatusOr<std::vector<pid_t>> Children(pid_t pid) override {
    CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, Threads(pid));
    std::vector<pid_t> children;
    for (const pid_t tid : threads) {
      const auto text =
          ReadFile(absl::StrCat("/proc/", pid, "/task/", tid, "/children"));
      if (!text.ok()) continue;  // the thread ended
      const std::vector<pid_t> some = ParsePids(*text);
      children.insert(children.end(), some.begin(), some.end());
    }
    return children;
  }

  absl::StatusOr<std::vector<pid_t>> Processes() override {
    return ListPids("/proc");
  }

  absl::StatusOr<std::string> StatusField(pid_t tid,
                                          absl::string_view key) override {
    CKPT_ASSIGN_OR_RETURN(const std::string text, Read(tid, "status"));
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::pair<absl::string_view, absl::string_view> fields =
          absl::StrSplit(line, absl::MaxSplits(':', 1));
      if (fields.first == key) {
        return std::string(absl::StripAsciiWhitespace(fields.second));
      }
    }
    return std::string();
  }

  absl::StatusOr<std::string> Read(pid_t tid,
                                   const std::string& name) override {
    return ReadFile(absl::StrCat("/proc/", tid, "/", name));
  }

  absl::StatusOr<std::vector<OpenFile>> OpenFiles(pid_t pid) override {
    const std::string directory = absl::StrCat("/proc/", pid, "/fd");
    CKPT_ASSIGN_OR_RETURN(const auto names, ListDirectory(directory));
    std::vector<OpenFile> files;
    for (const std::string& name : names) {
      auto target = ReadLink(absl::StrCat(directory, "/", name));
      int fd = -1;
      if (target.ok() && absl::SimpleAtoi(name, &fd)) {
        files.push_back({fd, *std::move(target)});
      }
    }
    std::sort(files.begin(), files.end(),
              [](const OpenFile& a, const OpenFile& b) { return a.fd < b.fd; });
    return files;
  }
};

}  // namespace

absl::StatusOr<std::vector<ThreadStat>> ProcFs::ThreadStats(pid_t pid) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, Threads(pid));
  std::vector<ThreadStat> stats;
  for (const pid_t tid : threads) {
    auto stat = Stat(tid);
    if (stat.ok()) stats.push_back(*std::move(stat));
  }
  return stats;
}

ProcFs& ProcFs::Real() {
  static RealProcFs& proc = *new RealProcFs;
  return proc;
}

absl::StatusOr<ThreadStat> ParseStat(absl::string_view line) {
  // "TID (COMM) STATE PPID PGRP SESSION ...": COMM may hold blanks and
  // parentheses, so it ends at the last one.
  const size_t open = line.find('(');
  const size_t close = line.rfind(')');
  if (open == absl::string_view::npos || close == absl::string_view::npos ||
      close < open) {
    return absl::InvalidArgumentError(absl::StrCat("no stat line: ", line));
  }
  ThreadStat stat;
  stat.comm = ToUtf8(line.substr(open + 1, close - open - 1));
  const std::vector<absl::string_view> fields = absl::StrSplit(
      line.substr(close + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  // proc(5): state is field 3, ppid 4, pgrp 5, session 6, starttime 22.
  if (fields.size() < 20 || fields[0].size() != 1 ||
      !absl::SimpleAtoi(absl::StripAsciiWhitespace(line.substr(0, open)),
                        &stat.tid) ||
      !absl::SimpleAtoi(fields[1], &stat.ppid) ||
      !absl::SimpleAtoi(fields[2], &stat.pgid) ||
      !absl::SimpleAtoi(fields[3], &stat.sid) ||
      !absl::SimpleAtoi(fields[19], &stat.start_ticks)) {
    return absl::InvalidArgumentError(absl::StrCat("no stat line: ", line));
  }
  stat.state = fields[0][0];
  stat.pid = stat.tid;
  return stat;
}

absl::StatusOr<std::vector<pid_t>> ProcessTree(ProcFs& proc, pid_t root) {
  CKPT_RETURN_IF_ERROR(proc.Stat(root).status());
  std::vector<pid_t> tree = {root};
  for (size_t i = 0; i < tree.size(); ++i) {
    const auto children = proc.Children(tree[i]);
    if (!children.ok()) continue;
    tree.insert(tree.end(), children->begin(), children->end());
  }
  return tree;
}

pid_t InnermostPid(ProcFs& proc, pid_t pid) {
  const auto numbers = proc.StatusField(pid, "NSpid");
  if (!numbers.ok()) return pid;
  const std::vector<pid_t> pids =
      ParsePids(absl::StrReplaceAll(*numbers, {{"\t", " "}}));
  return pids.empty() ? pid : pids.back();
}

std::string DescribeTask(ProcFs& proc, pid_t tid) {
  const auto stat = proc.Stat(tid);
  if (!stat.ok()) return absl::StrCat(tid);
  return absl::StrCat(tid, " (", stat->comm, ")");
}

}  // namespace ckpt
