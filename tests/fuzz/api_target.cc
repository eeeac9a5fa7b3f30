// Every call of the API, with any request, by gRPC as from another process: the
// agent goes on, and does nothing that its caller may not do.
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "proto/agent.pb.h"
#include "proto/peer.pb.h"
#include "tests/fuzz/fake_node.h"
#include "tests/fuzz/inputs.pb.h"
#include "tests/fuzz/seal.h"
#include "tests/fuzz/target.h"

namespace ckpt::fuzz {
namespace {

using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

constexpr int kMaxCalls = 8;
constexpr int kMaxRequests = 8;
// A stream that goes on and on is left then.
constexpr int kMaxAnswers = 4;

std::vector<const ServiceDescriptor*> Services() {
  return {v1::ImageRequest::descriptor()->file()->service(0),
          v1::PeerPrepare::descriptor()->file()->service(0)};
}

std::string PathOf(const MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

std::vector<const MethodDescriptor*> Methods() {
  std::vector<const MethodDescriptor*> methods;
  for (const ServiceDescriptor* const service : Services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      methods.push_back(service->method(i));
    }
  }
  return methods;
}

agent::Caller CallerOf(uint32_t number) {
  agent::Caller caller;
  if (number % 3 == 0) caller.uid = 0;
  if (number % 3 == 1) caller.uid = 7;
  if (number % 3 == 2) caller.uid = 1234;
  return caller;
}

grpc::ByteBuffer Buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// A call by its wire format: requests are bytes, and so are answers.
class WireCall {
 public:
  WireCall(grpc::GenericStub& stub, const std::string& method)
      : call_(stub.PrepareCall(&context_, method, &queue_)) {
    call_->StartCall(Tag(kStart));
    Await(kStart);
    Read();
  }

  void Send(const std::vector<std::string>& requests) {
    for (const std::string& request : requests) {
      call_->Write(Buffer(request), Tag(kWrite));
      if (!Await(kWrite)) return;
    }
    call_->WritesDone(Tag(kWrite));
    Await(kWrite);
  }

  // Takes what is answered, and waits for the end.
  void Finish() {
    while (reading_) Await(kRead);
    call_->Finish(&status_, Tag(kFinish));
    Await(kFinish);
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

 private:
  enum Event : intptr_t { kStart = 1, kWrite, kRead, kFinish };
  static void* Tag(Event event) { return reinterpret_cast<void*>(event); }

  void Read() {
    reading_ = true;
    call_->Read(&answer_, Tag(kRead));
  }

  // Whether it went well; reads on meanwhile.
  bool Await(Event event) {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      if (tag == Tag(kRead)) {
        reading_ = false;
        if (ok && ++answers_ == kMaxAnswers) context_.TryCancel();
        if (ok) Read();
      }
      if (tag == Tag(event)) return ok;
    }
    return false;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool reading_ = false;
  int answers_ = 0;
};

std::vector<std::string> RequestsOf(const ApiCall& call) {
  std::vector<std::string> requests;
  for (const auto& request : call.requests()) {
    if (requests.size() == kMaxRequests) break;
    v1::PushRequest push;
    if (request.UnpackTo(&push) && push.has_chunk()) {
      Shrink(*push.mutable_chunk());
      requests.push_back(push.SerializePartialAsString());
      continue;
    }
    requests.push_back(request.value());
  }
  if (!call.raw().empty()) requests.push_back(call.raw());
  return requests;
}

// gRPC's own client does not send others.
bool IsPath(absl::string_view method) {
  return absl::StartsWith(method, "/") &&
         absl::c_all_of(method, [](char c) { return absl::ascii_isgraph(c); });
}

void Run(absl::string_view text) {
  const auto input = ParseInput<ApiInput>(text);
  FakeNode node(CallerOf(input.caller()));
  {
    grpc::GenericStub stub(
        grpc::CreateInsecureChannelFromFd("fuzz", node.Connect().Release()));
    for (int i = 0; i < input.calls_size() && i < kMaxCalls; ++i) {
      const ApiCall& call = input.calls(i);
      if (!IsPath(call.method())) continue;
      if (absl::EndsWith(call.method(), "/PullImage")) node.MakeImage();
      WireCall wire(stub, call.method());
      wire.Send(RequestsOf(call));
      wire.Finish();
      node.Settle();
    }
  }
  node.RequireClean();
}

const google::protobuf::Message* RequestType(
    const google::protobuf::Message& parent) {
  const std::string& wanted = static_cast<const ApiCall&>(parent).method();
  for (const MethodDescriptor* const method : Methods()) {
    if (PathOf(*method) != wanted) continue;
    return google::protobuf::MessageFactory::generated_factory()->GetPrototype(
        method->input_type());
  }
  return nullptr;
}

}  // namespace

Target ApiTarget() {
  std::vector<std::string> words = ImageWords();
  words.insert(words.end(),
               {"mine", "secret", "damaged", "op", "/jobs", "/cg", "/cg/jobs/a",
                "/other", "/cg/other", "unix:/x", "there:7070", "g"});
  for (const MethodDescriptor* const method : Methods()) {
    words.push_back(PathOf(*method));
  }
  return {.name = "api",
          .run = &Run,
          .input = &ApiInput::default_instance(),
          .words = std::move(words),
          .type_of_any = &RequestType};
}

}  // namespace ckpt::fuzz
