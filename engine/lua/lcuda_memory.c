/* lcuda_memory.c -- buffers on a device, and tensor maps over them. */
#include <string.h>

#include "lcuda.h"

typedef lcuda_buffer Buffer;

static const char *problem_of(const Buffer *b) {
  if (!b->is_open) return "buffer was freed";
  if (b->generation != b->device->generation) return "buffer was lost with its context";
  return NULL;
}

static Buffer *check_buffer(lua_State *L, int arg) {
  Buffer *b = luaL_checkudata(L, arg, LCUDA_BUFFER);
  const char *problem = problem_of(b);
  if (problem) luaL_argerror(L, arg, problem);
  return b;
}

static const char *locate_buffer(void *object, lcuda_place *place) {
  Buffer *b = object;
  const char *problem = problem_of(b);
  if (problem) return problem;
  *place = (lcuda_place){b->address, b->device->ordinal, &b->is_shared};
  return NULL;
}

const lcuda_pointee lcuda_buffer_pointee = {locate_buffer};

const char *lcuda_locate(lua_State *L, int index, lcuda_place *place) {
  if (luaL_getmetafield(L, index, LCUDA_POINTEE) == LUA_TNIL) return "it has no device memory";
  const lcuda_pointee *found = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return found->locate(lua_touserdata(L, index), place);
}

/* ---- allocation ---------------------------------------------------------------------------- */

/* Lua does not see device memory, and so may let much of it lie about unused: then collect and
 * retry. */
static int allocate(lua_State *L, Buffer *b, gpu_error *error) {
  int failed = gpu_memory_new(b->device, b->bytes, &b->address, error);
  if (failed != CUDA_ERROR_OUT_OF_MEMORY) return failed;
  lua_gc(L, LUA_GCCOLLECT);
  gpu_memory_trim(b->device);
  return gpu_memory_new(b->device, b->bytes, &b->address, error);
}

/* cuda.alloc(bytes) -> buffer | nil, message, code */
static int cuda_alloc(lua_State *L) {
  lua_Integer bytes = luaL_checkinteger(L, 1);
  luaL_argcheck(L, bytes >= 0, 1, "size is negative");
  gpu_error error;
  gpu_device *device = lcuda_current(&error);
  if (!device) return lcuda_refuse(L, &error);
  Buffer *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (Buffer){.pointee = &lcuda_buffer_pointee,
                .device = device,
                .generation = device->generation,
                .bytes = (size_t)bytes};
  luaL_setmetatable(L, LCUDA_BUFFER);
  if (allocate(L, b, &error)) return lcuda_refuse(L, &error);
  b->is_open = true;
  return 1;
}

static int buffer_free(lua_State *L) { /* method, __gc and __close: safe to call twice */
  Buffer *b = luaL_checkudata(L, 1, LCUDA_BUFFER);
  if (b->is_open) gpu_memory_free(b->device, b->generation, b->address, b->bytes, b->is_shared);
  b->is_open = false;
  b->address = 0;
  return 0;
}

/* ---- contents ------------------------------------------------------------------------------ */

typedef struct {
  size_t offset, bytes;
} Range;

/* Optional offset at `arg` and count of bytes after it; the rest of the buffer by default. */
static Range check_range(lua_State *L, int arg, const Buffer *b) {
  lua_Integer size = (lua_Integer)b->bytes, offset = luaL_optinteger(L, arg, 0);
  luaL_argcheck(L, 0 <= offset && offset <= size, arg, "offset lies outside of the buffer");
  lua_Integer bytes = luaL_optinteger(L, arg + 1, size - offset);
  luaL_argcheck(L, 0 <= bytes && bytes <= size - offset, arg + 1, "range does not fit the buffer");
  return (Range){(size_t)offset, (size_t)bytes};
}

/* Queue on the current stream; when that is not the device's own, remember it for the end. */
static CUstream stream_of(Buffer *b) {
  if (b->device->stream != b->device->own_stream) b->is_shared = true;
  return b->device->stream;
}

static int push_done(lua_State *L, const Buffer *b, CUresult result, const char *what) {
  gpu_error error;
  if (gpu_check(b->device, result, what, &error)) return lcuda_refuse(L, &error);
  lua_settop(L, 1);
  return 1;
}

/* buffer:write(data, offset = 0) -> buffer | nil, message, code */
static int buffer_write(lua_State *L) {
  Buffer *b = check_buffer(L, 1);
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  lua_settop(L, 3);
  Range range = check_range(L, 3, b);
  luaL_argcheck(L, size <= range.bytes, 2, "data does not fit the buffer");
  gpu_error error;
  if (gpu_activate(b->device, &error)) return lcuda_refuse(L, &error);
  if (size == 0) return push_done(L, b, CUDA_SUCCESS, "");
  CUresult result =
      gpu_state_get()->driver->copy_in(b->address + range.offset, data, size, stream_of(b));
  return push_done(L, b, result, "copy to the device");
}

/* Waits first, which Ctrl-C ends; the copy would wait too, but hears nothing. */
static int copy_out(Buffer *b, size_t offset, size_t bytes, char *to, gpu_error *error) {
  CUstream stream = stream_of(b);
  int failed = gpu_activate(b->device, error);
  if (!failed) failed = gpu_stream_synchronize(b->device, stream, 0, error);
  if (failed || bytes == 0) return failed;
  CUresult result = gpu_state_get()->driver->copy_out(to, b->address + offset, bytes, stream);
  failed = gpu_check(b->device, result, "copy from the device", error);
  return failed ? failed : gpu_stream_synchronize(b->device, stream, 0, error);
}

/* buffer:read(offset = 0, bytes = rest) -> string | nil, message, code */
static int buffer_read(lua_State *L) {
  Buffer *b = check_buffer(L, 1);
  Range range = check_range(L, 2, b);
  gpu_error error;
  luaL_Buffer text;
  char *to = luaL_buffinitsize(L, &text, range.bytes);
  if (copy_out(b, range.offset, range.bytes, to, &error)) return lcuda_refuse(L, &error);
  luaL_pushresultsize(&text, range.bytes);
  return 1;
}

/* buffer:fill(byte, offset = 0, bytes = rest) -> buffer | nil, message, code */
static int buffer_fill(lua_State *L) {
  Buffer *b = check_buffer(L, 1);
  lua_Integer value = luaL_checkinteger(L, 2);
  luaL_argcheck(L, 0 <= value && value <= 255, 2, "not a byte");
  Range range = check_range(L, 3, b);
  gpu_error error;
  if (gpu_activate(b->device, &error)) return lcuda_refuse(L, &error);
  if (range.bytes == 0) return push_done(L, b, CUDA_SUCCESS, "");
  CUresult result = gpu_state_get()->driver->set8(b->address + range.offset, (unsigned char)value,
                                                  range.bytes, stream_of(b));
  return push_done(L, b, result, "fill memory");
}

/* Both devices are waited for: a copy between two has no stream that orders it with both. */
static int copy_between_devices(Buffer *to, CUdeviceptr at, Buffer *from, CUdeviceptr source,
                                size_t bytes, gpu_error *error) {
  int failed = gpu_activate(from->device, error);
  if (!failed) failed = gpu_synchronize(from->device, error);
  if (!failed) failed = gpu_activate(to->device, error);
  if (failed) return failed;
  CUresult result = gpu_state_get()->driver->copy_peer(
      at, to->device->context, source, from->device->context, bytes, to->device->own_stream);
  failed = gpu_check(to->device, result, "copy from another device", error);
  return failed ? failed : gpu_stream_synchronize(to->device, to->device->own_stream, 0, error);
}

/* buffer:copy(from, offset = 0, from_offset = 0, bytes = all of from's rest) -> buffer | nil,
 * message, code */
static int buffer_copy(lua_State *L) {
  Buffer *to = check_buffer(L, 1), *from = check_buffer(L, 2);
  lua_settop(L, 5);
  Range source = check_range(L, 4, from);
  lua_pushinteger(L, (lua_Integer)source.bytes);
  lua_insert(L, 4); /* [to, from, offset, bytes...]: the same bytes must fit here */
  Range target = check_range(L, 3, to);
  CUdeviceptr at = to->address + target.offset, start = from->address + source.offset;
  gpu_error error;
  if (to->device != from->device) {
    int failed = copy_between_devices(to, at, from, start, source.bytes, &error);
    return failed ? lcuda_refuse(L, &error) : push_done(L, to, CUDA_SUCCESS, "");
  }
  if (gpu_activate(to->device, &error)) return lcuda_refuse(L, &error);
  if (source.bytes == 0) return push_done(L, to, CUDA_SUCCESS, "");
  stream_of(from);
  CUresult result = gpu_state_get()->driver->copy(at, start, source.bytes, stream_of(to));
  return push_done(L, to, result, "copy memory");
}

static int buffer_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_buffer(L, 1)->bytes);
  return 1;
}

static int buffer_address(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_buffer(L, 1)->address);
  return 1;
}

static int buffer_device(lua_State *L) {
  lua_pushinteger(L, check_buffer(L, 1)->device->ordinal);
  return 1;
}

static int buffer_tostring(lua_State *L) {
  const Buffer *b = luaL_checkudata(L, 1, LCUDA_BUFFER);
  const char *problem = problem_of(b);
  if (problem)
    lua_pushfstring(L, "cuda.Buffer (%s)", problem);
  else
    lua_pushfstring(L, "cuda.Buffer (%I bytes on cuda:%d)", (lua_Integer)b->bytes,
                    b->device->ordinal);
  return 1;
}

/* ---- tensor maps --------------------------------------------------------------------------- */

enum { MAX_RANK = 5 };

static const struct {
  const char *name;
  int type;
  unsigned bytes;
} element_types[] = {{"uint8", 0, 1},       {"int8", 0, 1},     {"float8_e4m3fn", 0, 1},
                     {"float8_e5m2", 0, 1}, {"uint16", 1, 2},   {"int16", 1, 2},
                     {"uint32", 2, 4},      {"int32", 3, 4},    {"uint64", 4, 8},
                     {"int64", 5, 8},       {"float16", 6, 2},  {"float32", 7, 4},
                     {"float64", 8, 8},     {"bfloat16", 9, 2}, {"tfloat32", 11, 4}};

static const char *const swizzles[] = {"none", "32B", "64B", "128B", NULL};
static const char *const promotions[] = {"none", "64B", "128B", "256B", NULL};
static const char *const fills[] = {"zero", "nan", NULL};

/* Pushes field `name` of the table at 1 and returns its place among `choices`, 0 by default. */
static int choice_field(lua_State *L, const char *name, const char *const *choices) {
  if (lua_getfield(L, 1, name) == LUA_TNIL) return 0;
  const char *value = lua_tostring(L, -1);
  for (int i = 0; choices[i]; i++) {
    if (value && strcmp(choices[i], value) == 0) return i;
  }
  return luaL_error(L, "tensor_map: option '%s' is not one of its values", name);
}

static size_t check_type(lua_State *L) {
  lua_getfield(L, 1, "type");
  const char *name = lua_tostring(L, -1);
  for (size_t i = 0; i < sizeof element_types / sizeof *element_types; i++) {
    if (name && strcmp(name, element_types[i].name) == 0) return i;
  }
  return (size_t)luaL_error(L, "tensor_map: option 'type' is not a type of elements");
}

/* Reads the list in field `name` into values, innermost first; Lua's order is outermost first. */
static unsigned read_list(lua_State *L, const char *name, unsigned rank, uint64_t *values) {
  if (lua_getfield(L, 1, name) == LUA_TNIL) return 0;
  luaL_argcheck(L, lua_istable(L, -1), 1, "shape, strides, box and steps are lists");
  lua_Unsigned count = lua_rawlen(L, -1);
  if (count < 1 || count > MAX_RANK || (rank && count != rank)) {
    luaL_error(L, "tensor_map: option '%s' does not have a number for each of 1 to 5 dimensions",
               name);
  }
  for (lua_Unsigned i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (lua_Integer)(count - i));
    lua_Integer value = lua_tointeger(L, -1);
    if (value < 1)
      luaL_error(L, "tensor_map: option '%s' holds what is not a positive integer", name);
    values[i] = (uint64_t)value;
    lua_pop(L, 1);
  }
  return (unsigned)count;
}

typedef struct {
  unsigned rank;
  uint64_t shape[MAX_RANK], strides[MAX_RANK]; /* innermost first; strides in bytes */
  uint32_t box[MAX_RANK], steps[MAX_RANK];
} Layout;

static Layout read_layout(lua_State *L, unsigned element_bytes) {
  Layout layout = {0};
  uint64_t strides[MAX_RANK], box[MAX_RANK], steps[MAX_RANK] = {1, 1, 1, 1, 1};
  layout.rank = read_list(L, "shape", 0, layout.shape);
  if (layout.rank == 0) luaL_error(L, "tensor_map: option 'shape' is missing");
  bool is_strided = read_list(L, "strides", layout.rank, strides) > 0;
  if (read_list(L, "box", layout.rank, box) == 0)
    luaL_error(L, "tensor_map: option 'box' is missing");
  read_list(L, "steps", layout.rank, steps);
  uint64_t dense = element_bytes;
  for (unsigned i = 0; i < layout.rank; i++) {
    dense *= layout.shape[i];
    if (i + 1 < layout.rank)
      layout.strides[i] = is_strided ? strides[i + 1] * element_bytes : dense;
    layout.box[i] = (uint32_t)box[i];
    layout.steps[i] = (uint32_t)steps[i];
  }
  return layout;
}

static CUdeviceptr check_address(lua_State *L) {
  lua_getfield(L, 1, "data");
  if (lua_isinteger(L, -1)) return (CUdeviceptr)lua_tointeger(L, -1);
  lcuda_place place = {0};
  const char *problem = lcuda_locate(L, lua_gettop(L), &place);
  if (problem) luaL_error(L, "tensor_map: option 'data': %s", problem);
  return place.address;
}

/* The map lies on a 64-byte boundary in its userdata, which Lua aligns less. */
static CUtensorMap *align_map(void *block) {
  return (CUtensorMap *)(((uintptr_t)block + 63) & ~(uintptr_t)63);
}

/* cuda.tensor_map{data=, type=, shape=, strides=?, box=, steps=?, swizzle=?, promotion=?, fill=?}
 * -> map | nil, message, code */
static int cuda_tensor_map(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  size_t type = check_type(L);
  CUdeviceptr address = check_address(L);
  Layout l = read_layout(L, element_types[type].bytes);
  int swizzle = choice_field(L, "swizzle", swizzles), fill = choice_field(L, "fill", fills);
  int promotion = choice_field(L, "promotion", promotions);
  gpu_error error;
  gpu_device *device = lcuda_current(&error);
  if (!device) return lcuda_refuse(L, &error);
  const gpu_driver *driver = gpu_state_get()->driver;
  if (!driver->tensor_map) {
    gpu_refuse(&error, -1, "the NVIDIA driver is too old for tensor maps");
    return lcuda_refuse(L, &error);
  }
  void *block = lua_newuserdatauv(L, sizeof(CUtensorMap) + 63, 1);
  luaL_setmetatable(L, LCUDA_TENSOR_MAP);
  lua_getfield(L, 1, "data");
  lua_setiuservalue(L, -2, 1);
  CUresult result = driver->tensor_map(align_map(block), element_types[type].type, l.rank,
                                       (void *)(uintptr_t)address, l.shape, l.strides, l.box,
                                       l.steps, 0, swizzle, promotion, fill);
  if (gpu_check(device, result, "make a tensor map", &error)) return lcuda_refuse(L, &error);
  return 1;
}

static int tensor_map_bytes(lua_State *L) {
  lua_pushlstring(L, (const char *)align_map(luaL_checkudata(L, 1, LCUDA_TENSOR_MAP)),
                  sizeof(CUtensorMap));
  return 1;
}

/* ---- tables -------------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"alloc", cuda_alloc}, {"tensor_map", cuda_tensor_map}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"write", buffer_write}, {"read", buffer_read},     {"fill", buffer_fill},
    {"copy", buffer_copy},   {"size", buffer_size},     {"address", buffer_address},
    {"free", buffer_free},   {"device", buffer_device}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__gc", buffer_free},
                                       {"__close", buffer_free},
                                       {"__len", buffer_size},
                                       {"__tostring", buffer_tostring},
                                       {NULL, NULL}};
static const luaL_Reg map_methods[] = {{"bytes", tensor_map_bytes}, {NULL, NULL}};
static const luaL_Reg no_metamethods[] = {{NULL, NULL}};

void lcuda_open_memory(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lcuda_class(L, LCUDA_BUFFER, methods, metamethods);
  lcuda_class(L, LCUDA_TENSOR_MAP, map_methods, no_metamethods);
  luaL_getmetatable(L, LCUDA_BUFFER);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&lcuda_buffer_pointee);
  lua_setfield(L, -2, LCUDA_POINTEE);
  lua_pop(L, 1);
}
