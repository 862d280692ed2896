#include "json/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

/* Length of the UTF-8 character at s (2 to 4 bytes), or 0 when it is not one: a stray or missing
 * continuation byte, an overlong form, a surrogate, or a code point past U+10FFFF. */
static size_t multibyte_length(const unsigned char *s, size_t n) {
  unsigned char lowest = 0x80, highest = 0xBF; /* bounds of the second byte */
  size_t length;
  if (s[0] >= 0xC2 && s[0] <= 0xDF) {
    length = 2;
  } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
    length = 3;
    if (s[0] == 0xE0) lowest = 0xA0;
    if (s[0] == 0xED) highest = 0x9F;
  } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
    length = 4;
    if (s[0] == 0xF0) lowest = 0x90;
    if (s[0] == 0xF4) highest = 0x8F;
  } else {
    return 0;
  }
  if (n < length || s[1] < lowest || s[1] > highest) return 0;
  for (size_t i = 2; i < length; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  return length;
}

static bool write_escape(Buffer *b, unsigned char c) {
  static const char letters[128] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                    ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};
  static const char hex[] = "0123456789abcdef";
  if (letters[c]) return buffer_append(b, (char[]){'\\', letters[c]}, 2);
  return buffer_append(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

/* True when the 8 bytes are printable ASCII with neither quote nor backslash. */
static bool eight_plain(const unsigned char *s) {
  const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
  uint64_t x;
  memcpy(&x, s, 8);
  uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
  /* (v - ones * k) & ~v has a top bit set when a byte of v is below k */
  uint64_t found =
      ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | x;
  return (found & tops) == 0;
}

TextResult text_write_string(Buffer *b, const char *string, size_t n) {
  const unsigned char *s = (const unsigned char *)string;
  size_t written = 0, i = 0;
  /* enough for a string without escapes, both quotes included */
  if (n > SIZE_MAX - 2 || !buffer_reserve(b, n + 2)) return TEXT_NO_MEMORY;
  b->data[b->size++] = '"';
  while (i < n) {
    if (n - i >= 8 && eight_plain(s + i)) {
      i += 8;
    } else if (s[i] >= 0x80) {
      size_t length = multibyte_length(s + i, n - i);
      if (!length) return TEXT_NOT_UTF8;
      i += length;
    } else if (s[i] < 0x20 || s[i] == '"' || s[i] == '\\') {
      if (!buffer_append(b, string + written, i - written)) return TEXT_NO_MEMORY;
      if (!write_escape(b, s[i])) return TEXT_NO_MEMORY;
      written = ++i;
    } else {
      i++;
    }
  }
  if (!buffer_append(b, string + written, n - written)) return TEXT_NO_MEMORY;
  return buffer_append(b, "\"", 1) ? TEXT_OK : TEXT_NO_MEMORY;
}

bool text_write_integer(Buffer *b, long long value) {
  char digits[24], *end = digits + sizeof digits, *p = end;
  unsigned long long rest = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
  do {
    *--p = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest);
  if (value < 0) *--p = '-';
  return buffer_append(b, p, (size_t)(end - p));
}

/* From yyjson's `0.0000012`, `12000000000000000.0` or `1.2e-7` to `1.2e-6`, `1.2e+16`, `1.2e-7`. */
static size_t to_exponent_form(const char *from, size_t n, char *to) {
  char digits[40];
  int count = 0, exponent = 0, point = -1;
  size_t i = 0, size = 0;
  for (; i < n && from[i] != 'e'; i++) {
    if (from[i] == '.') {
      point = count;
    } else if (from[i] == '0' && count == 0) {
      if (point >= 0) exponent--; /* a zero between the point and the first digit */
    } else {
      digits[count++] = from[i];
    }
  }
  exponent += (point >= 0 ? point : count) - 1;
  if (i < n) exponent += (int)strtol(from + i + 1, NULL, 10);
  while (count > 1 && digits[count - 1] == '0') count--;
  to[size++] = digits[0];
  if (count > 1) to[size++] = '.';
  memcpy(to + size, digits + 1, (size_t)count - 1);
  size += (size_t)count - 1;
  return size + (size_t)sprintf(to + size, "e%+d", exponent);
}

bool text_write_float(Buffer *b, double value) {
  char memory[512], shortest[64];
  size_t n = 0;
  double magnitude = value < 0 ? -value : value;
  yyjson_alc pool; /* yyjson prints into memory it asks for: here, the C stack */
  yyjson_val number = {0};
  if (value < 0 && !buffer_append(b, "-", 1)) return false;
  bool plain = value == 0 || (magnitude >= 1e-5 && magnitude < 1e16);
  yyjson_alc_pool_init(&pool, memory, sizeof memory);
  unsafe_yyjson_set_real(&number, value < 0 ? magnitude : value);
  char *printed = yyjson_val_write_opts(&number, YYJSON_WRITE_NOFLAG, &pool, &n, NULL);
  if (!printed) return false;
  if (plain) return buffer_append(b, printed, n);
  return buffer_append(b, shortest, to_exponent_form(printed, n, shortest));
}

Position text_position(const char *text, size_t n, size_t offset) {
  if (offset > n) offset = n;
  Position p = {.offset = offset, .line = 1, .column = 1};
  for (size_t i = 0; i < offset; i++) {
    if (text[i] == '\n') {
      p.line++;
      p.column = 1;
    } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
      p.column++;
    }
  }
  return p;
}

size_t text_deeper_than(const char *text, size_t n, size_t depth) {
  size_t open = 0;
  bool quoted = false;
  for (size_t i = 0; i < n; i++) {
    char c = text[i];
    if (quoted) {
      if (c == '\\') i++;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++open > depth) return i;
    } else if (c == ']' || c == '}') {
      open--;
    }
  }
  return n;
}
