/* tensor.h -- what the files of this room share: tensors on a GPU, which engine/tensor reaches by
 * the functions of tensor/device.h. */
#ifndef HONE_GPU_TENSOR_H
#define HONE_GPU_TENSOR_H

#include "cuda/strided.h"
#include "gpu/program.h"
#include "tensor/device.h"
#include "tensor/elementwise.h"
#include "tensor/loop.h"

/* From now on tensors can lie on GPUs. */
void gpu_tensors_register(void);

/* The device, current in this thread, and ready for a launch that uses the storages of n tensors;
 * NULL with *error filled. Tensors on the CPU among them are left out. */
gpu_device *gpu_tensor_device(int n, const tensor *const *tensors, tensor_error *error);

/* Where to note that a stream other than the device's own uses a storage; NULL where there is no
 * memory. */
bool *gpu_tensor_shared_flag(storage *s);

/* A gpu_error as a tensor's; 0 where `failed` is 0. */
int gpu_tensor_fail(int failed, const gpu_error *why, tensor_error *error);

/* Memory for the time of an operation, released in the order of the stream: a tensor of uint8. */
int gpu_scratch(tensor *out, int device, size_t bytes, tensor_error *error);

/* "float16": the name of a dtype's struct in types.cuh. */
const char *gpu_type_name(dtype d);
/* An integer type of the same size, for elements that are only moved. */
dtype gpu_bits_dtype(dtype d);

strided_divisor gpu_divisor(uint32_t by);
/* The shape of a loop whose innermost dimension is taken `items` elements at a time. */
strided_shape gpu_strided_shape(const loop *l, int items);

/* Append "#define NAME value" to a program's macros. */
void gpu_macro(char text[GPU_PROGRAM_MACROS], const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- the functions of the device, a file each ------------------------------------------------- */

int gpu_elementwise(const elementwise_work *work, tensor_error *error);
int gpu_matmul(const tensor *to, const tensor *a, const tensor *b, tensor_error *error);
/* Copy by squares where the loop moves neighbours apart; 1 where it does not. l: to and from. */
int gpu_transpose(gpu_device *device, const loop *l, size_t size, tensor_error *error);

#endif
