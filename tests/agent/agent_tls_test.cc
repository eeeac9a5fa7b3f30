// ckptd for other machines: who gets in by TLS, as whom, and who does not.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "proto/agent.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/tls_files.h"
#include "tests/agent/agent_fixture.h"
#include "tests/support/test_ca.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);
constexpr int kNotFound = 5;
constexpr int kPermissionDenied = 7;
constexpr int kFailedPrecondition = 9;
constexpr int kUnavailable = 14;
constexpr int kUnauthenticated = 16;

class AgentTlsTest : public AgentTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  }

  // The node's certificate is in `tls`; the controller may do all, and the
  // watcher look at this job.
  void StartNode(const std::string& tls) {
    const std::string group = group_->path().substr(group_->path().rfind('/'));
    const std::string policy = absl::StrCat(
        "rule { client: 'spiffe://test/controller' verb: ALL cgroup: '/' }\n",
        "rule { client: 'watcher' verb: STATUS cgroup: '", group, "' }\n",
        "rule { client: 'watcher' verb: FREEZE verb: MIGRATE ",
        "cgroup: '/elsewhere' }");
    ASSERT_NO_FATAL_FAILURE(
        StartAgent("", policy,
                   {"--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
                    "--tls-ca", tls + "/ca.pem", "--tls-cert",
                    tls + "/cert.pem", "--tls-key", tls + "/key.pem"}));
    const std::string log = AgentLog();
    const std::string before = "by TLS, on ";
    const size_t at = log.find(before);
    ASSERT_NE(at, std::string::npos) << log;
    const size_t begin = at + before.size();
    address_ = log.substr(begin, log.find('\n', begin) - begin);
  }

  std::string Group() const { return group_->path(); }

  // What Prometheus would read.
  std::string Metrics() {
    const std::string log = AgentLog();
    const size_t begin = log.find("http://");
    const auto scraped =
        RunCommand({"python3", "-c",
                    "import sys, urllib.request as u\n"
                    "opener = u.build_opener(u.ProxyHandler({}))\n"
                    "print(opener.open(sys.argv[1]).read().decode())",
                    log.substr(begin, log.find('\n', begin) - begin)});
    EXPECT_TRUE(scraped.ok() && scraped->exit_status == 0);
    return scraped.ok() ? scraped->out + scraped->err : "";
  }

  // ckpt VERB ... --node, with the certificate in `tls`.
  CommandResult AskWith(const std::string& tls,
                        std::vector<std::string> words) const {
    words.insert(words.begin(), CkptRunner::Binary());
    words.insert(words.end(), {"--node", address_});
    const auto result = RunCommand(words, {.env = {"CKPT_TLS_DIR=" + tls},
                                           .cgroups = {},
                                           .timeout = absl::Seconds(120)});
    if (result.ok()) return *result;
    ADD_FAILURE() << result.status();
    return {.exit_status = -1, .out = "", .err = ""};
  }

  // The caller is refused a freeze, and the job does not notice.
  void ExpectRefused(const std::string& tls, int code,
                     const std::string& words) {
    const CommandResult result = AskWith(tls, {"freeze", "--cgroup", Group()});
    EXPECT_EQ(result.exit_status, code) << result.err;
    EXPECT_TRUE(absl::StrContains(result.err, words)) << result.err;
    ExpectUntouched();
  }

  void ExpectUntouched() {
    EXPECT_EQ(*group_->State(), CgroupState::kThawed);
    ExpectJobRuns();
  }

  void ExpectAudited(const std::vector<std::string>& words) {
    const absl::Time deadline = Soon();
    while (Clock::Real().Now() < deadline) {
      for (const absl::string_view line :
           absl::StrSplit(AgentLog(), '\n', absl::SkipEmpty())) {
        bool has_all = absl::StartsWith(line, "audit ");
        for (const std::string& word : words) {
          has_all = has_all && absl::StrContains(line, word);
        }
        if (has_all) return;
      }
      Clock::Real().Sleep(kPoll);
    }
    ADD_FAILURE() << AgentLog();
  }

  TestCa ca_;
  const std::string node_ = ca_.Make("node1,127.0.0.1");
  const std::string controller_ = ca_.Make("spiffe://test/controller");
  const std::string watcher_ = ca_.Make("watcher");
  std::string address_;
};

TEST_F(AgentTlsTest, WhatThePolicyAllowsIsDoneAsLocally) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  EXPECT_EQ(AskWith(controller_, {"freeze", "--cgroup", Group()}).exit_status,
            0);
  EXPECT_EQ(group_->AwaitState(CgroupState::kFrozen, Soon()), absl::OkStatus());
  const CommandResult status =
      AskWith(watcher_, {"status", "--cgroup", Group()});
  EXPECT_EQ(status.exit_status, 0) << status.err;
  EXPECT_EQ(status.out, ckpt_.Run({"status", "--cgroup", Group()}).out);
  EXPECT_EQ(AskWith(controller_, {"thaw", "--cgroup", Group()}).exit_status, 0);
  ExpectJobRuns();
  ExpectAudited({"client spiffe://test/controller", "\"verb\":\"FREEZE\"",
                 "\"allowed\":true", "ipv4:127.0.0.1"});
}

TEST_F(AgentTlsTest, JobIsDumpedAndRestoredTwiceFromAfar) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  for (const std::string image : {"first", "second"}) {
    const CommandResult dump =
        AskWith(controller_, {"dump", "--cgroup", Group(), "--image", image});
    ASSERT_EQ(dump.exit_status, 0) << dump.err;
    ReapAll();
    const CommandResult restore = AskWith(controller_, {"restore", image});
    ASSERT_EQ(restore.exit_status, 0) << restore.err;
    ExpectJobRuns();
  }
  EXPECT_EQ(AskWith(watcher_, {"list"}).exit_status, kPermissionDenied);
  const std::string metrics = Metrics();
  for (const char* const line :
       {"ckpt_operations_total{code=\"OK\",kind=\"dump\"} 2\n",
        "ckpt_operations_total{code=\"OK\",kind=\"restore\"} 2\n",
        "ckpt_calls_total{code=\"OK\",method=\"Dump\"} 2\n",
        "ckpt_calls_total{code=\"PERMISSION_DENIED\",method=\"ListImages\"} "
        "1\n",
        "ckpt_frozen_seconds_count 2\n", "ckpt_dump_seconds_count 2\n",
        "ckpt_restore_seconds_count 2\n"}) {
    EXPECT_TRUE(absl::StrContains(metrics, line)) << line << metrics;
  }
}

TEST_F(AgentTlsTest, VerbGroupAndNameThatThePolicyDoesNotAllowAreRefused) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  // A subtree that is not this job's.
  ExpectRefused(watcher_, kPermissionDenied, "client watcher may not FREEZE");
  ExpectAudited({"client watcher", "\"verb\":\"FREEZE\"", "\"allowed\":false"});
  // A verb that it has nowhere.
  EXPECT_EQ(AskWith(watcher_, {"kill", "--cgroup", Group()}).exit_status,
            kPermissionDenied);
  ExpectUntouched();
  // A name that no rule has, though of the right authority.
  ExpectRefused(ca_.Make("stranger"), kPermissionDenied, "client stranger");
  ExpectAudited({"client stranger", "\"allowed\":false"});
}

// Of a job that somebody wants to have: neither dumped nor sent anywhere.
TEST_F(AgentTlsTest, MigrationThatThePolicyDoesNotAllowIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  const std::vector<std::string> words = {"migrate", "--cgroup", Group(),
                                          "--to", "127.0.0.1:1"};
  const auto expect = [&](const std::string& tls, int code,
                          const std::string& why) {
    const CommandResult refused = AskWith(tls, words);
    EXPECT_EQ(refused.exit_status, code) << refused.err;
    EXPECT_TRUE(absl::StrContains(refused.err, why)) << refused.err;
    ExpectUntouched();
  };
  // Elsewhere it may; the stranger nowhere.
  expect(watcher_, kPermissionDenied, "client watcher may not MIGRATE");
  ExpectAudited(
      {"client watcher", "\"verb\":\"MIGRATE\"", "\"allowed\":false"});
  expect(ca_.Make("stranger"), kPermissionDenied, "client stranger");
  ExpectAudited(
      {"client stranger", "\"verb\":\"MIGRATE\"", "\"allowed\":false"});
  TestCa other;
  expect(other.Make("spiffe://test/controller"), kUnauthenticated,
         "its certificate is of another authority");
  const CommandResult operations = AskWith(controller_, {"ops"});
  EXPECT_EQ(operations.out, "no operations\n") << operations.err;
}

TEST_F(AgentTlsTest, CertificatesOfAnotherAuthorityAndExpiredOnesAreRefused) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  TestCa other;
  ExpectRefused(other.Make("spiffe://test/controller"), kUnauthenticated,
                "its certificate is of another authority");
  ExpectRefused(ca_.Make("spiffe://late/controller2", -1), kUnauthenticated,
                "it has expired: renew cert.pem");
  ExpectAudited({"\"verb\":\"CONNECT\"", "\"allowed\":false",
                 "certificate verify failed"});
}

TEST_F(AgentTlsTest, ClientWithoutACertificateIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  const auto identity = rpc::LoadTls(rpc::TlsFiles::In(controller_));
  ASSERT_TRUE(identity.ok()) << identity.status();
  const auto channel = grpc::CreateChannel(
      address_, grpc::SslCredentials({.pem_root_certs = identity->ca,
                                      .pem_private_key = "",
                                      .pem_cert_chain = ""}));
  grpc::ClientContext context;
  v1::FreezeRequest request;
  request.add_cgroups(Group());
  v1::FreezeResponse response;
  EXPECT_EQ(v1::Agent::NewStub(channel)
                ->Freeze(&context, request, &response)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  grpc::ClientContext migrate_context;
  v1::MigrateOperationRequest migrate;
  migrate.set_operation_id("m");
  migrate.mutable_request()->set_cgroup(Group());
  v1::Operation operation;
  EXPECT_EQ(v1::Agent::NewStub(channel)
                ->Migrate(&migrate_context, migrate, &operation)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  ExpectUntouched();
  ExpectAudited({"\"verb\":\"CONNECT\"", "\"allowed\":false",
                 "peer did not return a certificate"});
}

TEST_F(AgentTlsTest, ClientWithoutTlsIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  const auto channel =
      grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  v1::CheckReport report;
  EXPECT_EQ(
      v1::Agent::NewStub(channel)->Check(&context, {}, &report).error_code(),
      grpc::StatusCode::UNAVAILABLE);
  ExpectAudited({"\"verb\":\"CONNECT\"", "\"allowed\":false"});
}

TEST_F(AgentTlsTest, NodeWithAnotherNameIsNotTrusted) {
  ASSERT_NO_FATAL_FAILURE(StartNode(ca_.Make("node2,10.0.0.2")));
  ExpectRefused(controller_, kUnauthenticated,
                "not for 127.0.0.1 but for node2, 10.0.0.2");
}

TEST_F(AgentTlsTest, AgentDoesNotStartWithWrongFilesOrATakenPort) {
  ASSERT_NO_FATAL_FAILURE(StartNode(node_));
  const std::vector<std::string> argv = {RunfilesPath("agent/ckptd"),
                                         "--socket",
                                         ckpt_.dir().File("other"),
                                         "--listen",
                                         address_,
                                         "--tls-ca",
                                         node_ + "/ca.pem",
                                         "--tls-cert",
                                         node_ + "/cert.pem",
                                         "--tls-key"};
  std::vector<std::string> taken = argv;
  taken.push_back(node_ + "/key.pem");
  EXPECT_EQ(RunCommand(taken)->exit_status, kUnavailable);
  std::vector<std::string> foreign = argv;
  foreign.push_back(watcher_ + "/key.pem");
  EXPECT_EQ(RunCommand(foreign)->exit_status, kFailedPrecondition);
  std::vector<std::string> missing = argv;
  missing.push_back(node_ + "/none.pem");
  EXPECT_EQ(RunCommand(missing)->exit_status, kNotFound);
}

TEST_F(AgentTlsTest, NewCertificatesAreTakenWithoutARestart) {
  TestCa next;
  const std::string tls = ckpt_.dir().File("tls");
  ASSERT_EQ(::symlink(node_.c_str(), tls.c_str()), 0);
  ASSERT_NO_FATAL_FAILURE(StartNode(tls));
  const std::string controller = next.Make("spiffe://test/controller");
  ExpectRefused(controller, kUnauthenticated, "another authority");
  // All three files at once.
  const std::string renewed = ckpt_.dir().File("renewed");
  ASSERT_EQ(::symlink(next.Make("node1,127.0.0.1").c_str(), renewed.c_str()),
            0);
  ASSERT_EQ(std::rename(renewed.c_str(), tls.c_str()), 0);
  const absl::Time deadline = Soon();
  CommandResult result;
  do {
    Clock::Real().Sleep(kPoll);
    result = AskWith(controller, {"status", "--cgroup", Group()});
  } while (result.exit_status != 0 && Clock::Real().Now() < deadline);
  EXPECT_EQ(result.exit_status, 0) << result.err;
  // The old authority is no longer one.
  ExpectRefused(controller_, kUnauthenticated, "another authority");
}

}  // namespace
}  // namespace ckpt
