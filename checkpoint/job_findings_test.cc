#include "checkpoint/job_findings.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

using Finding = v1::CheckFinding;

class JobFindingsTest : public testing::Test {
 protected:
  JobFindingsTest() {
    for (const char* name : {"cgroup", "ipc", "mnt", "net", "pid", "user"}) {
      survey_.own_namespaces[name] = std::string(name) + ":[1]";
    }
    survey_.mounts["mnt:[1]"] = {20, 21};
    Add(100);
  }

  SurveyedProcess& Add(pid_t pid) {
    SurveyedProcess process;
    process.stat.pid = process.stat.tid = pid;
    process.stat.sid = 100;
    process.stat.comm = "job";
    process.namespaces = survey_.own_namespaces;
    survey_.pids.insert(pid);
    survey_.processes.push_back(std::move(process));
    return survey_.processes.back();
  }

  SurveyedFd& Open(const std::string& target) {
    SurveyedFd& fd = survey_.processes.back().fds.emplace_back();
    fd.fd = 3;
    fd.target = target;
    return fd;
  }

  SurveyedFd& OpenFile(const std::string& target) {
    SurveyedFd& fd = Open(target);
    fd.file.mode = S_IFREG | 0600;
    fd.file.links = 1;
    fd.mount_id = 20;
    return fd;
  }

  SurveyedFd& OpenSocket(int family, int type, int protocol, uint64_t inode) {
    SurveyedFd& fd = Open("socket:[1]");
    fd.socket.emplace();
    fd.socket->family = family;
    fd.socket->type = type;
    fd.socket->protocol = protocol;
    fd.socket->inode = inode;
    return fd;
  }

  std::vector<Finding> Judge() {
    FindingList list(options_);
    JudgeJob(survey_, list);
    JudgeSockets(survey_, list);
    return list.Take();
  }

  // Subject of the one finding, or what there is instead.
  std::string Only() {
    const std::vector<Finding> findings = Judge();
    if (findings.size() == 1) return findings.front().subject();
    return std::to_string(findings.size()) + " findings";
  }

  v1::CriuOptions options_;
  JobSurvey survey_;
};

constexpr char kNone[] = "0 findings";

TEST_F(JobFindingsTest, OrdinaryJobHasNone) {
  OpenFile("/etc/passwd");
  Open("pipe:[7]");
  Open("anon_inode:[eventpoll]");
  EXPECT_EQ(Only(), kNone);
}

TEST_F(JobFindingsTest, FindingNamesProcessDescriptorAndOption) {
  OpenFile("/var/lock").locked = true;
  const std::vector<Finding> findings = Judge();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].option(), "--file-locks");
  EXPECT_EQ(findings[0].pid(), 100);
  EXPECT_EQ(findings[0].comm(), "job");
  EXPECT_EQ(findings[0].fd(), 3);
  EXPECT_EQ(findings[0].path(), "/var/lock");
}

TEST_F(JobFindingsTest, FindingsOfAKindAreCounted) {
  for (int i = 0; i < 7; ++i) OpenFile("/var/lock").locked = true;
  const std::vector<Finding> findings = Judge();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].more(), 6);
}

TEST_F(JobFindingsTest, OptionThatIsGivenSettlesIt) {
  OpenFile("/var/lock").locked = true;
  options_.set_file_locks(true);
  EXPECT_EQ(Only(), kNone);
}

TEST_F(JobFindingsTest, OptionThatAConfigFileMayHoldMakesAWarning) {
  OpenFile("/var/lock").locked = true;
  Open("anon_inode:[io_uring]");
  options_.set_config_file("/etc/job.conf");
  for (const Finding& finding : Judge()) {
    EXPECT_EQ(finding.level() == Finding::LEVEL_WARNING,
              finding.subject() == "file lock");
  }
}

TEST_F(JobFindingsTest, DeletedFileCountsWithWhatItTakesOnTheDisk) {
  SurveyedFd& fd = OpenFile("/tmp/x (deleted)");
  fd.file.links = 0;
  fd.file.size_bytes = 1 << 30;
  fd.file.used_bytes = 1 << 20;
  EXPECT_EQ(Only(), kNone);
  survey_.processes[0].fds[0].file.used_bytes += 4096;
  EXPECT_EQ(Only(), "deleted file");
  options_.set_ghost_limit_bytes(2 << 20);
  EXPECT_EQ(Only(), kNone);
}

TEST_F(JobFindingsTest, FileOfAnotherMountNamespaceIsForeign) {
  OpenFile("/dev/null").mount_id = 99;
  EXPECT_EQ(Only(), "foreign mount");
  options_.add_external("mnt[/x]:y");
  EXPECT_EQ(Only(), kNone);
}

TEST_F(JobFindingsTest, ConnectionWithinTheJobIsNoMatter) {
  OpenSocket(AF_UNIX, SOCK_STREAM, 0, 7).socket->connected = true;
  survey_.processes.back().fds.back().socket->peer_inode = 8;
  EXPECT_EQ(Only(), "unix connection");
  Add(101);
  OpenSocket(AF_UNIX, SOCK_STREAM, 0, 8);
  EXPECT_EQ(Only(), kNone);
}

TEST_F(JobFindingsTest, SocketOfSeveralProcessesIsToldOfOnce) {
  OpenSocket(AF_INET, SOCK_STREAM, IPPROTO_TCP, 7).socket->connected = true;
  Add(101);
  OpenSocket(AF_INET, SOCK_STREAM, IPPROTO_TCP, 7).socket->connected = true;
  const std::vector<Finding> findings = Judge();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].more(), 0);
}

TEST_F(JobFindingsTest, NamespaceOfTheWholeJobIsNotNested) {
  survey_.processes[0].namespaces["net"] = "net:[2]";
  Add(101).namespaces["net"] = "net:[2]";
  EXPECT_EQ(Only(), kNone);
  survey_.processes[0].namespaces["net"] = "net:[1]";
  EXPECT_EQ(Only(), "nested namespace");
}

// As of a process that ended meanwhile.
TEST_F(JobFindingsTest, NamespaceThatIsNotKnownIsNoMatter) {
  Add(101).namespaces.clear();
  OpenFile("/etc/passwd");
  EXPECT_EQ(Only(), kNone);
}

TEST_F(JobFindingsTest, RootOfAnotherSessionNeedsShellJob) {
  survey_.processes[0].stat.sid = 42;
  EXPECT_EQ(Only(), "session");
  options_.set_shell_job(true);
  EXPECT_EQ(Only(), kNone);
}

TEST(JobSurveyTest, FdInfoIsRead) {
  SurveyedFd fd;
  ParseFdInfo(
      "pos:\t0\nflags:\t0102001\nmnt_id:\t29\nino:\t8\n"
      "lock:\t1: FLOCK  ADVISORY  WRITE 1 08:01:8 0 EOF\n",
      fd);
  EXPECT_EQ(fd.flags, 0102001);
  EXPECT_EQ(fd.mount_id, 29);
  EXPECT_TRUE(fd.locked);
  ParseFdInfo("Pid:\t77\ntty-index:\t4\n", fd);
  EXPECT_EQ(fd.pidfd_of, 77);
  EXPECT_EQ(fd.tty_index, 4);
}

TEST(JobSurveyTest, MountIdsAreRead) {
  EXPECT_EQ(ParseMountIds("24 1 0:21 / / rw - ext4 /dev/a rw\n30 24 0:5 / /x "
                          "rw - proc proc rw\n"),
            (std::set<int>{24, 30}));
  EXPECT_TRUE(ParseMountIds("").empty());
}

}  // namespace
}  // namespace ckpt::checkpoint
