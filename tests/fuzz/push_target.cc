// The chunk stream of PushImage: whatever comes in, nothing is written but into
// the partial image's directory, within its bounds, and an image that is taken
// is whole.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "store/image_store.h"
#include "store/layout.h"
#include "tests/fuzz/inputs.pb.h"
#include "tests/fuzz/seal.h"
#include "tests/fuzz/target.h"
#include "transfer/push_session.h"
#include "transfer/receiver.h"

namespace ckpt::fuzz {
namespace {

constexpr int kMaxSteps = 40;
constexpr uint32_t kStreams = 3;

// A receiver, and streams into it.
class Node {
 public:
  Node() : store_(scratch_.path() + "/store") { Restart(); }

  void Do(const PushStep& step) {
    if (step.end_process()) return Restart();
    auto& session = sessions_[step.stream() % kStreams];
    if (step.end_stream()) {
      if (session != nullptr) session->End().IgnoreError();
      session = nullptr;
      return;
    }
    if (session == nullptr) {
      session = std::make_unique<transfer::PushSession>(
          *receiver_, [](const std::string&, const std::string&) {
            return absl::OkStatus();
          });
    }
    const v1::PushRequest request = RequestOf(step);
    if (request.has_begin()) image_ = request.begin().image();
    const auto reply = session->Take(request);
    if (!reply.ok()) session = nullptr;  // the call is over
  }

  void RequireClean() const { scratch_.RequireCleanStore(); }

 private:
  void Restart() {
    for (auto& session : sessions_) session = nullptr;
    receiver_ = std::make_unique<transfer::Receiver>(store_);
  }

  v1::PushRequest RequestOf(const PushStep& step) const {
    v1::PushRequest request = step.request();
    if (step.has_manifest()) {
      request.mutable_commit()->set_manifest(SealedManifest(
          step.manifest(), step.seal(),
          absl::StrCat(store_.directory(), "/", kArrivingPrefix, image_)));
    } else if (step.seal() && request.has_chunk()) {
      SealChunk(*request.mutable_chunk());
    }
    if (request.has_chunk()) Shrink(*request.mutable_chunk());
    return request;
  }

  const Scratch scratch_;
  const ImageStore store_;
  std::string image_;  // that was announced last
  std::unique_ptr<transfer::Receiver> receiver_;
  std::unique_ptr<transfer::PushSession> sessions_[kStreams];
};

void Run(absl::string_view text) {
  const auto input = ParseInput<PushInput>(text);
  Node node;
  for (int i = 0; i < input.steps_size() && i < kMaxSteps; ++i) {
    node.Do(input.steps(i));
  }
  node.RequireClean();
}

}  // namespace

Target PushTarget() {
  return {.name = "push",
          .run = &Run,
          .input = &PushInput::default_instance(),
          .words = ImageWords()};
}

}  // namespace ckpt::fuzz
