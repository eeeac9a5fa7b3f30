// What gRPC itself takes for the bytes of an image, for transfer_speed.py:
//
//   grpc_stream receive TLS_DIR              prints its port; ends with its
//   input grpc_stream send TLS_DIR PORT FILE N     by N streams
//
// The sender is that of ckpt push (rpc/image_link.h), the receiver has the
// channel arguments of ckptd; but the file is only read, and what arrives is
// dropped: no digests, no files, no record.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "proto/agent.grpc.pb.h"
#include "rpc/image_link.h"
#include "rpc/tls_files.h"
#include "transfer/chunk.h"

namespace ckpt {
namespace {

class Drop : public grpc::ServerBidiReactor<v1::PushRequest, v1::PushReply> {
 public:
  Drop() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::OK);
    }
  }
  void OnDone() override { delete this; }

 private:
  v1::PushRequest request_;
};

class Receiver : public v1::Agent::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::PushRequest, v1::PushReply>* PushImage(
      grpc::CallbackServerContext* /*context*/) override {
    return new Drop;  // deletes itself
  }
};

absl::Status Receive(const std::string& tls) {
  CKPT_ASSIGN_OR_RETURN(const rpc::TlsIdentity identity,
                        rpc::LoadTls(rpc::TlsFiles::In(tls)));
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = identity.ca;
  options.pem_key_cert_pairs = {
      {.private_key = identity.key, .cert_chain = identity.cert}};
  Receiver receiver;
  grpc::ServerBuilder builder;
  // As agent/grpc_server.cc has them.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 2 << 20);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options),
                           &port);
  builder.RegisterService(&receiver);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return absl::UnavailableError("cannot listen");
  std::printf("%d\n", port);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return absl::OkStatus();
}

absl::Status SendPart(transfer::PushStream& stream, int fd, uint64_t begin,
                      uint64_t end) {
  while (begin < end) {
    v1::PushRequest request;
    std::string& data = *request.mutable_chunk()->mutable_data();
    data.resize(std::min<uint64_t>(transfer::kChunkBytes, end - begin));
    const ssize_t count =
        ::pread(fd, data.data(), data.size(), static_cast<off_t>(begin));
    if (count <= 0) return absl::DataLossError("the file cannot be read");
    data.resize(static_cast<size_t>(count));
    begin += static_cast<uint64_t>(count);
    if (!stream.Write(std::move(request))) break;
  }
  return stream.Finish();
}

absl::Status Send(const std::string& tls, const std::string& port,
                  const std::string& path, uint64_t streams) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat about = {};
  if (!fd.ok() || ::fstat(fd.get(), &about) != 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  const auto size = static_cast<uint64_t>(about.st_size);
  const auto link =
      rpc::MakeImageLink({.node = absl::StrCat("127.0.0.1:", port),
                          .tls = rpc::TlsFiles::In(tls)});
  std::vector<absl::Status> ended(streams);
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < streams; ++i) {
    threads.emplace_back([&, i] {
      ended[i] = SendPart(*link->OpenPush(), fd.get(), size * i / streams,
                          size * (i + 1) / streams);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : ended) CKPT_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

absl::Status Main(const std::vector<std::string>& words) {
  uint64_t streams = 0;
  if (words.size() == 3 && words[1] == "receive") return Receive(words[2]);
  if (words.size() == 6 && words[1] == "send" &&
      absl::SimpleAtoi(words[5], &streams)) {
    return Send(words[2], words[3], words[4], streams);
  }
  return absl::InvalidArgumentError(
      "usage: receive TLS_DIR | send TLS_DIR PORT FILE STREAMS");
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  const absl::Status status = ckpt::Main({argv, argv + argc});
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "grpc_stream: %s\n", status.ToString().c_str());
  return EXIT_FAILURE;
}
