/* core.c -- the loop that serves a judge: requests and replies are JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

#include "gpu/context.h"
#include "worker/arena.h"
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

static int prepare_all(Worker *w, const calls_request *calls) {
  const worker_language *l = w->language;
  for (int i = 0; i < calls->count; i++) {
    int failed = l->prepare(l->context, i, calls_values(calls, i), calls->inputs, calls->outputs);
    if (failed) return failed;
  }
  return 0;
}

static int finish_all(Worker *w, const calls_request *calls, yyjson_mut_doc *doc) {
  const worker_language *l = w->language;
  returned.doc = doc;
  returned.list = yyjson_mut_arr(doc);
  returned.arena = &w->arena;
  int failed = 0;
  for (int i = 0; i < calls->count && !failed; i++) failed = l->finish(l->context, i);
  yyjson_mut_obj_add_val(doc, yyjson_mut_doc_get_root(doc), "returned", returned.list);
  returned.doc = NULL;
  return failed;
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
}

static int measure(Worker *w, const calls_request *calls, yyjson_mut_doc *doc) {
  const measure_calls what = {
      .language = w->language,
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

/* Seconds that each part of a request took, for those who make it quicker. */
static void add_parts(yyjson_mut_doc *doc, const double times[4]) {
  static const char *const names[] = {"prepare_seconds", "calls_seconds", "finish_seconds"};
  for (int i = 0; i < 3; i++) {
    yyjson_mut_obj_add_real(doc, yyjson_mut_doc_get_root(doc), names[i], times[i + 1] - times[i]);
  }
}

static int run_calls(Worker *w, const calls_request *calls) {
  yyjson_mut_doc *doc = new_reply();
  double times[4] = {gpu_clock()};
  failure.text[0] = '\0';
  int failed = prepare_all(w, calls);
  if (!failed) failed = settle(w);
  times[1] = gpu_clock();
  if (!failed) failed = measure(w, calls, doc);
  times[2] = gpu_clock();
  if (!failed) failed = finish_all(w, calls, doc);
  if (!failed) failed = settle(w);
  times[3] = gpu_clock();
  add_parts(doc, times);
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
  for (;;) {
    if (message_receive(&w.channel, -1)) return 1; /* the judge is gone, or is none */
    if (w.channel.kind == MESSAGE_STOP) return 0;
    yyjson_doc *doc = yyjson_read((const char *)w.channel.data, w.channel.size, 0);
    int failed = doc ? serve(&w, yyjson_doc_get_root(doc)) : MESSAGE_FORGED;
    yyjson_doc_free(doc);
    if (failed) return 1;
  }
}
