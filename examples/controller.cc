// A controller: moves a job between two nodes that share their store.
//
//   controller SOURCE CGROUP DESTINATION IMAGE [TLS_DIRECTORY]
//
// README.md tells of the arguments, and of what is done here.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
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
  std::cerr << "controller: " << message << std::endl;
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
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

// Starts an operation, and follows it to its end.
template <typename Request>
void Run(Agent::Stub& agent, const Request& request,
         grpc::Status (Agent::Stub::*start)(grpc::ClientContext*,
                                            const Request&, Operation*)) {
  Operation operation;
  Insist([&](grpc::ClientContext& context) {
    return (agent.*start)(&context, request, &operation);
  });
  ckpt::v1::OperationRequest which;
  which.set_operation_id(request.operation_id());
  Insist([&](grpc::ClientContext& context) {
    const auto reader = agent.WatchOperation(&context, which);
    while (reader->Read(&operation)) {
      std::cout << operation.id() << " " << operation.state() << " "
                << ckpt::v1::Phase_Name(operation.phase()) << std::endl;
    }
    return reader->Finish();
  });
  if (operation.state() != ckpt::v1::OPERATION_STATE_SUCCEEDED) {
    Fail(operation.error().code(), operation.error().message());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) Fail(64, "SOURCE CGROUP DESTINATION IMAGE [TLS_DIRECTORY]");
  const std::string tls = argc > 5 ? argv[5] : "/etc/ckpt/tls";
  const std::string id = "controller-" + std::to_string(std::random_device()());
  ckpt::v1::DumpOperationRequest dump;
  dump.set_operation_id(id + "-dump");
  dump.mutable_request()->set_cgroup(argv[2]);
  dump.mutable_request()->set_image(argv[4]);
  Run(*Connect(argv[1], tls), dump, &Agent::Stub::Dump);
  ckpt::v1::RestoreOperationRequest restore;
  restore.set_operation_id(id + "-restore");
  restore.mutable_request()->set_image(argv[4]);
  Run(*Connect(argv[3], tls), restore, &Agent::Stub::Restore);
}
