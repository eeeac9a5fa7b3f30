#include "libckpt/service.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int Open(void) {
  return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int Listens(struct ckpt_service *service, const char *path) {
  memset(&service->address, 0, sizeof service->address);
  service->address.sun_family = AF_UNIX;
  if ((size_t)snprintf(service->address.sun_path,
                       sizeof service->address.sun_path, "%s",
                       path) >= sizeof service->address.sun_path) {
    return 0;
  }
  const int fd = Open();
  if (fd < 0) return 0;
  const int error = connect(fd, (const struct sockaddr *)&service->address,
                            sizeof service->address);
  close(fd);
  return error == 0;
}

int ckpt_service_find(struct ckpt_service *service, int machine) {
  const char *path = getenv(CKPT_SELF_SOCKET_VARIABLE);
  memset(&service->request, 0, sizeof service->request);
  service->request.magic = CKPT_SELF_REQUEST_MAGIC;
  if (path != NULL && path[0] != '\0') return Listens(service, path);
  return machine && Listens(service, CKPT_SELF_SOCKET);
}

int ckpt_service_add(struct ckpt_service *service, const char *word) {
  struct ckpt_self_request *request = &service->request;
  const size_t length = strlen(word) + 1;
  if (length > sizeof request->text - request->text_bytes) return EINVAL;
  memcpy(request->text + request->text_bytes, word, length);
  request->text_bytes += (uint32_t)length;
  return 0;
}

int ckpt_service_ask(const struct ckpt_service *service) {
  /* Not connected: a socket with a peer outside could not be dumped, should
   * somebody else checkpoint the job in this moment. */
  const int fd = Open();
  if (fd < 0) return errno;
  const size_t size =
      offsetof(struct ckpt_self_request, text) + service->request.text_bytes;
  const ssize_t sent = sendto(fd, &service->request, size, MSG_NOSIGNAL,
                              (const struct sockaddr *)&service->address,
                              sizeof service->address);
  const int error = sent < 0 ? errno : 0;
  close(fd);
  /* A full queue is one that somebody will get to: asked again soon. */
  return error == EAGAIN ? 0 : error;
}
