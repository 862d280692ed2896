/* requests.h -- the kinds of messages, and the one that holds calls:
 * {"values": [{"kind": "tensor", "dtype": "bfloat16", "code": 4, "bits": 16, "lanes": 1,
 *              "shape": [2, 3]}, {"kind": "float", "value": 0.5}, ...],
 *  "inputs": 1, "slots": [[offset of each tensor, ...], ...], "warmup": 1, "cold": true,
 *  "sources": [[offset for each input, ...], ...], "seen": [[offset for each output, ...], ...],
 *  "events": false, "timeout": 60}
 * A call's inputs are copied from "sources" to their places when all else is ready for it; its
 * outputs to "seen" as soon as it is over. Both may be left out. */
#ifndef HONE_WORKER_REQUESTS_H
#define HONE_WORKER_REQUESTS_H

#include <yyjson.h>

#include "worker/arena.h"
#include "worker/measure.h"
#include "worker/worker.h"

enum {
  MESSAGE_START = 1, /* {"device": ordinal or -1, "memory", "file", "may_start", "cupti": [...]} */
  MESSAGE_MAP,       /* {"bytes", "handle": hex}, or with a descriptor; 0 bytes: only let go */
  MESSAGE_LOAD,      /* {"artefact": {...}} */
  MESSAGE_CALLS,
  MESSAGE_STOP,  /* {} and no reply */
  MESSAGE_REPLY, /* {"ok": true, ...} or {"ok": false, "code", "why", "lost"} */
};

typedef struct calls_request {
  int count, warmup;   /* the first calls are warm-ups */
  int inputs, outputs; /* values of a call */
  bool cold, events;
  double timeout;
  worker_value *values; /* inputs + outputs for each call */
  char **beside; /* for each value, where an input is copied from or an output to; may be NULL */
  measure_span *spans; /* likewise; what is no tensor has no bytes */
  int64_t *sizes;      /* shapes and strides, which all calls share */
  char (*dtypes)[24];
} calls_request;

/* Returns NULL, or what is wrong with it; then there is nothing to free. */
const char *calls_read(calls_request *calls, yyjson_val *request, const worker_arena *arena);
void calls_free(calls_request *calls);

static inline char *const *calls_beside(const calls_request *calls, int call) {
  return calls->beside + (size_t)call * (size_t)(calls->inputs + calls->outputs);
}

static inline const worker_value *calls_values(const calls_request *calls, int call) {
  return calls->values + (size_t)call * (size_t)(calls->inputs + calls->outputs);
}

#endif
