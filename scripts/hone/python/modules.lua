--- Modules: found on disk, parsed, and evaluated only as far as their names are asked for.
---
--- A module's top-level statements are not run in order. Each is listed under the names that it binds or
--- changes (`x = ...`, `def x`, `x.append(...)`, `x["a"] = ...`, and everything inside `if`, `try`, `for`,
--- `with`); when a name is first read, the statements listed under it run in their order, after the
--- earlier ones of every other name that they bind. So importing a module of two thousand lines for one
--- class runs that class statement and what it needs. What this leaves out: a top-level call whose
--- effect is elsewhere (registering in another module, printing) does not happen unless it is needed for a
--- name; `if TYPE_CHECKING:` and `if __name__ == "__main__":` are not run at all. A statement that raises
--- leaves its names unknown, and is counted.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local compile = require "hone.python.functions"
local scopes = require "hone.python.scope"
local source = require "hone.python.source"

local types, None = core.types, core.None
local S = core.state
local modules = {}

local Module = {}
Module.__index = Module

-- ---- scanning -----------------------------------------------------------------------------------

---The name at the root of a.b[c].d, nil for other expressions.
local function root_name(node)
  while node do
    if node.type == "identifier" then return node.text end
    if node.type == "attribute" then
      node = node.object
    elseif node.type == "subscript" then
      node = node.value
    elseif node.type == "call" and node["function"].type == "attribute" then
      node = node["function"]
    else
      return nil
    end
  end
end

---Names whose objects a statement changes in place.
local function collect_changes(node, expand, found)
  local kind = node.type
  if kind == "assignment" or kind == "augmented_assignment" then
    if node.left.type == "attribute" or node.left.type == "subscript" then
      local name = root_name(node.left)
      if name then found(name) end
    end
  elseif kind == "call" then
    local fn = node["function"]
    local name = fn.type == "attribute" and root_name(fn)
    if name then found(name) end
  elseif scopes.HOLDS_STATEMENTS[kind] or kind == "for_statement" then
    if node.lazy then expand(node) end
    for _, child in ipairs(node) do
      collect_changes(child, expand, found)
    end
  end
end

---`if TYPE_CHECKING:` and `if __name__ == "__main__":` without an else are never run.
local function is_never_run(node)
  if node.type ~= "if_statement" then return false end
  local test = node.condition
  local guard = test.type == "identifier" and test.text == "TYPE_CHECKING"
    or test.type == "attribute" and test.attribute.text == "TYPE_CHECKING"
    or test.type == "comparison_operator" and test[1].text == "__name__"
  if not guard then return false end
  for _, child in ipairs(node) do
    if child.type == "else_clause" or child.type == "elif_clause" then return false end
  end
  return true
end

---List a statement under a name; once, however often it binds it.
local function list_under(module, index, name)
  local own = module.pending[name]
  if not own then
    module.pending[name] = { index }
    return true
  end
  if own[#own] == index then return false end
  own[#own + 1] = index
  return true
end

-- Does a statement of a text's top level hold a `:=`? Text that has none is not searched for lines that do.
local function binds_in_expressions(text)
  return text:find(":=", 1, true) ~= nil and ("\n" .. text):find("\n%S[^\n]*:=") ~= nil
end

local DEFINITIONS = { function_definition = true, class_definition = true, decorated_definition = true }

---List a statement under the names it binds.
---@param deep boolean whether it may bind some in expressions
local function scan_node(module, node, deep)
  local kind = node.type
  if kind == "import_from_statement" and node[#node].type == "wildcard_import" then
    table.insert(module.stars, { compile.module_name(node.module_name) })
  elseif kind ~= "comment" and not is_never_run(node) then
    local list, expand = module.list, module.unit.expand
    local index, names = #list + 1, {}
    local function found(name)
      if list_under(module, index, name) then names[#names + 1] = name end
    end
    scopes.collect(node, expand, found, deep)
    if not DEFINITIONS[kind] then collect_changes(node, expand, found) end
    list[index] = { node = node, names = names }
  end
end

---List a module's statements under the names they bind. What is not parsed yet is listed by its outline.
local function scan(module, tree)
  local list = module.list
  local function scan_all(nodes, text)
    local deep = binds_in_expressions(text)
    for _, node in ipairs(nodes) do
      scan_node(module, node, deep)
    end
  end
  if not tree.statements then return scan_all(tree.root, tree.text) end
  for _, outlined in ipairs(tree.statements) do
    if outlined.nodes then
      scan_all(outlined.nodes, outlined.text)
    else
      local index = #list + 1
      list[index] = { outlined = outlined, names = outlined.names }
      for _, name in ipairs(outlined.names) do
        list_under(module, index, name)
      end
    end
  end
end

-- ---- running statements -------------------------------------------------------------------------

local function scope_of(module, tree)
  local unit =
    { module = module, file = module.file, expand = tree.expand, is_deep = tree.is_deep, text = tree.text }
  return scopes.new("module", nil, unit), unit
end

---A statement's node and its scope; what is only outlined is parsed here, as a tree of its own.
local function node_of(module, statement)
  if statement.node then return statement.node, module.scope end
  local tree, message = source.statement(module.tree, statement.outlined)
  if not tree then error(core.exception(types.SyntaxError, { message }), 0) end
  return tree.root[1], (scope_of(module, tree))
end

local function run_one(module, index)
  local statement = module.list[index]
  if statement.done then return end
  statement.done = true
  for _, name in ipairs(statement.names) do
    for _, earlier in ipairs(module.pending[name] or {}) do
      if earlier < index then run_one(module, earlier) end
    end
  end
  local before = module.running
  module.running = index
  local line = (statement.node or statement.outlined).line
  module.frame.line = line
  local ok, e = core.protected(function()
    local node, scope = node_of(module, statement)
    compile.statement(node, scope)(module.frame)
  end)
  module.running = before
  if ok then return end
  local failed = unknown.report(
    "failed statement",
    ("%s:%d: %s: %s"):format(core.short_file(module.file), line, e.cls.name, core.exception_message(e))
  )
  for _, name in ipairs(statement.names) do
    if module.ns[name] == nil then module.ns[name] = failed end
  end
end

---Run the statements of `waiting` that stand before `limit`. @return boolean whether some are left
local function run_before(module, waiting, limit)
  local left = false
  for _, index in ipairs(waiting) do
    if index < limit then
      run_one(module, index)
    elseif not module.list[index].done then
      left = true
    end
  end
  return left
end

---Run what a name waits for; while one of the module's own statements runs, only what stands before it,
---as in Python (unless nothing has bound the name by then: modules that import each other may be entered
---elsewhere than Python would). What a module's top level does is done for good: it is not part of any
---branch that happens to be explored.
local function force(module, name)
  local waiting = module.pending[name]
  if waiting.running then return end
  waiting.running = true
  local override = S.world.overrides[module.name .. "." .. name]
  if override ~= nil and type(override) ~= "function" then
    module.ns[name], module.pending[name] = override, nil
    return
  end
  local trail, frame, nest = S.trail, S.frame, S.nest
  S.trail, S.nest = nil, 0
  local module_frame = module.frame
  local back, line, depth = module_frame.back, module_frame.line, module_frame.depth
  -- A module may wait for another that waits for it: its frame must not become its own caller.
  if not module_frame.active then
    module_frame.back, module_frame.depth = frame, (frame and frame.depth or 0) + 1
  end
  local was_active = module_frame.active
  module_frame.active = true
  S.frame = module_frame
  local left = run_before(module, waiting, module.running or math.huge)
  if left and module.ns[name] == nil then left = run_before(module, waiting, math.huge) end
  module_frame.active = was_active
  module_frame.back, module_frame.line, module_frame.depth = back, line, depth
  S.trail, S.frame, S.nest = trail, frame, nest
  waiting.running = false
  if not left then module.pending[name] = nil end
end

-- ---- names --------------------------------------------------------------------------------------

local function module_special(module, name)
  if name == "__name__" then return module.name end
  if name == "__file__" then return module.file or None end
  if name == "__package__" then return module.package end
  if name == "__dict__" then return module:vars() end
  if name == "__path__" and module.is_package then return core.list { module.folder } end
  if name == "__doc__" or name == "__spec__" or name == "__loader__" then return None end
end

---@return any? value of a name that the module itself binds
function Module:own(name)
  if self.pending[name] then force(self, name) end
  local v = self.ns[name]
  if v ~= nil then return v end
  return module_special(self, name)
end

local function exports(module, name)
  if module.pending.__all__ or module.ns.__all__ then
    local all = module:own("__all__")
    if type(all) == "table" and all.n then
      for i = 1, all.n do
        if all[i] == name then return true end
      end
      return false
    end
  end
  return name:sub(1, 1) ~= "_"
end

---@return any? value of a name bound by the module or by a `from x import *` in it
function Module:find(name)
  local v = self:own(name)
  if v ~= nil then return v end
  if self.looking and self.looking[name] then return nil end
  self.looking = self.looking or {}
  self.looking[name] = true
  for i = #self.stars, 1, -1 do
    local star = self.stars[i]
    local from = modules.load(self:absolute(star[1], star[2]))
    if unknown.is(from) then
      if name:sub(1, 2) ~= "__" and i == 1 and not S.world.builtins[name] then v = object.find(from, name) end
    elseif exports(from.module, name) then
      v = from.module:find(name)
    end
    if v ~= nil then
      self.ns[name] = v
      break
    end
  end
  self.looking[name] = nil
  return v
end

---A name as code inside the module sees it.
function Module:global(name)
  local v = self:find(name)
  if v == nil then v = S.world.builtins[name] end
  if v == nil then core.raise("NameError", "name '%s' is not defined", name) end
  return v
end

---An attribute as seen from outside: names, submodules, the module's __getattr__.
function Module:attribute(name)
  local v = self:find(name)
  if v ~= nil then return v end
  if self.is_package then
    local sub = modules.load(self.name .. "." .. name, true)
    if sub then return sub end
  end
  if self.pending.__getattr__ or self.ns.__getattr__ then
    return core.call(self:own("__getattr__"), { name, n = 1 })
  end
  if self.open then return unknown.report("missing in " .. self.name, name) end
end

---Bind a name while the module's own statements run.
function Module:store(name, v) core.put(self.ns, name, v) end

---Bind a name from outside, or by `global`: what waits for it is over.
function Module:set(name, v)
  if self.pending[name] and not self.pending[name].running then force(self, name) end
  core.put(self.ns, name, v)
end

---The names that the module binds, in the order of its statements, without evaluating them.
function Module:names()
  local list, seen = {}, {}
  local function add(name)
    if not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
  for _, statement in ipairs(self.list) do
    for _, name in ipairs(statement.names) do
      add(name)
    end
  end
  for name in pairs(self.ns) do
    add(name)
  end
  return list
end

---Every name of the module, as a dict.
function Module:vars()
  local d = dict.new()
  for _, name in ipairs(self:names()) do
    local v = self:own(name)
    if v ~= nil then dict.set(d, name, v) end
  end
  return d
end

-- ---- imports ------------------------------------------------------------------------------------

---The absolute name of `from ..a import b` (level 2, name "a").
function Module:absolute(name, level)
  if level == 0 then return name end
  local base = self.is_package and self.name or self.name:match("^(.*)%.") or ""
  for _ = 2, level do
    base = base:match("^(.*)%.") or ""
  end
  return name == "" and base or base .. "." .. name
end

-- Whether a module of a package is to be taken for one from outside.
local function is_opaque(name)
  for _, prefix in ipairs(S.world.opaque) do
    if name == prefix or name:sub(1, #prefix + 1) == prefix .. "." then return true end
  end
  return false
end

local function check_missing(name)
  local missing = S.world.missing
  local part = ""
  for piece in name:gmatch("[^.]+") do
    part = part == "" and piece or part .. "." .. piece
    if missing[part] then core.raise("ModuleNotFoundError", "No module named '%s'", part) end
  end
end

---A module outside the packages: an unknown with its dotted name, or what the caller gave for it.
local function external(name)
  local root = name:match("^[^.]+")
  local world = S.world
  local v = world.unknown_roots[root]
  if v == nil then
    v = world.externals[root]
    if v == nil then v = unknown.new(root, "outside the packages") end
    world.unknown_roots[root] = v
  end
  for piece in name:sub(#root + 1):gmatch("[^.]+") do
    v = object.getattr(v, piece)
  end
  return v
end

local function new_module(name, fields)
  local module = setmetatable(fields, Module)
  module.name, module.ns, module.pending, module.list, module.stars = name, fields.ns or {}, {}, {}, {}
  module.value = { cls = types.module, module = module }
  module.package = module.is_package and name or name:match("^(.*)%.") or ""
  return module
end

local function load_file(name, found, whole)
  local world = S.world
  local module = new_module(name, { file = found.file, folder = found.folder, is_package = found.is_package })
  world.modules[name] = module
  if not found.file then return module end -- a folder without __init__.py
  local tree, message = source.read(found.file, world, whole)
  if not tree then
    world.modules[name] = nil
    error(core.exception(types.SyntaxError, { message }), 0)
  end
  module.tree = tree -- keeps it for other worlds
  module.scope, module.unit = scope_of(module, tree)
  module.frame =
    { code = { name = "<module>", qualname = "<module>", file = found.file, module = module }, line = 1 }
  scan(module, tree)
  return module
end

---A module from text, for its statements to be run in order.
function modules.from_text(text, name)
  local tree, message = source.parse(text, name)
  if not tree then error(core.exception(types.SyntaxError, { message }), 0) end
  local module = new_module("__main__", { file = name })
  module.scope, module.unit = scope_of(module, tree)
  module.frame =
    { code = { name = "<module>", qualname = "<module>", file = name, module = module }, line = 1 }
  module.root = tree.root
  return module
end

---Run all statements in order, as Python does. @return table module value
function Module:run_all()
  S.frame = self.frame
  compile.block(self.root, self.scope)(self.frame)
  return self.value
end

---Load a module by its absolute name.
---@param quiet boolean? nil instead of ModuleNotFoundError
---@param whole boolean? parse the whole file, so that any syntax error in it is one
---@return table? module value, or an unknown for what is outside the packages
function modules.load(name, quiet, whole)
  local world = S.world
  local module = world.modules[name]
  if module then return module.value end
  check_missing(name)
  local root = name:match("^[^.]+") or name
  if world.packages[root] and not is_opaque(name) then
    if module == false then
      if quiet then return nil end
      core.raise("ModuleNotFoundError", "No module named '%s'", name)
    end
    local found = source.find(world.packages[root], name:sub(#root + 2))
    if found then return load_file(name, found, whole).value end
    world.modules[name] = false
    if quiet then return nil end
    core.raise("ModuleNotFoundError", "No module named '%s'", name)
  end
  local model = world.stdlib[name]
  if model then
    module = new_module(name, { ns = model(), open = true, is_package = true })
    world.modules[name] = module
    return module.value
  end
  if quiet and world.stdlib[root] then return nil end
  return external(name)
end

---`import name`: the root module, or with `whole` (import a.b as c) the module itself.
function Module.import(_, name, whole)
  local v = modules.load(name)
  if whole then return v end
  local root = name:match("^[^.]+")
  return root == name and v or modules.load(root)
end

---`from name import item`
function Module:import_from(name, level, item)
  local absolute = self:absolute(name, level)
  local from = modules.load(absolute)
  if from.cls ~= types.module then return object.getattr(from, item) end
  local module = from.module
  local v = module:find(item)
  if v == nil and module.is_package then v = modules.load(absolute .. "." .. item, true) end
  if v == nil then v = module:attribute(item) end
  if v == nil then core.raise("ImportError", "cannot import name '%s' from '%s'", item, absolute) end
  return v
end

---`from name import *` where it is run: at the top of a module it is listed by scan instead.
function Module:import_star(name, level) table.insert(self.stars, { name, level }) end

return modules
