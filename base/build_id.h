// The build-id of a program or library: what CRIU compares at a restore.
#ifndef CKPT_BASE_BUILD_ID_H_
#define CKPT_BASE_BUILD_ID_H_

#include <string>

namespace ckpt {

// Hex, as file(1) prints it; "" for a file that is no ELF file of 64 bits, has
// none, or cannot be read.  Reads some hundred bytes.  Thread-safe.
std::string ReadBuildId(const std::string& path);

}  // namespace ckpt

#endif  // CKPT_BASE_BUILD_ID_H_
