/* transfer.h -- one HTTP exchange, pulled piece by piece: no callback leaves this file, redirects
 * are not followed and nothing is retried. Both are policy, and policy is the caller's. */
#ifndef HONE_HTTP_TRANSFER_H
#define HONE_HTTP_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>

#include "http/curl.h"

/* Strings and the body are borrowed: they must outlive the transfer. */
typedef struct {
  const char *url;    /* http or https, without credentials */
  const char *method; /* upper case */
  const char *body;   /* NULL sends none */
  size_t body_size;
  const char *user; /* NULL: no basic authentication */
  const char *password;
  const char *proxy;      /* NULL: as the environment says; "": none */
  const char *ca;         /* a file of certificates; NULL: libcurl's own */
  bool fresh;             /* on a connection of its own: libcurl sends a request once more when a
                             kept connection turns out to be dead, and some must go once */
  bool insecure;          /* certificates are not verified */
  bool compressed;        /* ask for a compressed body and unpack it */
  double connect_timeout; /* seconds until connected */
  double timeout;         /* seconds of silence once connected */
  double total_timeout;   /* seconds for all of it; 0: no bound */
  curl_off_t max_size;    /* bytes of body after unpacking; 0: no bound */
} TransferSettings;

typedef struct {
  char *data; /* NULL before the first byte */
  size_t size, capacity;
} Buffer;

typedef enum { TRANSFER_RUNNING, TRANSFER_DONE, TRANSFER_FAILED } TransferState;

typedef struct {
  CURL *easy;   /* NULL before open and after close */
  CURLM *multi; /* drives easy */
  struct curl_slist *headers;
  TransferState state;
  bool has_head;       /* the final response's header lines are complete */
  Buffer head;         /* the response's header lines, as they came */
  Buffer body;         /* what has come and was not taken yet */
  curl_off_t received; /* bytes of body so far */
  curl_off_t max_size;
  double timeout;                   /* seconds of silence allowed */
  double last_activity;             /* when a byte last moved, on the monotonic clock */
  curl_off_t uploaded;              /* bytes sent by then */
  char curl_error[CURL_ERROR_SIZE]; /* libcurl writes here whenever it likes */
  char error[CURL_ERROR_SIZE];      /* why it failed, in words */
  const char *code;                 /* why it failed, for programs: ETIMEDOUT, ENOTFOUND, … */
} Transfer;

/* Seconds on a clock that is never set. */
double monotonic_seconds(void);

/* Adds "Name: value" to what will be sent; before transfer_start. False when memory is short. */
bool transfer_add_header(Transfer *t, const char *line);

/* Begins; connections are kept in `share`. False with t->error set when libcurl refuses. */
bool transfer_start(Transfer *t, const TransferSettings *settings, CURLSH *share);

/* Lets bytes move for at most a tenth of a second, and notes what became of it in t->state. */
void transfer_step(Transfer *t);

/* The status code of the response whose head has come. */
long transfer_status(const Transfer *t);

/* Seconds the server asked to be left alone (Retry-After, as number or date); 0: it did not say. */
long transfer_retry_after(const Transfer *t);

/* Frees everything; safe at any time and twice. */
void transfer_close(Transfer *t);

#endif
