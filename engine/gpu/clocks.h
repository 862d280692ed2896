/* clocks.h -- the clocks of a device, by NVML, opened on first use. */
#ifndef HONE_GPU_CLOCKS_H
#define HONE_GPU_CLOCKS_H

#include "context.h"

/* The clock of the SMs in MHz: now, and the highest there is. 0: NVML does not tell. */
int clocks_sm(const gpu_device *device);
int clocks_sm_max(const gpu_device *device);

#endif
