/* ltensor_later.c -- results that wait until somebody needs them (engine/tensor/pending.h). */
#include "lua/ltensor.h"
#include "tensor/device.h"

/* tensor._later("never", "devices" or "everywhere") -> what held before: the results of elementwise
 * operations wait on these. What waits already goes on waiting. */
static int later(lua_State *L) {
  static const char *const modes[] = {"never", "devices", "everywhere", NULL};
  int to = luaL_checkoption(L, 1, NULL, modes);
  const device_functions *devices = device_functions_get();
  lua_pushstring(L, modes[pending_get_mode()]);
  pending_set_mode((enum pending_mode)to);
  if (devices) devices->check(NULL);
  ltensor_forget_read();
  return 1;
}

/* tensor._waits(t) -> are its elements still to be computed? */
static int waits(lua_State *L) {
  lua_pushboolean(L, storage_waits(ltensor_look(L, 1)->storage));
  return 1;
}

/* tensor._settle(t) -> t, with its elements */
static int settle(lua_State *L) {
  ltensor_settle(L, ltensor_look(L, 1));
  lua_settop(L, 1);
  return 1;
}

/* tensor._check(): raise what would have been refused earlier, had nothing waited */
static int check(lua_State *L) {
  tensor_error error;
  const device_functions *devices = device_functions_get();
  if (devices) LTENSOR_TRY(L, devices->check(&error));
  return 0;
}

const luaL_Reg ltensor_later_functions[] = {
    {"_later", later}, {"_waits", waits}, {"_settle", settle}, {"_check", check}, {NULL, NULL}};
const luaL_Reg ltensor_later_methods[] = {{NULL, NULL}};
