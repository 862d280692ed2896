/* fault.h -- how a kernel says that an index is out of range: it touches no element there, and
 * notes the index in memory of the host, which the host looks at before what it does next. */
#ifndef HONE_CUDA_FAULT_H
#define HONE_CUDA_FAULT_H

#include "strided.h"

/* In host memory that the device sees, one for each device. */
typedef struct fault_board {
  uint32_t claimed; /* by the thread that found the first fault */
  uint32_t ready;   /* all of the following is written */
  int64_t index, size;
  int32_t dim;
  int32_t rank, dtype; /* of the tensor that the index counts in */
  int64_t shape[STRIDED_RANK];
  uint64_t verb;
} fault_board;

/* What a launch tries, for the message. Indices may be wrong when a graph is replayed, long after
 * the call: so all of it travels with the launch. */
typedef struct fault_site {
  fault_board *board; /* the device's address of it */
  uint64_t verb;      /* the host's address of a text of static storage: "gather" */
  int32_t rank, dtype;
  int64_t shape[STRIDED_RANK];
} fault_site;

#ifdef __CUDACC_RTC__
/* Never a part of the loops that it would make long. */
__noinline__ static void fault_report(const fault_site &site, int dim, int64_t index,
                                      int64_t size) {
  fault_board *board = site.board;
  if (*(volatile uint32_t *)&board->claimed || atomicCAS(&board->claimed, 0u, 1u)) return;
  board->index = index;
  board->size = size;
  board->dim = dim;
  board->rank = site.rank;
  board->dtype = site.dtype;
  for (int d = 0; d < STRIDED_RANK; d++) board->shape[d] = site.shape[d];
  board->verb = site.verb;
  __threadfence_system();
  *(volatile uint32_t *)&board->ready = 1;
}
#endif

#endif
