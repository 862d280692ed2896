/* sort.h -- sorting for the other files of this room. */
#ifndef HONE_GPU_TENSOR_SORT_H
#define HONE_GPU_TENSOR_SORT_H

#include "gpu/context.h"
#include "tensor/tensor.h"

/* int64 numbers of at most so many bits, none negative, ascending; and where each was. All three
 * are contiguous vectors of one size. */
int gpu_sort_numbers(gpu_device *device, const tensor *sorted, const tensor *order,
                     const tensor *numbers, int bits, tensor_error *error);

#endif
