#include "json/form.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Past this many keys, looking for repeated ones by comparing all with all takes too long. */
enum { MAP_KEYS = 64 };

static bool matches(const Form *form, yyjson_val *value, yyjson_val **picked, int depth);

static bool same_text(const FormText *text, yyjson_val *string) {
  return text->size == unsafe_yyjson_get_len(string) &&
         memcmp(text->bytes, unsafe_yyjson_get_str(string), text->size) == 0;
}

/* ---- leaves ---- */

static bool is_string(yyjson_val *value) {
  return unsafe_yyjson_get_type(value) == YYJSON_TYPE_STR;
}

static bool is_text(yyjson_val *value) {
  return is_string(value) && unsafe_yyjson_get_len(value) > 0;
}

static bool is_dots(const char *part, size_t n) {
  return n == 2 && part[0] == '.' && part[1] == '.';
}

static bool is_path(yyjson_val *value) {
  if (!is_text(value)) return false;
  const char *at = unsafe_yyjson_get_str(value), *end = at + unsafe_yyjson_get_len(value);
  if (*at == '/') return false;
  for (const char *slash; (slash = memchr(at, '/', (size_t)(end - at))); at = slash + 1)
    if (is_dots(at, (size_t)(slash - at))) return false;
  return !is_dots(at, (size_t)(end - at));
}

static bool is_choice(const Form *form, yyjson_val *value) {
  if (!is_string(value)) return false;
  for (size_t i = 0; i < form->choice_count; i++)
    if (same_text(&form->choices[i], value)) return true;
  return false;
}

static bool is_number(yyjson_val *value) {
  if (unsafe_yyjson_get_type(value) != YYJSON_TYPE_NUM) return false;
  return unsafe_yyjson_get_subtype(value) != YYJSON_SUBTYPE_UINT || value->uni.u64 <= INT64_MAX;
}

static bool is_size(yyjson_val *value) {
  return is_number(value) && unsafe_yyjson_get_subtype(value) == YYJSON_SUBTYPE_UINT;
}

static bool is_measure(yyjson_val *value) {
  if (!is_number(value)) return false;
  bool is_real = unsafe_yyjson_get_subtype(value) == YYJSON_SUBTYPE_REAL;
  return is_real ? value->uni.f64 >= 0 : is_size(value);
}

/* ---- containers ---- */

static bool is_repeated(yyjson_val *object, yyjson_val *key) {
  for (yyjson_val *other = object + 1; other != key; other = unsafe_yyjson_get_next(other + 1)) {
    size_t n = unsafe_yyjson_get_len(key);
    if (unsafe_yyjson_get_len(other) == n &&
        memcmp(unsafe_yyjson_get_str(other), unsafe_yyjson_get_str(key), n) == 0)
      return true;
  }
  return false;
}

static bool is_map(const Form *form, yyjson_val *value, yyjson_val **picked, int depth) {
  if (unsafe_yyjson_get_type(value) != YYJSON_TYPE_OBJ) return false;
  size_t n = unsafe_yyjson_get_len(value);
  if (n > MAP_KEYS) return false;
  yyjson_val *key = value + 1;
  for (size_t i = 0; i < n; i++, key = unsafe_yyjson_get_next(key + 1))
    if (is_repeated(value, key) || !matches(form->parts, key + 1, picked, depth)) return false;
  return true;
}

static bool is_list(const Form *form, yyjson_val *value, yyjson_val **picked, int depth) {
  if (unsafe_yyjson_get_type(value) != YYJSON_TYPE_ARR) return false;
  size_t n = unsafe_yyjson_get_len(value);
  if (n < form->least) return false;
  yyjson_val *item = value + 1;
  for (size_t i = 0; i < n; i++, item = unsafe_yyjson_get_next(item))
    if (!matches(form->parts, item, picked, depth)) return false;
  return true;
}

static bool is_any(yyjson_val *value, int depth) {
  static const Form any = {.kind = FORM_ANY};
  Form items = {.kind = FORM_LIST, .parts = (Form *)&any};
  switch (unsafe_yyjson_get_type(value)) {
  case YYJSON_TYPE_OBJ: return is_map(&items, value, NULL, depth);
  case YYJSON_TYPE_ARR: return is_list(&items, value, NULL, depth);
  case YYJSON_TYPE_NUM: return is_number(value);
  case YYJSON_TYPE_RAW: return false; /* an integer past 64 bits */
  default: return true;
  }
}

/* Fields mostly come in the order of the form: the next one is tried first. */
static size_t find_field(const Form *form, yyjson_val *key, size_t guess) {
  if (guess < form->part_count && same_text(&form->parts[guess].name, key)) return guess;
  for (size_t i = 0; i < form->part_count; i++)
    if (same_text(&form->parts[i].name, key)) return i;
  return form->part_count;
}

static bool is_object(const Form *form, yyjson_val *value, yyjson_val **picked, int depth) {
  if (unsafe_yyjson_get_type(value) != YYJSON_TYPE_OBJ) return false;
  size_t n = unsafe_yyjson_get_len(value), field = 0;
  uint64_t seen = 0;
  yyjson_val *key = value + 1;
  for (size_t i = 0; i < n; i++, field++, key = unsafe_yyjson_get_next(key + 1)) {
    field = find_field(form, key, field);
    if (field == form->part_count || (seen & (uint64_t)1 << field)) return false;
    seen |= (uint64_t)1 << field;
    if (!matches(&form->parts[field], key + 1, picked, depth)) return false;
  }
  for (size_t i = 0; i < form->part_count; i++)
    if (!form->parts[i].optional && !(seen & (uint64_t)1 << i)) return false;
  return true;
}

/* What an alternative picked before it failed is forgotten. */
static bool is_either(const Form *form, yyjson_val *value, yyjson_val **picked, int depth) {
  yyjson_val *before[FORM_SLOTS];
  memcpy(before, picked, sizeof before);
  for (size_t i = 0; i < form->part_count; i++) {
    if (matches(&form->parts[i], value, picked, depth)) return true;
    memcpy(picked, before, sizeof before);
  }
  return false;
}

static bool is_of_kind(const Form *form, yyjson_val *value, yyjson_val **picked, int depth) {
  switch (form->kind) {
  case FORM_TEXT: return is_text(value);
  case FORM_STRING: return is_string(value);
  case FORM_PATH: return is_path(value);
  case FORM_CHOICE: return is_choice(form, value);
  case FORM_NULL: return unsafe_yyjson_get_type(value) == YYJSON_TYPE_NULL;
  case FORM_BOOLEAN: return unsafe_yyjson_get_type(value) == YYJSON_TYPE_BOOL;
  case FORM_SIZE: return is_size(value);
  case FORM_MEASURE: return is_measure(value);
  case FORM_NUMBER: return is_number(value);
  case FORM_ANY: return is_any(value, depth + 1);
  case FORM_OBJECT: return is_object(form, value, picked, depth + 1);
  case FORM_MAP: return is_map(form, value, picked, depth + 1);
  case FORM_LIST: return is_list(form, value, picked, depth + 1);
  case FORM_EITHER: return is_either(form, value, picked, depth + 1);
  }
  return false;
}

static bool matches(const Form *form, yyjson_val *value, yyjson_val **picked, int depth) {
  if (depth > FORM_DEPTH || !is_of_kind(form, value, picked, depth)) return false;
  if (form->slot) picked[form->slot - 1] = value;
  return true;
}

bool form_matches(const Form *form, yyjson_val *value, yyjson_val **picked) {
  return matches(form, value, picked, 0);
}

void form_free(Form *form) {
  for (size_t i = 0; i < form->part_count; i++) form_free(&form->parts[i]);
  for (size_t i = 0; i < form->choice_count; i++) free(form->choices[i].bytes);
  free(form->parts);
  free(form->choices);
  free(form->name.bytes);
  free(form->only.bytes);
  *form = (Form){0};
}
