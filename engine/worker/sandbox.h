/* sandbox.h -- what a worker may not do: reach the network, look into other processes, outlive its
 * judge, fill the disk or, where its language needs none, start processes. */
#ifndef HONE_WORKER_SANDBOX_H
#define HONE_WORKER_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sandbox_limits {
  uint64_t memory; /* bytes of address space; 0: no limit */
  uint64_t file;   /* the largest file that may be written, in bytes; 0: no limit */
  bool may_start;  /* other processes, as compilers of kernels */
} sandbox_limits;

/* At the start, before anybody's code is loaded. What the kernel refuses is named in *missing, a
 * text that lives as long as the process, "" when all is in place. */
void sandbox_enter(const sandbox_limits *limits, const char **missing);

#endif
