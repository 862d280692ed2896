/* linalg.h -- products of tensors, as torch has them. Both operands have one dtype; the half types
 * and float8 are added up in float32 and rounded once. */
#ifndef HONE_LINALG_H
#define HONE_LINALG_H

#include "tensor/tensor.h"

/* Vectors, matrices and batches of them: dimensions before the last two broadcast. */
int tensor_matmul(tensor *out, const tensor *a, const tensor *b, tensor_error *error);
/* Matrices; batches of matrices, as many of the one as of the other; vectors. */
int tensor_mm(tensor *out, const tensor *a, const tensor *b, tensor_error *error);
int tensor_bmm(tensor *out, const tensor *a, const tensor *b, tensor_error *error);
int tensor_mv(tensor *out, const tensor *a, const tensor *b, tensor_error *error);
int tensor_dot(tensor *out, const tensor *a, const tensor *b, tensor_error *error);
int tensor_outer(tensor *out, const tensor *a, const tensor *b, tensor_error *error);

/* beta c + alpha a b (baddbmm: of batches), c broadcast; where beta is 0, c is not looked at. */
int tensor_addmm(tensor *out, const tensor *c, const tensor *a, const tensor *b, double beta,
                 double alpha, tensor_error *error);
int tensor_baddbmm(tensor *out, const tensor *c, const tensor *a, const tensor *b, double beta,
                   double alpha, tensor_error *error);

/* Einstein's sums: "bij,bjk->bik", with "..." and without an output as torch reads them. */
int tensor_einsum(tensor *out, const char *equation, int n, const tensor *const *operands,
                  tensor_error *error);

#endif
