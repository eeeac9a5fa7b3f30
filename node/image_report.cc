#include "node/image_report.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/criu_images.h"

namespace ckpt::node {
namespace {

uint64_t TotalBytes(const v1::Manifest& manifest) {
  uint64_t total = 0;
  for (const v1::ManifestFile& file : manifest.files()) {
    total += file.size_bytes();
  }
  return total;
}

const char* StateName(ImageTaskState state) {
  switch (state) {
    case ImageTaskState::kRunning:
      return "running";
    case ImageTaskState::kStopped:
      return "stopped";
    case ImageTaskState::kZombie:
      return "zombie";
    default:
      return "unknown";
  }
}

void FillProcess(const ImageProcess& from, v1::ImageProcessReport& to) {
  to.set_pid(from.pid);
  to.set_ppid(from.ppid);
  to.set_pgid(from.pgid);
  to.set_sid(from.sid);
  for (const pid_t tid : from.threads) to.add_threads(tid);
  to.set_comm(from.comm);
  to.set_state(StateName(from.state));
  to.set_exe(from.exe);
  to.set_cwd(from.cwd);
  to.set_mapped_bytes(from.mapped_bytes);
  to.set_dumped_bytes(from.dumped_bytes);
  for (const ImageFd& fd : from.fds) {
    to.add_fds(absl::StrCat(fd.fd, " ", fd.description));
  }
}

void FillFile(const ImageFile& from, v1::ImageFileReport& to) {
  to.set_path(from.path);
  to.set_size_bytes(from.size_bytes.value_or(0));
  if (from.executable) to.add_uses("executable");
  if (from.mapped) to.add_uses("mapped");
  if (from.open) to.add_uses("open");
  if (from.directory) to.add_uses("directory");
  if (from.deleted) to.add_uses("deleted");
  if (from.external) to.add_uses("external");
}

}  // namespace

v1::ImageReport SummarizeImage(const ImageSummary& summary) {
  v1::ImageReport report;
  report.set_name(summary.name);
  report.set_path(summary.path);
  *report.mutable_manifest() = summary.manifest;
  report.set_image_bytes(TotalBytes(summary.manifest));
  report.set_pinned(summary.pinned);
  if (!summary.status.ok()) {
    report.set_problem(std::string(summary.status.message()));
  }
  return report;
}

absl::StatusOr<v1::ImageReport> DescribeImage(const Image& image) {
  CKPT_ASSIGN_OR_RETURN(const ImageContents contents,
                        ReadContents(image.dir_fd()));
  v1::ImageReport report;
  report.set_name(image.name());
  report.set_path(image.path());
  *report.mutable_manifest() = image.manifest();
  report.set_pinned(image.pinned());
  report.set_image_bytes(TotalBytes(image.manifest()));
  for (const ImageProcess& process : contents.processes) {
    FillProcess(process, *report.add_processes());
  }
  for (const ImageFile& file : contents.files) {
    FillFile(file, *report.add_files());
  }
  for (const ImageSocket& socket : contents.sockets) {
    v1::ImageSocketReport& to = *report.add_sockets();
    to.set_protocol(socket.protocol);
    to.set_local(socket.local);
    to.set_remote(socket.remote);
    to.set_state(socket.state);
  }
  report.set_memory_bytes(contents.memory_bytes);
  report.set_threads(contents.threads);
  return report;
}

}  // namespace ckpt::node
