/* form.h -- what a JSON value has to look like, and which parts of it are wanted. Knows nothing of
 * Lua. */
#ifndef HONE_JSON_FORM_H
#define HONE_JSON_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <yyjson.h>

enum { FORM_SLOTS = 16, FORM_DEPTH = 64 };

typedef enum {
  FORM_TEXT, /* a string that is not empty */
  FORM_STRING,
  FORM_PATH,   /* text that is no absolute path and has no `..` in it */
  FORM_CHOICE, /* one of some strings */
  FORM_NULL,
  FORM_BOOLEAN,
  FORM_SIZE,    /* an integer from 0 to 2^63 - 1 */
  FORM_MEASURE, /* a number that is not negative */
  FORM_NUMBER,
  FORM_ANY,
  FORM_OBJECT, /* known fields, no others */
  FORM_MAP,    /* any keys, values of one form */
  FORM_LIST,   /* items of one form */
  FORM_EITHER, /* the first of some forms that matches */
} FormKind;

typedef struct {
  char *bytes; /* owned */
  size_t size;
} FormText;

/* In a list of alternatives or items, `name` and `optional` mean nothing. */
typedef struct Form {
  FormKind kind;
  FormText name;
  bool optional;
  int slot;           /* where the value is wanted, from 1; 0 where it is not */
  struct Form *parts; /* fields, alternatives, or the one form of values and items; owned */
  size_t part_count;
  FormText *choices; /* owned */
  size_t choice_count;
  size_t least;  /* items of a list */
  FormText only; /* the one field of its items that is wanted of a list of objects; owned */
} Form;

/* Whether `value` is of the form. Objects must not repeat a key, integers must fit in 64 bits, and
 * nothing may nest deeper than FORM_DEPTH. Parts that are wanted are put into `picked`, the rest of
 * which is left as it was. */
bool form_matches(const Form *form, yyjson_val *value, yyjson_val **picked);

/* What the form owns, but not itself. */
void form_free(Form *form);

#endif
