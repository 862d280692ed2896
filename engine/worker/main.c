/* main.c -- build/lib/hone/worker FD: serves solutions with tvm-ffi, without Lua or Python. */
#include <stdio.h>
#include <stdlib.h>

#include "worker/native.h"

int main(int argc, char **argv) {
  char *end = NULL;
  long fd = argc == 2 ? strtol(argv[1], &end, 10) : -1;
  if (fd < 0 || *end) {
    fputs("usage: worker FD (hone starts it: a socket to a judge)\n", stderr);
    return 2;
  }
  worker_language language = native_language();
  return hone_worker_serve((int)fd, &language);
}
