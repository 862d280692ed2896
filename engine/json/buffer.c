#include "json/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

char *buffer_reserve(Buffer *b, size_t more) {
  if (more > b->capacity - b->size) {
    if (more > SIZE_MAX / 2 - b->size) return NULL;
    size_t capacity = (b->size + more) * 2;
    if (capacity < 256) capacity = 256;
    char *data = realloc(b->data, capacity);
    if (!data) return NULL;
    b->data = data;
    b->capacity = capacity;
  }
  return b->data + b->size;
}

bool buffer_append(Buffer *b, const char *bytes, size_t n) {
  char *to = buffer_reserve(b, n);
  if (!to) return false;
  if (n) memcpy(to, bytes, n);
  b->size += n;
  return true;
}

bool buffer_fill(Buffer *b, char byte, size_t n) {
  char *to = buffer_reserve(b, n);
  if (!to) return false;
  memset(to, byte, n);
  b->size += n;
  return true;
}

void buffer_free(Buffer *b) {
  free(b->data);
  *b = (Buffer){0};
}
