#include "worker/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 16, MAX_VALUES = 256, MAX_CALLS = 1 << 20 };

/* What the values of all calls have in common. */
typedef struct {
  worker_value values[MAX_VALUES];
  size_t bytes[MAX_VALUES];
  int count, tensors;
} Form;

static const char *read_tensor(calls_request *calls, Form *form, int i, yyjson_val *v) {
  worker_tensor *t = &form->values[i].tensor;
  yyjson_val *shape = yyjson_obj_get(v, "shape");
  size_t rank = yyjson_arr_size(shape);
  if (!yyjson_is_arr(shape) || rank > MAX_RANK) return "a shape is no list of sizes";
  t->rank = (int32_t)rank;
  t->dtype.code = (uint8_t)yyjson_get_uint(yyjson_obj_get(v, "code"));
  t->dtype.bits = (uint8_t)yyjson_get_uint(yyjson_obj_get(v, "bits"));
  t->dtype.lanes = (uint16_t)yyjson_get_uint(yyjson_obj_get(v, "lanes"));
  t->shape = calls->sizes + (size_t)i * 2 * MAX_RANK;
  t->strides = t->shape + MAX_RANK;
  int64_t count = 1;
  for (size_t d = rank; d-- > 0;) {
    int64_t size = yyjson_get_sint(yyjson_arr_get(shape, d));
    t->shape[d] = size;
    t->strides[d] = count;
    if (size < 0 || __builtin_mul_overflow(count, size > 0 ? size : 1, &count)) {
      return "a size is out of range";
    }
  }
  for (size_t d = 0; d < rank; d++) count = t->shape[d] == 0 ? 0 : count;
  size_t bits = (size_t)t->dtype.bits * t->dtype.lanes;
  form->bytes[i] = (size_t)count * ((bits + 7) / 8);
  form->tensors++;
  return NULL;
}

static const char *read_value(calls_request *calls, Form *form, int i, yyjson_val *v) {
  const char *kind = yyjson_get_str(yyjson_obj_get(v, "kind"));
  const char *dtype = yyjson_get_str(yyjson_obj_get(v, "dtype"));
  yyjson_val *number = yyjson_obj_get(v, "value");
  worker_value *value = &form->values[i];
  snprintf(calls->dtypes[i], sizeof calls->dtypes[i], "%s", dtype ? dtype : "");
  *value = (worker_value){.is_output = i >= calls->inputs, .dtype = calls->dtypes[i]};
  if (!kind) return "a value has no kind";
  if (strcmp(kind, "tensor") == 0) {
    value->kind = WORKER_TENSOR;
    return read_tensor(calls, form, i, v);
  } else if (strcmp(kind, "integer") == 0) {
    value->kind = WORKER_INTEGER;
    value->integer = yyjson_get_sint(number);
  } else if (strcmp(kind, "bool") == 0) {
    value->kind = WORKER_BOOL;
    value->integer = yyjson_get_bool(number);
  } else if (strcmp(kind, "float") == 0) {
    value->kind = WORKER_FLOAT;
    value->number = yyjson_get_num(number);
    const char *text = yyjson_get_str(number); /* what JSON has no number for */
    if (text) value->number = strtod(text, NULL);
  } else if (strcmp(kind, "none") == 0) {
    value->kind = WORKER_NONE;
  } else {
    return "a value is of no known kind";
  }
  return NULL;
}

static const char *read_form(calls_request *calls, Form *form, yyjson_val *values) {
  for (int i = 0; i < form->count; i++) {
    const char *why = read_value(calls, form, i, yyjson_arr_get(values, (size_t)i));
    if (why) return why;
  }
  return NULL;
}

/* The values of one call: those of all, with addresses. */
static const char *place(calls_request *calls, const Form *form, int call, yyjson_val *offsets,
                         const worker_arena *arena) {
  if (yyjson_arr_size(offsets) != (size_t)form->tensors) return "a slot lacks offsets";
  size_t first = (size_t)call * (size_t)form->count, next = 0;
  for (int i = 0; i < form->count; i++) {
    worker_value *value = &calls->values[first + (size_t)i];
    *value = form->values[i];
    if (value->kind != WORKER_TENSOR) continue;
    uint64_t offset = yyjson_get_uint(yyjson_arr_get(offsets, next++));
    if (offset > arena->bytes || form->bytes[i] > arena->bytes - offset) {
      return "a tensor lies outside the judge's memory";
    }
    value->tensor.data = arena->base + offset;
    value->tensor.device.type = arena->device ? 2 : 1;
    value->tensor.device.id = arena->device ? arena->device->ordinal : 0;
    calls->spans[first + (size_t)i] = (measure_span){arena->base + offset, form->bytes[i]};
  }
  return NULL;
}

/* Where the values from `first` to `last` of one call are copied from, or to. */
static const char *place_beside(calls_request *calls, const Form *form, int call, int first,
                                int last, yyjson_val *offsets, const worker_arena *arena) {
  if (!offsets) return NULL;
  size_t next = 0;
  for (int i = first; i < last; i++) {
    if (form->values[i].kind != WORKER_TENSOR) continue;
    yyjson_val *given = yyjson_arr_get(offsets, next++);
    uint64_t offset = yyjson_get_uint(given);
    if (!given || offset > arena->bytes || form->bytes[i] > arena->bytes - offset) {
      return "a copy's place lies outside the judge's memory";
    }
    calls->beside[(size_t)call * (size_t)form->count + (size_t)i] = arena->base + offset;
  }
  return NULL;
}

/* All of one call. */
static const char *place_call(calls_request *calls, const Form *form, int call, yyjson_val *request,
                              const worker_arena *arena) {
  size_t i = (size_t)call;
  yyjson_val *slot = yyjson_arr_get(yyjson_obj_get(request, "slots"), i);
  yyjson_val *sources = yyjson_arr_get(yyjson_obj_get(request, "sources"), i);
  yyjson_val *seen = yyjson_arr_get(yyjson_obj_get(request, "seen"), i);
  const char *why = place(calls, form, call, slot, arena);
  if (!why) why = place_beside(calls, form, call, 0, calls->inputs, sources, arena);
  if (!why) why = place_beside(calls, form, call, calls->inputs, form->count, seen, arena);
  return why;
}

static const char *read_all(calls_request *calls, Form *form, yyjson_val *request,
                            const worker_arena *arena) {
  size_t n = (size_t)calls->count * (size_t)(form->count ? form->count : 1);
  calls->values = calloc(n, sizeof *calls->values);
  calls->spans = calloc(n, sizeof *calls->spans);
  calls->beside = calloc(n, sizeof *calls->beside);
  calls->sizes = calloc((size_t)form->count + 1, 2 * MAX_RANK * sizeof *calls->sizes);
  calls->dtypes = calloc((size_t)form->count + 1, sizeof *calls->dtypes);
  bool is_there = calls->values && calls->spans && calls->beside && calls->sizes && calls->dtypes;
  if (!is_there) return "out of memory";
  const char *why = read_form(calls, form, yyjson_obj_get(request, "values"));
  for (int i = 0; i < calls->count && !why; i++) why = place_call(calls, form, i, request, arena);
  return why;
}

const char *calls_read(calls_request *calls, yyjson_val *request, const worker_arena *arena) {
  Form form = {.count = (int)yyjson_arr_size(yyjson_obj_get(request, "values"))};
  size_t count = yyjson_arr_size(yyjson_obj_get(request, "slots"));
  *calls = (calls_request){
      .count = (int)count,
      .warmup = (int)yyjson_get_int(yyjson_obj_get(request, "warmup")),
      .inputs = (int)yyjson_get_int(yyjson_obj_get(request, "inputs")),
      .cold = yyjson_get_bool(yyjson_obj_get(request, "cold")),
      .events = yyjson_get_bool(yyjson_obj_get(request, "events")),
      .timeout = yyjson_get_num(yyjson_obj_get(request, "timeout")),
  };
  calls->outputs = form.count - calls->inputs;
  if (count < 1 || count > MAX_CALLS || form.count > MAX_VALUES) return "too many calls or values";
  if (calls->inputs < 0 || calls->outputs < 0) return "more inputs than values";
  if (calls->warmup < 0 || calls->warmup >= calls->count) return "no call is left to be timed";
  const char *why = read_all(calls, &form, request, arena);
  if (why) calls_free(calls);
  return why;
}

void calls_free(calls_request *calls) {
  free(calls->values);
  free(calls->spans);
  free(calls->beside);
  free(calls->sizes);
  free(calls->dtypes);
}
