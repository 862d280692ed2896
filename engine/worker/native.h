/* native.h -- the language of solutions that are shared libraries with tvm-ffi's calling
 * convention. */
#ifndef HONE_WORKER_NATIVE_H
#define HONE_WORKER_NATIVE_H

#include "worker/worker.h"

worker_language native_language(void);

#endif
