/* native.h -- solutions in C++ and CUDA, called through tvm-ffi's C ABI. */
#ifndef HONE_WORKER_NATIVE_H
#define HONE_WORKER_NATIVE_H

#include "worker/worker.h"

/* The hooks; one solution at a time. */
const worker_language *hone_native_language(void);

#endif
