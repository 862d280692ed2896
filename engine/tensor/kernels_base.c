/* kernels_base.c -- the loops for any processor. */
#define TABLE kernels_base
#define TABLE_NAME "base"
#include "tensor/kernels.inc"
