/* fake_nvtx.c -- a library of NVTX for specs, built as libnvtx3interop.so.1: it writes to standard
 * output what it is told. */
#include <stdio.h>

int nvtxRangePushA(const char *name) {
  return printf("push %s\n", name), fflush(stdout);
}
int nvtxRangePop(void) {
  return printf("pop\n"), fflush(stdout);
}
void nvtxMarkA(const char *name) {
  printf("mark %s\n", name), fflush(stdout);
}
