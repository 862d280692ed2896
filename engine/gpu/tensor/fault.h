/* fault.h -- indices that turn out to be out of range while a kernel runs. The kernel leaves the
 * elements alone and notes the index; the note becomes an error of the next operation on tensors of
 * the device, or of the copy to the host that waited for the kernel. */
#ifndef HONE_GPU_TENSOR_FAULT_H
#define HONE_GPU_TENSOR_FAULT_H

#include "cuda/fault.h"
#include "gpu/context.h"
#include "tensor/tensor.h"

/* What a launch on the device takes along: `verb`, of static storage, is tried on t. */
int gpu_fault_site(fault_site *site, gpu_device *device, const char *verb, const tensor *t,
                   tensor_error *error);

/* The error that was noted since the last call, once; 0 where there is none. Costs a load. */
int gpu_fault_check(gpu_device *device, tensor_error *error);

#endif
