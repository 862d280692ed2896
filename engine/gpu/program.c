#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "nvrtc.h"
#include "sources.h"

static const char *const *library_folders;

void gpu_library_folders(const char *const *folders) {
  library_folders = folders;
}

const char *const *gpu_library_folders_get(void) {
  return library_folders;
}

/* ---- sources --------------------------------------------------------------------------------- */

static const char *text_of(const char *file) {
  for (int i = 0; i < gpu_source_count; i++) {
    if (strcmp(gpu_sources[i].name, file) == 0) return gpu_sources[i].text;
  }
  return "";
}

/* ---- the cache on disk ----------------------------------------------------------------------- */

typedef struct {
  char *bytes;
  size_t size;
} Image;

__extension__ typedef unsigned __int128 Hash;

/* FNV-1a over 128 bits, of texts and their lengths. */
static void add_to_hash(Hash *hash, const void *data, size_t size) {
  static const Hash prime = ((Hash)1 << 88) + 0x13B;
  const unsigned char *bytes = data;
  for (size_t i = 0; i < size; i++) *hash = (*hash ^ bytes[i]) * prime;
}

static void add_text(Hash *hash, const char *text) {
  size_t size = strlen(text);
  add_to_hash(hash, &size, sizeof size);
  add_to_hash(hash, text, size);
}

/* Where the machine code of this compilation lies on disk; false where there is no place for it. */
static bool cache_path(char path[4096], const char *file, const char *macros, const char *arch,
                       const gpu_nvrtc *nvrtc) {
  int version[2] = {0, 0};
  nvrtc->version(&version[0], &version[1]);
  Hash hash = ((Hash)0x6C62272E07BB0142 << 64) | 0x62B821756295C58D;
  add_to_hash(&hash, version, sizeof version);
  add_text(&hash, arch);
  add_text(&hash, file);
  add_text(&hash, macros);
  for (int i = 0; i < gpu_source_count; i++) add_text(&hash, gpu_sources[i].text);
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  char folder[2048];
  if (cache && cache[0] == '/')
    snprintf(folder, sizeof folder, "%s", cache);
  else if (home && home[0])
    snprintf(folder, sizeof folder, "%s/.cache", home);
  else
    return false;
  snprintf(path, 4096, "%s/hone/engine/%016llx%016llx.cubin", folder,
           (unsigned long long)(hash >> 64), (unsigned long long)hash);
  return true;
}

/* The file's bytes; those of NULL where it cannot be read. */
static Image read_image(const char *path) {
  Image image = {NULL, 0};
  struct stat about;
  FILE *in = fopen(path, "rb");
  if (!in) return image;
  if (fstat(fileno(in), &about) == 0 && about.st_size > 0) {
    image.size = (size_t)about.st_size;
    image.bytes = malloc(image.size);
    if (image.bytes && fread(image.bytes, 1, image.size, in) != image.size) {
      free(image.bytes);
      image.bytes = NULL;
    }
  }
  fclose(in);
  return image;
}

static void make_folders(char *path) {
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(path, 0777);
    *slash = '/';
  }
}

/* Written beside and renamed, for other processes do the same. A cache that cannot be written costs
 * time and nothing else. */
static void write_image(char *path, Image image) {
  char beside[4096 + 32];
  snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
  FILE *out = fopen(beside, "wb");
  if (!out && errno == ENOENT) {
    make_folders(path);
    out = fopen(beside, "wb");
  }
  if (!out) return;
  bool written = fwrite(image.bytes, 1, image.size, out) == image.size;
  if (fclose(out) != 0 || !written || rename(beside, path) != 0) unlink(beside);
}

/* ---- compiling ------------------------------------------------------------------------------- */

/* "sm_90" of the device; of the newest that NVRTC knows, as PTX, for a device that is newer. */
static bool device_arch(const gpu_device *device, const gpu_nvrtc *nvrtc, char arch[16]) {
  int count = 0, newest = 0, numbers[128];
  int wanted = gpu_attribute(device, DEVICE_CAPABILITY_MAJOR) * 10 +
               gpu_attribute(device, DEVICE_CAPABILITY_MINOR);
  if (nvrtc->arch_count(&count) || count > 128 || nvrtc->archs(numbers)) count = 0;
  for (int i = 0; i < count; i++) {
    if (numbers[i] == wanted) {
      snprintf(arch, 16, "sm_%d", wanted);
      return true;
    }
    if (numbers[i] > newest && numbers[i] < wanted) newest = numbers[i];
  }
  snprintf(arch, 16, "compute_%d", newest);
  return false;
}

static int refuse_program(gpu_error *error, const gpu_nvrtc *nvrtc, nvrtcProgram program,
                          const char *file, int result) {
  char log[400] = "";
  size_t size = 0;
  char *whole = program && nvrtc->log_size(program, &size) == 0 ? malloc(size + 1) : NULL;
  if (whole && nvrtc->log(program, whole) == 0) snprintf(log, sizeof log, ": %s", whole);
  free(whole);
  return gpu_refuse(error, -1, "cannot compile the engine's kernels in %s: %s%s", file,
                    nvrtc->error_string(result), log);
}

static int take_output(const gpu_nvrtc *nvrtc, nvrtcProgram program, bool is_binary, Image *image) {
  int result =
      is_binary ? nvrtc->cubin_size(program, &image->size) : nvrtc->ptx_size(program, &image->size);
  image->bytes = result ? NULL : malloc(image->size + 1);
  if (!image->bytes) return result ? result : -1;
  image->bytes[image->size] = '\0';
  return is_binary ? nvrtc->cubin(program, image->bytes) : nvrtc->ptx(program, image->bytes);
}

static int compile(const gpu_nvrtc *nvrtc, const char *file, const char *macros, const char *arch,
                   bool is_binary, Image *image, gpu_error *error) {
  const char *names[64], *texts[64];
  int count = 0;
  names[count] = "macros.h";
  texts[count++] = macros;
  names[count] = "math.h"; /* NVRTC has its functions without it */
  texts[count++] = "";
  for (int i = 0; i < gpu_source_count && count < 64; i++, count++) {
    names[count] = gpu_sources[i].name;
    texts[count] = gpu_sources[i].text;
  }
  char target[32];
  snprintf(target, sizeof target, "-arch=%s", arch);
  /* No contraction: what is computed here is computed on the CPU as well, to the same bits. */
  const char *const options[] = {target, "-std=c++17", "-default-device", "-fmad=false",
                                 "-diag-suppress=177,186"};
  nvrtcProgram program = NULL;
  int result = nvrtc->create(&program, text_of(file), file, count, texts, names);
  if (!result) result = nvrtc->compile(program, sizeof options / sizeof *options, options);
  if (!result) result = take_output(nvrtc, program, is_binary, image);
  int failed = result ? refuse_program(error, nvrtc, program, file, result) : 0;
  if (program) nvrtc->destroy(&program);
  return failed;
}

/* Machine code from the disk or from the compiler. */
static int find_image(gpu_device *device, const char *file, const char *macros, Image *image,
                      gpu_error *error) {
  const char *why;
  const gpu_nvrtc *nvrtc = gpu_nvrtc_open(library_folders, &why);
  if (!nvrtc) return gpu_refuse(error, -1, "cannot compute on cuda:%d: %s", device->ordinal, why);
  char path[4096], arch[16];
  bool is_binary = device_arch(device, nvrtc, arch);
  bool is_cached = is_binary && cache_path(path, file, macros, arch, nvrtc);
  if (is_cached) *image = read_image(path);
  if (image->bytes) return 0;
  int failed = compile(nvrtc, file, macros, arch, is_binary, image, error);
  if (!failed && is_cached) write_image(path, *image);
  return failed;
}

/* ---- programs in memory ---------------------------------------------------------------------- */

typedef struct entry {
  struct entry *next;
  const gpu_source *source;
  uint64_t key;
  unsigned generation;
  gpu_program program;
} Entry;

enum { BUCKETS = 1024 };
static Entry *table[GPU_MAX_DEVICES][BUCKETS];

static Entry **bucket_of(const gpu_device *device, const gpu_source *source, uint64_t key) {
  uint64_t mixed = (key ^ (uint64_t)(uintptr_t)source) * 0x9E3779B97F4A7C15;
  return &table[device->ordinal][mixed >> 54];
}

static int load(gpu_device *device, const gpu_source *source, const char *macros,
                gpu_program *program, gpu_error *error) {
  Image image = {NULL, 0};
  CUmodule module = NULL;
  int failed = find_image(device, source->file, macros, &image, error);
  if (!failed) failed = gpu_module_load(device, image.bytes, &module, error);
  free(image.bytes);
  for (int i = 0; !failed && source->kernels[i]; i++) {
    CUresult result =
        gpu_state_get()->driver->module_function(&program->kernels[i], module, source->kernels[i]);
    program->names[i] = source->kernels[i];
    failed = gpu_check(device, result, "look up a kernel of the engine", error);
  }
  return failed;
}

const gpu_program *gpu_program_get(gpu_device *device, const gpu_source *source, uint64_t key,
                                   gpu_define *define, const void *context, gpu_error *error) {
  Entry **bucket = bucket_of(device, source, key);
  for (Entry *e = *bucket; e; e = e->next) {
    if (e->key == key && e->source == source && e->generation == device->generation)
      return &e->program;
  }
  char macros[GPU_PROGRAM_MACROS] = "";
  define(macros, context);
  Entry *made = calloc(1, sizeof *made);
  if (!made) {
    gpu_refuse(error, -1, "cannot keep a program: out of memory");
    return NULL;
  }
  if (load(device, source, macros, &made->program, error)) {
    free(made);
    return NULL;
  }
  made->source = source;
  made->key = key;
  made->generation = device->generation;
  made->next = *bucket;
  *bucket = made;
  return &made->program;
}

/* ---- launching ------------------------------------------------------------------------------- */

enum { PLAIN_SHARED_BYTES = 48 << 10 };

int gpu_program_launch(gpu_device *device, const gpu_program *program, int kernel, gpu_grid grid,
                       const void *arguments, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUfunction function = program->kernels[kernel];
  if (grid.shared_bytes > PLAIN_SHARED_BYTES)
    driver->function_set(function, FUNCTION_MAX_DYNAMIC_SHARED, (int)grid.shared_bytes);
  void *parameters[] = {(void *)(uintptr_t)arguments};
  gpu_note_launch(device, program->names[kernel]);
  unsigned y = grid.blocks[1] ? grid.blocks[1] : 1, z = grid.blocks[2] ? grid.blocks[2] : 1;
  CUresult result = driver->launch(function, grid.blocks[0], y, z, grid.threads, 1, 1,
                                   grid.shared_bytes, device->stream, parameters, NULL);
  return gpu_check(device, result, "launch a kernel of the engine", error);
}
