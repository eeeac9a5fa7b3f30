// What grpcurl does, which knows no .proto file: asks for the services and
// their files, and calls a method by messages made of the answers.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/descriptor_database.h"
#include "google/protobuf/dynamic_message.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "tests/agent/agent_fixture.h"
#include "tests/agent/reflection.pb.h"

namespace ckpt {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::DynamicMessageFactory;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::SimpleDescriptorDatabase;

grpc::ByteBuffer ToBuffer(const Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

bool FromBuffer(const grpc::ByteBuffer& buffer, Message& message) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return false;
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return message.ParseFromString(bytes);
}

class ReflectionTest : public AgentTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartAgent());
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateChannel(node(), grpc::InsecureChannelCredentials()));
  }
  ~ReflectionTest() override { queue_.Shutdown(); }

  bool Await() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  // One question to the reflection service.
  void Reflect(const tests::ReflectionRequest& request,
               tests::ReflectionResponse& response) {
    grpc::ClientContext context;
    const auto call = stub_->PrepareCall(
        &context,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        &queue_);
    call->StartCall(nullptr);
    ASSERT_TRUE(Await());
    call->Write(ToBuffer(request), nullptr);
    ASSERT_TRUE(Await());
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    ASSERT_TRUE(Await());
    call->WritesDone(nullptr);
    ASSERT_TRUE(Await());
    grpc::Status status;
    call->Finish(&status, nullptr);
    ASSERT_TRUE(Await());
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_TRUE(FromBuffer(answer, response));
  }

  grpc::Status Call(const MethodDescriptor& method, const Message& request,
                    Message& response) {
    grpc::ClientContext context;
    const auto call = stub_->PrepareUnaryCall(
        &context,
        absl::StrCat("/", method.service()->full_name(), "/", method.name()),
        ToBuffer(request), &queue_);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    EXPECT_TRUE(Await());
    EXPECT_TRUE(!status.ok() || FromBuffer(answer, response));
    return status;
  }

  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

TEST_F(ReflectionTest, ServicesAreTold) {
  tests::ReflectionRequest request;
  request.set_list_services("");
  tests::ReflectionResponse response;
  ASSERT_NO_FATAL_FAILURE(Reflect(request, response));
  const std::string text = response.services().DebugString();
  EXPECT_TRUE(absl::StrContains(text, "\"ckpt.v1.Agent\"")) << text;
  EXPECT_TRUE(absl::StrContains(text, "\"grpc.health.v1.Health\"")) << text;
}

TEST_F(ReflectionTest, MethodIsCalledByWhatIsTold) {
  ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  tests::ReflectionRequest asked;
  asked.set_file_containing_symbol("ckpt.v1.Agent");
  tests::ReflectionResponse told;
  ASSERT_NO_FATAL_FAILURE(Reflect(asked, told));
  SimpleDescriptorDatabase files;
  for (const std::string& bytes : told.files().file()) {
    FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(bytes));
    files.Add(file);
  }
  DescriptorPool pool(&files);
  const MethodDescriptor* const method =
      pool.FindMethodByName("ckpt.v1.Agent.Status");
  ASSERT_NE(method, nullptr);

  DynamicMessageFactory factory(&pool);
  const std::unique_ptr<Message> request(
      factory.GetPrototype(method->input_type())->New());
  const FieldDescriptor* const cgroups =
      method->input_type()->FindFieldByName("cgroups");
  ASSERT_NE(cgroups, nullptr);
  request->GetReflection()->AddString(request.get(), cgroups, group_->path());
  const std::unique_ptr<Message> response(
      factory.GetPrototype(method->output_type())->New());
  const grpc::Status status = Call(*method, *request, *response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  const std::string text = response->DebugString();
  EXPECT_TRUE(absl::StrContains(text, "FREEZER_STATE_THAWED")) << text;
}

}  // namespace
}  // namespace ckpt
