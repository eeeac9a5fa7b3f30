#include "restore/merged_options.h"

namespace ckpt::restore {

v1::CriuOptions MergeOptions(const v1::ManifestOptions& image,
                             const v1::CriuOptions& asked) {
  v1::CriuOptions options = asked;
  options.set_tcp_established(image.tcp_established() ||
                              asked.tcp_established());
  options.set_tcp_close(image.tcp_close() || asked.tcp_close());
  options.set_shell_job(image.shell_job() || asked.shell_job());
  options.set_file_locks(image.file_locks() || asked.file_locks());
  options.set_link_remap(image.link_remap() || asked.link_remap());
  options.set_ext_unix_sk(image.ext_unix_sk() || asked.ext_unix_sk());
  options.set_evasive_devices(image.evasive_devices() ||
                              asked.evasive_devices());
  if (asked.external().empty()) {
    *options.mutable_external() = image.external();
  }
  if (asked.network_lock().empty()) {
    options.set_network_lock(image.network_lock());
  }
  if (asked.cpu_cap().empty()) options.set_cpu_cap(image.cpu_cap());
  if (asked.root().empty()) options.set_root(image.root());
  return options;
}

}  // namespace ckpt::restore
