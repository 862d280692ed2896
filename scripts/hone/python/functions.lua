--- Functions, lambdas, classes and comprehensions: what makes a scope of its own.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local branch = require "hone.python.branch"
local compile = require "hone.python.expressions"
local scopes = require "hone.python.scope"
require "hone.python.literals"
require "hone.python.statements"

local types = core.types
local S = core.state
local statements, kinds = compile.statements, compile.kinds

-- ---- parameters ---------------------------------------------------------------------------------

---The name and default of one parameter node.
local function parameter_parts(node)
  local kind = node.type
  if kind == "identifier" then return node.text end
  if kind == "default_parameter" or kind == "typed_default_parameter" then
    return node.name.text, node.value
  end
  if kind == "typed_parameter" then return parameter_parts(node[1]) end
  if kind == "list_splat_pattern" then return node[1].text, nil, "vararg" end
  if kind == "dictionary_splat_pattern" then return node[1].text, nil, "kwarg" end
end

local function splat_kind(node)
  local inner = node.type == "typed_parameter" and node[1] or node
  if inner.type == "list_splat_pattern" then return "vararg" end
  if inner.type == "dictionary_splat_pattern" then return "kwarg" end
end

---Read a parameter list: { names, count, kwonly, posonly, vararg, kwarg, slots }, and the defaults' nodes
---by slot.
local function read_parameters(node)
  local positional, keyword, vararg, kwarg, posonly = {}, {}, nil, nil, 0
  local after_star = false
  for _, child in ipairs(node or {}) do
    local splat = splat_kind(child)
    if child.type == "keyword_separator" then
      after_star = true
    elseif child.type == "positional_separator" then
      posonly = #positional
    elseif splat == "vararg" then
      vararg, after_star = parameter_parts(child), true
    elseif splat == "kwarg" then
      kwarg = parameter_parts(child)
    else
      local name, default = parameter_parts(child)
      if name then table.insert(after_star and keyword or positional, { name = name, default = default }) end
    end
  end
  local params = { names = {}, slots = {}, count = #positional, kwonly = #keyword, posonly = posonly }
  local defaults = {}
  table.move(keyword, 1, #keyword, #positional + 1, positional)
  for i, entry in ipairs(positional) do
    params.names[i], params.slots[entry.name] = entry.name, i
    if entry.default then defaults[i] = entry.default end
  end
  if vararg then
    params.names[#params.names + 1] = vararg
    params.vararg = #params.names
  end
  if kwarg then
    params.names[#params.names + 1] = kwarg
    params.kwarg = #params.names
  end
  return params, defaults
end

-- ---- functions ----------------------------------------------------------------------------------

---Find the names that a function's body binds, and whether it is a generator.
local function declare_names(scope, body, params)
  for _, name in ipairs(params.names) do
    scope:bind(name)
  end
  local generator = false
  local bound = {}
  local deep = scope.unit.is_deep(body)
  scopes.collect(body, scope.unit.expand, function(name, how)
    if how == "yield" then
      generator = true
    elseif how == "global" then
      scope.globals[name] = true
    elseif how == "nonlocal" then
      scope.nonlocals[name] = true
    else
      bound[#bound + 1] = name
    end
  end, deep)
  for _, name in ipairs(bound) do
    if not scope.globals[name] and not scope.nonlocals[name] then scope:bind(name) end
  end
  return generator
end

---Compile a function's body; done when it is first called.
local function compile_body(code)
  local scope = scopes.new("function", code.scope)
  scope.name = code.qualname
  local body = code.node
  code.generator = declare_names(scope, body, code.params)
  if code.is_lambda then
    local value = compile.expression(body, scope)
    code.body = function(f) f.ret = value(f) end
  else
    code.body = compile.block(body, scope)
  end
  code.slots = (scope.count + 3) // 4 * 4
  return code.body
end

---What all functions made from one `def` share.
local function make_code(node, scope, name, local_name)
  local params, default_nodes = read_parameters(node.parameters)
  local defaults = {}
  for slot, default in pairs(default_nodes) do
    defaults[slot] = compile.expression(default, scope)
  end
  return {
    name = name,
    qualname = local_name,
    file = scope.unit.file,
    line = node.line,
    node = node.body,
    scope = scope,
    module = scope.unit.module,
    params = params,
    compile = compile_body,
    is_lambda = node.type == "lambda",
  },
    defaults
end

local function local_name(scope, name)
  if scope.kind == "module" then return name end
  if scope.kind == "class" then return scope.name .. "." .. name end
  while scope.kind == "comprehension" do
    scope = scope.parent
  end
  return scope.name and scope.name .. ".<locals>." .. name or name
end

local function function_maker(node, scope, name)
  local where = local_name(scope, name)
  local code, defaults = make_code(node, scope, name, where)
  local module = scope.unit.module
  local qualname = module.name .. "." .. where
  local looked_up, override = false, nil -- once: many functions are made of one lambda
  return function(f)
    local values = {}
    for slot, default in pairs(defaults) do
      values[slot] = default(f)
    end
    if not looked_up then
      looked_up, override = true, S.world.overrides[qualname]
    end
    return {
      cls = types["function"],
      name = name,
      local_name = where,
      qualname = qualname,
      module = module.name,
      code = code,
      up = f,
      defaults = values,
      cell = f and f.cell,
      override = override,
    }
  end
end

function kinds.lambda(node, scope) return function_maker(node, scope, "<lambda>") end

---What decorates and how: returns the decorated value.
local function decorate(decorators, f, v)
  for i = #decorators, 1, -1 do
    local decorator = decorators[i](f)
    local result = core.call(decorator, { v, n = 1 })
    -- A decorator that we cannot see is taken to leave what it decorates as it is.
    if not (unknown.is(result) and not result.alts) then v = result end
  end
  return v
end

function statements.function_definition(node, scope, decorators)
  local name = node.name.text
  local make, store = function_maker(node, scope, name), compile.store_name(name, scope)
  return function(f)
    local fn = make(f)
    store(f, decorators and not fn.override and decorate(decorators, f, fn) or fn)
  end
end

function statements.decorated_definition(node, scope)
  local decorators = {}
  for _, child in ipairs(node) do
    if child.type == "decorator" then decorators[#decorators + 1] = compile.expression(child[1], scope) end
  end
  return statements[node.definition.type](node.definition, scope, decorators)
end

-- ---- classes ------------------------------------------------------------------------------------

local function to_base(v)
  if core.is_class(v) then return v.alias_of or v end
  if unknown.is(v) then
    for _, alt in ipairs(v.alts or {}) do
      if core.is_class(alt) then return alt end
    end
    return object.unknown_class(v)
  end
  if type(v) == "table" and v.as_base then return v.as_base end
  if type(v) == "table" and v.subscriptable then return nil end -- Generic[T], Protocol
  core.raise("TypeError", "bases must be classes, not '%s'", core.class_of(v).name)
end

---@return table bases, table? metaclass, table rest keywords
local function evaluate_bases(f, arguments)
  local args, kw = arguments(f)
  local bases, rest, metaclass = {}, { map = {} }, nil
  for i = 1, args.n do
    local base = to_base(args[i])
    if base and base ~= bases[#bases] then bases[#bases + 1] = base end
  end
  for _, name in ipairs(kw or {}) do
    if name == "metaclass" then
      metaclass = kw.map[name]
    else
      rest[#rest + 1] = name
      rest.map[name] = kw.map[name]
    end
  end
  if #bases == 0 then bases[1] = types.object end
  if not core.is_class(metaclass) then metaclass = nil end
  for _, base in ipairs(bases) do
    if base.cls ~= types.type and (not metaclass or core.is_subclass(base.cls, metaclass)) then
      metaclass = base.cls
    end
  end
  return bases, metaclass, rest
end

local function announce(class, kw)
  for _, name in ipairs(table.move(class.keys, 1, #class.keys, 1, {})) do
    local v = class.dict[name]
    if type(v) == "table" and v.cls and not v.cls.builtin and not v.mro and not v.unknown then
      local set_name = core.lookup(v.cls, "__set_name__")
      if set_name then core.call(set_name, { v, class, name, n = 3 }) end
    elseif type(v) == "table" and v.named then
      v.named(v, class, name)
    end
  end
  for i = 2, #class.mro do
    local base = class.mro[i]
    local init = base.dict.__init_subclass__
    if init ~= nil then
      if type(init) == "table" and init.cls == types.classmethod then init = init.func end
      core.call(init, { class, n = 1 }, #kw > 0 and kw or nil)
      break
    end
  end
end

---Make the class once its body has run.
local function finish_class(f, info, bases, metaclass, kw)
  local class = core.make_class(info.name, bases, f.ns, metaclass)
  if not class then
    core.raise(
      "TypeError",
      "Cannot create a consistent method resolution order (MRO) for bases of '%s'",
      info.name
    )
  end
  class.keys, class.annotations, class.keywords = f.keys, f.annotations, kw.map
  class.module, class.local_name = info.module.name, info.local_name
  class.qualname = info.module.name .. "." .. info.local_name
  class.line, class.file = info.line, info.file
  class.override = S.world.overrides[class.qualname]
  f.cell.class = class
  for _, base in ipairs(class.bases) do
    if not base.builtin then
      base.subclasses = base.subclasses or {}
      table.insert(base.subclasses, class)
    end
    class.frozen = class.frozen or base.frozen
  end
  if class.finish then class.finish(class, kw) end
  announce(class, kw)
  if metaclass and not metaclass.builtin then
    local init, owner = core.lookup(metaclass, "__init__")
    if init and not owner.builtin then
      core.call(
        init,
        { class, info.name, core.tuple(bases), object.vars(class), n = 4 },
        #kw > 0 and kw or nil
      )
    end
  end
  return class
end

function statements.class_definition(node, scope, decorators)
  local name = node.name.text
  local info = {
    name = name,
    local_name = local_name(scope, name),
    module = scope.unit.module,
    line = node.line,
    file = scope.unit.file,
  }
  local inner = scopes.new("class", scope)
  inner.name = info.local_name
  local arguments = compile.argument_builder(node.superclasses or {}, scope)
  local store = compile.store_name(name, scope)
  local code = {
    name = name,
    qualname = info.local_name,
    file = scope.unit.file,
    line = node.line,
    module = scope.unit.module,
  }
  local body
  return function(f)
    local bases, metaclass, kw = evaluate_bases(f, arguments)
    body = body or compile.block(node.body, inner)
    local frame = {
      up = f,
      back = S.frame,
      code = code,
      line = node.line,
      ns = {},
      keys = {},
      annotations = {},
      bases = bases,
      cell = {},
      depth = (S.frame and S.frame.depth or 0) + 1,
    }
    S.frame = frame
    body(frame)
    S.frame = frame.back
    local class = finish_class(frame, info, bases, metaclass, kw)
    store(f, decorators and decorate(decorators, f, class) or class)
  end
end

-- ---- comprehensions -----------------------------------------------------------------------------

---The clauses of a comprehension as nested loops around `emit(frame)`.
---@return function run function(frame) -> whether all was known
local function nested_clauses(clauses, index, scope, emit)
  local clause = clauses[index]
  if not clause then
    return function(f)
      emit(f)
      return true
    end
  end
  if clause.type == "if_clause" then
    local inner = nested_clauses(clauses, index + 1, scope, emit)
    local test = compile.test(clause[1], scope)
    return function(f)
      local t = test(f)
      if t == nil then -- it may be left out: how many there are is not known
        inner(f)
        return false
      end
      if not t then return true end
      return inner(f)
    end
  end
  -- The first iterable was evaluated outside, and waits in frame.first.
  local source = index > 1 and compile.expression(clause.right, scope) or function(f) return f.first end
  local store = compile.target(clause.left, scope)
  local inner = nested_clauses(clauses, index + 1, scope, emit)
  return function(f)
    local v = source(f)
    local next_item = core.iterate(v)
    if not next_item then
      store(f, v.element or unknown.new((v.origin or "?") .. "[i]"))
      core.protected(inner, f)
      return false
    end
    local known = true
    for item in next_item do
      compile.tick()
      store(f, item)
      if not inner(f) then known = false end
    end
    return known
  end
end

---Split a comprehension node: scope of its own, the clauses, the first iterable (of the scope around it).
local function comprehension_parts(node, scope)
  local inner = scopes.new("comprehension", scope)
  local clauses = {}
  for _, child in ipairs(node) do
    if child.type == "for_in_clause" then
      clauses[#clauses + 1] = child
      scopes.collect_target(child.left, function(name) inner:bind(name) end)
    elseif child.type == "if_clause" then
      clauses[#clauses + 1] = child
    end
  end
  return inner, clauses, compile.expression(clauses[1].right, scope)
end

---@param make fun(): table a new container
---@param add fun(container, frame) evaluates and adds one element
local function comprehension(make, compile_add)
  return function(node, scope)
    local inner, clauses, first = comprehension_parts(node, scope)
    local add = compile_add(node, inner)
    local run = nested_clauses(clauses, 1, inner, function(f) add(f.result, f) end)
    return function(f)
      local source = first(f)
      local frame = {
        up = f,
        first = source,
        result = make(),
        line = f.line,
        back = f.back,
        code = f.code,
        fn = f.fn,
        cell = f.cell,
        ns = nil,
      }
      local known = run(frame)
      local result = frame.result
      if known then return result end
      local lost = unknown.new("a comprehension of unknown length")
      if result.n then lost.element = result[1] end
      return lost
    end
  end
end

kinds.list_comprehension = comprehension(function() return core.list({}, 0) end, function(node, scope)
  local value = compile.expression(node.body, scope)
  return function(list, f)
    local n = list.n + 1
    local v = value(f)
    list[n], list.n = v, n
  end
end)

kinds.set_comprehension = comprehension(function() return dict.new(types.set) end, function(node, scope)
  local value = compile.expression(node.body, scope)
  return function(set, f) dict.set(set, value(f), true) end
end)

kinds.dictionary_comprehension = comprehension(dict.new, function(node, scope)
  local key, value = compile.expression(node.body.key, scope), compile.expression(node.body.value, scope)
  return function(d, f) dict.set(d, key(f), value(f)) end
end)

function kinds.generator_expression(node, scope)
  local inner, clauses, first = comprehension_parts(node, scope)
  local value = compile.expression(node.body, inner)
  local run = nested_clauses(clauses, 1, inner, function(f) core.yield(value(f)) end)
  local code = {
    name = "<genexpr>",
    qualname = "<genexpr>",
    file = scope.unit.file,
    line = node.line,
    generator = true,
    body = run,
    module = scope.unit.module,
  }
  return function(f)
    local source = first(f)
    if unknown.is(source) then
      local lost = unknown.new("a generator of unknown length")
      local list = { cls = types.list, n = 0 }
      branch.explore(f, function()
        local frame =
          { up = f, first = source, line = f.line, back = f.back, code = f.code, fn = f.fn, cell = f.cell }
        local emit = nested_clauses(clauses, 1, inner, function(g) list[1] = value(g) end)
        emit(frame)
        return nil
      end, function() return nil end)
      lost.element = list[1]
      return lost
    end
    return core.make_generator(
      { up = f, name = "<genexpr>", cell = f.cell, code = code },
      code,
      { first = source }
    )
  end
end

return compile
