/* random.h -- random numbers by the counter-based generator of philox.h. Element i in row-major
 * order of a draw depends on the generator's seed and offset and on i alone: not on strides,
 * threads, device or machine. Every draw raises the offset by one.
 *
 * float64 tensors draw float64 numbers, the others float32 ones which are rounded to their type,
 * save that uniform numbers of the half types are made of as many digits as those hold. */
#ifndef HONE_RANDOM_H
#define HONE_RANDOM_H

#include "tensor/tensor.h"

typedef struct generator {
  uint64_t seed, offset;
} generator;

/* [low, high); what rounding would make of `high` or more becomes `low`. */
int random_uniform(tensor *t, generator *g, double low, double high, tensor_error *error);
int random_normal(tensor *t, generator *g, double mean, double deviation, tensor_error *error);
int random_exponential(tensor *t, generator *g, double rate, tensor_error *error);
/* [low, high), each number as likely as any other. */
int random_integers(tensor *t, generator *g, int64_t low, int64_t high, tensor_error *error);
/* 1 with probability `p`, else 0. */
int random_bernoulli(tensor *t, generator *g, double p, tensor_error *error);
/* The same with a probability for each element, of t's shape and any float dtype. */
int random_bernoulli_each(tensor *t, generator *g, const tensor *p, tensor_error *error);

/* 0 to n - 1 in random order. */
int random_permutation(tensor *out, generator *g, int64_t n, dtype dtype, int device,
                       tensor_error *error);

/* `n` categories of each row of weights (one row, or a matrix of rows), as int64. With replacement
 * by exact integer weights of 2^-40 of the row's largest; without, the n smallest of exponential
 * numbers over the weights, in that order. */
int random_multinomial(tensor *out, generator *g, const tensor *weights, int64_t n,
                       bool replacement, tensor_error *error);

/* What is said of a weight that none can be chosen by, and of a row with too few positive ones; for
 * devices. */
int multinomial_refuse_weight(double weight, tensor_error *error);
int multinomial_refuse_row(int64_t positive, int64_t n, tensor_error *error);

#endif
