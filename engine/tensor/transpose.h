/* transpose.h -- copying where the elements that are neighbours in the source are not in the
 * result. */
#ifndef HONE_TRANSPOSE_H
#define HONE_TRANSPOSE_H

#include "tensor/index.h"
#include "tensor/loop.h"

/* Copy the loop's second operand, of elements of `size` bytes, to its first, if they lie across
 * each other; false where they do not, and nothing was done. */
bool copy_transposed(const loop *l, size_t size);

#endif
