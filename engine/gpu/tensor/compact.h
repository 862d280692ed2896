/* compact.h -- counting flags, for the other files of this room. */
#ifndef HONE_GPU_TENSOR_COMPACT_H
#define HONE_GPU_TENSOR_COMPACT_H

#include "gpu/context.h"
#include "tensor/tensor.h"

/* How many flags of a contiguous tensor of bools are set: in *count, once the device is done with
 * it; in *starts, how many before each tile of COMPACT_TILE. */
int gpu_count_flags(tensor *starts, int64_t *count, gpu_device *device, const tensor *flags,
                    tensor_error *error);

#endif
