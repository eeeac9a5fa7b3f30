/* Hears what becomes of a checkpoint: through the mailbox of this process
 * (proto/mailbox.h), in the call that asks or, with CKPT_ASYNC, after it.
 *
 *   if (ckpt_answer_settle() != 0) return -1;
 *   struct ckpt_mailbox *mailbox = ckpt_answer_prepare();
 *   ... have somebody write to it ...
 *   return ckpt_answer_await(&helper, timeout_ms, early);
 *
 * ckpt_wait() is here.  It may be called by any thread at any time; the others
 * by the one thread that is in ckpt_self().
 */
#ifndef CKPT_LIBCKPT_ANSWER_H_
#define CKPT_LIBCKPT_ANSWER_H_

#include "libckpt/helper.h"
#include "libckpt/service.h"
#include "proto/mailbox.h"

/* Waits until the image that an earlier call has left under way is on the disk
 * or lost.  0; or -1 with the error and the message of one that was lost and
 * that nobody has been told of: once. */
long ckpt_answer_settle(void);

/* An empty mailbox for a new request. */
struct ckpt_mailbox *ckpt_answer_prepare(void);

/* Makes the mailbox ready and waits for the answer of `helper`, which has ended
 * by `timeout_ms`.  `early`: only until the job goes on.  What to return from
 * ckpt_self(), with errno, message and image set. */
long ckpt_answer_await(const struct ckpt_helper *helper, unsigned timeout_ms,
                       int early);

/* The same of a service, which is asked here. */
long ckpt_answer_await_service(const struct ckpt_service *service,
                               unsigned timeout_ms, int early);

#endif /* CKPT_LIBCKPT_ANSWER_H_ */
