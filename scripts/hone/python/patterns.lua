--- The match statement.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local branch = require "hone.python.branch"
local compile = require "hone.python.expressions"

local types = core.types
local patterns = {}

---A pattern: function(frame, value) -> true, false, or nil when not known; binds what it captures.
local function pattern(node, scope)
  local kind = patterns[node.type]
  if kind then return kind(node, scope) end
  local value = compile.expression(node, scope)
  return function(f, v) return ops.equal(v, value(f)) end
end

function patterns.case_pattern(node, scope)
  if not node[1] then
    return function() return true end
  end -- _
  if node.text and node.text:match("^%-") then
    local value = compile.expression(node[1], scope)
    return function(f, v) return ops.equal(v, ops.unary("-", value(f))) end
  end
  return pattern(node[1], scope)
end

function patterns.dotted_name(node, scope)
  if #node == 1 then
    local store = compile.store_name(node.text, scope)
    return function(f, v)
      store(f, v)
      return true
    end
  end
  local base = compile.expression(node[1], scope)
  return function(f, v)
    local value = base(f)
    for i = 2, #node do
      value = object.getattr(value, node[i].text)
    end
    return ops.equal(v, value)
  end
end

function patterns.none()
  return function(_, v) return ops.identical(v, core.None) end
end

function patterns.union_pattern(node, scope)
  local parts = {}
  for i, child in ipairs(node) do
    parts[i] = pattern(child, scope)
  end
  return function(f, v)
    local result = false
    for _, part in ipairs(parts) do
      local one = part(f, v)
      if one then return true end
      if one == nil then result = nil end
    end
    return result
  end
end

function patterns.as_pattern(node, scope)
  local inner = pattern(node[1], scope)
  local name = node.alias or node[2]
  while name[1] do
    name = name[1]
  end
  local store = compile.store_name(name.text, scope)
  return function(f, v)
    local fits = inner(f, v)
    if fits ~= false then store(f, v) end
    return fits
  end
end

local function all_parts(parts, f, values)
  local result = true
  for i, part in ipairs(parts) do
    local one = part(f, values[i])
    if one == false then return false end
    if one == nil then result = nil end
  end
  return result
end

function patterns.list_pattern(node, scope)
  local parts, star = {}, nil
  for i, child in ipairs(node) do
    local inner = child.type == "case_pattern" and child[1] or child
    if inner and inner.type == "splat_pattern" then
      star = i
      local name = inner[1] and inner[1].text
      local store = name and name ~= "_" and compile.store_name(name, scope)
      parts[i] = function(f, v)
        if store then store(f, v) end
        return true
      end
    else
      parts[i] = pattern(child, scope)
    end
  end
  return function(f, v)
    if unknown.is(v) then return nil end
    if type(v) ~= "table" or not v.n then return false end
    if star and v.n < #parts - 1 or not star and v.n ~= #parts then return false end
    local values = {}
    for i = 1, #parts do
      if star and i == star then
        local count = v.n - (#parts - 1)
        values[i] = core.list(table.move(v, i, i + count - 1, 1, {}), count)
      else
        values[i] = (star and i > star) and v[v.n - (#parts - i)] or v[i]
      end
    end
    return all_parts(parts, f, values)
  end
end
patterns.tuple_pattern = patterns.list_pattern

function patterns.dict_pattern(node, scope)
  local keys, parts, rest = {}, {}, nil
  for i, child in ipairs(node) do
    if child.type == "splat_pattern" then
      rest = compile.store_name(child[1].text, scope)
    elseif child.type ~= "case_pattern" then
      keys[#keys + 1] = compile.expression(child, scope)
      parts[#parts + 1] = pattern(node[i + 1], scope)
    end
  end
  return function(f, v)
    if unknown.is(v) then return nil end
    if type(v) ~= "table" or not v.vals then return false end
    local values, left = {}, dict.copy(v, types.dict)
    for i, key in ipairs(keys) do
      local k = key(f)
      values[i] = dict.get(v, k)
      if values[i] == nil then return false end
      dict.remove(left, k)
    end
    if rest then rest(f, left) end
    return all_parts(parts, f, values)
  end
end

local PLAIN_TYPES =
  { int = true, float = true, str = true, bool = true, list = true, tuple = true, dict = true }

function patterns.class_pattern(node, scope)
  local class = compile.expression(node[1][1], scope)
  local positional, named = {}, {}
  for i = 2, #node do
    local inner = node[i][1]
    if inner and inner.type == "keyword_pattern" then
      named[#named + 1] = { name = inner[1].text, part = pattern(inner[2], scope) }
    else
      positional[#positional + 1] = pattern(node[i], scope)
    end
  end
  return function(f, v)
    local wanted = class(f)
    for i = 2, #node[1] do
      wanted = object.getattr(wanted, node[1][i].text)
    end
    local fits = object.isinstance(v, wanted)
    if not fits then return fits end
    local parts, values = {}, {}
    local names = core.lookup(wanted, "__match_args__")
    for i, part in ipairs(positional) do
      local value = PLAIN_TYPES[wanted.name] and v or names and object.find(v, names[i])
      if value == nil then return false end
      parts[#parts + 1], values[#parts + 1] = part, value
    end
    for _, entry in ipairs(named) do
      local value = object.find(v, entry.name)
      if value == nil then return false end
      parts[#parts + 1], values[#parts + 1] = entry.part, value
    end
    return all_parts(parts, f, values)
  end
end

local function clauses_of(node, scope)
  local list = {}
  for _, clause in ipairs(node.body) do
    local guard = clause.guard and compile.test(clause.guard[1], scope)
    local alternatives = {}
    for _, child in ipairs(clause) do
      if child.type == "case_pattern" then alternatives[#alternatives + 1] = child end
    end
    local test = #alternatives > 1 and patterns.list_pattern(alternatives, scope)
      or pattern(alternatives[1], scope)
    list[#list + 1] = { test = test, guard = guard, body = compile.block(clause.consequence, scope) }
  end
  return list
end

local function run_from(f, clauses, i, v)
  local clause = clauses[i]
  if not clause then return nil end
  local fits = clause.test(f, v)
  if fits and clause.guard then fits = clause.guard(f) end
  if fits then return clause.body(f) end
  if fits == false then return run_from(f, clauses, i + 1, v) end
  return (
    branch.explore(
      f,
      function() return (clause.body(f)) end,
      function() return (run_from(f, clauses, i + 1, v)) end
    )
  )
end

function compile.statements.match_statement(node, scope)
  local subjects = {}
  for _, child in ipairs(node) do
    if child.type ~= "block" then subjects[#subjects + 1] = child end
  end
  if node.body.lazy then scope.unit.expand(node.body) end
  local value = #subjects == 1 and compile.expression(subjects[1], scope) or compile.tuple(subjects, scope)
  local clauses = clauses_of(node, scope)
  return function(f) return run_from(f, clauses, 1, value(f)) end
end

return patterns
