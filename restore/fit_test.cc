#include "restore/fit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/build_id.h"
#include "base/fake_proc.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ckpt::restore {
namespace {

using Finding = v1::CheckFinding;

class FitTest : public testing::Test {
 protected:
  // A job that was here, and is no more.
  FitTest() {
    here_ = ReadNodeFacts();
    here_.criu_version = "4.2.1";
    needs_.mutable_host()->set_machine(here_.host.machine);
    needs_.mutable_host()->set_kernel_release(here_.host.kernel_release);
    needs_.mutable_host()->set_cpu_flags(here_.host.cpu_flags);
    needs_.set_xsave_bytes(here_.cpu.bytes);
    needs_.set_criu_version("4.2.1");
    needs_.add_ids(100);
    proc_.AddProcess(1, 0, "init");
  }

  // The one of that subject; none: an empty one.
  Finding Find(const std::string& subject) {
    Finding found;
    for (const Finding& finding : CompareWithNode(needs_, here_, proc_)) {
      if (finding.subject() == subject) found = finding;
    }
    return found;
  }

  v1::NeededFile& AddFile(const std::string& path) {
    v1::NeededFile& file = *needs_.add_files();
    file.set_path(path);
    file.set_mapped(true);
    return file;
  }

  static std::string WriteFile(const std::string& name,
                               const std::string& text) {
    const std::string path = testing::TempDir() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  v1::JobNeeds needs_;
  NodeFacts here_;
  FakeProcFs proc_;
};

TEST_F(FitTest, NodeThatIsTheSameFits) {
  AddFile("/bin/true").set_build_id(ReadBuildId("/bin/true"));
  for (const Finding& finding : CompareWithNode(needs_, here_, proc_)) {
    EXPECT_EQ(finding.level(), Finding::LEVEL_OK) << finding.DebugString();
  }
}

TEST_F(FitTest, TakenNumberIsNamedWithItsHolder) {
  proc_.AddProcess(100, 1, "daemon");
  const Finding finding = Find("process ids");
  EXPECT_EQ(finding.level(), Finding::LEVEL_BLOCKER);
  EXPECT_TRUE(absl::StrContains(finding.found(), "by process 100 (daemon)"))
      << finding.found();
}

TEST_F(FitTest, NumbersOfANamespaceOfTheJobAreFree) {
  proc_.AddProcess(100, 1, "daemon");
  needs_.set_own_pid_namespace(true);
  EXPECT_EQ(Find("process ids").level(), Finding::LEVEL_OK);
}

TEST_F(FitTest, MissingFileIsNamed) {
  AddFile("/nowhere/lib.so");
  const Finding finding = Find("file missing");
  EXPECT_EQ(finding.level(), Finding::LEVEL_BLOCKER);
  EXPECT_EQ(finding.path(), "/nowhere/lib.so");
}

TEST_F(FitTest, ManyMissingFilesAreCounted) {
  for (int i = 0; i < 20; ++i) AddFile(absl::StrCat("/nowhere/", i));
  EXPECT_EQ(Find("file missing").more(), 15);
}

TEST_F(FitTest, FileOfAnotherSizeIsNamed) {
  AddFile(WriteFile("size", "12345")).set_size_bytes(4);
  EXPECT_EQ(Find("file differs").level(), Finding::LEVEL_BLOCKER);
}

TEST_F(FitTest, WrittenFileOfAnotherSizeIsAWarning) {
  v1::NeededFile& file = AddFile(WriteFile("written", "12345"));
  file.set_size_bytes(4);
  file.set_written(true);
  EXPECT_EQ(Find("file differs").level(), Finding::LEVEL_UNSPECIFIED);
  EXPECT_EQ(Find("file written").level(), Finding::LEVEL_WARNING);
}

TEST_F(FitTest, OtherBuildOfAProgramIsNamed) {
  AddFile("/bin/true").set_build_id("00112233");
  const Finding finding = Find("file differs");
  EXPECT_EQ(finding.level(), Finding::LEVEL_BLOCKER);
  EXPECT_TRUE(absl::StrContains(finding.found(), "00112233"));
}

TEST_F(FitTest, MissingCpuFeatureIsNamedUnlessNobodyCares) {
  needs_.mutable_host()->set_cpu_flags(
      absl::StrCat(here_.host.cpu_flags, " amx_future"));
  const Finding finding = Find("cpu");
  EXPECT_EQ(finding.level(), Finding::LEVEL_BLOCKER);
  EXPECT_TRUE(absl::StrContains(finding.found(), "amx_future"));
  needs_.mutable_criu()->set_cpu_cap("none");
  EXPECT_EQ(Find("cpu").level(), Finding::LEVEL_OK);
}

TEST_F(FitTest, LargerCpuStateIsAWarning) {
  needs_.set_xsave_bytes(2688);
  here_.cpu.bytes = 832;
  EXPECT_EQ(Find("cpu").level(), Finding::LEVEL_WARNING);
}

TEST_F(FitTest, OlderKernelAndCriuAreWarnings) {
  needs_.mutable_host()->set_kernel_release("99.1.0");
  needs_.set_criu_version("4.10.0");
  EXPECT_EQ(Find("kernel").level(), Finding::LEVEL_WARNING);
  EXPECT_EQ(Find("CRIU version").level(), Finding::LEVEL_WARNING);
}

TEST_F(FitTest, JobThatIsLargerThanTheMemoryDoesNotFit) {
  here_.available_bytes = 1 << 20;
  needs_.set_memory_bytes(2 << 20);
  EXPECT_EQ(Find("memory").level(), Finding::LEVEL_BLOCKER);
}

TEST_F(FitTest, ImageThatIsLargerThanTheDiskDoesNotFit) {
  here_.store = testing::TempDir() + "/a/store/to/be";
  EXPECT_EQ(Find("store space").level(), Finding::LEVEL_OK);
  needs_.set_image_bytes(uint64_t{1} << 60);
  EXPECT_EQ(Find("store space").level(), Finding::LEVEL_BLOCKER);
}

TEST_F(FitTest, GroupThatCannotBeIsNamed) {
  needs_.set_cgroup("/job");
  here_.cgroup_problem = "no cgroup v1 freezer is mounted";
  const Finding finding = Find("cgroup");
  EXPECT_EQ(finding.level(), Finding::LEVEL_BLOCKER);
  EXPECT_TRUE(absl::StrContains(finding.found(), "no cgroup v1 freezer"));
}

TEST_F(FitTest, PortInUseIsNamed) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(fd.get(), generic, size), 0);
  ASSERT_EQ(::listen(fd.get(), 1), 0);
  ASSERT_EQ(::getsockname(fd.get(), generic, &size), 0);
  v1::NeededAddress& needed = *needs_.add_addresses();
  needed.set_protocol("tcp");
  needed.set_address("127.0.0.1");
  needed.set_port(ntohs(address.sin_port));
  needed.set_listening(true);

  EXPECT_EQ(Find("port taken").level(), Finding::LEVEL_BLOCKER);
  needs_.set_own_network_namespace(true);
  EXPECT_EQ(Find("port taken").level(), Finding::LEVEL_UNSPECIFIED);
}

// 192.0.2.0/24 is for documentation (RFC 5737).
TEST_F(FitTest, AddressOfAnotherNodeIsAWarning) {
  v1::NeededAddress& needed = *needs_.add_addresses();
  needed.set_protocol("tcp");
  needed.set_address("192.0.2.1");
  needed.set_port(80);
  needed.set_connected(true);
  EXPECT_EQ(Find("address").level(), Finding::LEVEL_WARNING);
  needs_.mutable_criu()->set_tcp_close(true);
  EXPECT_EQ(Find("address").level(), Finding::LEVEL_UNSPECIFIED);
}

}  // namespace
}  // namespace ckpt::restore
