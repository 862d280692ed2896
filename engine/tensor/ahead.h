/* ahead.h -- rows done ahead: where a script sorts or adds up the rows of a matrix one after the
 * other, those that come next are done along with the one that is asked for, twice as many each
 * time. */
#ifndef HONE_AHEAD_H
#define HONE_AHEAD_H

#include "tensor/tensor.h"

enum ahead_op { AHEAD_SORT, AHEAD_SORT_DOWN, AHEAD_SUM, AHEAD_PRODUCT };

/* What op gives for the vector `row`: values, and indices of a sort, in out[0] and out[1]. 1 where
 * it is to be done for the row alone. */
int ahead_take(enum ahead_op op, tensor out[2], const tensor *row, tensor_error *error);
/* The storage will be written: nothing of it was done ahead. NULL: of none. */
void ahead_forget(const storage *s);

#endif
