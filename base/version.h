// The version of ckpt itself (docs: CHANGELOG.md).
#ifndef CKPT_BASE_VERSION_H_
#define CKPT_BASE_VERSION_H_

namespace ckpt {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace ckpt

#endif  // CKPT_BASE_VERSION_H_
