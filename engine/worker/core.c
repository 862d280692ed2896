/* core.c -- the loop that serves a judge: requests and replies are JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

#include "gpu/context.h"
#include "worker/arena.h"
#include "worker/copy.h"
#include "worker/measure.h"
#include "worker/message.h"
#include "worker/requests.h"
#include "worker/sandbox.h"
#include "worker/worker.h"

typedef struct {
  message_channel channel;
  const worker_language *language;
  gpu_device *device; /* NULL: the CPU */
  const char *cupti;  /* why it cannot be used, or NULL */
  const char *sandbox;
  worker_arena arena;
  bool is_loaded, is_started;
} Worker;

/* ---- what hooks say ------------------------------------------------------------------------ */

static struct {
  int code;
  char text[32 * 1024];
} failure;

void hone_worker_fail(int code, const char *text) {
  failure.code = code;
  snprintf(failure.text, sizeof failure.text, "%s", text);
}

/* What came back of the request at hand; the reply's own document holds it. */
static struct {
  yyjson_mut_doc *doc;
  yyjson_mut_val *list; /* of calls, each a list of what it returned */
  const worker_arena *arena;
} returned;

static yyjson_mut_val *returned_of_call(int call) {
  while (yyjson_mut_arr_size(returned.list) <= (size_t)call) {
    yyjson_mut_arr_add_arr(returned.doc, returned.list);
  }
  return yyjson_mut_arr_get(returned.list, (size_t)call);
}

static bool lies_in_arena(const void *data) {
  const char *at = data, *base = returned.arena->base;
  return base && at >= base && at < base + returned.arena->bytes;
}

void hone_worker_returned(int call, int output, int of, const char *type, const char *dtype,
                          int rank, const int64_t *shape, int device_type, const void *data) {
  if (!returned.doc || call < 0) return;
  yyjson_mut_doc *doc = returned.doc;
  yyjson_mut_val *one = yyjson_mut_arr_add_obj(doc, returned_of_call(call));
  yyjson_mut_obj_add_int(doc, one, "output", output);
  yyjson_mut_obj_add_int(doc, one, "of", of);
  yyjson_mut_obj_add_strcpy(doc, one, "type", type);
  yyjson_mut_obj_add_strcpy(doc, one, "dtype", dtype ? dtype : "");
  yyjson_mut_obj_add_str(doc, one, "device", device_type == 2 ? "cuda" : "cpu");
  yyjson_mut_obj_add_bool(doc, one, "in_arena", lies_in_arena(data));
  if (rank >= 0) {
    yyjson_mut_obj_add_val(doc, one, "shape", yyjson_mut_arr_with_sint64(doc, shape, (size_t)rank));
  }
}

/* What a call said it returned, noted while its clock ran: looked at after it. */
enum { MAX_TAKEN = 256, MAX_RANK = 16 };

typedef struct {
  int call, output, of, rank, device_type;
  char type[96], dtype[24];
  int64_t shape[MAX_RANK], strides[MAX_RANK];
  const void *data;
} Taken;

static struct {
  Taken list[MAX_TAKEN];
  int count;
} taken;

void hone_worker_take(int call, int output, int of, const char *type, const char *dtype, int rank,
                      const int64_t *shape, const int64_t *strides, int device_type,
                      const void *data) {
  if (output == 0) taken.count = 0; /* a call whose sample is taken again returns again */
  if (taken.count == MAX_TAKEN) return;
  Taken *t = &taken.list[taken.count++];
  *t = (Taken){.call = call,
               .output = output,
               .of = of,
               .rank = rank <= MAX_RANK ? rank : MAX_RANK,
               .device_type = device_type,
               .data = data};
  snprintf(t->type, sizeof t->type, "%s", type);
  snprintf(t->dtype, sizeof t->dtype, "%s", dtype ? dtype : "");
  for (int i = 0; i < t->rank; i++) {
    t->shape[i] = shape[i];
    t->strides[i] = strides[i];
  }
}

static struct {
  void *const *addresses;
  int count;
} plain;

void hone_worker_plain(void *const *addresses, int count) {
  plain.addresses = addresses;
  plain.count = count;
}

/* ---- replies ------------------------------------------------------------------------------- */

static const char *code_name(int code) {
  static const char *const names[] = {[WORKER_COMPILE_ERROR] = "COMPILE_ERROR",
                                      [WORKER_RUNTIME_ERROR] = "RUNTIME_ERROR",
                                      [WORKER_OUT_OF_MEMORY] = "OUT_OF_MEMORY"};
  bool is_known = WORKER_COMPILE_ERROR <= code && code <= WORKER_OUT_OF_MEMORY;
  return names[is_known ? code : WORKER_RUNTIME_ERROR];
}

/* What was printed must not stay in a buffer of ours when the judge asks for it. */
static int send_reply(Worker *w, yyjson_mut_doc *doc) {
  size_t size;
  fflush(NULL);
  char *text = yyjson_mut_write(doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &size);
  yyjson_mut_doc_free(doc);
  if (!text) return MESSAGE_NO_MEMORY;
  int failed = message_send(&w->channel, MESSAGE_REPLY, text, size, -1);
  free(text);
  return failed;
}

/* An object to be sent: {"ok": true} so far. */
static yyjson_mut_doc *new_reply(void) {
  yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
  yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
  yyjson_mut_obj_add_bool(doc, yyjson_mut_doc_get_root(doc), "ok", true);
  return doc;
}

static int send_failure(Worker *w, int code, const char *text) {
  yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
  yyjson_mut_val *root = yyjson_mut_obj(doc);
  yyjson_mut_doc_set_root(doc, root);
  yyjson_mut_obj_add_bool(doc, root, "ok", false);
  yyjson_mut_obj_add_str(doc, root, "code", code_name(code));
  yyjson_mut_obj_add_strcpy(doc, root, "why", text);
  yyjson_mut_obj_add_bool(doc, root, "lost", w->device && w->device->lost);
  return send_reply(w, doc);
}

static int send_hook_failure(Worker *w) {
  return send_failure(w, failure.code, failure.text[0] ? failure.text : "no reason was given");
}

/* ---- starting ------------------------------------------------------------------------------ */

static const char **string_list(yyjson_val *list) {
  size_t n = yyjson_arr_size(list);
  const char **out = calloc(n + 1, sizeof *out);
  for (size_t i = 0; out && i < n; i++) {
    const char *text = yyjson_get_str(yyjson_arr_get(list, i));
    out[i] = strdup(text ? text : "");
  }
  return out;
}

static const char *open_device(Worker *w, int ordinal, yyjson_val *folders) {
  static gpu_error error;
  if (gpu_open(&error)) return error.text;
  w->device = gpu_touch(ordinal, &error);
  if (!w->device) return error.text;
  const char **list = string_list(folders); /* kept: CUPTI's folders are looked at only now */
  w->cupti = measure_start(w->device, list);
  return NULL;
}

static int start(Worker *w, yyjson_val *request) {
  const sandbox_limits limits = {
      .memory = yyjson_get_uint(yyjson_obj_get(request, "memory")),
      .file = yyjson_get_uint(yyjson_obj_get(request, "file")),
      .may_start = yyjson_get_bool(yyjson_obj_get(request, "may_start")),
  };
  sandbox_enter(&limits, &w->sandbox);
  int ordinal = (int)yyjson_get_int(yyjson_obj_get(request, "device"));
  const char *why = ordinal >= 0 ? open_device(w, ordinal, yyjson_obj_get(request, "cupti")) : NULL;
  if (why) return send_failure(w, WORKER_RUNTIME_ERROR, why);
  w->is_started = true;
  yyjson_mut_doc *doc = new_reply();
  yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
  yyjson_mut_obj_add_str(doc, root, "sandbox", w->sandbox);
  yyjson_mut_obj_add_str(doc, root, "cupti", w->cupti ? w->cupti : "");
  return send_reply(w, doc);
}

static int map(Worker *w, yyjson_val *request) {
  size_t bytes = (size_t)yyjson_get_uint(yyjson_obj_get(request, "bytes"));
  const char *hex = yyjson_get_str(yyjson_obj_get(request, "handle"));
  const char *why;
  arena_unmap(&w->arena);
  if (bytes == 0) return send_reply(w, new_reply());
  if (w->channel.descriptor >= 0) {
    why = arena_map_file(&w->arena, w->channel.descriptor, bytes);
    close(w->channel.descriptor);
    w->channel.descriptor = -1;
  } else {
    char handle[64] = {0};
    for (size_t i = 0; hex && i < sizeof handle && hex[2 * i]; i++) {
      unsigned byte = 0;
      sscanf(hex + 2 * i, "%2x", &byte);
      handle[i] = (char)byte;
    }
    why = w->device ? arena_map_device(&w->arena, w->device, handle, bytes) : "no memory was sent";
  }
  return why ? send_failure(w, WORKER_RUNTIME_ERROR, why) : send_reply(w, new_reply());
}

static int load(Worker *w, yyjson_val *request) {
  char *artefact = yyjson_val_write(yyjson_obj_get(request, "artefact"), 0, NULL);
  failure.text[0] = '\0';
  int failed = artefact ? w->language->load(w->language->context, artefact) : -1;
  free(artefact);
  w->is_loaded = !failed;
  return failed ? send_hook_failure(w) : send_reply(w, new_reply());
}

/* ---- calls --------------------------------------------------------------------------------- */

/* A request, and who serves it. */
typedef struct {
  Worker *worker;
  const calls_request *calls;
} Serving;

static bool is_same_form(const Taken *t, const worker_value *place) {
  const worker_tensor *to = &place->tensor;
  if (place->kind != WORKER_TENSOR || t->rank != to->rank || t->device_type != to->device.type ||
      strcmp(t->dtype, place->dtype) != 0) {
    return false;
  }
  for (int i = 0; i < t->rank; i++) {
    if (t->shape[i] != to->shape[i]) return false;
  }
  return true;
}

static int copy_failed(const char *why) {
  char text[256];
  snprintf(text, sizeof text, "cannot copy a tensor: %s", why);
  hone_worker_fail(WORKER_RUNTIME_ERROR, text);
  return WORKER_RUNTIME_ERROR;
}

/* What was left as addresses alone, as if it had been told. */
static void take_plain(const calls_request *calls, int call) {
  if (plain.count == 0 || plain.count != calls->outputs || !plain.addresses[0]) return;
  for (int i = 0; i < plain.count; i++) {
    const worker_value *place = &calls_values(calls, call)[calls->inputs + i];
    const worker_tensor *t = &place->tensor;
    hone_worker_take(call, i, plain.count, "Tensor", place->dtype, t->rank, t->shape, t->strides,
                     t->device.type, plain.addresses[i]);
  }
}

/* Tell the judge of what a call returned, and bring it to where the output belongs. */
static int take_one(const calls_request *calls, Taken *t) {
  hone_worker_returned(t->call, t->output, t->of, t->type, t->dtype, t->rank, t->shape,
                       t->device_type, t->data);
  if (t->rank < 0 || t->of != calls->outputs || t->output >= calls->outputs) return 0;
  const worker_value *place = &calls_values(calls, t->call)[calls->inputs + t->output];
  if (!is_same_form(t, place)) return 0;
  worker_tensor from = place->tensor;
  from.data = (void *)(uintptr_t)t->data;
  from.shape = t->shape;
  from.strides = t->strides;
  const char *why = worker_copy(&place->tensor, &from);
  return why ? copy_failed(why) : 0;
}

/* Copy a call's values from `first` to `last` from beside, or there. */
static int copy_beside(const calls_request *calls, int call, int first, int last, bool is_to) {
  const worker_value *values = calls_values(calls, call);
  char *const *beside = calls_beside(calls, call);
  for (int i = first; i < last; i++) {
    if (!beside[i]) continue;
    worker_tensor other = values[i].tensor;
    other.data = beside[i];
    const worker_tensor *to = is_to ? &other : &values[i].tensor;
    const char *why = worker_copy(to, is_to ? &values[i].tensor : &other);
    if (why) return copy_failed(why);
  }
  return 0;
}

static int wait_for_copies(const Worker *w) {
  const char *why = w->device ? worker_copied() : NULL;
  return why ? copy_failed(why) : 0;
}

/* The inputs come last: nothing that a solution can reach runs between them and the clock. */
static int before_call(void *owner, int call) {
  const Serving *s = owner;
  const worker_language *l = s->worker->language;
  const calls_request *calls = s->calls;
  taken.count = plain.count = 0;
  int failed =
      l->prepare(l->context, call, calls_values(calls, call), calls->inputs, calls->outputs);
  if (!failed) failed = copy_beside(calls, call, 0, calls->inputs, false);
  return failed ? failed : wait_for_copies(s->worker);
}

/* What stands in the outputs now is what counts. */
static int after_call(void *owner, int call) {
  const Serving *s = owner;
  const worker_language *l = s->worker->language;
  const calls_request *calls = s->calls;
  int failed = 0;
  take_plain(calls, call);
  for (int i = 0; i < taken.count && !failed; i++) failed = take_one(calls, &taken.list[i]);
  if (!failed && l->finish) failed = l->finish(l->context, call);
  if (!failed)
    failed = copy_beside(calls, call, calls->inputs, calls->inputs + calls->outputs, true);
  return failed ? failed : wait_for_copies(s->worker);
}

static void add_times(yyjson_mut_doc *doc, const calls_request *calls, const measure_result *m) {
  yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
  size_t timed = (size_t)(calls->count - calls->warmup);
  yyjson_mut_obj_add_val(doc, root, "seconds", yyjson_mut_arr_with_real(doc, m->seconds, timed));
  yyjson_mut_obj_add_val(doc, root, "host",
                         yyjson_mut_arr_with_real(doc, m->host, (size_t)calls->count));
  yyjson_mut_obj_add_str(doc, root, "clock", m->clock);
  yyjson_mut_obj_add_real(doc, root, "overhead", m->overhead);
  yyjson_mut_obj_add_real(doc, root, "wall", m->wall);
  yyjson_mut_obj_add_int(doc, root, "clock_mhz", m->clock_mhz);
  yyjson_mut_obj_add_int(doc, root, "max_clock_mhz", m->max_clock_mhz);
  yyjson_mut_obj_add_int(doc, root, "threads_before", m->threads_before);
  yyjson_mut_obj_add_int(doc, root, "threads_after", m->threads_after);
  yyjson_mut_val *kernels = yyjson_mut_arr(doc);
  for (size_t i = 0; i < m->kernel_count; i++) {
    yyjson_mut_arr_add_strcpy(doc, kernels, m->kernels[i]);
  }
  yyjson_mut_obj_add_val(doc, root, "kernels", kernels);
}

static int measure(Worker *w, const calls_request *calls, yyjson_mut_doc *doc) {
  Serving serving = {w, calls};
  const measure_calls what = {
      .language = w->language,
      .before = before_call,
      .after = after_call,
      .owner = &serving,
      .device = w->device,
      .warmup = calls->warmup,
      .timed = calls->count - calls->warmup,
      .cold = calls->cold,
      .events = calls->events,
      .timeout = calls->timeout,
      .spans = calls->spans,
      .spans_of_call = calls->inputs + calls->outputs,
  };
  measure_result result;
  int failed = measure_run(&what, &result);
  if (!failed) add_times(doc, calls, &result);
  measure_free(&result);
  return failed;
}

/* The device is idle before the judge looks at what was written. */
static int settle(Worker *w) {
  gpu_error error;
  if (!w->device || gpu_synchronize(w->device, &error) == 0) return 0;
  hone_worker_fail(WORKER_RUNTIME_ERROR, error.text);
  return WORKER_RUNTIME_ERROR;
}

static int run_calls(Worker *w, const calls_request *calls) {
  yyjson_mut_doc *doc = new_reply();
  returned.doc = doc;
  returned.list = yyjson_mut_arr(doc);
  returned.arena = &w->arena;
  failure.text[0] = '\0';
  int failed = settle(w);
  if (!failed) failed = measure(w, calls, doc);
  if (!failed) failed = settle(w);
  yyjson_mut_obj_add_val(doc, yyjson_mut_doc_get_root(doc), "returned", returned.list);
  returned.doc = NULL;
  w->language->forget(w->language->context);
  if (!failed) return send_reply(w, doc);
  yyjson_mut_doc_free(doc);
  return send_hook_failure(w);
}

static int serve_calls(Worker *w, yyjson_val *request) {
  calls_request calls;
  const char *why = w->is_loaded ? calls_read(&calls, request, &w->arena) : "nothing is loaded";
  if (why) return send_failure(w, WORKER_RUNTIME_ERROR, why);
  int failed = run_calls(w, &calls);
  calls_free(&calls);
  return failed;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static int serve(Worker *w, yyjson_val *request) {
  uint32_t kind = w->channel.kind;
  if (kind == MESSAGE_START) return start(w, request);
  if (!w->is_started) return send_failure(w, WORKER_RUNTIME_ERROR, "the worker was not started");
  if (kind == MESSAGE_MAP) return map(w, request);
  if (kind == MESSAGE_LOAD) return load(w, request);
  if (kind == MESSAGE_CALLS) return serve_calls(w, request);
  return send_failure(w, WORKER_RUNTIME_ERROR, "an unknown request");
}

int hone_worker_serve(int fd, const worker_language *language) {
  Worker w = {.channel = {.fd = fd, .descriptor = -1, .beside = -1}, .language = language};
  if (message_receive_key(&w.channel)) return 1;
  if (send_reply(&w, new_reply())) return 1; /* it is here; of the device nothing was touched yet */
  for (;;) {
    if (message_receive(&w.channel, -1)) return 1; /* the judge is gone, or is none */
    if (w.channel.kind == MESSAGE_STOP) return 0;
    yyjson_doc *doc = yyjson_read((const char *)w.channel.data, w.channel.size, 0);
    int failed = doc ? serve(&w, yyjson_doc_get_root(doc)) : MESSAGE_FORGED;
    yyjson_doc_free(doc);
    if (failed) return 1;
  }
}
