// prelude.cuh -- what the engine's own headers expect of C, for NVRTC, which comes without a library;
// and the macros of the program at hand.
#pragma once
#include "macros.h"

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef unsigned long long uintptr_t;

#define INFINITY __int_as_float(0x7F800000)
#define NAN __int_as_float(0x7FC00000)
#define INT64_MIN (-0x7FFFFFFFFFFFFFFFll - 1)
#define INT64_MAX 0x7FFFFFFFFFFFFFFFll

#include "tensor/element.h"
