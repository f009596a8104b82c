/*
 * The descriptors of files that a thread has opened, so that its end closes them: a worker that is terminated runs no code of
 * its own any more, and a lock that stays open would refuse every start until the process ends.
 *
 * Only what openat(2) gave is in here: nothing but `close` of this addon ever closes a lock file or a directory, so a number
 * that is listed is that file still. libuv closes listening sockets by itself, whose numbers are somebody else's then.
 */
#include "reuseaddr.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of one environment: a byte for each number, not 0 where it is ours. */
struct owned {
  unsigned char *ours;
  size_t count;
};

static void close_all(void *data) {
  struct owned *list = data;
  for (size_t fd = 0; fd < list->count; fd++)
    if (list->ours[fd] != 0) close((int)fd);
  free(list->ours);
  free(list);
}

static struct owned *list_of(napi_env env) {
  struct owned *list = NULL;
  if (napi_get_instance_data(env, (void **)&list) == napi_ok && list != NULL) return list;
  list = calloc(1, sizeof *list);
  if (list == NULL) return NULL;
  if (napi_set_instance_data(env, list, NULL, NULL) != napi_ok || napi_add_env_cleanup_hook(env, close_all, list) != napi_ok) {
    napi_set_instance_data(env, NULL, NULL, NULL);
    free(list);
    return NULL;
  }
  return list;
}

/* Notes a descriptor, and gives it; or closes it, and gives -ENOMEM. */
int owned(napi_env env, int fd) {
  struct owned *list = list_of(env);
  if (list != NULL && (size_t)fd >= list->count) {
    size_t count = (size_t)fd + 64;
    unsigned char *ours = realloc(list->ours, count);
    if (ours != NULL) {
      memset(ours + list->count, 0, count - list->count);
      list->ours = ours;
      list->count = count;
    }
  }
  if (list == NULL || (size_t)fd >= list->count) {
    close(fd);
    return -ENOMEM;
  }
  list->ours[fd] = 1;
  return fd;
}

/* The descriptor is about to be closed, or is somebody else's. */
void disowned(napi_env env, int fd) {
  struct owned *list = NULL;
  if (napi_get_instance_data(env, (void **)&list) == napi_ok && list != NULL && fd >= 0 && (size_t)fd < list->count)
    list->ours[fd] = 0;
}
