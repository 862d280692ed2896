#include "tensor/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static blas functions;
static bool found;

static bool find(void *library, const char *name, void *function, size_t size) {
  void *symbol = dlsym(library, name); /* no cast in ISO C from it to a function's pointer */
  memcpy(function, &symbol, size);
  return symbol != NULL;
}

static void open_library(void) {
  const char *chosen = getenv("HONE_OPENBLAS");
  void *library = dlopen(chosen && *chosen ? chosen : "libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) return; /* stays open for the life of the process */
#define FIND(name, member) find(library, name, &functions.member, sizeof functions.member)
  found = FIND("cblas_sgemm", sgemm) && FIND("cblas_dgemm", dgemm) &&
          FIND("openblas_set_num_threads", set_threads);
#undef FIND
}

const blas *blas_open(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, open_library);
  return found ? &functions : NULL;
}
