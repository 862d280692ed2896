/* worker.h -- the process that runs somebody's kernels: a loop that serves a judge, and what a
 * language brings to it. The judge owns all memory that a solution is given; what is expected, what
 * inputs are made from and what the verdict is never reaches this process.
 *
 * A C program (main.c) serves solutions with tvm-ffi; Python and hone load the loop as a library
 * and bring hooks of their own. */
#ifndef HONE_WORKER_H
#define HONE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#define WORKER_API __attribute__((visibility("default")))

/* As DLPack lays out a DLTensor. */
typedef struct worker_tensor {
  void *data;
  struct {
    int32_t type, id; /* 1: CPU, 2: CUDA */
  } device;
  int32_t rank;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } dtype;
  int64_t *shape, *strides; /* strides in elements, never NULL */
  uint64_t byte_offset;
} worker_tensor;

enum { WORKER_NONE, WORKER_TENSOR, WORKER_INTEGER, WORKER_FLOAT, WORKER_BOOL };

/* An argument, or an output to be written. */
typedef struct worker_value {
  int32_t kind;
  int32_t is_output;
  worker_tensor tensor; /* of WORKER_TENSOR */
  int64_t integer;      /* of WORKER_INTEGER and WORKER_BOOL */
  double number;        /* of WORKER_FLOAT */
  const char *dtype;    /* the definition's name for it, "float8_e4m3fn" */
} worker_value;

/* Why something did not work. */
enum { WORKER_COMPILE_ERROR = 1, WORKER_RUNTIME_ERROR = 2, WORKER_OUT_OF_MEMORY = 3 };

/* Hooks return 0, or not 0 after hone_worker_fail. They are called in this order: load, then for
 * each request prepare(i), run(i), finish(i) of one call after the other, and forget. A solution
 * learns of a call when it is that call's turn, and what it has not written when the call is over
 * does not count. */
typedef struct worker_language {
  void *context;
  /* Make a solution ready; artefact: JSON, as hone.bench.build describes it. */
  int (*load)(void *context, const char *artefact);
  /* Before the clock runs: make what call number `call` is to be called with. Values are inputs
   * and then outputs in the definition's order, and live until forget. */
  int (*prepare)(void *context, int call, const worker_value *values, int inputs, int outputs);
  /* The timed part: queue the work. stream: a CUstream that the work is to go to, NULL on the CPU.
   */
  int (*run)(void *context, int call, void *stream);
  /* After the clock, with the device idle: of a solution that returns its outputs, tell of each
   * by hone_worker_returned, and copy those of the right shape and dtype to where they belong.
   * NULL where the solution could put something of its own in the hook's place, and work in it:
   * then `run` tells, by hone_worker_take. */
  int (*finish)(void *context, int call);
  /* Drop all prepared calls and what they returned. */
  void (*forget)(void *context);
} worker_language;

/* Say why a hook did not work: one of the codes above, and a text of any number of lines. */
WORKER_API void hone_worker_fail(int code, const char *text);

/* What a call returned in place `output` (from 0): "Tensor" and its form, or the name of its type
 * with rank -1. `of`: how many values were returned in all. data: where its elements lie. */
WORKER_API void hone_worker_returned(int call, int output, int of, const char *type,
                                     const char *dtype, int rank, const int64_t *shape,
                                     int device_type, const void *data);

/* The same from within `run`, for the loop to copy: that much is timed. strides: in elements. The
 * elements must stay where they are until the next prepare. */
WORKER_API void hone_worker_take(int call, int output, int of, const char *type, const char *dtype,
                                 int rank, const int64_t *shape, const int64_t *strides,
                                 int device_type, const void *data);

/* In fewer words, for results that are contiguous tensors of just the outputs' forms: `prepare`
 * says where `run` will leave the addresses of all of them; NULL there: it told by
 * hone_worker_take. */
WORKER_API void hone_worker_plain(void *const *addresses, int count);

/* Serve the judge at the other end of a socket until it says stop; returns the exit status. */
WORKER_API int hone_worker_serve(int fd, const worker_language *language);

#endif
