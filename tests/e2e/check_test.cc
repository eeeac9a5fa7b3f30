// What `ckpt check` says of a job, held against what CRIU alone does to it: a
// small real job for each finding, and for things that look like one and are
// none.
//
// Of each: check reports it, with the option that resolves it; CRIU without
// that option refuses to dump it, or cannot restore what it dumped; with the
// option check is content, and ckpt dumps it.  What check lets pass, CRIU dumps
// and restores.

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/clock.h"
#include "base/file.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/check.pb.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/outside_world.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/plain_criu.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

using Words = std::vector<std::string>;

// What CRIU does to it without the option.
enum class Alone {
  kRestores,     // dumps and restores it: there must be no blocker
  kRefuses,      // does not dump it
  kNotRestored,  // dumps it, and cannot restore it
  kLosesIt,      // dumps and restores it, but not that thing
};

struct Case {
  std::string name;
  std::string kind;  // of odd_job
  // %D: a directory; %S, %Q, %U: stream, seqpacket, datagram socket outside;
  // %P: a TCP port outside; %T: a terminal outside; %O: a process outside.
  Words arguments = {};
  Alone alone = Alone::kRestores;
  std::string subject = "";
  std::string option = "";  // what the finding names
  Words flags = {};         // with which it is dumped; {}: never
  Words wrap = {};          // a command that starts it
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

const Case kCases[] = {
    {"Nothing", "nothing"},
    {"IoUring", "io_uring", {}, Alone::kRefuses, "io_uring"},
    {"Userfaultfd", "userfaultfd", {}, Alone::kRefuses, "userfaultfd"},
    {"PerfEvent", "perf_event", {}, Alone::kRefuses, "perf event"},
    {"BpfMap", "bpf_map", {}, Alone::kRefuses, "bpf"},
    {"BpfProgram", "bpf_program", {}, Alone::kRefuses, "bpf"},
    {"CommonDescriptors", "common_fds"},
    {"Inotify", "inotify", {"%D"}},
    {"InotifyOnDeleted", "inotify_deleted", {"%D/f"}},
    {"Fanotify", "fanotify", {"%D"}},
    {"PidfdOfOwn", "pidfd"},
    {"PidfdOfOther", "pidfd_of", {"%O"}, Alone::kRefuses, "pidfd"},
    {"Memfd", "memfd"},
    {"SharedMemory", "shared_memory", {"4194304"}},
    {"MemfdSecret", "memfd_secret", {}, Alone::kRefuses, "anonymous mapping"},
    {"Landlock", "landlock", {}, Alone::kRefuses, "anonymous file"},
    {"FsContext", "fs_context", {}, Alone::kRefuses, "anonymous file"},
    {"DetachedMount", "mount_fd", {}, Alone::kRefuses, "foreign mount"},
    {"MessageQueue", "mqueue", {}, Alone::kRefuses, "foreign mount"},
    {"DevNull", "open_rw", {"/dev/null"}},
    {"DevRandom", "open_rw", {"/dev/random"}},
    {"DevFuse", "open_rw", {"/dev/fuse"}, Alone::kRefuses, "device"},
    {"DevTun", "open_rw", {"/dev/net/tun"}, Alone::kRefuses, "device"},
    {"Directory", "open", {"%D"}},
    {"PathOfDirectory", "open_path", {"%D"}},
    {"PathOfSocket", "open_path", {"%S"}, Alone::kRefuses, "socket file"},
    {"NetworkNamespaceOfItsOwn", "open", {"/proc/self/ns/net"}},
    {"FileOfProc", "open", {"/proc/self/maps"}},
    {"DeletedSmall", "deleted_full", {"%D/f", "1048576"}},
    {"DeletedWithHoles", "deleted", {"%D/f", "2097152"}},
    {"DeletedLarge",
     "deleted_full",
     {"%D/f", "2097152"},
     Alone::kRefuses,
     "deleted file",
     "--ghost-limit",
     {"--ghost-limit", "4M"}},
    {"DeletedMappedSmall", "deleted_mapped", {"%D/f", "8192"}},
    {"DeletedMappedLarge",
     "deleted_mapped",
     {"%D/f", "2097152"},
     Alone::kRefuses,
     "deleted file",
     "--ghost-limit",
     {"--ghost-limit", "4M"}},
    {"DeletedLinked",
     "deleted_linked",
     {"%D/f"},
     Alone::kRefuses,
     "deleted file",
     "--link-remap",
     {"--link-remap"}},
    {"DeletedDirectory", "deleted_directory", {"%D/x"}},
    {"TmpFileLarge",
     "tmpfile",
     {"%D", "2097152"},
     Alone::kRefuses,
     "deleted file",
     "--ghost-limit",
     {"--ghost-limit", "4M"}},
    {"Flock",
     "flock",
     {"%D/f"},
     Alone::kRefuses,
     "file lock",
     "--file-locks",
     {"--file-locks"}},
    {"PosixLock",
     "posix_lock",
     {"%D/f"},
     Alone::kRefuses,
     "file lock",
     "--file-locks",
     {"--file-locks"}},
    {"OfdLock",
     "ofd_lock",
     {"%D/f"},
     Alone::kRefuses,
     "file lock",
     "--file-locks",
     {"--file-locks"}},
    {"Lease",
     "lease",
     {"%D/f"},
     Alone::kRefuses,
     "file lock",
     "--file-locks",
     {"--file-locks"}},

    {"UnixStreamOutside",
     "unix_stream_to",
     {"%S"},
     Alone::kNotRestored,
     "unix connection"},
    {"UnixSeqpacketOutside",
     "unix_seqpacket_to",
     {"%Q"},
     Alone::kNotRestored,
     "unix connection"},
    {"UnixDatagramOutside",
     "unix_dgram_to",
     {"%U"},
     Alone::kRefuses,
     "unix socket",
     "--ext-unix-sk",
     {"--ext-unix-sk"}},
    {"UnixListening", "unix_listen", {"%D/s"}},
    {"UnixBound", "unix_bound", {"%D/s"}},
    {"UnixPair", "unix_pair"},
    {"UnixDatagramPair", "unix_dgram_pair"},
    {"UnixHalfPair", "unix_half_pair"},
    {"UnixDatagramHalfPair", "unix_dgram_half_pair"},
    {"UnixNotAccepted", "unix_not_accepted", {"%D/s"}},
    {"TcpListening", "tcp_listen"},
    {"TcpUnconnected", "tcp_plain"},
    {"TcpOutside",
     "tcp_to",
     {"%P"},
     Alone::kRefuses,
     "tcp connection",
     "--tcp-established",
     {"--tcp-established"}},
    {"TcpDropped",
     "tcp_to",
     {"%P"},
     Alone::kRefuses,
     "tcp connection",
     "--tcp-established",
     {"--tcp-close"}},
    {"TcpInside",
     "tcp_inside",
     {},
     Alone::kRefuses,
     "tcp connection",
     "--tcp-established",
     {"--tcp-established"}},
    {"TcpHalfClosed",
     "tcp_half_closed",
     {},
     Alone::kRefuses,
     "tcp connection",
     "--tcp-established",
     {"--tcp-established"}},
    {"TcpEnded",
     "tcp_closed",
     {},
     Alone::kNotRestored,
     "ended tcp connection",
     "--tcp-established",
     {"--tcp-established"}},
    {"TcpNotAccepted",
     "tcp_not_accepted",
     {},
     Alone::kRefuses,
     "connection not accepted",
     "--criu-config"},
    {"Mptcp", "mptcp", {}, Alone::kRefuses, "socket"},
    {"Udp", "udp"},
    {"UdpCorked", "udp_corked", {}, Alone::kRefuses, "corked udp socket"},
    {"UdpLite", "udplite"},
    {"Raw", "raw"},
    {"Packet", "packet"},
    {"PacketRing", "packet_ring"},
    {"Netlink", "netlink"},
    {"NetlinkUnread",
     "netlink_unread",
     {},
     Alone::kRefuses,
     "unread netlink answer"},
    {"Vsock", "vsock", {}, Alone::kRefuses, "socket"},
    {"Xdp", "xdp", {}, Alone::kRefuses, "socket"},

    {"ZombieChild", "zombie_child"},
    {"SeccompFilter", "seccomp_filter"},
    {"Aio", "aio"},
    {"NotDumpable", "not_dumpable"},
    {"ChildInASessionOfItsOwn", "child_session"},
    {"SysvShm", "sysv_shm", {}, Alone::kRefuses, "sysv shared memory"},
    {"SysvShmInItsOwnNamespace",
     "sysv_shm",
     {},
     Alone::kRestores,
     "",
     "",
     {},
     {"/usr/bin/unshare", "--ipc"}},
    {"HostName",
     "nothing",
     {},
     Alone::kRestores,
     "",
     "",
     {},
     {"/usr/bin/unshare", "--uts"}},
    {"ForeignMount",
     "nothing",
     {},
     Alone::kRefuses,
     "foreign mount",
     "",
     {},
     {"/usr/bin/unshare", "--mount"}},
    {"UserNamespace",
     "nothing",
     {},
     Alone::kNotRestored,
     "user namespace",
     "",
     {},
     {"/usr/bin/unshare", "--user", "--map-root-user"}},
    {"ThreadWithFilesOfItsOwn",
     "thread_files",
     {},
     Alone::kLosesIt,
     "thread's own files"},
    {"ThreadWithNetworkOfItsOwn",
     "thread_net",
     {},
     Alone::kLosesIt,
     "thread's own network"},
    {"NestedNetwork", "child_net", {}, Alone::kNotRestored, "nested namespace"},
    {"NestedMounts", "child_mnt", {}, Alone::kNotRestored, "nested namespace"},
    {"NestedHostName", "child_uts", {}, Alone::kRefuses, "nested namespace"},
    {"NestedIpc", "child_ipc", {}, Alone::kRefuses, "nested namespace"},
    {"NestedUser", "child_user", {}, Alone::kRefuses, "nested namespace"},
    {"NestedCgroup", "child_cgroup", {}, Alone::kRefuses, "nested namespace"},
    {"NestedPid", "child_pid", {}, Alone::kRefuses, "nested namespace"},
    {"ControllingTerminal",
     "controlling_tty",
     {"%T"},
     Alone::kRefuses,
     "terminal",
     "--shell-job",
     {"--shell-job"}},
    {"OpenTerminal",
     "open_tty",
     {"%T"},
     Alone::kRefuses,
     "terminal",
     "--shell-job",
     {"--shell-job"}},
    {"TerminalOfItsOwn", "own_tty"},
    {"MasterAlone", "own_master"},
};

class CheckTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    BecomeReaper();
    auto group = TestCgroup::Create(CgroupVersion::kV2);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    ASSERT_NO_FATAL_FAILURE(StartJob());
  }

  void StartJob() {
    const Case& one = GetParam();
    const std::string ready = ckpt_.dir().File("ready");
    Job::Options options;
    options.argv = one.wrap;
    for (const std::string& word : {RunfilesPath("tests/testcases/odd_job"),
                                    std::string("--ready"), ready, one.kind}) {
      options.argv.push_back(word);
    }
    const std::string directory = ckpt_.dir().MakeDirectory("d");
    for (const std::string& argument : one.arguments) {
      options.argv.push_back(
          absl::StrReplaceAll(world_.Replace(argument), {{"%D", directory}}));
    }
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    pid_ = job->pid();
    const absl::Time deadline = Soon();
    std::string word;
    while (word.empty() && Clock::Real().Now() < deadline) {
      word = ReadFile(ready).value_or("");
      Clock::Real().Sleep(absl::Milliseconds(5));
    }
    is_here_ = !absl::StartsWith(word, "not here");
    if (!is_here_) std::cerr << "this kernel has it not: " << word << "\n";
    if (is_here_) {
      ASSERT_EQ(word, "ready");
    }
    world_.Accept();
  }

  // Of `ckpt check` with those flags; the exit status has to fit.
  v1::CheckReport Check(const Words& flags) {
    Words words = {"check", "--cgroup", group_->path(), "--json"};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = ckpt_.Run(std::move(words));
    v1::CheckReport report;
    EXPECT_TRUE(
        google::protobuf::util::JsonStringToMessage(result.out, &report).ok())
        << result.out << result.err;
    EXPECT_EQ(result.exit_status == 0, report.usable()) << result.err;
    return report;
  }

  Words WithFlags(Words command, const Words& flags) {
    command.insert(command.end(), flags.begin(), flags.end());
    return command;
  }

  // Exit status of CRIU alone.
  int CriuDump() {
    image_ = ckpt_.dir().MakeDirectory("image");
    const auto result = RunCommand(PlainCriu({}).Dump(pid_, image_));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->exit_status : -1;
  }

  int CriuRestore() {
    EXPECT_EQ(WaitUntilGone(PidsOfImage(image_), Soon()), absl::OkStatus());
    CommandOptions options;
    options.cgroups = {group_.get()};
    const auto result = RunCommand(PlainCriu({}).Restore(image_), options);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->exit_status : -1;
  }

  std::string Log() { return ReadFile(image_ + "/log").value_or("no log"); }

  CkptRunner ckpt_;
  OutsideWorld world_;
  std::unique_ptr<TestCgroup> group_;
  pid_t pid_ = 0;
  bool is_here_ = true;
  std::string image_;
};

// The findings that count, as text for messages.
std::string Weighty(const v1::CheckReport& report) {
  std::string text;
  for (const v1::CheckFinding& finding : report.findings()) {
    if (finding.level() != v1::CheckFinding::LEVEL_OK) {
      absl::StrAppend(&text, finding.ShortDebugString(), "\n");
    }
  }
  return text;
}

TEST_P(CheckTest, SaysWhatCriuDoes) {
  if (!is_here_) return;
  const Case& one = GetParam();

  const v1::CheckReport report = Check({});

  ASSERT_NO_FATAL_FAILURE();
  if (one.alone == Alone::kRestores) {
    EXPECT_TRUE(report.usable()) << Weighty(report);
    ASSERT_EQ(CriuDump(), 0) << Log();
    EXPECT_EQ(CriuRestore(), 0) << Log();
    return;
  }
  EXPECT_EQ(report.usable(), one.alone == Alone::kLosesIt) << Weighty(report);
  const v1::CheckFinding* found = nullptr;
  for (const v1::CheckFinding& finding : report.findings()) {
    if (finding.subject() == one.subject) found = &finding;
  }
  ASSERT_NE(found, nullptr) << Weighty(report);
  EXPECT_EQ(found->option(), one.option) << Weighty(report);
  EXPECT_NE(found->pid(), 0);
  EXPECT_FALSE(found->advice().empty());

  if (!one.flags.empty()) {
    EXPECT_TRUE(Check(one.flags).usable()) << Weighty(Check(one.flags));
    const CommandResult dumped =
        ckpt_.Run(WithFlags({"dump", "--cgroup", group_->path(), "--image",
                             "with", "--leave-running"},
                            one.flags));
    EXPECT_EQ(dumped.exit_status, 0) << dumped.err;
  } else if (one.alone != Alone::kLosesIt && !found->will_pass()) {
    const CommandResult refused =
        ckpt_.Run({"dump", "--cgroup", group_->path(), "--image", "without"});
    EXPECT_EQ(refused.exit_status,
              static_cast<int>(absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(absl::StrContains(refused.err, "nothing was touched"))
        << refused.err;
  }

  switch (one.alone) {
    case Alone::kRefuses:
      EXPECT_NE(CriuDump(), 0) << Log();
      break;
    case Alone::kNotRestored:
      // Other versions of CRIU refuse some of these at once.
      if (CriuDump() == 0) {
        EXPECT_NE(CriuRestore(), 0) << Log();
      }
      break;
    default:
      ASSERT_EQ(CriuDump(), 0) << Log();
      EXPECT_EQ(CriuRestore(), 0) << Log();
  }
}

INSTANTIATE_TEST_SUITE_P(All, CheckTest, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ckpt
