/* sources.h -- the files of cuda/, and those of engine/tensor that CUDA compiles too, as text. */
#ifndef HONE_GPU_SOURCES_H
#define HONE_GPU_SOURCES_H

typedef struct gpu_text {
  const char *name; /* as #include names it: "prelude.cuh" */
  const char *text;
} gpu_text;

extern const gpu_text gpu_sources[];
extern const int gpu_source_count;

#endif
