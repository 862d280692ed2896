/* text.h -- JSON's leaves as text, and places in a text. */
#ifndef HONE_JSON_TEXT_H
#define HONE_JSON_TEXT_H

#include "json/buffer.h"

typedef enum { TEXT_OK, TEXT_NO_MEMORY, TEXT_NOT_UTF8 } TextResult;

/* The string in quotes; only what JSON requires is escaped. */
TextResult text_write_string(Buffer *b, const char *s, size_t n);

bool text_write_integer(Buffer *b, long long value);

/* The shortest digits that read back as the same number, laid out as pydantic does: `1.0`,
 * `0.00001`, `1e-6`, `1e+16`. The value must be finite. */
bool text_write_float(Buffer *b, double value);

/* Line and column (in characters) of a byte, all counted from 1 save `offset`, from 0. */
typedef struct {
  size_t offset, line, column;
} Position;

Position text_position(const char *text, size_t n, size_t offset);

/* Offset of the first bracket that opens level `depth` + 1; `text` must be JSON. */
size_t text_deeper_than(const char *text, size_t n, size_t depth);

#endif
