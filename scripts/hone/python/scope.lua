--- Names: which a function binds, and where a name that it reads lives.
local scope = {}

---@class Scope
---@field kind "function"|"class"|"module"|"comprehension"
---@field parent Scope?
---@field slots table<string, integer> locals of functions and comprehensions
---@field globals table<string, boolean>
---@field nonlocals table<string, boolean>
local Scope = {}
Scope.__index = Scope

function scope.new(kind, parent, unit)
  return setmetatable({
    kind = kind,
    parent = parent,
    unit = unit or parent.unit,
    slots = {},
    count = 0,
    globals = {},
    nonlocals = {},
  }, Scope)
end

---Give a name a slot.
function Scope:bind(name)
  local slot = self.slots[name]
  if not slot then
    slot = self.count + 1
    self.count = slot
    self.slots[name] = slot
  end
  return slot
end

---Where a name lives: "local", slot | "outer", hops, slot | "class" | "global".
---Each function or comprehension has a frame; classes and modules keep names in tables.
function Scope:resolve(name)
  if self.kind == "class" then
    if self.globals[name] then return "global" end
    return "class"
  end
  local hops, s = 0, self
  while s and s.kind ~= "module" do
    if s.kind ~= "class" then
      if s.globals[name] then return "global" end
      local slot = s.slots[name]
      if slot and not s.nonlocals[name] then
        if hops == 0 then return "local", slot end
        return "outer", hops, slot
      end
    end
    -- A class body runs in a frame of its own, so it counts as a hop.
    hops = hops + 1
    s = s.parent
  end
  return "global"
end

-- ---- what statements bind -----------------------------------------------------------------------

local collect

---Names in an assignment target.
local function collect_target(node, found)
  local kind = node.type
  if kind == "identifier" then
    found(node.text, "bind")
  elseif
    kind == "pattern_list"
    or kind == "tuple_pattern"
    or kind == "list_pattern"
    or kind == "tuple"
    or kind == "list"
    or kind == "list_splat_pattern"
    or kind == "list_splat"
    or kind == "expression_list"
    or kind == "parenthesized_expression"
    or kind == "as_pattern_target"
  then
    for _, child in ipairs(node) do
      collect_target(child, found)
    end
  end
end
scope.collect_target = collect_target

local function imported_name(node)
  if node.type == "aliased_import" then return node.alias.text end
  return node.text:match("^[^.]+")
end
scope.imported_name = imported_name

local function collect_import(node, _, found)
  for _, child in ipairs(node) do
    if child ~= node.module_name and (child.type == "dotted_name" or child.type == "aliased_import") then
      found(imported_name(child), "import")
    end
  end
end

local function collect_scope_names(kind)
  return function(node, _, found)
    for _, child in ipairs(node) do
      found(child.text, kind)
    end
  end
end

local function collect_pattern(node, found)
  local kind = node.type
  if kind == "case_pattern" or kind == "dotted_name" then
    if kind == "dotted_name" then
      if not node.text:find(".", 1, true) and node.text ~= "_" then found(node.text, "bind") end
      return
    end
  elseif kind == "as_pattern" or kind == "splat_pattern" then
    for _, child in ipairs(node) do
      if child.type == "identifier" and child.text ~= "_" then found(child.text, "bind") end
    end
  elseif kind == "class_pattern" then
    for i = 2, #node do
      collect_pattern(node[i], found)
    end
    return
  elseif kind == "keyword_pattern" then
    for i = 2, #node do
      collect_pattern(node[i], found)
    end
    return
  end
  for _, child in ipairs(node) do
    collect_pattern(child, found)
  end
end

local COLLECT = {
  function_definition = function(node, _, found) found(node.name.text, "def") end,
  class_definition = function(node, _, found) found(node.name.text, "def") end,
  decorated_definition = function(node, _, found) found(node.definition.name.text, "def") end,
  import_statement = collect_import,
  import_from_statement = collect_import,
  global_statement = collect_scope_names("global"),
  nonlocal_statement = collect_scope_names("nonlocal"),
  lambda = function() end,
  assignment = function(node, expand, found, deep)
    collect_target(node.left, found)
    if node.right then collect(node.right, expand, found, deep) end
  end,
  augmented_assignment = function(node, expand, found, deep)
    collect_target(node.left, found)
    collect(node.right, expand, found, deep)
  end,
  for_statement = function(node, expand, found, deep)
    collect_target(node.left, found)
    for i = 2, #node do
      collect(node[i], expand, found, deep)
    end
  end,
  named_expression = function(node, expand, found, deep)
    found(node.name.text, "bind")
    collect(node.value, expand, found, deep)
  end,
  as_pattern = function(node, expand, found, deep)
    collect(node[1], expand, found, deep)
    if node.alias then collect_target(node.alias, found) end
  end,
  delete_statement = function(node, _, found)
    for _, child in ipairs(node) do
      collect_target(child, found)
    end
  end,
  case_clause = function(node, expand, found, deep)
    for _, child in ipairs(node) do
      if child.type == "case_pattern" then
        collect_pattern(child, found)
      else
        collect(child, expand, found, deep)
      end
    end
  end,
}

-- What holds statements. Expressions are only looked into where the text has a walrus or a yield.
local HOLDS_STATEMENTS = {}
for _, kind in ipairs {
  "module",
  "block",
  "expression_statement",
  "if_statement",
  "elif_clause",
  "else_clause",
  "while_statement",
  "try_statement",
  "except_clause",
  "except_group_clause",
  "finally_clause",
  "with_statement",
  "with_clause",
  "with_item",
  "match_statement",
} do
  HOLDS_STATEMENTS[kind] = true
end
scope.HOLDS_STATEMENTS = HOLDS_STATEMENTS

---Call `found(name, how)` for every name that a statement binds in its own scope.
---@param expand fun(node) fills in blocks that were left lazy
---@param found fun(name: string, how: string)
---@param deep boolean whether to look into expressions too: some hold := or yield
function collect(node, expand, found, deep)
  local kind = node.type
  local own = COLLECT[kind]
  if own then return own(node, expand, found, deep) end
  if not deep and not HOLDS_STATEMENTS[kind] then return end
  if node.lazy then expand(node) end
  if kind == "yield" then found("yield", "yield") end
  for _, child in ipairs(node) do
    collect(child, expand, found, deep)
  end
end
scope.collect = collect

---Whether a text may hold what `collect` must look into expressions for.
function scope.needs_depth(text)
  local walrus = text:find(":=", 1, true)
  return walrus ~= nil or text:find("yield", 1, true) ~= nil
end

return scope
