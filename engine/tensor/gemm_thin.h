/* gemm_thin.h -- a few rows by a large matrix of a narrow float type: its elements are widened as
 * they are read, once, since that takes longer than the product. */
#ifndef HONE_GEMM_THIN_H
#define HONE_GEMM_THIN_H

#include "tensor/gemm.h"

bool gemm_thin_fits(const matrix *a, const matrix *b);

/* c = a b, contiguous, float32; false when there is no memory. */
bool gemm_thin(float *c, const matrix *a, const matrix *b);

#endif
