/* tensor.h -- what the files of this room share: tensors on a GPU, which engine/tensor reaches by
 * the functions of tensor/device.h. */
#ifndef HONE_GPU_TENSOR_H
#define HONE_GPU_TENSOR_H

#include "cuda/reduce.h"
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

/* Memory that another process can open by its handle (CUDA IPC). */
int gpu_tensor_shared(storage **out, int ordinal, size_t bytes, char handle[64],
                      tensor_error *error);
/* Memory on a device that somebody else owns, and keeps. */
int gpu_tensor_alias(storage **out, int ordinal, void *address, size_t bytes, tensor_error *error);

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

/* ---- the functions of the device, a file each -------------------------------------------------
 */

int gpu_elementwise(const elementwise_work *work, tensor_error *error);
int gpu_fused(const fused *f, tensor_error *error);
int gpu_thin(const tensor *to, const tensor *a, const fused *b, int outer_rank,
             tensor_error *error);
int gpu_matmul(const tensor *to, const tensor *a, const tensor *b, tensor_error *error);
int gpu_index(const index_work *work, tensor_error *error);
int gpu_nonzero(tensor *out, const tensor *flags, tensor_error *error);
int gpu_flip(const tensor *to, const tensor *from, unsigned dims, tensor_error *error);
int gpu_triangle(const tensor *t, int64_t diagonal, bool upper, tensor_error *error);
int gpu_order(const tensor *values, const tensor *indices, const tensor *t, bool descending,
              tensor_error *error);
int gpu_distinct(tensor *values, const tensor *inverse, tensor *counts, const tensor *t,
                 tensor_error *error);
int gpu_search(const tensor *places, const tensor *sorted, const tensor *values, bool right,
               tensor_error *error);
/* Copy by squares where the loop moves neighbours apart; 1 where it does not. l: to and from. */
int gpu_transpose(gpu_device *device, const loop *l, size_t size, tensor_error *error);

/* ---- reductions -------------------------------------------------------------------------------
 */

int gpu_reduce(const reduction_work *work, tensor_error *error);
int gpu_softmax(const tensor *to, const tensor *in, int dim, bool logarithm, tensor_error *error);
int gpu_scan(enum fold_op op, const tensor *to, const tensor *in, int dim, tensor_error *error);
/* Of every row along `dim` the greatest element and the sum of exponentials around it: 16 bytes. */
int gpu_softmax_sums(gpu_device *device, const tensor *in, int dim, void *sums,
                     tensor_error *error);
/* Where the rows along `dim` begin, and how many elements of them can be loaded at once. */
place_map gpu_row_map(const tensor *in, int dim);
int gpu_row_items(const tensor *in, int dim, int most);
int gpu_compare(const compare_work *work, comparison *c, tensor_error *error);

int gpu_draw(const draw_work *work, tensor_error *error);
int gpu_multinomial(const multinomial_work *work, tensor_error *error);
int gpu_multinomial_check(tensor_error *error);

#endif
