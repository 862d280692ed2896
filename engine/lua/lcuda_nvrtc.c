/* lcuda_nvrtc.c -- compiling by NVRTC. Where things are cached and found is scripts/hone/cuda's. */
#include <string.h>

#include "gpu/nvrtc.h"
#include "lcuda.h"

#define PROGRAM "hone.cuda.Program"

/* core.nvrtc(folders) -> path, major, minor, archs | nil, message; opens NVRTC */
static int core_nvrtc(lua_State *L) {
  int count, major = 0, minor = 0;
  const char *why;
  const gpu_nvrtc *nvrtc = gpu_nvrtc_open(lcuda_push_strings(L, 1, &count), &why);
  if (!nvrtc) {
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
  }
  nvrtc->version(&major, &minor);
  lua_pushstring(L, gpu_nvrtc_path());
  lua_pushinteger(L, major);
  lua_pushinteger(L, minor);
  int archs = 0;
  nvrtc->arch_count(&archs);
  int *numbers = lua_newuserdatauv(L, (size_t)(archs + 1) * sizeof *numbers, 0);
  if (nvrtc->archs(numbers)) archs = 0;
  lua_createtable(L, archs, 0);
  for (int i = 0; i < archs; i++) {
    lua_pushinteger(L, numbers[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_remove(L, -2);
  return 4;
}

/* ---- programs ------------------------------------------------------------------------------ */

static const gpu_nvrtc *nvrtc_of(lua_State *L) {
  const char *why;
  const gpu_nvrtc *nvrtc = gpu_nvrtc_open(NULL, &why);
  if (!nvrtc) luaL_error(L, "%s", why);
  return nvrtc;
}

static int program_free(lua_State *L) {
  nvrtcProgram *program = luaL_checkudata(L, 1, PROGRAM);
  if (*program) nvrtc_of(L)->destroy(program);
  *program = NULL;
  return 0;
}

static int refuse(lua_State *L, const gpu_nvrtc *nvrtc, int result) {
  lua_pushnil(L);
  lua_pushfstring(L, "NVRTC: %s", nvrtc->error_string(result));
  return 2;
}

typedef int get_size(nvrtcProgram program, size_t *size);
typedef int get_bytes(nvrtcProgram program, char *bytes);

/* Pushes text or machine code; "" when there is none. */
static void push_output(lua_State *L, nvrtcProgram program, get_size *size_of, get_bytes *read) {
  size_t size = 0;
  if (size_of(program, &size) != 0) size = 0;
  luaL_Buffer buffer;
  char *bytes = luaL_buffinitsize(L, &buffer, size);
  if (size > 0 && read(program, bytes) != 0) size = 0;
  luaL_pushresultsize(&buffer, size);
}

/* Text comes with a zero byte at its end. */
static void push_text(lua_State *L, nvrtcProgram program, get_size *size_of, get_bytes *read) {
  push_output(L, program, size_of, read);
  lua_pushstring(L, lua_tostring(L, -1));
  lua_remove(L, -2);
}

static void set_lowered(lua_State *L, const gpu_nvrtc *nvrtc, nvrtcProgram program,
                        const char *const *names) {
  lua_newtable(L);
  for (; *names; names++) {
    const char *lowered = NULL;
    if (nvrtc->lowered_name(program, *names, &lowered) != 0) continue;
    lua_pushstring(L, lowered);
    lua_setfield(L, -2, *names);
  }
  lua_setfield(L, -2, "lowered");
}

static int push_compiled(lua_State *L, const gpu_nvrtc *nvrtc, nvrtcProgram program,
                         const char *const *names) {
  lua_createtable(L, 0, 4);
  push_text(L, program, nvrtc->log_size, nvrtc->log);
  lua_setfield(L, -2, "log");
  push_text(L, program, nvrtc->ptx_size, nvrtc->ptx);
  lua_setfield(L, -2, "ptx");
  push_output(L, program, nvrtc->cubin_size, nvrtc->cubin);
  lua_setfield(L, -2, "cubin");
  set_lowered(L, nvrtc, program, names);
  return 1;
}

/* core.nvrtc_compile(source, name, options, header names, header contents, kernel expressions)
 * -> {cubin =, ptx =, log =, lowered = {expression = name}} | nil, message, log? */
static int core_nvrtc_compile(lua_State *L) {
  const gpu_nvrtc *nvrtc = nvrtc_of(L);
  const char *source = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
  int option_count, header_count, content_count, name_count;
  const char **options = lcuda_push_strings(L, 3, &option_count);
  const char **headers = lcuda_push_strings(L, 4, &header_count);
  const char **contents = lcuda_push_strings(L, 5, &content_count);
  const char **names = lcuda_push_strings(L, 6, &name_count);
  luaL_argcheck(L, header_count == content_count, 5, "not one for each header");
  nvrtcProgram *program = lua_newuserdatauv(L, sizeof *program, 0);
  *program = NULL;
  luaL_setmetatable(L, PROGRAM);
  int result = nvrtc->create(program, source, name, header_count, contents, headers);
  for (int i = 0; i < name_count && !result; i++) result = nvrtc->add_name(*program, names[i]);
  if (result) return refuse(L, nvrtc, result);
  result = nvrtc->compile(*program, option_count, options);
  if (result == 0) return push_compiled(L, nvrtc, *program, names);
  refuse(L, nvrtc, result);
  push_text(L, *program, nvrtc->log_size, nvrtc->log);
  return 3;
}

static const luaL_Reg functions[] = {
    {"nvrtc", core_nvrtc}, {"nvrtc_compile", core_nvrtc_compile}, {NULL, NULL}};

void lcuda_open_nvrtc(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lcuda_collected(L, PROGRAM, program_free);
}
