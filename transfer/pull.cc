#include "transfer/pull.h"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/on_cancel.h"
#include "base/status.h"
#include "store/manifest.h"
#include "transfer/meter.h"
#include "transfer/ranges.h"
#include "transfer/retry.h"

namespace ckpt::transfer {
namespace {

class PullImpl {
 public:
  PullImpl(Link& link, std::string image, Receiver& receiver, std::string name,
           const TransferOptions& options)
      : link_(link),
        image_(std::move(image)),
        receiver_(receiver),
        name_(std::move(name)),
        options_(options),
        meter_(options.on_progress),
        retry_(options_, stop_),
        on_cancel_(options.cancel, [this] { Stop(); }) {}

  absl::StatusOr<v1::TransferReport> Run();

 private:
  void Stop();
  absl::Status Try();
  absl::Status TryCalls(CallGroup& calls);
  // The manifest, by a call of its own: nothing can be opened here before.
  absl::StatusOr<std::string> GetManifest(CallGroup& calls);
  absl::Status Receive(const v1::ImageAnnouncement& announcement,
                       const v1::PullRequest& request, CallGroup& calls);

  Link& link_;
  const std::string image_;
  Receiver& receiver_;
  const std::string name_;
  const TransferOptions options_;
  Meter meter_;
  Cancellation stop_;
  Retry retry_;
  uint64_t arrived_bytes_ = 0;  // at the last try's begin
  v1::TransferReport report_;

  absl::Mutex mutex_;
  CallGroup* calls_ ABSL_GUARDED_BY(mutex_) = nullptr;  // of the present try
  const OnCancel on_cancel_;
};

void PullImpl::Stop() {
  stop_.Cancel();
  const absl::MutexLock lock(&mutex_);
  if (calls_ != nullptr) calls_->Cancel();
}

absl::StatusOr<v1::TransferReport> PullImpl::Run() {
  absl::Status status;
  do {
    status = Try();
  } while (!status.ok() && retry_.Again(status));
  if (!status.ok() && stop_.cancelled()) return CancelledTransfer();
  CKPT_RETURN_IF_ERROR(status);
  meter_.Finish();
  report_.set_wire_bytes(meter_.wire_bytes());
  report_.set_seconds(absl::ToDoubleSeconds(meter_.elapsed()));
  report_.set_retries(retry_.retries());
  return report_;
}

absl::Status PullImpl::Try() {
  CallGroup calls;
  {
    const absl::MutexLock lock(&mutex_);
    if (stop_.cancelled()) return CancelledTransfer();
    calls_ = &calls;
  }
  absl::Status status = TryCalls(calls);
  const absl::MutexLock lock(&mutex_);
  calls_ = nullptr;
  return status;
}

absl::StatusOr<std::string> PullImpl::GetManifest(CallGroup& calls) {
  v1::PullRequest request;
  request.set_image(image_);
  const std::shared_ptr<PullStream> stream = link_.OpenPull(request);
  calls.Add([stream] { stream->Cancel(); });
  v1::PullReply reply;
  const bool read = stream->Read(&reply);
  CKPT_RETURN_IF_ERROR(stream->Finish());
  if (read) return reply.manifest();
  return absl::UnavailableError("the sender hung up");
}

absl::Status PullImpl::TryCalls(CallGroup& calls) {
  CKPT_ASSIGN_OR_RETURN(const std::string bytes, GetManifest(calls));
  CKPT_ASSIGN_OR_RETURN(const v1::Manifest manifest, DecodeManifest(bytes));
  v1::ImageAnnouncement announcement = AnnouncementOf(manifest, name_);
  report_.set_image_id(manifest.image_id());
  report_.set_image_bytes(announcement.bytes_total());
  meter_.SetTotal(announcement.bytes_total());
  // Open from here to the commit: what has arrived belongs to it.
  CKPT_ASSIGN_OR_RETURN(const std::unique_ptr<Arrival> arrival,
                        receiver_.Open(announcement));
  if (arrival->state().committed()) {
    report_.set_image(name_);
    report_.set_was_there(true);
    return absl::OkStatus();
  }
  CKPT_ASSIGN_OR_RETURN(const FileRangeSets arrived,
                        FromProto(arrival->state().arrived()));
  uint64_t there = 0;
  for (const auto& [file, set] : arrived) there += set.total();
  if (there > arrived_bytes_) retry_.NoteProgress();
  if (report_.resumed_bytes() == 0) report_.set_resumed_bytes(there);
  arrived_bytes_ = there;
  meter_.Restart(there);

  announcement.set_further_stream(true);
  v1::PullRequest request;
  request.set_image(image_);
  request.set_streams(static_cast<uint32_t>(StreamsOf(options_)));
  ToProto(arrived, request.mutable_arrived());
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < request.streams(); ++i) {
    request.set_stream(i);
    threads.emplace_back([this, announcement, request, &calls] {
      calls.Fail(Receive(announcement, request, calls));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CKPT_RETURN_IF_ERROR(calls.status());
  if (stop_.cancelled()) return CancelledTransfer();
  CKPT_ASSIGN_OR_RETURN(const v1::ArrivalResult result, arrival->Commit(bytes));
  report_.set_image(result.image());
  return absl::OkStatus();
}

absl::Status PullImpl::Receive(const v1::ImageAnnouncement& announcement,
                               const v1::PullRequest& request,
                               CallGroup& calls) {
  CKPT_ASSIGN_OR_RETURN(const std::unique_ptr<Arrival> arrival,
                        receiver_.Open(announcement));
  const std::shared_ptr<PullStream> stream = link_.OpenPull(request);
  calls.Add([stream] { stream->Cancel(); });
  v1::PullReply reply;
  if (!stream->Read(&reply)) return stream->Finish();
  CKPT_ASSIGN_OR_RETURN(const v1::Manifest manifest,
                        DecodeManifest(reply.manifest()));
  if (manifest.manifest_sha256() != announcement.manifest_sha256()) {
    return absl::AbortedError(absl::StrCat(
        "image ", image_, " was replaced by another one meanwhile"));
  }
  while (stream->Read(&reply)) {
    const uint64_t wire = reply.chunk().data().size();
    CKPT_RETURN_IF_ERROR(arrival->Add(reply.chunk()));
    meter_.Add({.done = reply.chunk().length(), .wire = wire});
  }
  CKPT_RETURN_IF_ERROR(arrival->Flush());
  return stream->Finish();
}

}  // namespace

absl::StatusOr<v1::TransferReport> Pull(Link& link, const std::string& image,
                                        Receiver& receiver,
                                        const std::string& name,
                                        const TransferOptions& options) {
  return PullImpl(link, image, receiver, name, options).Run();
}

}  // namespace ckpt::transfer
