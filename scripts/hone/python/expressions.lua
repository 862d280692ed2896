--- Expressions: each syntax node becomes a Lua function of the frame, made once.
---
--- `compile.expression(node, scope)` returns function(frame) -> value. The unit (scope.unit) is what the
--- nodes of one module share: { module, file, expand = function(lazy node) }.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local branch = require "hone.python.branch"

local types, None = core.types, core.None
local truth = object.truth
local note = core.note
local S = core.state
local compile = { kinds = {} }
local kinds = compile.kinds

---What a node that is not understood evaluates to: an unknown, counted.
function compile.not_understood(node)
  local what = node.type
  return function(f)
    f.line = node.line
    return unknown.report("construct", what)
  end
end

---@return fun(frame: table): any
function compile.expression(node, scope)
  local kind = kinds[node.type]
  if not kind then return compile.not_understood(node) end
  return kind(node, scope)
end
local expression = compile.expression

function compile.constant(value)
  return function() return value end
end
local constant = compile.constant

local function expressions(nodes, scope, from)
  local list = {}
  for i = from or 1, #nodes do
    list[#list + 1] = expression(nodes[i], scope)
  end
  return list
end

-- ---- names --------------------------------------------------------------------------------------

local function unbound(name)
  core.raise(
    "UnboundLocalError",
    "cannot access local variable '%s' where it is not associated with a value",
    name
  )
end

local function read_outer(hops, slot, name)
  if hops == 1 then
    return function(f)
      local v = f.up[slot]
      if v == nil then core.raise("NameError", "cannot access free variable '%s'", name) end
      return v
    end
  end
  return function(f)
    for _ = 1, hops do
      f = f.up
    end
    local v = f[slot]
    if v == nil then core.raise("NameError", "cannot access free variable '%s'", name) end
    return v
  end
end

local function read_global(name, module)
  local ns, pending = module.ns, module.pending
  return function()
    local v = ns[name]
    if v ~= nil and not pending[name] then return v end
    return module:global(name)
  end
end

local function read_class_name(name, scope)
  local where, a, b = scope.parent:resolve(name)
  local outside
  if where == "local" then
    outside = read_outer(1, a, name)
  elseif where == "outer" then
    outside = read_outer(a + 1, b, name)
  elseif where == "class" then
    local from = read_class_name(name, scope.parent)
    outside = function(f) return from(f.up) end
  else
    outside = read_global(name, scope.unit.module)
  end
  return function(f)
    local v = f.ns[name]
    if v ~= nil then return v end
    return outside(f)
  end
end

local function read_own_class(f)
  while f and not (f.cell and f.cell.class) do
    f = f.up
  end
  if not f then core.raise("NameError", "name '__class__' is not defined") end
  return f.cell.class
end

function kinds.identifier(node, scope)
  local name = node.text
  local where, a, b = scope:resolve(name)
  if where == "local" then
    return function(f)
      local v = f[a]
      if v == nil then unbound(name) end
      return v
    end
  elseif where == "outer" then
    return read_outer(a, b, name)
  elseif where == "class" then
    return read_class_name(name, scope)
  elseif name == "__class__" then
    return read_own_class
  end
  return read_global(name, scope.unit.module)
end

---Store to a name: function(frame, value).
function compile.store_name(name, scope)
  local where, a, b = scope:resolve(name)
  if where == "local" then
    return function(f, v)
      if S.trail then note(S.trail, f, a) end
      f[a] = v
    end
  elseif where == "outer" then
    return function(f, v)
      for _ = 1, a do
        f = f.up
      end
      core.put(f, b, v)
    end
  elseif where == "class" then
    return function(f, v)
      if type(v) == "table" and v.cls and v.cls.on_bind then v = v.cls.on_bind(f, name, v) end
      if f.ns[name] == nil then f.keys[#f.keys + 1] = name end
      core.put(f.ns, name, v)
    end
  end
  local module = scope.unit.module
  return function(_, v) module:store(name, v) end
end

-- ---- displays -----------------------------------------------------------------------------------

---Whether a value is one of several that are known, each of them something to spread.
local function is_choice(v)
  if not (unknown.is(v) and v.alts) or v.alts.more then return false end
  for _, alt in ipairs(v.alts) do
    if type(alt) ~= "table" or alt.unknown or not (alt.n or alt.vals) then return false end
  end
  return true
end

---Add the items of a display (with stars) to a list table. What is spread of one of several values stays in
---list.choice = { at =, alts = } when the list `may_choose`: its items belong after the first `at`.
local function fill(f, parts, stars, list, may_choose)
  local n = 0
  for i, part in ipairs(parts) do
    local v = part(f)
    if stars[i] then
      local more = items.collect(v)
      if more then
        table.move(more, 1, more.n, n + 1, list)
        n = n + more.n
      elseif may_choose and not list.choice and is_choice(v) then
        list.choice = { at = n, alts = v.alts }
      else
        list.fuzzy = true
      end
    else
      n = n + 1
      list[n] = v
    end
  end
  list.n = n
  return list
end

local function display(nodes, scope, class, from)
  local parts, stars, any = {}, {}, false
  for i = from or 1, #nodes do
    local node = nodes[i]
    local star = node.type == "list_splat"
    parts[#parts + 1] = expression(star and node[1] or node, scope)
    stars[#parts], any = star, any or star
  end
  if any then
    return function(f)
      local list = fill(f, parts, stars, { cls = class })
      if list.fuzzy then return unknown.new("a list of unknown length") end
      return list
    end
  end
  local n = #parts
  return function(f)
    local list = { cls = class, n = n }
    for i = 1, n do
      list[i] = parts[i](f)
    end
    return list
  end
end

kinds.list = function(node, scope) return display(node, scope, types.list) end
kinds.tuple = function(node, scope) return display(node, scope, types.tuple) end
kinds.expression_list = kinds.tuple
kinds.pattern_list = kinds.tuple
kinds.tuple_pattern = kinds.tuple
kinds.list_pattern = kinds.list

---A tuple out of several nodes (x[1, 2], an expression statement with commas).
function compile.tuple(nodes, scope, from) return display(nodes, scope, types.tuple, from) end

function kinds.set(node, scope)
  local list = display(node, scope, types.list)
  return function(f)
    local set, values = dict.new(types.set), list(f)
    if values.unknown then return values end
    for i = 1, values.n do
      dict.set(set, values[i], true)
    end
    return set
  end
end

local function update_from(d, other)
  if unknown.is(other) then
    d.fuzzy = true
    return
  end
  if other.vals then
    for k, v in dict.each(other) do
      dict.set(d, k, v)
    end
    d.fuzzy = d.fuzzy or other.fuzzy
    return
  end
  core.call_method(d, "update", other)
end

function kinds.dictionary(node, scope)
  local parts = {}
  for i, child in ipairs(node) do
    if child.type == "pair" then
      parts[i] = { key = expression(child.key, scope), value = expression(child.value, scope) }
    else
      parts[i] = { spread = expression(child[1], scope) }
    end
  end
  return function(f)
    local d = dict.new()
    for i = 1, #parts do
      local part = parts[i]
      if part.spread then
        update_from(d, part.spread(f))
      else
        dict.set(d, part.key(f), part.value(f))
      end
    end
    return d
  end
end

function kinds.slice(node, scope)
  local start = node.start and expression(node.start, scope) or constant(None)
  local stop = node.stop and expression(node.stop, scope) or constant(None)
  local step = node.step and expression(node.step, scope) or constant(None)
  return function(f) return { cls = types.slice, start = start(f), stop = stop(f), step = step(f) } end
end

-- ---- operators ----------------------------------------------------------------------------------

function kinds.parenthesized_expression(node, scope) return expression(node[1], scope) end

function kinds.binary_operator(node, scope)
  local left, right, symbol = expression(node.left, scope), expression(node.right, scope), node.operator
  local binary, line = ops.binary, node.line
  return function(f)
    local a, b = left(f), right(f)
    f.line = line
    return binary(symbol, a, b)
  end
end

function kinds.unary_operator(node, scope)
  local value, symbol = expression(node.argument, scope), node.operator
  return function(f) return ops.unary(symbol, value(f)) end
end

function kinds.not_operator(node, scope)
  local value = expression(node.argument, scope)
  return function(f)
    local t = truth(value(f))
    if t == nil then return unknown.new("not") end
    return not t
  end
end

local function evaluate_aside(f, fn)
  local _, value = branch.explore(f, function() return nil, fn(f) end, function() return nil, nil end)
  return value
end

---`a and b` where a is not known: false either way when b is; else either of them.
local function either(f, a, right, stops_at)
  local b = evaluate_aside(f, right)
  if b == nil then return a end
  local t = truth(b)
  if t == stops_at and not unknown.is(b) and type(b) == "boolean" then return b end
  local v = unknown.join(a, b)
  if unknown.is(v) and t == stops_at then v.truth = stops_at end
  return v
end

function kinds.boolean_operator(node, scope)
  local left, right = expression(node.left, scope), expression(node.right, scope)
  local stops_at = node.operator == "or"
  return function(f)
    local a = left(f)
    local t = truth(a)
    if t == stops_at then return a end
    if t == nil then return either(f, a, right, stops_at) end
    return right(f)
  end
end

local COMPARE = {
  ["=="] = function(a, b) return ops.bool(ops.equal(a, b), "(==)") end,
  ["!="] = function(a, b)
    local own = type(a) == "table" and not a.unknown and core.lookup_own(a.cls, "__ne__")
    if own then return core.call(own, { a, b, n = 2 }) end
    local equal = ops.equal(a, b)
    if equal == nil then return unknown.new("(!=)") end
    return not equal
  end,
  ["is"] = function(a, b) return ops.bool(ops.identical(a, b), "(is)") end,
  ["is not"] = function(a, b)
    local same = ops.identical(a, b)
    if same == nil then return unknown.new("(is not)") end
    return not same
  end,
  ["in"] = function(a, b) return ops.bool(ops.contains(b, a), "(in)") end,
  ["not in"] = function(a, b)
    local inside = ops.contains(b, a)
    if inside == nil then return unknown.new("(not in)") end
    return not inside
  end,
}
for _, symbol in ipairs { "<", "<=", ">", ">=" } do
  COMPARE[symbol] = function(a, b) return ops.order(symbol, a, b) end
end
COMPARE["<>"] = COMPARE["!="]

function kinds.comparison_operator(node, scope)
  local operands = expressions(node, scope)
  local tests = {}
  for i, symbol in ipairs(node.operators) do
    tests[i] = COMPARE[symbol]
  end
  if #tests == 1 then
    local left, right, test = operands[1], operands[2], tests[1]
    return function(f) return test(left(f), right(f)) end
  end
  return function(f)
    local a = operands[1](f)
    local result
    for i, test in ipairs(tests) do
      local b = operands[i + 1](f)
      local one = test(a, b)
      local t = truth(one)
      if t == false then return one end
      if t == nil then
        result = one
      elseif result == nil then
        result = nil
      end
      if i == #tests then return result or one end
      a = b
    end
  end
end

function kinds.conditional_expression(node, scope)
  local yes, no = expression(node[1], scope), expression(node[3], scope)
  local test = compile.test(node[2], scope)
  return function(f)
    local t = test(f)
    if t == nil then
      local first, second = function() return nil, yes(f) end, function() return nil, no(f) end
      first, second = compile.narrow(f, test, first, second)
      local _, v = branch.explore(f, first, second)
      return v
    end
    if t then return yes(f) end
    return no(f)
  end
end

function kinds.named_expression(node, scope)
  local value = expression(node.value, scope)
  local target = scope
  while target.kind == "comprehension" do
    target = target.parent
  end
  local hops, s = 0, scope
  while s ~= target do
    hops, s = hops + 1, s.parent
  end
  local store = compile.store_name(node.name.text, target)
  return function(f)
    local v = value(f)
    local to = f
    for _ = 1, hops do
      to = to.up
    end
    store(to, v)
    return v
  end
end

function kinds.await(node, scope) return expression(node[1], scope) end

function kinds.yield(node, scope)
  local from = false
  local value
  for _, child in ipairs(node) do
    if child.type == "from" then
      from = true
    elseif child.type ~= "yield" and child.type ~= "," then
      value = value or expression(child, scope)
    end
  end
  if not from then
    return function(f) return core.yield(value and value(f) or None) end
  end
  return function(f)
    local source = value(f)
    local next_item = core.iterate(source)
    if not next_item then return unknown.new("yield from") end
    for v in next_item do
      core.yield(v)
    end
    return source.result or None
  end
end

-- ---- attributes, subscripts, calls --------------------------------------------------------------

function kinds.attribute(node, scope)
  local value, name, line = expression(node.object, scope), node.attribute.text, node.line
  local getattr, lookup = object.getattr, core.lookup
  return function(f)
    local obj = value(f)
    if type(obj) == "table" then -- the common case: an attribute that nothing in the class overrides
      local attrs = obj.attrs
      if attrs and not obj.unknown and not obj.mro and not obj.cls.builtin then
        local own = attrs[name]
        if own ~= nil and lookup(obj.cls, name) == nil then return own end
      end
    end
    f.line = line
    return getattr(obj, name)
  end
end

function compile.subscript_key(node, scope)
  if #node == 2 then return expression(node[2], scope) end
  return compile.tuple(node, scope, 2)
end

function kinds.subscript(node, scope)
  local value, key = expression(node.value, scope), compile.subscript_key(node, scope)
  local line = node.line
  return function(f)
    local v, k = value(f), key(f)
    f.line = line
    return core.getitem(v, k)
  end
end

local function compile_arguments(node, scope)
  local positional, stars, keywords = {}, {}, {}
  if node.type == "generator_expression" then return { expression(node, scope) }, stars, keywords end
  for _, child in ipairs(node) do
    if child.type == "keyword_argument" then
      keywords[#keywords + 1] = { name = child.name.text, value = expression(child.value, scope) }
    elseif child.type == "dictionary_splat" then
      keywords[#keywords + 1] = { spread = expression(child[1], scope) }
      stars.any = true
    elseif child.type == "list_splat" then
      positional[#positional + 1] = expression(child[1], scope)
      stars[#positional], stars.any = true, true
    else
      positional[#positional + 1] = expression(child, scope)
    end
  end
  return positional, stars, keywords
end

local function add_keyword(kw, name, v)
  if kw.map[name] ~= nil then
    core.raise("TypeError", "got multiple values for keyword argument '%s'", name)
  end
  kw[#kw + 1] = name
  kw.map[name] = v
end

local function evaluate_keywords(f, keywords)
  local kw = { map = {} }
  for i = 1, #keywords do
    local entry = keywords[i]
    if entry.name then
      add_keyword(kw, entry.name, entry.value(f))
    else
      local d = entry.spread(f)
      if not kw.choice and is_choice(d) then
        kw.choice = d.alts
      elseif unknown.is(d) then
        kw.fuzzy = true
      else
        if not d.vals then d = core.call(types.dict, { d, n = 1 }) end
        for k, v in dict.each(d) do
          add_keyword(kw, unknown.plain(k), v)
        end
        kw.fuzzy = kw.fuzzy or d.fuzzy
      end
    end
  end
  return kw
end

---A table for the arguments of a call: the callee's frame, where it is a Python function.
local function new_arguments(fn)
  local code = type(fn) == "table" and (fn.code or fn.func and fn.func.code)
  if code then return core.new_frame(code) end
  return { nil, nil, n = 0 } -- with room for what most calls are given
end

---@return function function(frame, fn, self) -> args, kw for calling `fn`: `self` (may be nil) goes first
local function argument_builder(node, scope)
  local positional, stars, keywords = compile_arguments(node, scope)
  local n = #positional
  if #keywords == 0 and not stars.any then
    return function(f, fn, self)
      local args, at = new_arguments(fn), 0
      if self ~= nil then
        args[1], at = self, 1
      end
      args.n = n + at
      for i = 1, n do
        args[at + i] = positional[i](f)
      end
      return args
    end
  end
  return function(f, fn, self)
    local args = fill(f, positional, stars, new_arguments(fn), true)
    if self ~= nil then
      table.move(args, 1, args.n, 2)
      args[1], args.n = self, args.n + 1
      if args.choice then args.choice.at = args.choice.at + 1 end
    end
    local kw = #keywords > 0 and evaluate_keywords(f, keywords) or nil
    if kw and #kw == 0 and not kw.fuzzy and not kw.choice then kw = nil end
    return args, kw
  end
end
compile.argument_builder = argument_builder

-- Arguments with one of the values that may be spread among them.
local function with_items(fn, args, choice, alt)
  local more = items.collect(alt)
  local chosen = table.move(args, 1, choice.at, 1, new_arguments(fn))
  table.move(more, 1, more.n, choice.at + 1, chosen)
  table.move(args, choice.at + 1, args.n, choice.at + more.n + 1, chosen)
  chosen.n, chosen.fuzzy = args.n + more.n, args.fuzzy
  return chosen
end

local function with_entries(kw, alt)
  local chosen = { map = {}, fuzzy = kw.fuzzy or alt.fuzzy }
  for _, name in ipairs(kw) do
    add_keyword(chosen, name, kw.map[name])
  end
  for name, v in dict.each(alt) do
    add_keyword(chosen, unknown.plain(name), v)
  end
  return (#chosen > 0 or chosen.fuzzy) and chosen or nil
end

local function copied(fn, args)
  local copy = table.move(args, 1, args.n, 1, new_arguments(fn))
  copy.n, copy.fuzzy = args.n, args.fuzzy
  return copy
end

---Call once for each value that may be spread into the arguments; one that does not fit is dropped.
local function call_each(f, fn, args, kw)
  local choice, entries = args.choice, kw and kw.choice
  local alts = choice and choice.alts or entries
  if choice and entries then kw.fuzzy = true end
  local function call_with(alt)
    if choice then
      return core.call(fn, with_items(fn, args, choice, alt), kw and with_entries(kw, dict.new()))
    end
    return core.call(fn, copied(fn, args), with_entries(kw, alt))
  end
  local function call_from(i)
    if i == #alts then return nil, call_with(alts[i]) end
    return branch.explore(
      f,
      function() return nil, call_with(alts[i]) end,
      function() return call_from(i + 1) end
    )
  end
  return select(2, call_from(1))
end

function kinds.call(node, scope)
  local callee, line = node["function"], node.line
  local arguments = argument_builder(node.arguments, scope)
  local call = core.call
  if callee.type == "attribute" then
    local value, name = expression(callee.object, scope), callee.attribute.text
    local method = object.method
    return function(f)
      local obj = value(f)
      f.line = line
      local fn, self = method(obj, name)
      local args, kw = arguments(f, fn, self)
      f.line = line
      if args.choice or kw and kw.choice then return call_each(f, fn, args, kw) end
      return call(fn, args, kw)
    end
  end
  local fn = expression(callee, scope)
  return function(f)
    local target = fn(f)
    local args, kw = arguments(f, target)
    f.line = line
    if args.choice or kw and kw.choice then return call_each(f, target, args, kw) end
    return call(target, args, kw)
  end
end

-- ---- conditions ---------------------------------------------------------------------------------

local HARMLESS_CALLS =
  { isinstance = true, hasattr = true, len = true, callable = true, issubclass = true, getattr = true }

---The local slots that a condition without side effects reads; nil when it may have some.
local function slots_read(node, scope, slots)
  if node.type == "identifier" then
    local where, slot = scope:resolve(node.text)
    if where == "local" then slots[#slots + 1] = slot end
    return slots
  end
  if node.type == "call" then
    if not (node["function"].type == "identifier" and HARMLESS_CALLS[node["function"].text]) then
      return nil
    end
  elseif node.type == "named_expression" or node.type == "await" or node.type == "yield" then
    return nil
  end
  for _, child in ipairs(node) do
    if not slots_read(child, scope, slots) then return nil end
  end
  return slots
end

local narrowable = setmetatable({}, { __mode = "k" })

---A condition: function(frame) -> true, false or nil.
function compile.test(node, scope)
  local value = expression(node, scope)
  local slots = scope.kind == "function" and slots_read(node, scope, {}) or nil
  local function test(f) return truth(value(f)) end
  if slots and #slots > 0 then narrowable[test] = slots end
  return test
end

local function join_all(list)
  local result = list[1]
  for i = 2, #list do
    result = unknown.join(result, list[i])
  end
  return result
end

---Where a condition decides about a local that is one of several, each way sees only the values that lead
---to it (`if x is not None` leaves no None in the first way).
function compile.narrow(f, test, first, second)
  for _, slot in ipairs(narrowable[test] or {}) do
    local v = f[slot]
    if unknown.is(v) and v.alts then
      local yes, no = {}, {}
      for _, alt in ipairs(v.alts) do
        f[slot] = alt
        local ok, t = core.protected(test, f)
        if not ok then t = nil end
        if t ~= false then yes[#yes + 1] = alt end
        if t ~= true then no[#no + 1] = alt end
      end
      f[slot] = v
      if #yes > 0 and #no > 0 and #yes + #no < 2 * #v.alts then
        local a, b = join_all(yes), join_all(no)
        return function()
          core.put(f, slot, a)
          return first()
        end, function()
          core.put(f, slot, b)
          return second()
        end
      end
    end
  end
  return first, second
end

return compile
