/* Asks a service outside of the job for a checkpoint (proto/self_request.h).
 *
 *   struct ckpt_service service;
 *   if (ckpt_service_find(&service, 1)) {
 *     ... fill service.request ...
 *     error = ckpt_service_ask(&service);
 *   }
 *
 * No descriptor is open between the calls.
 */
#ifndef CKPT_LIBCKPT_SERVICE_H_
#define CKPT_LIBCKPT_SERVICE_H_

#include <sys/un.h>

#include "proto/self_request.h"

struct ckpt_service {
  struct sockaddr_un address;
  struct ckpt_self_request request;
};

/* Whether somebody listens at $CKPT_SOCKET or, with `machine`, at the socket of
 * the machine's service. */
int ckpt_service_find(struct ckpt_service *service, int machine);

/* Adds a word to the request.  0, or EINVAL: they are too long. */
int ckpt_service_add(struct ckpt_service *service, const char *word);

/* Sends the request, or sends it again.  0, or an errno value. */
int ckpt_service_ask(const struct ckpt_service *service);

#endif /* CKPT_LIBCKPT_SERVICE_H_ */
