/* How a job asks somebody outside of it for a checkpoint, where it cannot start
 * `ckpt` outside by itself: by one datagram to a unix socket.
 *
 * There is no answer but the one in the mailbox (mailbox.h), so no descriptor
 * is open while the job is dumped.  Who asked is told by the kernel
 * (SCM_CREDENTIALS).  A job repeats its request now and then until the mailbox
 * is written, so whoever listens knows a request again by process and number.
 *
 * Shared by libckpt (C) and ckpt (C++); both are built for the same machine.
 */
#ifndef CKPT_PROTO_SELF_REQUEST_H_
#define CKPT_PROTO_SELF_REQUEST_H_

#include <stdint.h>

/* Where a service for the whole machine listens (`ckpt self-serve`). */
#define CKPT_SELF_SOCKET "/run/ckpt/self.sock"
/* The variable that names another one; `ckpt run` sets it. */
#define CKPT_SELF_SOCKET_VARIABLE "CKPT_SOCKET"

#define CKPT_SELF_REQUEST_MAGIC UINT64_C(0x316b7361747063ff)
#define CKPT_SELF_REQUEST_TEXT_BYTES 8192

/* As CKPT_TREE and so on of ckpt.h. */
enum ckpt_self_request_flags {
  CKPT_SELF_REQUEST_TREE = 1,
  CKPT_SELF_REQUEST_CGROUP = 2,
  CKPT_SELF_REQUEST_EXIT = 4,
  CKPT_SELF_REQUEST_ASYNC = 8,
};

/* Sent up to the end of the words. */
struct ckpt_self_request {
  uint64_t magic;
  uint64_t mailbox; /* its address */
  uint64_t request; /* as the mailbox has it */
  uint32_t flags;
  uint32_t timeout_ms;
  uint32_t keep;
  uint32_t text_bytes;
  /* Words that end with a zero each: image, store and cgroup ("": not given),
   * then the arguments. */
  char text[CKPT_SELF_REQUEST_TEXT_BYTES];
};

#endif /* CKPT_PROTO_SELF_REQUEST_H_ */
