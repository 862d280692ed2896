#include "http/curl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct curl_api curl;

static void *open_library(void) {
  const char *chosen = getenv("HONE_LIBCURL");
  if (chosen && *chosen) return dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  return library ? library : dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
}

/* ISO C has no cast from dlsym's pointer to a function's: copy the bits, as POSIX promises works.
 */
static bool find(void *library, const char *name, void *function, size_t size) {
  void *symbol = dlsym(library, name);
  memcpy(function, &symbol, size);
  return symbol != NULL;
}

static const char *open_and_initialise(void) {
  void *library = open_library(); /* stays open for the life of the process */
  if (!library) return "libcurl is not installed (install libcurl4)";
#define CURL_FIND(name)                                                                            \
  if (!find(library, "curl_" #name, &curl.name, sizeof curl.name))                                 \
    return "libcurl is too old: it has no curl_" #name " (install libcurl4 7.66 or newer)";
  CURL_FUNCTIONS(CURL_FIND)
#undef CURL_FIND
  return curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? NULL : "libcurl cannot be initialised";
}

const char *curl_open(void) {
  static bool open;
  if (open) return NULL;
  const char *why = open_and_initialise();
  open = why == NULL;
  return why;
}
