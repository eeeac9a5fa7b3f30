// An open file that no directory names any more, rewritten piece by piece.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr uint64_t kPieces = 64;
constexpr uint64_t kPieceWords = 512;  // 4 KiB; 256 KiB in all
constexpr size_t kPieceBytes = kPieceWords * sizeof(uint64_t);

std::vector<uint64_t> PieceOf(uint64_t generation, uint64_t piece) {
  std::vector<uint64_t> words(kPieceWords);
  for (uint64_t i = 0; i < kPieceWords; ++i) {
    words[i] = Mix(generation, piece * kPieceWords + i);
  }
  return words;
}

void CheckInode(Workload& workload, int fd) {
  struct stat info;
  if (::fstat(fd, &info) != 0 || info.st_nlink != 0 ||
      info.st_size != kPieces * kPieceBytes) {
    workload.Fail("the deleted file has %lu links and %ld bytes", info.st_nlink,
                  info.st_size);
  }
}

void Run(Workload& workload) {
  const std::string path = workload.FilePath(".deleted");
  const int fd =
      ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ::unlink(path.c_str()) != 0) workload.Die("a deleted file");
  for (uint64_t piece = 0; piece < kPieces; ++piece) {
    if (::write(fd, PieceOf(0, piece).data(), kPieceBytes) != kPieceBytes) {
      workload.Die("write");
    }
  }
  // The file's offset is state too: pieces are read and written one after the
  // other, not by position.
  for (uint64_t generation = 0;; ++generation) {
    ::lseek(fd, 0, SEEK_SET);
    for (uint64_t piece = 0; piece < kPieces; ++piece) {
      std::vector<uint64_t> words(kPieceWords);
      const ssize_t got = ::read(fd, words.data(), kPieceBytes);
      if (got != kPieceBytes || words != PieceOf(generation, piece)) {
        workload.Fail("piece %lu of generation %lu: read is %zd", piece,
                      generation, got);
      }
      ::lseek(fd, -static_cast<off_t>(kPieceBytes), SEEK_CUR);
      if (::write(fd, PieceOf(generation + 1, piece).data(), kPieceBytes) !=
          kPieceBytes) {
        workload.Fail("piece %lu cannot be written: errno %d", piece, errno);
      }
      CheckInode(workload, fd);
      workload.Beat();
      Workload::Pause();
    }
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
