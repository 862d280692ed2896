/* ahead.c -- rows done ahead. */
#include "tensor/ahead.h"

#include <string.h>

#include "tensor/pending.h"
#include "tensor/reduce.h"
#include "tensor/sort.h"

enum { MATRICES = 6, LEAST_LENGTH = 256, MOST_ROWS = 256 };

/* A matrix that is gone through row by row. */
typedef struct walk {
  enum ahead_op op;
  storage *of; /* retained, and counted as one that is read; NULL: there is no walk */
  dtype dtype;
  int64_t length, last; /* of a row; the row that was asked for last */
  int64_t step;         /* how many rows were done at once */
  int64_t first, count; /* the rows that are there */
  bool given[MOST_ROWS];
  tensor made[2]; /* [count, length] */
  unsigned age;
} walk;

static walk walks[MATRICES];
static unsigned now;

static void drop_made(walk *w) {
  tensor_release(&w->made[0]);
  tensor_release(&w->made[1]);
  w->count = 0;
}

static void drop(walk *w) {
  storage *s = w->of;
  drop_made(w);
  w->of = NULL;
  if (!s) return;
  s->readers--;
  storage_release(s);
}

void ahead_forget(const storage *s) {
  for (int i = 0; i < MATRICES; i++)
    if (walks[i].of && (!s || walks[i].of == s)) drop(&walks[i]);
}

/* Is the storage itself what was done ahead of a walk? Then all its rows will be asked for. */
static bool is_made(const storage *s) {
  for (int i = 0; i < MATRICES; i++)
    if (walks[i].made[0].storage == s) return true;
  return false;
}

static walk *find(enum ahead_op op, const tensor *row) {
  for (int i = 0; i < MATRICES; i++) {
    walk *w = &walks[i];
    if (w->of == row->storage && w->op == op && w->dtype == row->dtype &&
        w->length == row->shape[0])
      return w;
  }
  return NULL;
}

static walk *start(enum ahead_op op, const tensor *row, int64_t at) {
  walk *oldest = &walks[0];
  for (int i = 1; i < MATRICES; i++)
    if (!walks[i].of || (oldest->of && walks[i].age < oldest->age)) oldest = &walks[i];
  drop(oldest);
  *oldest = (walk){.op = op,
                   .of = storage_retain(row->storage),
                   .dtype = row->dtype,
                   .length = row->shape[0],
                   .last = at - 1};
  row->storage->readers++;
  return oldest;
}

static int do_rows(walk *w, const tensor *row, int64_t at, int64_t count, tensor_error *error) {
  tensor rows = *row, made[2] = {{0}, {0}};
  rows.rank = 2;
  rows.shape[0] = count;
  rows.shape[1] = w->length;
  rows.stride[0] = w->length;
  rows.stride[1] = 1;
  int code;
  if (w->op == AHEAD_SORT || w->op == AHEAD_SORT_DOWN)
    code = tensor_sort(&made[0], &made[1], &rows, 1, w->op == AHEAD_SORT_DOWN, error);
  else
    code = tensor_scan(w->op == AHEAD_SUM ? FOLD_SUM : FOLD_PROD, &made[0], &rows, 1, error);
  if (code) return code;
  drop_made(w);
  memcpy(w->made, made, sizeof made);
  memset(w->given, 0, sizeof w->given);
  w->first = at;
  w->count = count;
  return 0;
}

/* Each row is given away once, for who gets it may write it. */
static int give(walk *w, tensor out[2], int64_t at, tensor_error *error) {
  int code = tensor_select(&out[0], &w->made[0], 0, at - w->first, error);
  if (!code && w->made[1].storage)
    code = tensor_select(&out[1], &w->made[1], 0, at - w->first, error);
  w->given[at - w->first] = true;
  return code;
}

int ahead_take(enum ahead_op op, tensor out[2], const tensor *row, tensor_error *error) {
  storage *s = row->storage;
  if (!pending_may_be_on(s->device) || row->rank != 1 || row->shape[0] < LEAST_LENGTH ||
      row->stride[0] != 1 || dtype_size(row->dtype) == 0)
    return 1;
  int64_t length = row->shape[0], all = (int64_t)(s->bytes / dtype_size(row->dtype));
  int64_t rows = all / length, at = row->offset / length;
  if (rows < 2 || all % length || row->offset % length) return 1;
  walk *w = find(op, row);
  if (!w) w = start(op, row, at);
  w->age = ++now;
  bool follows = at == w->last + 1;
  w->last = at;
  if (at >= w->first && at < w->first + w->count && !w->given[at - w->first])
    return give(w, out, at, error);
  int64_t step = is_made(s) ? rows : !follows ? 1 : w->step ? 2 * w->step : 1;
  if (step > rows - at) step = rows - at;
  if (step > MOST_ROWS) step = MOST_ROWS;
  w->step = step;
  if (step == 1) return 1;
  int code = do_rows(w, row, at, step, error);
  return code ? code : give(w, out, at, error);
}
