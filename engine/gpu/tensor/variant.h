/* variant.h -- kernels made for a program of elementwise operations: what tells them apart, and the
 * macros of cuda/fused.cuh for them. */
#ifndef HONE_GPU_TENSOR_VARIANT_H
#define HONE_GPU_TENSOR_VARIANT_H

#include "gpu/tensor/tensor.h"
#include "tensor/fused.h"

enum variant_mode { VARIANT_VECTOR, VARIANT_SPLAT, VARIANT_VALUE };

/* All of it is bytes that are compared. `choices`: whatever else a kernel is made for. */
typedef struct variant {
  struct {
    uint8_t kind, op, compute, made, out;
    int8_t in[3];
  } step[FUSED_STEPS];
  struct {
    uint8_t dtype, mode;
  } leaf[FUSED_LEAVES];
  uint8_t steps, leaves, result, out, items, choices[4];
} variant;

/* The steps of a program; how its leaves are read is filled in later. */
void variant_start(variant *v, const fused *f);
/* A leaf that is a number: what it is converted to, and its bits then. */
void variant_number(variant *v, int leaf, const fused *f, uint64_t *bits);
/* For gpu_program_get; 0 where there is no memory to remember it. */
uint64_t variant_key(const variant *v);
void variant_define(char macros[GPU_PROGRAM_MACROS], const variant *v);

#endif
