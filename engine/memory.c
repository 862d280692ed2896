/* memory.c -- a heap for the small blocks that a Lua state lives on. Lua says how large a block is
 * when it frees it, so blocks need no headers: there is a list of free ones for each size, and new
 * ones are cut from the end of what is used. Larger blocks are malloc's. */
#include "memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
#define IS_WATCHED 1 /* each block is to be malloc's, which the sanitizer knows */
#else
#define IS_WATCHED 0
#endif

enum { GRAIN = 16, LARGEST = 1024, SIZES = LARGEST / GRAIN + 1 };

/* Addresses, not memory: pages are there from the first write. */
static const size_t RESERVED = (size_t)1 << 36;
/* A process that uses more than this will use much more: let the kernel give it large pages. */
static const size_t SMALL_PAGES = (size_t)1 << 20;

typedef struct block {
  struct block *next;
} block;

static struct {
  char *start, *used, *end;
  block *free[SIZES];
  bool is_leaving;
} heap;

static bool is_ours(const void *p) {
  return (uintptr_t)p - (uintptr_t)heap.start < RESERVED;
}

static size_t size_index(size_t size) {
  return (size + GRAIN - 1) / GRAIN;
}

static void *take(size_t size) {
  size_t i = size_index(size);
  block *b = heap.free[i];
  if (b) {
    heap.free[i] = b->next;
    return b;
  }
  if ((size_t)(heap.end - heap.used) < i * GRAIN) return malloc(size);
  char *cut = heap.used;
  heap.used += i * GRAIN;
  return cut;
}

static void give(void *p, size_t size) {
  if (!is_ours(p)) {
    free(p);
  } else if (!heap.is_leaving) {
    block *b = p;
    b->next = heap.free[size_index(size)];
    heap.free[size_index(size)] = b;
  }
}

static void *move(void *p, size_t old, size_t size) {
  void *moved = size <= LARGEST ? take(size) : malloc(size);
  if (!moved) return NULL;
  memcpy(moved, p, old < size ? old : size);
  give(p, old);
  return moved;
}

/* A lua_Alloc. Of a new block, `old` tells the kind of object. */
static void *allocate(void *context, void *p, size_t old, size_t size) {
  (void)context;
  if (!p) return size == 0 ? NULL : size <= LARGEST ? take(size) : malloc(size);
  if (size == 0) {
    give(p, old);
    return NULL;
  }
  if (!is_ours(p) && size > LARGEST) return realloc(p, size);
  if (is_ours(p) && size <= LARGEST && size_index(size) == size_index(old)) return p;
  return move(p, old, size);
}

void memory_use_heap(lua_State *L) {
  if (IS_WATCHED || heap.start) return;
  void *pages = mmap(NULL, RESERVED, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return;
  heap.start = heap.used = pages;
  heap.end = heap.start + RESERVED;
  madvise(heap.start + SMALL_PAGES, RESERVED - SMALL_PAGES, MADV_HUGEPAGE);
  lua_setallocf(L, allocate, NULL);
}

bool memory_leave(void) {
  heap.is_leaving = true;
  return !IS_WATCHED;
}
