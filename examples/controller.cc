// A controller: moves a job from one node to another, and follows it.
//
//   controller SOURCE CGROUP DESTINATION TO_CGROUP [ID [TLS_DIRECTORY]]
//
// README.md tells of the arguments, and of what is done here.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "proto/agent.grpc.pb.h"

namespace {

using ckpt::v1::Agent, ckpt::v1::Operation;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::unique_ptr<Agent::Stub> Connect(const std::string& node,
                                     const std::string& tls) {
  auto credentials = grpc::InsecureChannelCredentials();
  if (node.rfind("unix:", 0) != 0) {
    credentials =
        grpc::SslCredentials({Read(tls + "/ca.pem"), Read(tls + "/key.pem"),
                              Read(tls + "/cert.pem")});
  }
  return Agent::NewStub(grpc::CreateChannel(node, credentials));
}

[[noreturn]] void Fail(int code, const std::string& message) {
  std::fprintf(stderr, "controller: %s\n", message.c_str());
  std::exit(code);
}

// Calls until there is an answer.  The operation's id makes that safe: one that
// has begun is answered, not begun again.
template <typename Call>
void Insist(Call call) {
  for (int tries = 1;; ++tries) {
    grpc::ClientContext context;
    const grpc::Status status = call(context);
    if (status.ok()) return;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || tries == 60) {
      Fail(status.error_code(), status.error_message());
    }
    std::fprintf(stderr, "controller: %s; trying again\n",
                 status.error_message().c_str());
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

void Tell(const Operation& now) {
  const auto& progress = now.progress();
  std::printf("%s %s %s %.0f%% of %s bytes\n", now.id().c_str(),
              ckpt::v1::OperationState_Name(now.state()).c_str(),
              ckpt::v1::MigrationState_Name(now.migration_state()).c_str(),
              progress.percent(),
              std::to_string(progress.bytes_total()).c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) Fail(64, "SOURCE CGROUP DESTINATION TO_CGROUP [ID [TLS]]");
  const auto agent = Connect(argv[1], argc > 6 ? argv[6] : "/etc/ckpt/tls");
  ckpt::v1::MigrateOperationRequest request;
  request.set_operation_id(
      argc > 5 ? argv[5] : "move-" + std::to_string(std::random_device()()));
  request.mutable_request()->set_cgroup(argv[2]);
  request.mutable_request()->set_to(argv[3]);
  request.mutable_request()->set_to_cgroup(argv[4]);
  ckpt::v1::OperationRequest which;
  which.set_operation_id(request.operation_id());
  Operation now;
  Insist(
      [&](auto& context) { return agent->Migrate(&context, request, &now); });
  Insist([&](auto& context) {
    const auto reader = agent->WatchOperation(&context, which);
    while (reader->Read(&now)) Tell(now);
    return reader->Finish();
  });
  if (now.state() != ckpt::v1::OPERATION_STATE_SUCCEEDED) {
    Fail(now.error().code(), now.error().message());
  }
  std::printf("runs as pid %d; downtime %.3f s\n", now.migrate_report().pid(),
              now.migrate_report().downtime_seconds());
}
