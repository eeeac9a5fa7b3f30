#include "base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace ckpt {
namespace {

// Length of the character that `text` begins with; 0: it is none (RFC 3629).
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xc2 && first < 0xe0   ? 2
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  const bool wrong = (first == 0xe0 && second < 0xa0) ||   // too long a form
                     (first == 0xed && second >= 0xa0) ||  // a surrogate
                     (first == 0xf0 && second < 0x90) ||   // too long a form
                     (first == 0xf4 && second >= 0x90);    // above U+10FFFF
  return wrong ? 0 : length;
}

}  // namespace

bool IsUtf8(absl::string_view text) { return ToUtf8(text) == text; }

std::string ToUtf8(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    if (length == 0) {
      result.push_back('?');
      text.remove_prefix(1);
    } else {
      result.append(text.data(), length);
      text.remove_prefix(length);
    }
  }
  return result;
}

}  // namespace ckpt
