/* buffer.h -- bytes that grow. The owner frees `data`; no function here raises. */
#ifndef HONE_JSON_BUFFER_H
#define HONE_JSON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  char *data; /* NULL until the first bytes */
  size_t size;
  size_t capacity;
} Buffer;

/* Room for `more` bytes after data[size]; NULL when there is no memory. */
char *buffer_reserve(Buffer *b, size_t more);

bool buffer_append(Buffer *b, const char *bytes, size_t n);
bool buffer_fill(Buffer *b, char byte, size_t n);
void buffer_free(Buffer *b);

#endif
