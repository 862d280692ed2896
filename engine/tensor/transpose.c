/* transpose.c -- copying where the elements that are neighbours in the source are not in the
 * result. Going along either side wastes most of every cache line of the other; small squares use
 * them. */
#include "tensor/parallel.h"
#include "tensor/transpose.h"

enum { SIDE = 16 };

typedef struct squares {
  const loop *loop;
  size_t size;
  int across;    /* the dimension in which the source's elements are neighbours */
  loop outer;    /* all dimensions but that one and the innermost */
  int64_t bands; /* of SIDE rows in the dimension `across` */
  int64_t rows, columns;
} squares;

/* One square: read by lines of the source, written by lines of the result. */
static void copy_square(const squares *s, char *to, const char *from, int64_t rows,
                        int64_t columns) {
  uint64_t room[SIDE * SIDE];
  char *square = (char *)room;
  int inner = s->loop->rank - 1;
  int64_t to_row = s->loop->operand[0].stride[s->across],
          from_column = s->loop->operand[1].stride[inner];
  int64_t size = (int64_t)s->size;
  for (int64_t j = 0; j < columns; j++)
    memcpy(square + j * SIDE * size, from + j * from_column, (size_t)(rows * size));
  for (int64_t i = 0; i < rows; i++)
    copy_strided(to + i * to_row, size, square + i * size, SIDE * size, columns, s->size);
}

static void copy_bands(void *context, int64_t begin, int64_t end) {
  const squares *s = context;
  const loop *l = s->loop;
  for (int64_t band = begin; band < end; band++) {
    int64_t first = band % s->bands * SIDE;
    int64_t rows = s->rows - first < SIDE ? s->rows - first : SIDE;
    char *to = loop_at(&s->outer, 0, band / s->bands) + first * l->operand[0].stride[s->across];
    const char *from =
        loop_at(&s->outer, 1, band / s->bands) + first * l->operand[1].stride[s->across];
    for (int64_t j = 0; j < s->columns; j += SIDE) {
      int64_t columns = s->columns - j < SIDE ? s->columns - j : SIDE;
      copy_square(s, to + j * (int64_t)s->size, from + j * l->operand[1].stride[l->rank - 1], rows,
                  columns);
    }
  }
}

bool copy_transposed(const loop *l, size_t size) {
  int inner = l->rank - 1;
  squares s = {.loop = l, .size = size, .across = -1};
  if (inner < 1 || l->operand[0].stride[inner] != (int64_t)size) return false;
  for (int i = 0; i < inner; i++)
    if (l->operand[1].stride[i] == (int64_t)size && l->shape[i] >= SIDE) s.across = i;
  if (s.across < 0 || l->shape[inner] < SIDE) return false;
  s.outer = *l;
  s.outer.shape[s.across] = s.outer.shape[inner] = 1;
  s.rows = l->shape[s.across];
  s.columns = l->shape[inner];
  s.bands = (s.rows + SIDE - 1) / SIDE;
  int64_t grain = LOOP_GRAIN / (s.columns * SIDE);
  parallel_for(loop_count(&s.outer) * s.bands, grain > 0 ? grain : 1, copy_bands, &s);
  return true;
}
