/* job.h -- what the CPU does for one elementwise operation, a block of elements at a time. */
#ifndef HONE_JOB_H
#define HONE_JOB_H

#include "tensor/device.h"
#include "tensor/kernels.h"

enum { JOB_BLOCK = 512 }; /* elements at a time when they must be converted or collected first */

typedef struct job {
  const kernel_table *k;
  int inputs;
  dtype in[3], as[3]; /* as what the kernel wants them */
  dtype made, out;    /* what the kernel writes, what the tensor holds */
  unary_kernel *unary;
  binary_kernel *binary;
  ternary_kernel *ternary;
  select_kernel *select;
} job;

typedef union job_block {
  char bytes[JOB_BLOCK * 8];
  double align;
} job_block;

/* What the loops on the CPU do for this work. */
job job_plan(const elementwise_work *w);
/* n elements of an input as the kernel wants them: where they are, if they are so, else in `room`.
 */
const void *job_load(const job *j, int input, const char *from, int64_t stride, int64_t n,
                     job_block *room);
/* Contiguous elements as the kernel wants them to what the kernel makes. */
void job_call(const job *j, void *out, const void *const *in, int64_t n);

void elementwise_on_cpu(const elementwise_work *w);

#endif
