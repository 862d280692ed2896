#include "http/transfer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  POLL_MS = 100,             /* how long an interrupt may go unnoticed */
  MAX_HEAD = 256 * 1024,     /* bytes of header lines; libcurl stops at 300 KiB */
  RECEIVE_SIZE = 256 * 1024, /* libcurl's buffer: fewer, larger pieces than its 16 KiB */
};

double monotonic_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool append(Buffer *b, const char *data, size_t size) {
  if (size > b->capacity - b->size) {
    size_t capacity = b->capacity ? b->capacity : 4096;
    while (capacity - b->size < size) capacity *= 2;
    char *grown = realloc(b->data, capacity);
    if (!grown) return false;
    b->data = grown;
    b->capacity = capacity;
  }
  memcpy(b->data + b->size, data, size);
  b->size += size;
  return true;
}

/* ---- how it failed -------------------------------------------------------------------------- */

static void fail(Transfer *t, const char *code, const char *message) {
  t->state = TRANSFER_FAILED;
  t->code = code;
  snprintf(t->error, sizeof t->error, "%s", message);
  /* our messages are parts of a sentence: libcurl's and the system's begin with a capital */
  if (islower((unsigned char)t->error[1])) t->error[0] = (char)tolower((unsigned char)t->error[0]);
}

static void fail_with_errno(Transfer *t, const char *code) {
  long number = 0;
  curl.easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
  if (number == 0) {
    fail(t, code, t->curl_error);
  } else {
    const char *name = strerrorname_np((int)number);
    fail(t, name ? name : code, strerror((int)number));
  }
}

static void fail_closed_early(Transfer *t) {
  curl_off_t expected = -1;
  curl.easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
  char message[128];
  if (!t->has_head)
    snprintf(message, sizeof message, "the connection was closed before an answer");
  else if (expected > 0)
    snprintf(message, sizeof message, "the connection was closed early (%lld of %lld bytes came)",
             (long long)t->received, (long long)expected);
  else
    snprintf(message, sizeof message, "the connection was closed early (%lld bytes came)",
             (long long)t->received);
  fail(t, "ECLOSED", message);
}

static void fail_too_large(Transfer *t) {
  char message[96];
  snprintf(message, sizeof message, "the body is larger than the %lld bytes allowed",
           (long long)t->max_size);
  fail(t, "EFBIG", message);
}

static void fail_with_result(Transfer *t, CURLcode result) {
  if (!t->curl_error[0])
    snprintf(t->curl_error, sizeof t->curl_error, "%s", curl.easy_strerror(result));
  switch (result) {
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY: fail(t, "ENOTFOUND", t->curl_error); break;
  case CURLE_COULDNT_CONNECT: fail_with_errno(t, "ECONNREFUSED"); break;
  case CURLE_OPERATION_TIMEDOUT: fail(t, "ETIMEDOUT", t->curl_error); break;
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE: fail_closed_early(t); break;
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR: fail_with_errno(t, "ECONNRESET"); break;
  case CURLE_PEER_FAILED_VERIFICATION: fail(t, "ECERT", t->curl_error); break;
  case CURLE_SSL_CACERT_BADFILE: fail(t, "ECERT", t->curl_error); break;
  case CURLE_SSL_CONNECT_ERROR: fail(t, "ETLS", t->curl_error); break;
  case CURLE_FILESIZE_EXCEEDED: fail_too_large(t); break;
  case CURLE_UNSUPPORTED_PROTOCOL: /* what libcurl calls HTTP/0.9 */
  case CURLE_WEIRD_SERVER_REPLY: fail(t, "EPROTO", "the answer is not HTTP"); break;
  case CURLE_OUT_OF_MEMORY: fail(t, "ENOMEM", "out of memory"); break;
  default: fail(t, "EPROTO", t->curl_error);
  }
}

/* ---- what libcurl hands us ------------------------------------------------------------------ */

static bool keep(Transfer *t, Buffer *b, const char *data, size_t size) {
  if (append(b, data, size)) return true;
  fail(t, "ENOMEM", "out of memory");
  return false;
}

/* One header line. A status line starts a new head: what came before was "100 continue". */
static size_t on_header(char *data, size_t one, size_t size, void *user) {
  (void)one;
  Transfer *t = user;
  t->last_activity = monotonic_seconds();
  if (t->has_head) return size; /* trailers */
  if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) t->head.size = 0;
  if (t->head.size + size > MAX_HEAD) {
    fail(t, "EPROTO", "the header lines are too long");
    return 0;
  }
  if (!keep(t, &t->head, data, size)) return 0;
  bool blank = size <= 2 && (data[0] == '\r' || data[0] == '\n');
  if (blank && transfer_status(t) >= 200) t->has_head = true;
  return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *user) {
  (void)one;
  Transfer *t = user;
  t->last_activity = monotonic_seconds();
  t->received += (curl_off_t)size;
  if (t->max_size > 0 && t->received > t->max_size) {
    fail_too_large(t);
    return 0;
  }
  return keep(t, &t->body, data, size) ? size : 0;
}

/* ---- settings ------------------------------------------------------------------------------- */

static long milliseconds(double seconds) {
  return seconds > 0 && seconds < 0.001 ? 1 : (long)(seconds * 1000);
}

static void set_method(CURL *easy, const TransferSettings *s) {
  if (s->body) {
    curl.easy_setopt(easy, CURLOPT_POST, 1L);
    curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->body_size);
    curl.easy_setopt(easy, CURLOPT_POSTFIELDS, s->body);
  }
  if (strcmp(s->method, "HEAD") == 0)
    curl.easy_setopt(easy, CURLOPT_NOBODY, 1L);
  else
    curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, s->method);
}

static void set_security(CURL *easy, const TransferSettings *s) {
  curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, s->insecure ? 0L : 1L);
  curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, s->insecure ? 0L : 2L);
  if (s->ca) curl.easy_setopt(easy, CURLOPT_CAINFO, s->ca);
  if (!s->user) return;
  curl.easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
  curl.easy_setopt(easy, CURLOPT_USERNAME, s->user);
  curl.easy_setopt(easy, CURLOPT_PASSWORD, s->password ? s->password : "");
}

static void set_bounds(CURL *easy, const TransferSettings *s) {
  curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  /* one request at a time on a connection: HTTP/2 would only add a layer that can fail */
  curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(s->connect_timeout));
  curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(s->total_timeout));
  curl.easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, s->max_size);
  curl.easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_SIZE);
#if LIBCURL_VERSION_NUM >= 0x075700
  /* an interrupt need not wait for a name look-up; an older libcurl refuses the option, and waits
   */
  curl.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

static void set_callbacks(Transfer *t) {
  curl.easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->curl_error);
  curl.easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
  curl.easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
  curl.easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
  curl.easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
}

/* The options without which we do not go out: a refusal of one of them is a failure. */
static CURLcode set_essentials(Transfer *t, const TransferSettings *s) {
  const long schemes = CURLPROTO_HTTP | CURLPROTO_HTTPS;
  CURLcode result = curl.easy_setopt(t->easy, CURLOPT_PROTOCOLS, schemes);
  if (!result) result = curl.easy_setopt(t->easy, CURLOPT_URL, s->url);
  if (!result && s->proxy) result = curl.easy_setopt(t->easy, CURLOPT_PROXY, s->proxy);
  if (!result) result = curl.easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
  if (!result) result = curl.easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, s->fresh ? 1L : 0L);
  if (!result) result = curl.easy_setopt(t->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (!result && s->compressed) result = curl.easy_setopt(t->easy, CURLOPT_ACCEPT_ENCODING, "");
  return result;
}

bool transfer_add_header(Transfer *t, const char *line) {
  struct curl_slist *longer = curl.slist_append(t->headers, line);
  if (longer) t->headers = longer;
  return longer != NULL;
}

bool transfer_start(Transfer *t, const TransferSettings *s, CURLSH *share) {
  t->easy = curl.easy_init();
  t->multi = curl.multi_init();
  if (!t->easy || !t->multi) {
    fail(t, "ENOMEM", "out of memory");
    return false;
  }
  t->timeout = s->timeout;
  t->max_size = s->max_size;
  t->last_activity = monotonic_seconds();
  set_callbacks(t);
  set_method(t->easy, s);
  set_security(t->easy, s);
  set_bounds(t->easy, s);
  curl.easy_setopt(t->easy, CURLOPT_SHARE, share);
  CURLcode result = set_essentials(t, s);
  if (result) {
    fail_with_result(t, result);
    return false;
  }
  curl.multi_add_handle(t->multi, t->easy);
  return true;
}

/* ---- moving bytes --------------------------------------------------------------------------- */

static void check_silence(Transfer *t) {
  curl_off_t connected = 0, uploaded = 0;
  curl.easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
  curl.easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
  double now = monotonic_seconds();
  if (connected == 0 || uploaded != t->uploaded) { /* connecting has its own bound */
    t->uploaded = uploaded;
    t->last_activity = now;
  } else if (now - t->last_activity > t->timeout) {
    char message[64];
    snprintf(message, sizeof message, "timed out: nothing came for %g s", t->timeout);
    fail(t, "ETIMEDOUT", message);
  }
}

static void check_finished(Transfer *t) {
  int left;
  CURLMsg *message = curl.multi_info_read(t->multi, &left);
  if (!message || message->msg != CURLMSG_DONE) return;
  if (message->data.result == CURLE_OK && !t->has_head)
    fail(t, "EPROTO", "the answer is not HTTP");
  else if (message->data.result == CURLE_OK)
    t->state = TRANSFER_DONE;
  else if (t->state != TRANSFER_FAILED) /* a callback may have said why, and better */
    fail_with_result(t, message->data.result);
}

void transfer_step(Transfer *t) {
  int running = 0;
  size_t had_body = t->body.size;
  bool had_head = t->has_head;
  if (curl.multi_perform(t->multi, &running) != CURLM_OK) {
    fail(t, "EPROTO", "libcurl gave up");
    return;
  }
  check_finished(t);
  if (t->state != TRANSFER_RUNNING || t->has_head != had_head || t->body.size != had_body) return;
  double left = t->last_activity + t->timeout - monotonic_seconds();
  int wait = left * 1000 < POLL_MS ? (int)(left * 1000) + 1 : POLL_MS;
  curl.multi_poll(t->multi, NULL, 0, wait > 0 ? wait : 0, NULL);
  check_silence(t);
}

long transfer_status(const Transfer *t) {
  long status = 0;
  curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

long transfer_retry_after(const Transfer *t) {
  curl_off_t seconds = 0;
  curl.easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &seconds);
  return (long)seconds;
}

void transfer_close(Transfer *t) {
  if (t->multi && t->easy) curl.multi_remove_handle(t->multi, t->easy);
  if (t->easy) curl.easy_cleanup(t->easy);
  if (t->multi) curl.multi_cleanup(t->multi);
  if (t->headers) curl.slist_free_all(t->headers);
  free(t->head.data);
  free(t->body.data);
  *t = (Transfer){.state = TRANSFER_FAILED, .code = "ECLOSED", .error = "the transfer was closed"};
}
