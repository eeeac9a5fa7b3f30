// Whether this machine can dump and restore: kernel, freezers, CRIU, store.
#ifndef CKPT_NODE_CHECK_H_
#define CKPT_NODE_CHECK_H_

#include <string>

#include "proto/check.pb.h"
#include "store/image_store.h"

namespace ckpt::node {

// `criu` is what --criu names; "": where it is looked for by itself.
// Thread-safe.
v1::CheckReport CheckNode(const std::string& criu, const ImageStore& store);

}  // namespace ckpt::node

#endif  // CKPT_NODE_CHECK_H_
