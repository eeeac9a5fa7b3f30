/* How a job that checkpoints itself hears of the result: a place in its own
 * memory, which `ckpt self-dump` writes from outside.
 *
 * No descriptor and no signal is needed for it.  In an image it says
 * CKPT_MAILBOX_RESTARTED, so that a restored job knows what it is, whoever
 * restored it.
 *
 * Shared by libckpt (C) and ckpt (C++); both are built for the same machine.
 * Fields are only ever added at the end, with another magic number.
 */
#ifndef CKPT_PROTO_MAILBOX_H_
#define CKPT_PROTO_MAILBOX_H_

#include <stdint.h>

#define CKPT_MAILBOX_MAGIC UINT64_C(0x31786f6274706b63) /* "ckptbox1" */
#define CKPT_MAILBOX_BYTES 1024

enum ckpt_mailbox_state {
  CKPT_MAILBOX_IDLE = 0,
  /* The library has left everything as it is to be dumped. */
  CKPT_MAILBOX_READY = 1,
  /* Written by `ckpt self-dump`, last of all fields. */
  CKPT_MAILBOX_FAILED = 2,    /* error, text: the message */
  CKPT_MAILBOX_DONE = 3,      /* number, text: the path of the image */
  CKPT_MAILBOX_RESTARTED = 4, /* the same; only ever in images */
  /* Only for who asked for it (`--early`), between READY and the end: */
  CKPT_MAILBOX_WRITTEN = 5,  /* as DONE, but the image is not yet on the disk */
  CKPT_MAILBOX_CHANGING = 6, /* what WRITTEN came with is being overwritten */
  /* Written by the library in the place of READY: it has given up, and runs on.
   * What was not dumped by now is not to be. */
  CKPT_MAILBOX_LEFT = 7,
};

/* To be aligned to its size: it must not cross a page. */
struct ckpt_mailbox {
  uint64_t magic;
  uint64_t request; /* another one for each checkpoint */
  uint32_t state;
  int32_t error; /* an errno value */
  int64_t number;
  char text[CKPT_MAILBOX_BYTES - 32]; /* ends with a zero */
};

#endif /* CKPT_PROTO_MAILBOX_H_ */
