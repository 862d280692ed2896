/* launch.c -- what launches cost in C through the driver, for bench/launch.lua to compare with: the
 * same kernels from the same PTX file, in the same batches. Prints "NAME NANOSECONDS" lines. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gpu/driver.h"

enum { BATCH = 512, BATCHES = 200, NODES = 200, REPLAYS = 200 };

static const gpu_driver *driver;
static CUstream stream;

static void must(CUresult result, const char *what) {
  if (result == CUDA_SUCCESS) return;
  fprintf(stderr, "launch: %s: %s\n", what, gpu_driver_describe(driver, result));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int n) {
  qsort(values, (size_t)n, sizeof *values, compare);
  return values[n / 2];
}

static double time_launches(CUfunction function, void **params) {
  double times[BATCHES];
  for (int i = 0; i < BATCHES; i++) {
    double start = now();
    for (int k = 0; k < BATCH; k++) {
      must(driver->launch(function, 1, 1, 1, 32, 1, 1, 0, stream, params, NULL), "launch");
    }
    times[i] = (now() - start) / BATCH;
    must(driver->stream_synchronize(stream), "synchronize");
  }
  return median(times, BATCHES);
}

/* From the replay's start to the idle device, a node's share. */
static double time_replays(CUfunction function, void **params) {
  CUgraph graph;
  CUgraphExec exec;
  must(driver->stream_begin_capture(stream, CAPTURE_THREAD_LOCAL), "capture");
  for (int i = 0; i < NODES; i++) {
    must(driver->launch(function, 1, 1, 1, 32, 1, 1, 0, stream, params, NULL), "launch");
  }
  must(driver->stream_end_capture(stream, &graph), "capture");
  must(driver->graph_instantiate(&exec, graph, 0), "graph");
  double times[REPLAYS];
  for (int i = 0; i < REPLAYS; i++) {
    double start = now();
    must(driver->graph_launch(exec, stream), "replay");
    must(driver->stream_synchronize(stream), "synchronize");
    times[i] = (now() - start) / NODES;
  }
  return median(times, REPLAYS);
}

static char *read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  char *text = calloc(1, 1 << 16);
  if (!file || !text || !fread(text, 1, (1 << 16) - 1, file)) exit(1);
  fclose(file);
  return text;
}

int main(int argc, char **argv) {
  const char *why;
  CUcontext context;
  CUmodule module;
  CUfunction five, nineteen;
  if (argc != 2) return 2;
  driver = gpu_driver_open(&why);
  if (!driver) return fprintf(stderr, "launch: %s\n", why), 1;
  must(driver->context_retain(&context, 0), "context");
  must(driver->context_set(context), "context");
  must(driver->stream_create(&stream, 0, 0), "stream");
  must(driver->module_load(&module, read_file(argv[1]), 0, NULL, NULL), "module");
  must(driver->module_function(&five, module, "five"), "kernel");
  must(driver->module_function(&nineteen, module, "nineteen"), "kernel");
  CUdeviceptr pointer;
  must(driver->memory_alloc(&pointer, 64, stream), "memory");
  int integer = 7;
  float number = 0.5F;
  void *params[19]; /* 8 pointers, 6 integers, 5 floats; five has 3, 1, 1 */
  for (int i = 0; i < 19; i++)
    params[i] = i < 8 ? (void *)&pointer : i < 14 ? (void *)&integer : &number;
  void *few[5] = {&pointer, &pointer, &pointer, &integer, &number};
  time_launches(five, few);
  printf("five %.1f\n", time_launches(five, few));
  printf("nineteen %.1f\n", time_launches(nineteen, params));
  printf("graph %.1f\n", time_replays(five, few));
  return 0;
}
