/* message.h -- messages between a judge and its worker, over a socket that only they have.
 * Each carries a code made from its content, its number, its direction and a key that the judge
 * drew: what a solution writes into the socket is told apart from what the worker says. */
#ifndef HONE_WORKER_MESSAGE_H
#define HONE_WORKER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MESSAGE_KEY_BYTES = 16,
  MESSAGE_CODE_BYTES = 16,
  MESSAGE_MAX_BYTES = 256 << 20, /* what claims to be longer is no message of ours */
};

/* What receiving and sending return besides 0. */
enum {
  MESSAGE_CLOSED = -1, /* the other side is gone */
  MESSAGE_FORGED = -2, /* the code is not right */
  MESSAGE_LATE = -3,   /* nothing came in time */
  MESSAGE_NO_MEMORY = -4,
  MESSAGE_INTERRUPTED = -5, /* is_interrupted said so */
};

typedef struct message_channel {
  int fd;
  bool is_judge;
  unsigned char key[MESSAGE_KEY_BYTES];
  uint64_t sent, received;
  unsigned char *data; /* of the last message received; kept until the next */
  size_t capacity, size;
  uint32_t kind;
  int descriptor;              /* that came with it, or -1: the receiver's to close */
  int (*is_interrupted)(void); /* asked while waiting; NULL: nobody asks */
  int beside;                  /* another descriptor to be read while waiting, or -1, */
  void (*drain)(struct message_channel *channel); /* by this */
} message_channel;

/* descriptor: to be sent along, or -1. */
int message_send(message_channel *channel, uint32_t kind, const void *data, size_t size,
                 int descriptor);

/* Wait at most `seconds` for the next message (negative: for ever). */
int message_receive(message_channel *channel, double seconds);

/* The key in the clear, as the very first thing that goes over the socket. */
int message_send_key(message_channel *channel);
int message_receive_key(message_channel *channel);

/* SipHash-2-4 with a result of 16 bytes. */
void message_hash(const unsigned char *key, const void *data, size_t size,
                  unsigned char code[MESSAGE_CODE_BYTES]);

#endif
