/* part.h -- a file that is being downloaded: it has a name that a later run finds again, and one
 * process at a time writes it. */
#ifndef HONE_HTTP_PART_H
#define HONE_HTTP_PART_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  int fd; /* -1 when closed */
} Part;

/* All of these return 0 or an errno. */
int part_open(Part *p, const char *path); /* EWOULDBLOCK: another process holds it */
int part_size(const Part *p, long long *size);
int part_append(Part *p, const char *data, size_t size);
int part_truncate(Part *p);
int part_sync(Part *p);
int part_close(Part *p); /* safe to call twice */

#endif
