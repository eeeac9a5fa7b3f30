// The receiving side of a pull, whatever the other node answers.
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/fuzz/inputs.pb.h"
#include "tests/fuzz/seal.h"
#include "tests/fuzz/target.h"
#include "transfer/link.h"
#include "transfer/pull.h"
#include "transfer/receiver.h"

namespace ckpt::fuzz {
namespace {

constexpr int kMaxReplies = 40;

// Answers as the input has it; the streams may be read by several threads.
class ScriptedStream : public transfer::PullStream {
 public:
  ScriptedStream(PullScript script, std::string manifest)
      : script_(std::move(script)), manifest_(std::move(manifest)) {}

  bool Read(v1::PullReply* reply) override {
    if (!manifest_.empty()) {
      reply->set_manifest(std::exchange(manifest_, std::string()));
      return true;
    }
    if (next_ == script_.replies_size() || next_ == kMaxReplies) return false;
    *reply = script_.replies(next_++);
    if (reply->has_chunk()) Shrink(*reply->mutable_chunk());
    return true;
  }
  absl::Status Finish() override {
    return absl::Status(static_cast<absl::StatusCode>(script_.end_code() % 17),
                        "the script's end");
  }
  void Cancel() override {}

 private:
  const PullScript script_;
  std::string manifest_;
  int next_ = 0;
};

class ScriptedLink : public transfer::Link {
 public:
  explicit ScriptedLink(PullInput input) : input_(std::move(input)) {
    for (PullScript& stream : *input_.mutable_streams()) {
      for (v1::PullReply& reply : *stream.mutable_replies()) {
        if (input_.seal() && reply.has_chunk()) {
          SealChunk(*reply.mutable_chunk());
        }
      }
    }
    if (input_.has_manifest()) {
      manifest_ = SealedManifest(input_.manifest(), input_.seal(), "/none");
    }
  }

  std::unique_ptr<transfer::PushStream> OpenPush() override { return nullptr; }
  std::unique_ptr<transfer::PullStream> OpenPull(
      const v1::PullRequest& request) override {
    // The first is asked for the manifest alone.
    if (request.streams() == 0) {
      return std::make_unique<ScriptedStream>(PullScript(), manifest_);
    }
    PullScript script;
    if (opened_ < input_.streams_size()) script = input_.streams(opened_++);
    return std::make_unique<ScriptedStream>(std::move(script), manifest_);
  }

 private:
  PullInput input_;
  std::string manifest_;
  int opened_ = 0;
};

void Run(absl::string_view text) {
  const Scratch scratch;
  const ImageStore store(scratch.path() + "/store");
  ScriptedLink link(ParseInput<PullInput>(text));
  transfer::Receiver receiver(store);
  // Twice: what has arrived is gone on with.
  for (int i = 0; i < 2; ++i) {
    const auto report = transfer::Pull(
        link, "job", receiver, "job",
        {.streams = 1, .attempts = 2, .first_pause = absl::ZeroDuration()});
    Require(!report.ok() || store.Open("job").ok(),
            "an image that has come is there");
    scratch.RequireCleanStore();
  }
}

}  // namespace

Target PullTarget() {
  return {.name = "pull",
          .run = &Run,
          .input = &PullInput::default_instance(),
          .words = ImageWords()};
}

}  // namespace ckpt::fuzz
