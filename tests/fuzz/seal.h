// Puts right what fuzzing hardly ever gets right by itself: sums and digests.
#ifndef CKPT_TESTS_FUZZ_SEAL_H_
#define CKPT_TESTS_FUZZ_SEAL_H_

#include <string>
#include <vector>

#include "proto/image.pb.h"
#include "proto/transfer.pb.h"

namespace ckpt::fuzz {

// The sum of what the chunk holds, if anything.
void SealChunk(v1::ImageChunk& chunk);

// Offsets that are neither refused nor small would make a test of holes that
// takes hours to read.
void Shrink(v1::ImageChunk& chunk);

// The manifest as a file.  With `seal`: with its digest; and files that have no
// digest get that, and the size, of what `directory` has.
std::string SealedManifest(v1::Manifest manifest, bool seal,
                           const std::string& directory);

// Names, ids and the like.
std::vector<std::string> ImageWords();

}  // namespace ckpt::fuzz

#endif  // CKPT_TESTS_FUZZ_SEAL_H_
