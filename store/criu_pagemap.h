// A page map of CRIU's, summed up.
//
//   CKPT_ASSIGN_OR_RETURN(const PageMap map,
//                         ReadPageMap(dir_fd, "pagemap-7.img"));
//   // pages-<map.pages_id>.img must have map.present_pages * kPageBytes bytes
#ifndef CKPT_STORE_CRIU_PAGEMAP_H_
#define CKPT_STORE_CRIU_PAGEMAP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ckpt {

// CRIU writes pages of the machine's size; x86-64 and most others.
inline constexpr uint64_t kPageBytes = 4096;

struct PageMap {
  uint32_t pages_id = 0;
  uint64_t present_pages = 0;  // in the file of pages
  uint64_t absent_pages = 0;   // in a parent image, or left for later (lazy)
};

// DataLoss: the file is missing or damaged.  Thread-safe.
absl::StatusOr<PageMap> ReadPageMap(int dir_fd, const std::string& name);

// Where a page is: the `index`th of a file of pages.
struct PagePlace {
  uint32_t pages_id = 0;
  uint64_t index = 0;
};

// The page at `address`, a multiple of kPageBytes.  DataLoss: it is not in the
// file of pages; or as ReadPageMap().  Thread-safe.
absl::StatusOr<PagePlace> FindPage(int dir_fd, const std::string& name,
                                   uint64_t address);

// Name of the file that holds the pages.
std::string PagesFileName(uint32_t pages_id);

}  // namespace ckpt

#endif  // CKPT_STORE_CRIU_PAGEMAP_H_
