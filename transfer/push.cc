#include "transfer/push.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/on_cancel.h"
#include "base/status.h"
#include "store/manifest.h"
#include "transfer/chunk_source.h"
#include "transfer/feed.h"
#include "transfer/meter.h"
#include "transfer/pull_session.h"
#include "transfer/ranges.h"
#include "transfer/retry.h"

namespace ckpt::transfer {
namespace {

// A call that has nothing to carry says so, as the receiver cuts off those that
// are silent for ten minutes (agent/transfer_reactors.cc).
constexpr absl::Duration kAliveInterval = absl::Minutes(1);

// How many threads have not ended yet.  Thread-safe.
class Countdown {
 public:
  explicit Countdown(size_t count) : count_(count) {}
  void Down() {
    const absl::MutexLock lock(&mutex_);
    --count_;
  }
  // Until it is zero; false: not within the limit.
  bool Await(absl::Duration limit) {
    const absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(
        absl::Condition(
            +[](size_t* count) { return *count == 0; }, &count_),
        limit);
  }

 private:
  absl::Mutex mutex_;
  size_t count_ ABSL_GUARDED_BY(mutex_);
};

// Adds a stream to those of a try.
void Keep(std::unique_ptr<PushStream> stream, CallGroup& calls,
          std::vector<std::unique_ptr<PushStream>>& streams) {
  streams.push_back(std::move(stream));
  calls.Add([kept = streams.back().get()] { kept->Cancel(); });
}

class PushImpl : public Push {
 public:
  PushImpl(Link& link, v1::ImageAnnouncement announcement, int dir_fd,
           const TransferOptions& options)
      : link_(link),
        announcement_(std::move(announcement)),
        dir_fd_(dir_fd),
        options_(options),
        feed_(dir_fd),
        meter_(options.on_progress),
        retry_(options_, stop_),
        on_cancel_(options.cancel, [this] { Stop(); }),
        thread_([this] { Run(); }) {}

  ~PushImpl() override {
    Stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status status() const override;
  absl::StatusOr<v1::TransferReport> Finish() override;
  absl::Status Discard() override;

 private:
  void Stop();
  void Run();
  // Sends all that has not arrived, and commits.
  absl::Status Try();
  absl::Status TryCalls(CallGroup& calls,
                        std::vector<std::unique_ptr<PushStream>>& streams);
  // Opens a call and announces the image there.
  absl::StatusOr<v1::ArrivalState> Announce(PushStream& stream, bool further);
  // Opens the further streams: to the data port if there is one and it serves;
  // whether it does.  Only those to it are announced already.
  bool OpenFurther(uint16_t data_port, CallGroup& calls,
                   std::vector<std::unique_ptr<PushStream>>& streams);
  absl::Status OpenData(uint16_t data_port, CallGroup& calls,
                        std::vector<std::unique_ptr<PushStream>>& streams);
  absl::Status SendChunks(PushStream& stream);
  // Says now and then that the call is there, until all `sending` have ended.
  absl::Status KeepAlive(PushStream& stream, Countdown& sending);
  absl::Status Commit(PushStream& stream);
  // Why a call that has ended did.
  absl::Status EndOf(PushStream& stream) const;

  Link& link_;
  const v1::ImageAnnouncement announcement_;
  const int dir_fd_;
  const TransferOptions options_;
  Feed feed_;
  Meter meter_;
  Cancellation stop_;
  Retry retry_;                 // of thread_
  uint64_t arrived_bytes_ = 0;  // at the last try's begin; of thread_
  // Of the present try, but not to be used; of thread_.
  std::vector<std::unique_ptr<PushStream>> unused_;
  bool commit_sent_ = false;   // ever; of thread_
  v1::TransferReport report_;  // of thread_

  mutable absl::Mutex mutex_;
  CallGroup* calls_ ABSL_GUARDED_BY(mutex_) = nullptr;  // of the present try
  std::string manifest_ ABSL_GUARDED_BY(mutex_);  // once the image is whole
  absl::Status result_ ABSL_GUARDED_BY(mutex_);

  const OnCancel on_cancel_;
  std::thread thread_;
};

void PushImpl::Stop() {
  stop_.Cancel();
  feed_.Interrupt();
  const absl::MutexLock lock(&mutex_);
  if (calls_ != nullptr) calls_->Cancel();
}

void PushImpl::Run() {
  absl::Status status;
  do {
    status = Try();
  } while (!status.ok() && retry_.Again(status));
  const absl::MutexLock lock(&mutex_);
  if (stop_.cancelled() && !status.ok()) {
    status = commit_sent_ ? absl::CancelledError(absl::StrCat(
                                "the transfer was cancelled when all of image ",
                                announcement_.image(),
                                " had been sent: it may be whole there; the "
                                "same command tells"))
                          : CancelledTransfer();
  }
  result_ = status;
}

absl::Status PushImpl::Try() {
  CallGroup calls;
  {
    const absl::MutexLock lock(&mutex_);
    if (stop_.cancelled()) return CancelledTransfer();
    calls_ = &calls;
    unused_.clear();
  }
  // They outlive all that may cancel them, whichever way the try ends.
  std::vector<std::unique_ptr<PushStream>> streams;
  absl::Status status = TryCalls(calls, streams);
  const absl::MutexLock lock(&mutex_);
  calls_ = nullptr;
  return status;
}

absl::Status PushImpl::TryCalls(
    CallGroup& calls, std::vector<std::unique_ptr<PushStream>>& streams) {
  Keep(link_.OpenPush(), calls, streams);
  // Nobody waits for the feed any more once one has failed.
  calls.Add([this] { feed_.Interrupt(); });
  // The first is there from begin to commit: what has arrived belongs to it.
  const absl::StatusOr<v1::ArrivalState> state =
      Announce(*streams[0], /*further=*/false);
  CKPT_RETURN_IF_ERROR(state.status());
  if (state->committed()) {
    report_.set_was_there(true);
    return streams[0]->Finish();
  }
  CKPT_ASSIGN_OR_RETURN(FileRangeSets arrived, FromProto(state->arrived()));
  uint64_t bytes = 0;
  for (const auto& [name, set] : arrived) bytes += set.total();
  if (bytes > arrived_bytes_) retry_.NoteProgress();
  if (report_.resumed_bytes() == 0) report_.set_resumed_bytes(bytes);
  arrived_bytes_ = bytes;
  meter_.Restart(bytes);
  feed_.Restart(std::move(arrived));
  if (stop_.cancelled()) feed_.Interrupt();

  const bool by_data_port =
      OpenFurther(static_cast<uint16_t>(state->data_port()), calls, streams);
  Countdown sending(streams.size() - 1);
  std::vector<std::thread> threads;
  for (size_t i = 1; i < streams.size(); ++i) {
    threads.emplace_back(
        [this, by_data_port, &calls, &sending, stream = streams[i].get()] {
          absl::Status status;
          if (!by_data_port) {
            status = Announce(*stream, /*further=*/true).status();
          }
          if (status.ok()) status = SendChunks(*stream);
          if (status.ok()) status = stream->Finish();
          calls.Fail(status);
          sending.Down();
        });
  }
  calls.Fail(by_data_port ? KeepAlive(*streams[0], sending)
                          : SendChunks(*streams[0]));
  for (std::thread& thread : threads) thread.join();
  CKPT_RETURN_IF_ERROR(calls.status());
  if (stop_.cancelled()) return CancelledTransfer();
  absl::Status committed = Commit(*streams[0]);
  calls.Clear();
  return committed;
}

bool PushImpl::OpenFurther(uint16_t data_port, CallGroup& calls,
                           std::vector<std::unique_ptr<PushStream>>& streams) {
  const auto count = static_cast<size_t>(StreamsOf(options_));
  while (data_port != 0 && report_.data_port_problem().empty()) {
    const absl::Status opened = OpenData(data_port, calls, streams);
    if (!opened.ok()) {
      report_.set_data_port_problem(std::string(opened.message()));
      break;
    }
    if (streams.size() > count) return true;
  }
  if (streams.size() > 1) return true;
  while (streams.size() < count) Keep(link_.OpenPush(), calls, streams);
  return false;
}

absl::Status PushImpl::OpenData(
    uint16_t data_port, CallGroup& calls,
    std::vector<std::unique_ptr<PushStream>>& streams) {
  CKPT_ASSIGN_OR_RETURN(auto stream, link_.OpenData(data_port));
  Keep(std::move(stream), calls, streams);
  // Before anything relies on it: what listens there may be anything.
  absl::Status announced = Announce(*streams.back(), /*further=*/true).status();
  if (announced.ok()) return announced;
  unused_.push_back(std::move(streams.back()));
  streams.pop_back();
  return announced;
}

absl::Status PushImpl::KeepAlive(PushStream& stream, Countdown& sending) {
  v1::PushRequest request;
  request.set_alive(true);
  while (!sending.Await(kAliveInterval)) {
    if (!stream.Write(request)) return EndOf(stream);
  }
  return absl::OkStatus();
}

absl::Status PushImpl::EndOf(PushStream& stream) const {
  absl::Status status = stream.Finish();
  return status.ok() ? absl::UnavailableError("the receiver hung up") : status;
}

absl::StatusOr<v1::ArrivalState> PushImpl::Announce(PushStream& stream,
                                                    bool further) {
  v1::PushRequest request;
  *request.mutable_begin() = announcement_;
  request.mutable_begin()->set_further_stream(further);
  v1::PushReply reply;
  if (!stream.Write(std::move(request)) || !stream.Read(&reply))
    return EndOf(stream);
  return reply.state();
}

absl::Status PushImpl::SendChunks(PushStream& stream) {
  Clock& clock = Clock::Real();
  ChunkSource source(feed_, dir_fd_);
  while (true) {
    v1::PushRequest request;
    CKPT_ASSIGN_OR_RETURN(const bool more,
                          source.Next(request.mutable_chunk()));
    const uint64_t done = source.TakeDone();
    if (!more) {
      meter_.Add({.done = done, .wire = 0});
      return absl::OkStatus();
    }
    const uint64_t wire = request.chunk().data().size();
    const absl::Time start = clock.Now();
    if (!stream.Write(std::move(request))) return EndOf(stream);
    source.Sent(clock.Now() - start);
    meter_.Add({.done = done, .wire = wire});
  }
}

absl::Status PushImpl::Commit(PushStream& stream) {
  v1::PushRequest request;
  {
    const absl::MutexLock lock(&mutex_);
    request.mutable_commit()->set_manifest(manifest_);
  }
  v1::PushReply reply;
  commit_sent_ = true;
  if (!stream.Write(std::move(request)) || !stream.Read(&reply))
    return EndOf(stream);
  CKPT_RETURN_IF_ERROR(stream.Finish());
  report_.set_image(reply.result().image());
  report_.set_image_id(reply.result().image_id());
  report_.set_image_bytes(reply.result().image_bytes());
  return absl::OkStatus();
}

absl::Status PushImpl::status() const {
  const absl::MutexLock lock(&mutex_);
  return result_;
}

absl::StatusOr<v1::TransferReport> PushImpl::Finish() {
  absl::StatusOr<std::string> bytes = ReadManifestFile(dir_fd_);
  absl::StatusOr<v1::Manifest> manifest =
      bytes.ok() ? DecodeManifest(*bytes) : bytes.status();
  if (!manifest.ok()) {
    Stop();
    thread_.join();
    return manifest.status();
  }
  {
    const absl::MutexLock lock(&mutex_);
    manifest_ = *std::move(bytes);
  }
  meter_.SetTotal(TotalBytes(*manifest));
  feed_.Complete(*manifest);
  thread_.join();
  CKPT_RETURN_IF_ERROR(status());
  meter_.Finish();
  if (report_.was_there()) {
    report_.set_image(announcement_.image());
    report_.set_image_id(manifest->image_id());
    report_.set_image_bytes(TotalBytes(*manifest));
  }
  report_.set_wire_bytes(meter_.wire_bytes());
  report_.set_seconds(absl::ToDoubleSeconds(meter_.elapsed()));
  report_.set_retries(retry_.retries());
  return report_;
}

absl::Status PushImpl::Discard() {
  Stop();
  if (thread_.joinable()) thread_.join();
  const std::unique_ptr<PushStream> stream = link_.OpenPush();
  CKPT_RETURN_IF_ERROR(Announce(*stream, /*further=*/true).status());
  v1::PushRequest request;
  request.set_discard(true);
  if (!stream->Write(std::move(request))) return EndOf(*stream);
  return stream->Finish();
}

}  // namespace

uint64_t TotalBytes(const v1::Manifest& manifest) {
  uint64_t total = 0;
  for (const v1::ManifestFile& file : manifest.files()) {
    total += file.size_bytes();
  }
  return total;
}

v1::ImageAnnouncement AnnouncementOf(const v1::Manifest& manifest,
                                     const std::string& name) {
  v1::ImageAnnouncement announcement;
  announcement.set_image(name);
  announcement.set_transfer_id(
      absl::BytesToHexString(manifest.manifest_sha256()));
  announcement.set_cgroup(manifest.job().cgroup());
  announcement.set_manifest_sha256(manifest.manifest_sha256());
  announcement.set_bytes_total(TotalBytes(manifest));
  return announcement;
}

std::unique_ptr<Push> Push::Begin(Link& link,
                                  v1::ImageAnnouncement announcement,
                                  int dir_fd, const TransferOptions& options) {
  return std::make_unique<PushImpl>(link, std::move(announcement), dir_fd,
                                    options);
}

}  // namespace ckpt::transfer
