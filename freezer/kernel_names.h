// Names and words of the kernel's freezer files; spelled nowhere else.
// Sources: kernel admin-guide/cgroup-v1/freezer-subsystem.rst and
// admin-guide/cgroup-v2.rst.
#ifndef CKPT_FREEZER_KERNEL_NAMES_H_
#define CKPT_FREEZER_KERNEL_NAMES_H_

namespace ckpt::freezer {

// Both hierarchies.
inline constexpr char kProcsFile[] = "cgroup.procs";

// v1.
inline constexpr char kV1TasksFile[] = "tasks";
inline constexpr char kV1StateFile[] = "freezer.state";  // effective, lazily
inline constexpr char kV1SelfFile[] = "freezer.self_freezing";
inline constexpr char kV1Frozen[] = "FROZEN";
inline constexpr char kV1Freezing[] = "FREEZING";
inline constexpr char kV1Thawed[] = "THAWED";

// v2.
inline constexpr char kV2ThreadsFile[] = "cgroup.threads";
inline constexpr char kV2FreezeFile[] = "cgroup.freeze";  // the request
inline constexpr char kV2EventsFile[] = "cgroup.events";  // "frozen 0|1"
inline constexpr char kV2KillFile[] = "cgroup.kill";      // since Linux 5.14
inline constexpr char kV2TypeFile[] = "cgroup.type";
inline constexpr char kV2Threaded[] = "threaded";
inline constexpr char kV2Empty[] = "populated 0";  // in cgroup.events
inline constexpr char kV2Freeze[] = "1";
inline constexpr char kV2Thaw[] = "0";

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_KERNEL_NAMES_H_
