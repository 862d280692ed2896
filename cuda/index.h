/* index.h -- what the kernels of index.cu and index_add.cu are called with. */
#ifndef HONE_CUDA_INDEX_H
#define HONE_CUDA_INDEX_H

#include "fault.h"
#include "strided.h"

/* A tensor of indices, and what they count. */
typedef struct index_operand {
  const int64_t *data;
  int64_t stride[STRIDED_RANK]; /* in elements */
  int64_t size, step;           /* of the dimension: elements, and words from one to the next */
  int32_t dim;
} index_operand;

/* Strides in words: elements, or as many at a time as lie together everywhere. */
typedef struct index_arguments {
  int64_t count;
  strided_shape shape;
  int64_t
      row_blocks; /* that share a row, the innermost dimension; 0: rows are too short for blocks */
  int32_t indices, negative;
  void *part, *whole; /* what is read or written in order, and what the indices count in */
  int64_t part_stride[STRIDED_RANK], whole_stride[STRIDED_RANK];
  index_operand at[STRIDED_RANK];
  int64_t none; /* what index_places gives for a place out of range: more than any other */
  fault_site site;
} index_arguments;

/* Places sorted by what they name: those that name the same are neighbours, in their own order. */
typedef struct index_add_arguments {
  int64_t places, rest;      /* elements of a place */
  const int64_t *at, *order; /* where in `whole`, ascending; the place's number */
  int64_t none;              /* `at` of those out of range */
  void *whole;
  const void *part;
  strided_shape place_shape, rest_shape;
  int64_t part_place_stride[STRIDED_RANK], part_rest_stride[STRIDED_RANK];
  int64_t whole_rest_stride[STRIDED_RANK];
} index_add_arguments;

#endif
