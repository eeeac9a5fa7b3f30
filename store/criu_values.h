// Meanings of numbers in CRIU's image files.
#ifndef CKPT_STORE_CRIU_VALUES_H_
#define CKPT_STORE_CRIU_VALUES_H_

#include <cstdint>

#include "store/criu_images.pb.h"

namespace ckpt {

// TaskCore.task_state.  CRIU: compel/include/uapi/task-state.h
inline constexpr uint32_t kTaskAlive = 1;
inline constexpr uint32_t kTaskDead = 2;  // what CRIU calls a zombie in images
inline constexpr uint32_t kTaskStopped = 3;
inline constexpr uint32_t kTaskZombie = 6;

inline bool IsZombie(uint32_t task_state) {
  return task_state == kTaskDead || task_state == kTaskZombie;
}

// Bits of Vma.status.  CRIU: criu/include/image.h
inline constexpr uint32_t kVmaFilePrivate = 1 << 6;
inline constexpr uint32_t kVmaFileShared = 1 << 7;
inline constexpr uint32_t kVmaAnonShared = 1 << 8;
inline constexpr uint32_t kVmaSysVIpc = 1 << 10;  // see ipcns-shm-*.img

// Vma.shmid is the id of a file in files.img.
inline bool IsFileMapping(const criu_images::Vma& vma) {
  return (vma.status() & (kVmaFilePrivate | kVmaFileShared)) != 0;
}

// Vma.shmid is the number in pagemap-shmem-*.img.
inline bool IsSharedMemory(const criu_images::Vma& vma) {
  return (vma.status() & (kVmaAnonShared | kVmaSysVIpc)) == kVmaAnonShared;
}

// RemapPath.remap_type.  CRIU: images/remap-file-path.proto
inline constexpr uint32_t kRemapLinked = 0;
inline constexpr uint32_t kRemapGhost = 1;  // contents: ghost-file-*.img
// 2: /proc/PID of a process that is gone.

// FdInfo.type and FileEntry.type.  CRIU: images/fdinfo.proto
enum CriuFileType : uint32_t {
  kFileRegular = 1,  // anything opened by a path
  kFilePipe = 2,
  kFileFifo = 3,
  kFileInetSocket = 4,
  kFileUnixSocket = 5,
  kFileEventFd = 6,
  kFileEpoll = 7,
  kFileInotify = 8,
  kFileSignalFd = 9,
  kFilePacketSocket = 10,
  kFileTty = 11,
  kFileFanotify = 12,
  kFileNetlinkSocket = 13,
  kFileNamespace = 14,
  kFileTun = 15,
  kFileExternal = 16,
  kFileTimerFd = 17,
  kFileMemFd = 18,
  kFileBpfMap = 19,
  kFilePidFd = 20,
};

}  // namespace ckpt

#endif  // CKPT_STORE_CRIU_VALUES_H_
