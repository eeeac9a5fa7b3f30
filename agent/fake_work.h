// A node of the tests' own: groups and images that are names, and requests that
// are kept.
#ifndef CKPT_AGENT_FAKE_WORK_H_
#define CKPT_AGENT_FAKE_WORK_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/work.h"
#include "base/status.h"

namespace ckpt::agent {

// Groups by their paths ("/jobs/a"), in the hierarchy "/cg".
class FakeGroups {
 public:
  void Add(const std::string& path) { paths_.insert(path); }
  void Remove(const std::string& path) { paths_.erase(path); }

  absl::StatusOr<GroupPlace> Find(const std::string& name) const {
    const GroupPlace place = PlaceFor(name);
    if (paths_.count(place.path) > 0) return place;
    return absl::NotFoundError(absl::StrCat("no cgroup ", name));
  }
  static GroupPlace PlaceFor(const std::string& name) {
    const std::string path = name.rfind("/cg", 0) == 0 ? name.substr(3)
                             : name[0] == '/'          ? name
                                                       : "/" + name;
    return {.directory = "/cg" + path, .path = path};
  }

 private:
  std::set<std::string> paths_;
};

// What a test wants to happen in the middle, once.
inline void CallMeanwhile(std::function<void()>& meanwhile) {
  const auto call = std::exchange(meanwhile, nullptr);
  if (call != nullptr) call();
}

// Not thread-safe.
class FakeGroupWork : public GroupWork {
 public:
  absl::StatusOr<GroupPlace> Find(const std::string& name,
                                  v1::Hierarchy) override {
    return groups.Find(name);
  }
  absl::StatusOr<v1::FreezeResponse> Freeze(const v1::FreezeRequest& request,
                                            const Cancellation&) override {
    Note("freeze", request);
    return v1::FreezeResponse();
  }
  absl::StatusOr<v1::FreezeResponse> Thaw(const v1::ThawRequest& request,
                                          const Cancellation&) override {
    Note("thaw", request);
    return v1::FreezeResponse();
  }
  absl::StatusOr<v1::KillResponse> Kill(const v1::KillRequest& request,
                                        const Cancellation&) override {
    Note("kill", request);
    return v1::KillResponse();
  }
  absl::StatusOr<v1::StatusResponse> Status(
      const v1::StatusRequest& request) override {
    Note("status", request);
    return v1::StatusResponse();
  }
  absl::StatusOr<v1::VerifyFreezeReport> VerifyFreeze(
      const v1::VerifyFreezeRequest& request) override {
    done.push_back("verify-freeze " + request.cgroup());
    return v1::VerifyFreezeReport();
  }
  absl::StatusOr<v1::RecoverReport> Recover(
      const v1::RecoverRequest& request) override {
    done.push_back(request.dry_run() ? "recover --dry-run" : "recover");
    return v1::RecoverReport();
  }
  absl::Status Watch(
      const v1::WatchRequest& request, const Cancellation&,
      const std::function<absl::Status(const v1::WatchEvent&)>& emit) override {
    Note("watch", request);
    return emit(v1::WatchEvent());
  }

  FakeGroups groups;
  std::vector<std::string> done;    // "freeze /cg/a /cg/b"
  std::function<void()> meanwhile;  // called in the middle of the next

 private:
  template <typename Request>
  void Note(const std::string& verb, const Request& request) {
    std::string text = verb;
    for (const std::string& group : request.cgroups()) {
      absl::StrAppend(&text, " ", group);
    }
    done.push_back(text);
    CallMeanwhile(meanwhile);
  }
};

// Not thread-safe, but for what operations do: one at a time.
class FakeJobWork : public JobWork {
 public:
  absl::StatusOr<GroupPlace> Find(const std::string& name,
                                  v1::Hierarchy) override {
    return groups.Find(name);
  }
  absl::StatusOr<GroupPlace> PlaceFor(const std::string& name,
                                      v1::Hierarchy) override {
    return FakeGroups::PlaceFor(name);
  }
  absl::StatusOr<GroupPlace> PlaceOf(const std::string& directory) override {
    return FakeGroups::PlaceFor(directory);
  }
  absl::StatusOr<v1::ManifestJob> JobOf(const std::string& image) override {
    if (damaged.count(image) > 0) return absl::DataLossError("damaged");
    const auto found = images.find(image);
    if (found == images.end()) return absl::NotFoundError("no image " + image);
    v1::ManifestJob job;
    job.set_cgroup(found->second);
    return job;
  }
  absl::StatusOr<ImageOrigin> OriginOf(const std::string& image) override {
    return origins[image];
  }
  absl::StatusOr<v1::CheckReport> Check(const v1::CheckRequest& request,
                                        const Cancellation&) override {
    v1::CheckReport report;
    report.set_cgroup(request.cgroup());
    return report;
  }
  absl::StatusOr<v1::ImageListReport> List() override {
    v1::ImageListReport report;
    for (const auto& [name, path] : images) {
      v1::ImageReport& image = *report.add_images();
      image.set_name(name);
      image.mutable_manifest()->mutable_job()->set_cgroup(path);
    }
    return report;
  }
  absl::StatusOr<v1::ImageReport> Get(const std::string& image) override {
    done.push_back("get " + image);
    return v1::ImageReport();
  }
  absl::StatusOr<v1::VerifyReport> Verify(const std::string& image,
                                          const Cancellation&) override {
    done.push_back("verify " + image);
    return v1::VerifyReport();
  }
  absl::StatusOr<v1::RemoveReport> Remove(const std::string& image) override {
    done.push_back("remove " + image);
    return v1::RemoveReport();
  }
  absl::StatusOr<v1::PinReport> Pin(const std::string& image,
                                    bool pinned) override {
    done.push_back((pinned ? "pin " : "unpin ") + image);
    return v1::PinReport();
  }
  absl::Status Dump(const v1::DumpRequest& request,
                    const Operations::Running&) override {
    done.push_back(
        absl::StrCat("dump ", request.cgroup(), " ", request.image()));
    CallMeanwhile(meanwhile);
    return absl::OkStatus();
  }
  absl::Status Restore(const v1::RestoreRequest& request,
                       const Operations::Running&) override {
    done.push_back(
        absl::StrCat("restore ", request.image(), " ", request.cgroup()));
    return absl::OkStatus();
  }

  FakeGroups groups;
  std::map<std::string, std::string> images;  // name -> path of its group
  std::map<std::string, ImageOrigin> origins;
  std::set<std::string> damaged;
  std::vector<std::string> done;
  std::function<void()> meanwhile;
};

// Keeps nothing over the death of the agent.
class ForgetfulLog : public OperationLog {
 public:
  absl::Status Save(const v1::Operation&) override { return absl::OkStatus(); }
  void Remove(const std::string&) override {}
  absl::StatusOr<std::vector<v1::Operation>> Load() override {
    return std::vector<v1::Operation>();
  }
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_FAKE_WORK_H_
