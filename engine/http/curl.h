/* curl.h -- libcurl, opened when first needed: nothing links it, and a machine without it still
 * runs everything that does not fetch. */
#ifndef HONE_HTTP_CURL_H
#define HONE_HTTP_CURL_H

#define CURL_DISABLE_DEPRECATION /* CURLOPT_PROTOCOLS: its successor needs libcurl 7.85 */
#define CURL_DISABLE_TYPECHECK   /* the checks wrap the functions, and we call through pointers */
#include <curl/curl.h>

/* clang-format off */
#define CURL_FUNCTIONS(X)                                                       \
  X(global_init) X(version) X(free)                                             \
  X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_getinfo) X(easy_strerror)  \
  X(multi_init) X(multi_cleanup) X(multi_add_handle) X(multi_remove_handle)     \
  X(multi_perform) X(multi_poll) X(multi_info_read)                             \
  X(share_init) X(share_setopt) X(share_cleanup)                                \
  X(slist_append) X(slist_free_all)                                             \
  X(url) X(url_cleanup) X(url_set) X(url_get)
/* clang-format on */

/* curl.easy_init is curl_easy_init, and so on; all NULL until curl_open() has succeeded. */
struct curl_api {
#define CURL_FIELD(name) __typeof__(curl_##name) *name;
  CURL_FUNCTIONS(CURL_FIELD)
#undef CURL_FIELD
};
extern struct curl_api curl;

/* NULL once libcurl is open and initialised; otherwise why it is not, and what to install.
 * The environment variable HONE_LIBCURL names another library file. */
const char *curl_open(void);

#endif
