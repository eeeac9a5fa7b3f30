// The node itself: the agent's work as freezer/, checkpoint/, restore/ and
// store/ do it.
#ifndef CKPT_AGENT_REAL_WORK_H_
#define CKPT_AGENT_REAL_WORK_H_

#include <string>
#include <utility>

#include "agent/work.h"
#include "store/image_store.h"

namespace ckpt::agent {

// Thread-safe.
class RealGroupWork : public GroupWork {
 public:
  absl::StatusOr<GroupPlace> Find(const std::string& name,
                                  v1::Hierarchy hierarchy) override;
  absl::StatusOr<v1::FreezeResponse> Freeze(
      const v1::FreezeRequest& request, const Cancellation& cancel) override;
  absl::StatusOr<v1::FreezeResponse> Thaw(const v1::ThawRequest& request,
                                          const Cancellation& cancel) override;
  absl::StatusOr<v1::KillResponse> Kill(const v1::KillRequest& request,
                                        const Cancellation& cancel) override;
  absl::StatusOr<v1::StatusResponse> Status(
      const v1::StatusRequest& request) override;
  absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
      const v1::VerifyFreezeRequest& request) override;
  absl::StatusOr<v1::RecoverReport> Recover(
      const v1::RecoverRequest& request) override;
  absl::Status Watch(
      const v1::WatchRequest& request, const Cancellation& cancel,
      const std::function<absl::Status(const v1::WatchEvent&)>& emit) override;
};

// Thread-safe.
class RealJobWork : public JobWork {
 public:
  // `criu` as --criu has it; "": where it is looked for by itself.
  RealJobWork(ImageStore store, std::string criu)
      : store_(std::move(store)), criu_(std::move(criu)) {}

  absl::StatusOr<GroupPlace> Find(const std::string& name,
                                  v1::Hierarchy hierarchy) override;
  absl::StatusOr<GroupPlace> PlaceFor(const std::string& name,
                                      v1::Hierarchy hierarchy) override;
  absl::StatusOr<GroupPlace> PlaceOf(const std::string& directory) override;
  absl::StatusOr<v1::ManifestJob> JobOf(const std::string& image) override;
  absl::StatusOr<ImageOrigin> OriginOf(const std::string& image) override;
  absl::StatusOr<v1::CheckReport> Check(const v1::CheckRequest& request,
                                        const Cancellation& cancel) override;
  absl::StatusOr<v1::ImageListReport> List() override;
  absl::StatusOr<v1::ImageReport> Get(const std::string& image) override;
  absl::StatusOr<v1::VerifyReport> Verify(const std::string& image,
                                          const Cancellation& cancel) override;
  absl::StatusOr<v1::RemoveReport> Remove(const std::string& image) override;
  absl::StatusOr<v1::PinReport> Pin(const std::string& image,
                                    bool pinned) override;
  absl::Status Dump(const v1::DumpRequest& request,
                    const Operations::Running& running) override;
  absl::Status Restore(const v1::RestoreRequest& request,
                       const Operations::Running& running) override;

 private:
  const ImageStore store_;
  const std::string criu_;
};

// What a killed agent has left of an operation: "the image is whole, and the
// job has ended".  Waits until its guardian has given the group back.
std::string ExplainLeftover(const v1::Operation& operation,
                            const ImageStore& store);

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_REAL_WORK_H_
