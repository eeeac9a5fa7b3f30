// Files whose content is the input.
#ifndef CKPT_TESTS_FUZZ_FILES_H_
#define CKPT_TESTS_FUZZ_FILES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "tests/fuzz/inputs.pb.h"

namespace ckpt::fuzz {

void WriteFile(const std::string& directory, const std::string& name,
               absl::string_view bytes);

// Those that have a plain name.
void WriteFiles(const std::string& directory, const FilesInput& input);

// The type of the entries of a file of CRIU's, by the file's name; null: it is
// not known.
const google::protobuf::Message* TypeOfFile(
    const google::protobuf::Message& file);

// Names of CRIU's files.
std::vector<std::string> CriuWords();

}  // namespace ckpt::fuzz

#endif  // CKPT_TESTS_FUZZ_FILES_H_
