// Bytes whose memory can be written past the page cache (O_DIRECT, open(2)):
// it begins at a page, if they are more than a few.
#ifndef CKPT_BASE_ALIGNED_BYTES_H_
#define CKPT_BASE_ALIGNED_BYTES_H_

#include <cstddef>
#include <new>
#include <string>

namespace ckpt {

inline constexpr std::size_t kDirectAlignment = 4096;

template <typename T>
struct AlignedAllocator {
  using value_type = T;

  T* allocate(std::size_t count) {
    return static_cast<T*>(
        ::operator new(count * sizeof(T), std::align_val_t(kDirectAlignment)));
  }
  void deallocate(T* memory, std::size_t) {
    ::operator delete(memory, std::align_val_t(kDirectAlignment));
  }
  bool operator==(const AlignedAllocator&) const { return true; }
};

using AlignedBytes =
    std::basic_string<char, std::char_traits<char>, AlignedAllocator<char>>;

}  // namespace ckpt

#endif  // CKPT_BASE_ALIGNED_BYTES_H_
