#include "worker/message.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the code ------------------------------------------------------------------------------ */

typedef struct {
  uint64_t v0, v1, v2, v3;
} Sip;

static uint64_t rotate(uint64_t x, int by) {
  return x << by | x >> (64 - by);
}

static void sip_rounds(Sip *s, int n) {
  while (n-- > 0) {
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
  }
}

static void sip_word(Sip *s, uint64_t word) {
  s->v3 ^= word;
  sip_rounds(s, 2);
  s->v0 ^= word;
}

static uint64_t load64(const unsigned char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

void message_hash(const unsigned char *key, const void *data, size_t size,
                  unsigned char code[MESSAGE_CODE_BYTES]) {
  const unsigned char *at = data;
  uint64_t k0 = load64(key), k1 = load64(key + 8), word = 0;
  Sip s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee, k0 ^ 0x6c7967656e657261,
           k1 ^ 0x7465646279746573};
  size_t whole = size / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) sip_word(&s, load64(at + i));
  if (size > whole) memcpy(&word, at + whole, size - whole);
  sip_word(&s, word | (uint64_t)(size & 0xff) << 56);
  s.v2 ^= 0xee;
  sip_rounds(&s, 4);
  uint64_t halves[2] = {s.v0 ^ s.v1 ^ s.v2 ^ s.v3, 0};
  s.v1 ^= 0xdd;
  sip_rounds(&s, 4);
  halves[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  memcpy(code, halves, sizeof halves);
}

/* ---- the frame ----------------------------------------------------------------------------- */

typedef struct {
  uint32_t kind, from_judge;
  uint64_t number, size;
  unsigned char body[MESSAGE_CODE_BYTES]; /* the body's code, */
  unsigned char code[MESSAGE_CODE_BYTES]; /* and that of all the above */
} Header;

static void seal(const message_channel *c, Header *h, const void *data) {
  message_hash(c->key, data, (size_t)h->size, h->body);
  message_hash(c->key, h, offsetof(Header, code), h->code);
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

enum { TURN_MILLISECONDS = 50 };

/* Milliseconds of the next turn of waiting. */
static int turn_of(const message_channel *c, double deadline) {
  if (deadline < 0) return c->is_interrupted || c->beside >= 0 ? TURN_MILLISECONDS : -1;
  double left = (deadline - seconds_now()) * 1e3;
  return left <= 0 ? 0 : left < TURN_MILLISECONDS ? (int)left + 1 : TURN_MILLISECONDS;
}

/* Until the socket is ready; in turns, so that Ctrl-C is heard. */
static int wait_until(message_channel *c, short what, double deadline) {
  for (;;) {
    if (c->is_interrupted && c->is_interrupted()) return MESSAGE_INTERRUPTED;
    bool is_late = deadline >= 0 && seconds_now() >= deadline;
    struct pollfd ready[] = {{.fd = c->fd, .events = what}, {.fd = c->beside, .events = POLLIN}};
    int n = poll(ready, 2, turn_of(c, deadline));
    if (n < 0 && errno != EINTR) return MESSAGE_CLOSED;
    if (n > 0 && ready[1].revents) c->drain(c);
    if (n > 0 && ready[0].revents) return 0;
    if (is_late) return MESSAGE_LATE;
  }
}

/* ---- sending ------------------------------------------------------------------------------- */

/* Bytes written, or a negative code. The descriptor goes with the first byte. */
static ssize_t write_some(const message_channel *c, const void *data, size_t size, int descriptor) {
  struct iovec piece = {(void *)(uintptr_t)data, size};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {{0}};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (descriptor >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  }
  ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n >= 0) return n;
  return errno == EAGAIN || errno == EINTR ? 0 : MESSAGE_CLOSED;
}

static int write_all(message_channel *c, const void *data, size_t size, int descriptor) {
  const char *at = data;
  while (size > 0) {
    int failed = wait_until(c, POLLOUT, -1);
    if (failed) return failed;
    ssize_t n = write_some(c, at, size, descriptor);
    if (n < 0) return (int)n;
    if (n > 0) descriptor = -1;
    at += n;
    size -= (size_t)n;
  }
  return 0;
}

int message_send(message_channel *c, uint32_t kind, const void *data, size_t size, int descriptor) {
  Header h = {.kind = kind, .from_judge = c->is_judge, .number = c->sent++, .size = size};
  seal(c, &h, data);
  int failed = write_all(c, &h, sizeof h, descriptor);
  return failed ? failed : write_all(c, data, size, -1);
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void take_descriptor(message_channel *c, struct msghdr *message) {
  for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    if (c->descriptor >= 0) close(c->descriptor);
    memcpy(&c->descriptor, CMSG_DATA(head), sizeof c->descriptor);
  }
}

static ssize_t read_some(message_channel *c, void *data, size_t size) {
  struct iovec piece = {data, size};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_iov = &piece,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  ssize_t n = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n > 0) take_descriptor(c, &message);
  if (n > 0) return n;
  return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : MESSAGE_CLOSED;
}

static int read_all(message_channel *c, void *data, size_t size, double deadline) {
  char *at = data;
  while (size > 0) {
    int failed = wait_until(c, POLLIN, deadline);
    if (failed) return failed;
    ssize_t n = read_some(c, at, size);
    if (n < 0) return (int)n;
    at += n;
    size -= (size_t)n;
  }
  return 0;
}

static int make_room(message_channel *c, size_t size) {
  if (size <= c->capacity) return 0;
  unsigned char *data = realloc(c->data, size);
  if (!data) return MESSAGE_NO_MEMORY;
  c->data = data;
  c->capacity = size;
  return 0;
}

static bool is_sealed(const message_channel *c, const Header *h) {
  unsigned char code[MESSAGE_CODE_BYTES];
  message_hash(c->key, h, offsetof(Header, code), code);
  return memcmp(code, h->code, sizeof code) == 0 && h->number == c->received &&
         (h->from_judge != 0) != c->is_judge && h->size <= MESSAGE_MAX_BYTES;
}

int message_receive(message_channel *c, double seconds) {
  Header h;
  unsigned char body[MESSAGE_CODE_BYTES];
  double deadline = seconds < 0 ? -1 : seconds_now() + seconds;
  c->descriptor = -1;
  int failed = read_all(c, &h, sizeof h, deadline);
  if (failed) return failed;
  if (!is_sealed(c, &h)) return MESSAGE_FORGED;
  failed = make_room(c, (size_t)h.size);
  if (!failed) failed = read_all(c, c->data, (size_t)h.size, deadline);
  if (failed) return failed;
  message_hash(c->key, c->data, (size_t)h.size, body);
  if (memcmp(body, h.body, sizeof body) != 0) return MESSAGE_FORGED;
  c->received++;
  c->kind = h.kind;
  c->size = (size_t)h.size;
  return 0;
}

/* ---- the key ------------------------------------------------------------------------------- */

int message_send_key(message_channel *c) {
  return write_all(c, c->key, sizeof c->key, -1);
}

int message_receive_key(message_channel *c) {
  return read_all(c, c->key, sizeof c->key, -1);
}
