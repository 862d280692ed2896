--- Statements: each becomes a function of the frame that returns nil, or how control leaves it
--- (branch.BREAK, CONTINUE, RETURN with the value in frame.ret).
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local branch = require "hone.python.branch"
local compile = require "hone.python.expressions"
local scopes = require "hone.python.scope"

local types, None = core.types, core.None
local S = core.state
local BREAK, CONTINUE, RETURN = branch.BREAK, branch.CONTINUE, branch.RETURN
local statements = {}
compile.statements = statements

---@return fun(frame: table): integer?
function compile.statement(node, scope)
  local kind = statements[node.type]
  if kind then return kind(node, scope) end
  local what = node.type
  return function(f)
    f.line = node.line
    unknown.report("construct", what)
  end
end

---A block, or the body of a clause.
function compile.block(node, scope)
  if not node then
    return function() end
  end
  if node.lazy then scope.unit.expand(node) end
  local list, lines, n = {}, {}, 0
  for _, child in ipairs(node) do
    if child.type ~= "comment" and child.type ~= "pass_statement" then
      n = n + 1
      list[n], lines[n] = compile.statement(child, scope), child.line
    end
  end
  local function run(f, from)
    for i = from, n do
      if f.pending and branch.needs_guard(f) then
        return branch.guard(f, function() return run(f, i) end)
      end
      f.line = lines[i]
      local signal = list[i](f)
      if signal then return signal end
    end
  end
  return function(f)
    local steps = S.steps + n
    S.steps = steps
    if steps > S.check_at then core.check_bounds() end
    for i = 1, n do -- as run does, without a call of its own
      if f.pending and branch.needs_guard(f) then return run(f, i) end
      f.line = lines[i]
      local signal = list[i](f)
      if signal then return signal end
    end
  end
end

-- ---- assignment ---------------------------------------------------------------------------------

local targets = {}

---An assignment target: function(frame, value).
function compile.target(node, scope)
  local kind = targets[node.type]
  if not kind then
    return function() unknown.report("assignment target", node.type) end
  end
  return kind(node, scope)
end

function targets.identifier(node, scope) return compile.store_name(node.text, scope) end

function targets.parenthesized_expression(node, scope) return compile.target(node[1], scope) end
targets.as_pattern_target = targets.parenthesized_expression

function targets.attribute(node, scope)
  local value, name = compile.expression(node.object, scope), node.attribute.text
  return function(f, v) object.setattr(value(f), name, v) end
end

function targets.subscript(node, scope)
  local value, key = compile.expression(node.value, scope), compile.subscript_key(node, scope)
  return function(f, v) core.setitem(value(f), key(f), v) end
end

local function unpacking(node, scope)
  local parts, star = {}, nil
  for i, child in ipairs(node) do
    if child.type == "list_splat_pattern" or child.type == "list_splat" then
      star, child = i, child[1]
    end
    parts[i] = compile.target(child, scope)
  end
  local n = #parts
  return function(f, v)
    local list = items.unpack(v, n, star)
    for i = 1, n do
      parts[i](f, list[i])
    end
  end
end
local SEQUENCES = { "pattern_list", "tuple_pattern", "list_pattern", "tuple", "list", "expression_list" }
for _, kind in ipairs(SEQUENCES) do
  targets[kind] = unpacking
end

---The right side may itself be an assignment: a = b = value.
function statements.assignment(node, scope)
  if not node.right then -- a bare annotation
    if scope.kind == "class" and node.left.type == "identifier" then
      local entry = { name = node.left.text, text = node.annotation and node.annotation.text or "" }
      return function(f) table.insert(f.annotations, entry) end
    end
    return function() end
  end
  local stores, right = { compile.target(node.left, scope) }, node.right
  while right.type == "assignment" do
    stores[#stores + 1] = compile.target(right.left, scope)
    right = right.right
  end
  local value = compile.expression(right, scope)
  local entry = scope.kind == "class"
    and node.annotation
    and node.left.type == "identifier"
    and { name = node.left.text, text = node.annotation.text or "" }
  local store = stores[1]
  if #stores == 1 and not entry then
    return function(f) store(f, value(f)) end
  end
  return function(f)
    local v = value(f)
    if entry then table.insert(f.annotations, entry) end
    for i = 1, #stores do
      stores[i](f, v)
    end
  end
end

function statements.augmented_assignment(node, scope)
  local symbol = node.operator:sub(1, -2)
  local value = compile.expression(node.right, scope)
  local left = node.left
  if left.type == "attribute" then
    local obj, name = compile.expression(left.object, scope), left.attribute.text
    return function(f)
      local o = obj(f)
      object.setattr(o, name, ops.inplace(symbol, object.getattr(o, name), value(f)))
    end
  elseif left.type == "subscript" then
    local obj, key = compile.expression(left.value, scope), compile.subscript_key(left, scope)
    return function(f)
      local o, k = obj(f), key(f)
      core.setitem(o, k, ops.inplace(symbol, core.getitem(o, k), value(f)))
    end
  end
  local read, store = compile.expression(left, scope), compile.target(left, scope)
  return function(f) store(f, ops.inplace(symbol, read(f), value(f))) end
end

function statements.expression_statement(node, scope)
  local inner = node[1]
  if #node > 1 then
    local value = compile.tuple(node, scope)
    return function(f) value(f) end
  end
  if statements[inner.type] then return statements[inner.type](inner, scope) end
  if inner.type == "string" or inner.type == "ellipsis" then
    return function() end
  end
  local value = compile.expression(inner, scope)
  return function(f) value(f) end
end

function statements.delete_statement(node, scope)
  local function deletion(child)
    if child.type == "attribute" then
      local obj, name = compile.expression(child.object, scope), child.attribute.text
      return function(f) object.delattr(obj(f), name) end
    elseif child.type == "subscript" then
      local obj, key = compile.expression(child.value, scope), compile.subscript_key(child, scope)
      return function(f) core.delitem(obj(f), key(f)) end
    elseif child.type == "identifier" then
      local where, slot = scope:resolve(child.text)
      if where == "local" then
        return function(f) core.put(f, slot, nil) end
      end
      if where == "class" then
        return function(f) core.put(f.ns, child.text, nil) end
      end
      return function() scope.unit.module:set(child.text, nil) end
    end
    local parts = {}
    for i, part in ipairs(child) do
      parts[i] = deletion(part)
    end
    return function(f)
      for _, part in ipairs(parts) do
        part(f)
      end
    end
  end
  return deletion { type = "several", table.unpack(node) }
end

-- ---- control flow -------------------------------------------------------------------------------

function statements.pass_statement()
  return function() end
end
function statements.break_statement()
  return function() return BREAK end
end
function statements.continue_statement()
  return function() return CONTINUE end
end
function statements.global_statement()
  return function() end
end
statements.nonlocal_statement = statements.global_statement
statements.future_import_statement = statements.global_statement
statements.type_alias_statement = statements.global_statement

function statements.return_statement(node, scope)
  if not node[1] then
    return function(f)
      f.ret = None
      return RETURN
    end
  end
  local value = compile.expression(node[1], scope)
  return function(f)
    f.ret = value(f)
    return RETURN
  end
end

---if / elif / else as nested choices.
local function conditional(test, body, otherwise)
  return function(f)
    local t = test(f)
    if t then return body(f) end
    if t == false then return otherwise(f) end
    local first, second = function() return (body(f)) end, function() return (otherwise(f)) end
    first, second = compile.narrow(f, test, first, second)
    return (branch.explore(f, first, second))
  end
end

function statements.if_statement(node, scope)
  local clauses, otherwise = {}, function() end
  for _, child in ipairs(node) do
    if child.type == "elif_clause" then
      clauses[#clauses + 1] = child
    elseif child.type == "else_clause" then
      otherwise = compile.block(child.body or child[1], scope)
    end
  end
  for i = #clauses, 1, -1 do
    local clause = clauses[i]
    otherwise =
      conditional(compile.test(clause.condition, scope), compile.block(clause.consequence, scope), otherwise)
  end
  return conditional(compile.test(node.condition, scope), compile.block(node.consequence, scope), otherwise)
end

local function else_block(node, scope)
  for _, child in ipairs(node) do
    if child.type == "else_clause" then return compile.block(child.body or child[1], scope) end
  end
end

local function tick()
  S.steps = S.steps + 1
  if S.steps > S.check_at then core.check_bounds() end
end

---A loop over what is not known runs once with an unknown item, or not at all.
local function unknown_loop(f, source, store, body)
  return (
    branch.explore(f, function()
      store(f, source.element or unknown.new((source.origin or "?") .. "[i]"))
      local signal = body(f)
      return signal == RETURN and RETURN or nil
    end, function() return nil end)
  )
end

function statements.for_statement(node, scope)
  local source, store = compile.expression(node.right, scope), compile.target(node.left, scope)
  local body, otherwise = compile.block(node.body, scope), else_block(node, scope)
  local line = node.line
  return function(f)
    local v = source(f)
    local next_item = core.iterate(v)
    if not next_item then return unknown_loop(f, v, store, body) end
    local broken = false
    for item in next_item do
      f.line = line
      tick()
      store(f, item)
      local signal = body(f)
      if f.pending then branch.settle(f, CONTINUE) end
      if signal == BREAK then
        broken = true
        break
      elseif signal == RETURN then
        return RETURN
      end
    end
    if f.pending then branch.settle(f, BREAK) end
    if otherwise and not broken then return otherwise(f) end
  end
end

---A `while` that some way has left need not end for the others: how many more rounds they get.
local MOST_ROUNDS = 2

---One round of a while loop: how it ends, and whether the loop does.
local function while_round(f, body, seen)
  local signal = body(f)
  if f.pending then branch.settle(f, CONTINUE) end
  if signal == BREAK or signal == RETURN then return signal, true end
  local ways = f.pending and #f.pending or 0
  if ways > seen.ways then
    seen.rounds, seen.ways = seen.rounds + 1, ways
    if seen.rounds > MOST_ROUNDS then return branch.leave_loop(f), true end
  end
  return nil, false
end

function statements.while_statement(node, scope)
  local test, body = compile.test(node.condition, scope), compile.block(node.body, scope)
  local otherwise, line = else_block(node, scope), node.line
  return function(f)
    local seen = { rounds = 0, ways = f.pending and #f.pending or 0 }
    while true do
      f.line = line
      tick()
      local t = test(f)
      if t == false then break end
      if t == nil then -- once, or not at all
        return (
          branch.explore(f, function()
            local signal = body(f)
            return signal == RETURN and RETURN or nil
          end, function() return nil end)
        )
      end
      local signal, ends = while_round(f, body, seen)
      if ends then
        if signal == RETURN then return RETURN end
        if f.pending then branch.settle(f, BREAK) end
        return nil
      end
    end
    if f.pending then branch.settle(f, BREAK) end
    if otherwise then return otherwise(f) end
  end
end

function statements.assert_statement(node, scope)
  local test = compile.test(node[1], scope)
  local message = node[2] and compile.expression(node[2], scope)
  return function(f)
    if test(f) == false then
      error(core.exception(types.AssertionError, message and { message(f) } or {}), 0)
    end
  end
end

-- ---- exceptions ---------------------------------------------------------------------------------

---What `raise v` raises: an exception object.
local function to_exception(v)
  if unknown.is(v) then return core.exception(types.Exception, { v }) end
  if core.is_class(v) then v = core.call(v, { n = 0 }) end
  if type(v) ~= "table" or not core.is_subclass(v.cls, types.BaseException) then
    if type(v) == "table" and v.cls and v.cls.open then return core.exception(types.Exception, { v }) end
    core.raise("TypeError", "exceptions must derive from BaseException")
  end
  v.trace = core.trace()
  return v
end

function statements.raise_statement(node, scope)
  local value = node[1] and compile.expression(node[1], scope)
  local cause = node.cause and node.cause ~= node[1] and compile.expression(node.cause, scope)
  return function(f)
    if not value then
      local handling = f
      while handling and not handling.handling do
        handling = handling.back
      end
      if handling then error(handling.handling, 0) end
      core.raise("RuntimeError", "No active exception to reraise")
    end
    local e = to_exception(value(f))
    if cause then object.store(e, "__cause__", cause(f)) end
    error(e, 0)
  end
end

local function except_clause(node, scope)
  local clause = {}
  for _, child in ipairs(node) do
    if child.type == "block" then
      clause.body = compile.block(child, scope)
    elseif child.type == "as_pattern" then
      clause.class = compile.expression(child[1], scope)
      clause.store = compile.target(child.alias, scope)
    elseif not clause.class then
      clause.class = compile.expression(child, scope)
    end
  end
  return clause
end

local function matches(clause, f, e)
  if not clause.class then return true end
  local class = clause.class(f)
  local fits = object.isinstance(e, class)
  if fits ~= nil then return fits end
  -- An exception class that we cannot see: it fits when ours could be one of its kind.
  return core.is_subclass(e.cls, types.Exception) and unknown.is(class) and e.cls == types.Exception
end

local function handle(clauses, f, e)
  for _, clause in ipairs(clauses) do
    if matches(clause, f, e) then
      local before = f.handling
      f.handling = e
      if clause.store then clause.store(f, e) end
      local ok, signal = core.protected(clause.body, f)
      f.handling = before
      if not ok then error(signal, 0) end
      return signal
    end
  end
  error(e, 0)
end

local function try_body(body, clauses, otherwise)
  return function(f)
    local ok, signal = core.protected(body, f)
    if not ok then return handle(clauses, f, signal) end
    if not signal and otherwise then return otherwise(f) end
    return signal
  end
end

function statements.try_statement(node, scope)
  local body, clauses, otherwise, finally = compile.block(node.body, scope), {}, nil, nil
  for _, child in ipairs(node) do
    if child.type == "except_clause" or child.type == "except_group_clause" then
      clauses[#clauses + 1] = except_clause(child, scope)
    elseif child.type == "else_clause" then
      otherwise = compile.block(child.body or child[1], scope)
    elseif child.type == "finally_clause" then
      finally = compile.block(child[1], scope)
    end
  end
  local run = #clauses > 0 and try_body(body, clauses, otherwise) or body
  if not finally then return run end
  return function(f)
    local ok, signal = core.protected(run, f)
    local ret = f.ret
    local last = finally(f)
    if last then return last end
    f.ret = ret
    if not ok then error(signal, 0) end
    return signal
  end
end

-- ---- with ---------------------------------------------------------------------------------------

local function find_special(manager, name)
  if type(manager) ~= "table" then return nil end
  if manager.unknown then return nil end
  local fn, owner = core.lookup(core.class_of(manager), name)
  if fn == nil then return nil end
  return object.bind(fn, owner, manager, core.class_of(manager))
end

local function enter(manager)
  local fn = find_special(manager, "__enter__")
  if fn then return core.call(fn, { n = 0 }) end
  if unknown.is(manager) or manager.cls and manager.cls.open then
    return unknown.new((manager.origin or "?") .. ".__enter__()")
  end
  core.raise(
    "TypeError",
    "'%s' object does not support the context manager protocol",
    core.class_of(manager).name
  )
end

---@return boolean whether the exception was swallowed
local function leave(manager, e)
  local fn = find_special(manager, "__exit__")
  if not fn then return false end
  local args = e and { e.cls, e, None, n = 3 } or { None, None, None, n = 3 }
  return object.truth(core.call(fn, args)) == true
end

local function with_item(node, scope, body)
  local value = node.value or node[1]
  local store
  if value.type == "as_pattern" then
    store = compile.target(value.alias, scope)
    value = value[1]
  end
  local make = compile.expression(value, scope)
  return function(f)
    local manager = make(f)
    local entered = enter(manager)
    if store then store(f, entered) end
    if unknown.is(manager) then return body(f) end
    local ok, signal = core.protected(body, f)
    local ret = f.ret
    if not ok then
      if leave(manager, signal) then return nil end
      error(signal, 0)
    end
    leave(manager)
    f.ret = ret
    return signal
  end
end

function statements.with_statement(node, scope)
  local run = compile.block(node.body, scope)
  local list = {}
  local function gather(clause)
    for _, child in ipairs(clause) do
      if child.type == "with_item" then
        -- `with (a as b, c as d):` may be read as one tuple
        local value = child.value or child[1]
        if value.type == "tuple" then
          gather { table.unpack(value) }
        else
          list[#list + 1] = child
        end
      elseif child.type == "with_clause" then
        gather(child)
      elseif child.type == "as_pattern" then
        list[#list + 1] = { value = child }
      end
    end
  end
  gather(node)
  for i = #list, 1, -1 do
    run = with_item(list[i], scope, run)
  end
  return run
end

-- ---- imports ------------------------------------------------------------------------------------

---"from ..a import b": level 2, name "a".
function compile.module_name(node)
  if node.type ~= "relative_import" then return node.text, 0 end
  local level, name = 0, ""
  for _, child in ipairs(node) do
    if child.type == "import_prefix" then
      level = #child.text
    elseif child.type == "dotted_name" then
      name = child.text
    end
  end
  return name, level
end

function statements.import_statement(node, scope)
  local list = {}
  for i, child in ipairs(node) do
    local aliased = child.type == "aliased_import"
    list[i] = {
      name = aliased and child.name.text or child.text,
      whole = aliased,
      store = compile.store_name(scopes.imported_name(child), scope),
    }
  end
  local module = scope.unit.module
  return function(f)
    for _, entry in ipairs(list) do
      entry.store(f, module:import(entry.name, entry.whole))
    end
  end
end

function statements.import_from_statement(node, scope)
  local name, level = compile.module_name(node.module_name)
  local module = scope.unit.module
  local list = {}
  for _, child in ipairs(node) do
    if child.type == "wildcard_import" then
      return function() module:import_star(name, level) end
    elseif child ~= node.module_name then
      local aliased = child.type == "aliased_import"
      list[#list + 1] = {
        name = aliased and child.name.text or child.text,
        store = compile.store_name(scopes.imported_name(child), scope),
      }
    end
  end
  return function(f)
    for _, entry in ipairs(list) do
      entry.store(f, module:import_from(name, level, entry.name))
    end
  end
end

compile.tick = tick
return compile
