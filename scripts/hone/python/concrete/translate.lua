--- From Python to Lua: the syntax tree of a reference becomes the text of a Lua chunk, a statement in the line
--- where Python has it, so that Lua's errors name Python's lines. The chunk sees its runtime `R`, its constants
--- `K` and nothing else: no file, no network, no process.
local literal_text = require "hone.python.literal_text"
local values = require "hone.python.concrete.values"

local Writer = {}
Writer.__index = Writer

local MOST_LOCALS = 150 -- of Lua's 200 a function

-- ---- refusals --------------------------------------------------------------------------------------

-- What is not known is an error with its place; it is caught by translate().
local function refuse(w, node, format, ...)
  error({ refused = ("%s:%d: %s"):format(w.name, node.line or 0, format:format(...)) }, 0)
end

local function not_known(w, node, what)
  refuse(w, node, "hone does not know this construct of Python: %s", what or node.type:gsub("_", " "))
end

-- ---- text ------------------------------------------------------------------------------------------

-- Words that are written one after the other never touch.
local function emit(w, text)
  w.out[#w.out + 1] = " "
  w.out[#w.out + 1] = text
end

-- New lines until the output is at a line of Python's.
local function to_line(w, line)
  if line and line > w.line then
    emit(w, ("\n"):rep(line - w.line))
    w.line = line
  end
end

-- A constant's place in K.
local function constant(w, value)
  local k = w.constants
  local known = type(value) ~= "number" and w.places[value]
  if known then return known end
  k[#k + 1] = value
  local text = ("K[%d]"):format(#k)
  w.places[value] = text
  return text
end

local function quoted(text) return (("%q"):format(text):gsub("\\\n", "\\n"):gsub("\r", "\\r")) end

local function number_text(value)
  if value == math.mininteger then return "(-9223372036854775807 - 1)" end -- alone it would be read as a float
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if value ~= value then return "(0/0)" end
  if value == math.huge then return "(1/0)" end
  if value == -math.huge then return "(-1/0)" end
  return (("%.17g"):format(value):gsub("^(-?%d+)$", "%1.0"))
end

-- ---- names -----------------------------------------------------------------------------------------

local function mangled(name)
  return "v_" .. name:gsub("[^%w_]", function(c) return ("_%02X"):format(c:byte()) end)
end

-- The scope that a name belongs to: the innermost that assigns it.
local function scope_of(w, name)
  local scope = w.scope
  while scope do
    if scope.names[name] then return scope end
    scope = scope.parent
  end
end

local function place(scope, name)
  if scope.table then return ("%s.%s"):format(scope.table, mangled(name)) end
  return mangled(name)
end

-- What a name stands for without running anything: a builtin, a module or what was imported from one.
local function static_value(w, name)
  if scope_of(w, name) then return nil end
  local imported = w.imports[name]
  if imported ~= nil then return imported end
  return w.builtins[name]
end

-- ---- what a function assigns -----------------------------------------------------------------------

local collect

local function collect_target(node, names)
  if node.type == "identifier" then
    names[node.text] = true
  elseif
    node.type == "pattern_list"
    or node.type == "tuple_pattern"
    or node.type == "list_pattern"
    or node.type == "list_splat_pattern"
    or node.type == "tuple"
    or node.type == "list"
  then
    for _, child in ipairs(node) do
      collect_target(child, names)
    end
  end
end

local OWN_SCOPE = { function_definition = true, lambda = true, class_definition = true }
local COMPREHENSION = {
  list_comprehension = true,
  set_comprehension = true,
  dictionary_comprehension = true,
  generator_expression = true,
}

function collect(node, names)
  if node.type == "function_definition" then
    names[node.name.text] = true
    return
  end
  if OWN_SCOPE[node.type] or COMPREHENSION[node.type] then return end
  if node.type == "assignment" or node.type == "augmented_assignment" or node.type == "for_statement" then
    collect_target(node.left, names)
  elseif node.type == "named_expression" then
    collect_target(node.name or node[1], names)
  elseif node.type == "as_pattern" then
    collect_target(node[2][1] or node[2], names)
  end
  for _, child in ipairs(node) do
    collect(child, names)
  end
end

local function count(names)
  local n = 0
  for _ in pairs(names) do
    n = n + 1
  end
  return n
end

-- A function's scope, declared at its head: Lua's goto may not jump over a local.
local function open_scope(w, names)
  local scope = { parent = w.scope, names = names, loops = {} }
  w.scope = scope
  if count(names) > MOST_LOCALS then
    w.tables = w.tables + 1
    scope.table = "L" .. w.tables
    emit(w, (" local %s = {}"):format(scope.table))
  else
    for name in pairs(names) do
      emit(w, " local " .. mangled(name))
    end
  end
  return scope
end

local function close_scope(w) w.scope = w.scope.parent end

-- ---- expressions -----------------------------------------------------------------------------------

local kinds = {} -- [type] = function(w, node) -> Lua text
local expression

function expression(w, node)
  local write = kinds[node.type]
  if not write then not_known(w, node) end
  return write(w, node)
end

local condition

function kinds.identifier(w, node)
  local name = node.text
  local scope = scope_of(w, name)
  if scope then return place(scope, name) end
  local value = static_value(w, name)
  if value == nil then refuse(w, node, "name '%s' is not defined", name) end
  return constant(w, value)
end

kinds["true"] = function() return "true" end
kinds["false"] = function() return "false" end
function kinds.none() return "None" end
function kinds.ellipsis(w) return constant(w, values.Ellipsis) end

function kinds.integer(w, node)
  if node.text:find "[jJ]" then not_known(w, node, "complex numbers") end
  local value = literal_text.integer(node.text)
  if not value then refuse(w, node, "the integer %s does not fit 64 bits", node.text) end
  return number_text(value)
end

function kinds.float(w, node)
  if node.text:find "[jJ]" then not_known(w, node, "complex numbers") end
  return number_text(tonumber((node.text:gsub("_", ""))) + 0.0)
end

function kinds.parenthesized_expression(w, node) return expression(w, node[1]) end

local function list_text(w, node, first)
  local parts, starred = {}, false
  for i = first or 1, #node do
    local child = node[i]
    if child.type == "list_splat" then
      starred = true
      parts[#parts + 1] = ("{starred = %s}"):format(expression(w, child[1]))
    else
      parts[#parts + 1] = expression(w, child)
    end
  end
  if not starred then return table.concat(parts, ", "), #parts end
  for i, part in ipairs(parts) do
    if not part:find "^{starred" then parts[i] = "{" .. part .. "}" end
  end
  return ("R.spread({%s})"):format(table.concat(parts, ", ")), nil
end

local function sequence(class)
  return function(w, node)
    local text, n = list_text(w, node)
    if n then return ("setmetatable({n = %d, %s}, %s)"):format(n, text, class) end
    return ("R.pack(%s, %s)"):format(class, text)
  end
end

kinds.tuple = sequence "Tuple"
kinds.expression_list = kinds.tuple
kinds.list = sequence "List"
kinds.set = kinds.list

function kinds.dictionary(w, node)
  local parts = {}
  for i, pair in ipairs(node) do
    if pair.type ~= "pair" then not_known(w, pair, "** in a dictionary") end
    parts[i] = ("{%s, %s}"):format(expression(w, pair.key), expression(w, pair.value))
  end
  return ("R.make_dict({%s})"):format(table.concat(parts, ", "))
end

local BINARY = {
  ["+"] = "R.add",
  ["-"] = "R.subtract",
  ["*"] = "R.multiply",
  ["/"] = "R.divide",
  ["@"] = "R.matrix_multiply",
}

-- Arithmetic on two numbers that stand in the source is done now.
local function folded(w, operator, left, right)
  local a, b = tonumber(left), tonumber(right)
  if not a or not b then return nil end
  local ok, result = pcall(w.runtime.operate, operator, a, b)
  return ok and math.type(result) and number_text(result) or nil
end

function kinds.binary_operator(w, node)
  local operator = node.operator
  local left, right = expression(w, node.left), expression(w, node.right)
  local known = folded(w, operator, left, right)
  if known then return known end
  local special = BINARY[operator]
  if special then return ("%s(%s, %s)"):format(special, left, right) end
  return ("R.operate(%q, %s, %s)"):format(operator, left, right)
end

local UNARY = { ["-"] = "R.negate", ["+"] = "R.positive", ["~"] = "R.invert" }

function kinds.unary_operator(w, node)
  local operand = expression(w, node.argument)
  if node.operator == "-" and tonumber(operand) and not operand:find "^-" then return "-" .. operand end
  return ("%s(%s)"):format(UNARY[node.operator], operand)
end

function kinds.not_operator(w, node) return "(not " .. condition(w, node.argument or node[1]) .. ")" end

-- The value of one operand or the other: the second only where it is wanted.
function kinds.boolean_operator(w, node)
  local name = node.operator == "and" and "R.both" or "R.either"
  return ("%s(%s, function() return %s end)"):format(
    name,
    expression(w, node.left),
    expression(w, node.right)
  )
end

function kinds.conditional_expression(w, node)
  return ("(function() if %s then return %s else return %s end end)()"):format(
    condition(w, node[2]),
    expression(w, node[1]),
    expression(w, node[3])
  )
end

local COMPARISONS = {
  ["=="] = "R.equal(%s, %s)",
  ["!="] = "R.not_equal(%s, %s)",
  ["<>"] = "R.not_equal(%s, %s)",
  ["<"] = "R.less(%s, %s)",
  ["<="] = "R.less_equal(%s, %s)",
  [">"] = "R.greater(%s, %s)",
  [">="] = "R.greater_equal(%s, %s)",
  ["is"] = "rawequal(%s, %s)",
  ["is not"] = "not rawequal(%s, %s)",
}

local function compared(operator, left, right)
  if operator == "in" then return ("R.contains(%s, %s)"):format(right, left) end
  if operator == "not in" then return ("not R.contains(%s, %s)"):format(right, left) end
  return COMPARISONS[operator]:format(left, right)
end

function kinds.comparison_operator(w, node)
  if #node == 2 then return compared(node.operators[1], expression(w, node[1]), expression(w, node[2])) end
  -- a < b < c: every operand once, and no further than the first that does not hold
  local text = { ("local c1 = %s"):format(expression(w, node[1])) }
  for i = 2, #node do
    text[#text + 1] = ("local c%d = %s local r = %s"):format(
      i,
      expression(w, node[i]),
      compared(node.operators[i - 1], "c" .. i - 1, "c" .. i)
    )
    text[#text + 1] = i < #node and "if not R.truth(r) then return r end" or "return r"
  end
  return ("(function() %s end)()"):format(table.concat(text, " "))
end

-- Comparisons of plain values give booleans, and so need no question of truth; tensors' do.
function condition(w, node)
  if node.type == "parenthesized_expression" then return condition(w, node[1]) end
  if node.type == "not_operator" then return "(not " .. condition(w, node.argument or node[1]) .. ")" end
  if node.type == "boolean_operator" then
    return ("(%s %s %s)"):format(condition(w, node.left), node.operator, condition(w, node.right))
  end
  if node.type == "true" or node.type == "false" then return node.type end
  return ("R.truth(%s)"):format(expression(w, node))
end

-- ---- strings ---------------------------------------------------------------------------------------

local function interpolation(w, node)
  local conversion, spec = "nil", "nil"
  if node.type_conversion then conversion = quoted(node.type_conversion.text:sub(2)) end
  if node.format_specifier then
    if #node.format_specifier > 0 then not_known(w, node, "a computed format") end
    spec = quoted(node.format_specifier.text:sub(2))
  end
  return ("R.format(%s, %s, %s)"):format(expression(w, node.expression or node[1]), conversion, spec)
end

local function string_parts(w, node, parts)
  local prefix = node[1].text:lower()
  if prefix:find("b", 1, true) then not_known(w, node, "bytes") end
  local raw, is_f = prefix:find("r", 1, true), prefix:find("f", 1, true)
  for _, child in ipairs(node) do
    if child.type == "string_content" then
      local text = raw and child.text or literal_text.unescape(child.text)
      if is_f then text = text:gsub("{{", "{"):gsub("}}", "}") end
      parts[#parts + 1] = quoted(text)
    elseif child.type == "interpolation" then
      parts[#parts + 1] = interpolation(w, child)
    end
  end
end

function kinds.string(w, node)
  local parts = {}
  string_parts(w, node, parts)
  if #parts == 0 then return '""' end
  return #parts == 1 and parts[1] or "(" .. table.concat(parts, " .. ") .. ")"
end

function kinds.concatenated_string(w, node)
  local parts = {}
  for _, child in ipairs(node) do
    string_parts(w, child, parts)
  end
  return "(" .. (#parts > 0 and table.concat(parts, " .. ") or '""') .. ")"
end

-- ---- attributes, subscripts, calls -----------------------------------------------------------------

-- What `torch.nn.functional.silu` stands for, where its head is a module; nil where it is not static.
local function static_attribute(w, node)
  local base
  if node.object.type == "identifier" then
    base = static_value(w, node.object.text)
  elseif node.object.type == "attribute" then
    base = static_attribute(w, node.object)
  end
  if getmetatable(base) ~= values.Module then return nil end
  local value = base.members[node.attribute.text]
  if value == nil then refuse(w, node, "hone does not know %s.%s", base.name, node.attribute.text) end
  return value
end

function kinds.attribute(w, node)
  local value = static_attribute(w, node)
  if value ~= nil then return math.type(value) and number_text(value) or constant(w, value) end
  return ("R.attribute(%s, %q)"):format(expression(w, node.object), node.attribute.text)
end

-- A value that is the same each time: it can be made once.
local CONSTANT_ITEMS = { integer = true, none = true, ellipsis = true }

local function is_constant_index(node)
  if CONSTANT_ITEMS[node.type] then return true end
  if node.type == "unary_operator" then return node.operator == "-" and node.argument.type == "integer" end
  if node.type ~= "slice" then return false end
  for _, part in ipairs(node) do
    if not is_constant_index(part) then return false end
  end
  return true
end

local function constant_index(w, node)
  if node.type == "none" then return values.None end
  if node.type == "ellipsis" then return values.Ellipsis end
  if node.type == "integer" then return literal_text.integer(node.text) or not_known(w, node) end
  if node.type == "unary_operator" then return -constant_index(w, node.argument) end
  local function part(child)
    if child then return constant_index(w, child) end
    return values.None
  end
  return w.runtime.slice(part(node.start), part(node.stop), part(node.step))
end

local function index_item(w, node)
  if is_constant_index(node) then
    local value = constant_index(w, node)
    return math.type(value) and number_text(value) or constant(w, w.runtime.constant_key(value))
  end
  if node.type ~= "slice" then return expression(w, node) end
  local function part(child) return child and expression(w, child) or "None" end
  return ("R.slice(%s, %s, %s)"):format(part(node.start), part(node.stop), part(node.step))
end

local function index_key(w, node)
  local items = table.move(node, 2, #node, 1, {})
  if #items == 1 and items[1].type ~= "tuple" then return index_item(w, items[1]) end
  if #items == 1 then items = items[1] end
  local parts, all_constant = {}, true
  for _, item in ipairs(items) do
    if item.type == "list_splat" then not_known(w, item, "* in an index") end
    all_constant = all_constant and is_constant_index(item)
  end
  for i, item in ipairs(items) do
    parts[i] = (all_constant and constant_index or index_item)(w, item)
  end
  if all_constant then return constant(w, w.runtime.constant_key(values.tuple(parts))) end
  return ("setmetatable({n = %d, %s}, Tuple)"):format(#parts, table.concat(parts, ", "))
end

function kinds.subscript(w, node)
  return ("R.index(%s, %s)"):format(expression(w, node.value), index_key(w, node))
end

local function keyword_text(w, pairs_of_words, dict)
  local parts = {}
  for i, word in ipairs(pairs_of_words) do
    parts[i] = ("[%q] = %s"):format(word.name.text, expression(w, word.value))
  end
  local text = "{" .. table.concat(parts, ", ") .. "}"
  if dict then return ("R.merge_keywords(%s, %s)"):format(text, expression(w, dict)) end
  return #parts > 0 and text or "nil"
end

-- The nodes of a call's arguments: positional ones, keywords, and what follows **.
local function sort_arguments(list)
  if list.type == "generator_expression" then return { list }, {}, nil end
  local positional, words, dict = {}, {}, nil
  for _, child in ipairs(list) do
    if child.type == "keyword_argument" then
      words[#words + 1] = child
    elseif child.type == "dictionary_splat" then
      dict = child[1]
    else
      positional[#positional + 1] = child
    end
  end
  return positional, words, dict
end

-- Arguments of a function whose parameters are known, each in its place, where all keywords are known too: then
-- there is nothing to bind when it is called. `offset`: parameters that are given already.
local function placed_arguments(w, positional, words, at, offset)
  local texts, last = {}, #positional
  for i, child in ipairs(positional) do
    if child.type == "list_splat" then return nil end
    texts[i] = child
  end
  for _, word in ipairs(words) do
    local place_of_word = at[word.name.text]
    local i = place_of_word and place_of_word - offset
    if not i or i < 1 or texts[i] then return nil end
    texts[i] = word.value
    last = math.max(last, i)
  end
  for i = 1, last do
    texts[i] = texts[i] and expression(w, texts[i]) or "nil"
  end
  return table.concat(texts, ", ", 1, last)
end

-- The keywords and the positional arguments of a call, as Lua's text. `f`: what is called, where that is known.
local function arguments(w, node, f, offset)
  local positional, words, dict = sort_arguments(node.arguments)
  local at = f and not dict and w.runtime.parameters[f]
  local placed = at and placed_arguments(w, positional, words, at, offset or 0)
  if placed then return "nil", placed end
  return keyword_text(w, words, dict), (list_text(w, positional))
end

local function with_comma(text) return text == "" and "" or ", " .. text end

-- A method that tensors alone have is called as the function that it is.
local function method_call(w, node, f)
  local name = f.attribute.text
  local object = expression(w, f.object)
  local method, is_shared = w.find_method(name)
  if not method then refuse(w, node, "hone does not know the method '%s'", name) end
  if is_shared then
    local words, list = arguments(w, node)
    return ("R.call_method(%s, %q, %s%s)"):format(object, name, words, with_comma(list))
  end
  local words, list = arguments(w, node, method, 1)
  return ("%s(%s, %s%s)"):format(constant(w, method), words, object, with_comma(list))
end

function kinds.call(w, node)
  local f = node["function"]
  local static
  if f.type == "identifier" then
    static = static_value(w, f.text)
  elseif f.type == "attribute" then
    static = static_attribute(w, f)
  end
  if type(static) == "function" then
    local words, list = arguments(w, node, static)
    return ("%s(%s%s)"):format(constant(w, static), words, with_comma(list))
  end
  if f.type == "attribute" and static == nil then return method_call(w, node, f) end
  local words, list = arguments(w, node)
  return ("R.call(%s, %s%s)"):format(expression(w, f), words, with_comma(list))
end

function kinds.named_expression(w, node)
  local name = (node.name or node[1]).text
  local target = place(assert(scope_of(w, name)), name)
  return ("(function() %s = %s return %s end)()"):format(target, expression(w, node.value or node[2]), target)
end

-- ---- comprehensions --------------------------------------------------------------------------------

local assign

-- The text that statements written by `body` give, without lines of their own.
local function inline(w, body)
  local out, line = w.out, w.line
  w.out, w.line = {}, math.huge
  body()
  local text = table.concat(w.out)
  w.out, w.line = out, line
  return text
end

local function write_clauses(w, node, i, innermost)
  local clause = node[i]
  if not clause then return innermost() end
  if clause.type == "if_clause" then
    emit(w, (" if %s then "):format(condition(w, clause[1])))
    write_clauses(w, node, i + 1, innermost)
    return emit(w, " end")
  end
  if clause.type ~= "for_in_clause" then not_known(w, clause) end
  emit(w, (" for _, item in R.iterate(%s) do R.step() "):format(expression(w, clause.right)))
  assign(w, clause.left, "item")
  write_clauses(w, node, i + 1, innermost)
  emit(w, " end")
end

local function comprehension(w, node, start, add, finish)
  local names = {}
  for _, clause in ipairs(node) do
    if clause.type == "for_in_clause" then collect_target(clause.left, names) end
  end
  return inline(w, function()
    emit(w, "(function() " .. start)
    open_scope(w, names)
    write_clauses(w, node, 2, function() emit(w, add(node.body or node[1])) end)
    close_scope(w)
    emit(w, " return " .. finish .. " end)()")
  end)
end

local function list_comprehension(w, node)
  return comprehension(
    w,
    node,
    "local list = {n = 0}",
    function(body) return (" list.n = list.n + 1 list[list.n] = %s"):format(expression(w, body)) end,
    "setmetatable(list, List)"
  )
end

kinds.list_comprehension = list_comprehension
kinds.set_comprehension = list_comprehension
kinds.generator_expression = list_comprehension

function kinds.dictionary_comprehension(w, node)
  return comprehension(
    w,
    node,
    "local dict = R.make_dict({})",
    function(pair)
      return (" R.set_dict(dict, %s, %s)"):format(expression(w, pair.key), expression(w, pair.value))
    end,
    "dict"
  )
end

-- ---- functions -------------------------------------------------------------------------------------

local block

local PARAMETERS = {
  identifier = function(p) return p.text end,
  typed_parameter = function(p) return p[1].type == "identifier" and p[1].text or nil end,
  default_parameter = function(p) return p.name.text, p.value end,
  typed_default_parameter = function(p) return p.name.text, p.value end,
}

-- { names, keyword_only, all, at, defaults (nodes by place), rest, keywords }
local function read_parameters(w, node)
  local s = { names = {}, keyword_only = 0, all = {}, at = {}, default_nodes = {} }
  local only = false
  for _, p in ipairs(node or {}) do
    local inner = p.type == "typed_parameter" and p[1] or p
    if p.type == "keyword_separator" then
      only = true
    elseif inner.type == "list_splat_pattern" then
      s.rest, only = inner[1].text, true
    elseif inner.type == "dictionary_splat_pattern" then
      s.keywords = inner[1].text
    elseif p.type ~= "positional_separator" then
      local read = PARAMETERS[p.type]
      if not read then not_known(w, p) end
      local name, default = read(p)
      s.all[#s.all + 1] = name
      s.at[name] = #s.all
      s.default_nodes[#s.all] = default
      if only then
        s.keyword_only = s.keyword_only + 1
      else
        s.names[#s.names + 1] = name
      end
    end
  end
  return s
end

local function parameter_names(s)
  local list = table.move(s.all, 1, #s.all, 1, {})
  if s.rest then list[#list + 1] = s.rest end
  if s.keywords then list[#list + 1] = s.keywords end
  return list
end

-- The arguments come as they are where they are as many as the parameters, which is most often.
local function bind_parameters(w, s, scope)
  local targets = {}
  for i, parameter in ipairs(parameter_names(s)) do
    targets[i] = place(scope, parameter)
  end
  local bound, list = "R.bind(signature, keywords, ...)", table.concat(targets, ", ")
  local is_plain = s.keyword_only == 0 and not s.rest and not s.keywords
  if #targets == 0 then
    emit(w, " " .. bound)
  elseif is_plain then
    local text = " if not keywords and select('#', ...) == %d then %s = ... else %s = %s end"
    emit(w, text:format(#targets, list, list, bound))
  else
    emit(w, (" %s = %s"):format(list, bound))
  end
end

-- function(keywords, ...) with its arguments bound to Python's names.
local function write_function(w, name, parameters, write_body, body_names)
  local s = read_parameters(w, parameters)
  local defaults = {}
  for i, node in pairs(s.default_nodes) do
    defaults[#defaults + 1] = ("[%d] = %s"):format(i, expression(w, node))
  end
  local signature = constant(w, {
    name = name,
    names = s.names,
    keyword_only = s.keyword_only,
    all = s.all,
    at = s.at,
    rest = s.rest ~= nil,
    keywords = s.keywords ~= nil,
  })
  emit(
    w,
    (" R.with_defaults(%s, {%s}, function(signature) return function(keywords, ...)"):format(
      signature,
      table.concat(defaults, ", ")
    )
  )
  local names = body_names
  for _, parameter in ipairs(parameter_names(s)) do
    names[parameter] = true
  end
  local outer_loops = w.loops
  w.loops = {}
  bind_parameters(w, s, open_scope(w, names))
  write_body()
  close_scope(w)
  w.loops = outer_loops
  emit(w, " end end)")
end

function kinds.lambda(w, node)
  return inline(w, function()
    write_function(
      w,
      "<lambda>",
      node.parameters,
      function() emit(w, " return " .. expression(w, node.body)) end,
      {}
    )
  end)
end

-- ---- statements ------------------------------------------------------------------------------------

local statements = {}

local function statement(w, node)
  local write = statements[node.type]
  if not write then not_known(w, node) end
  to_line(w, node.line)
  write(w, node)
end

function block(w, node)
  for _, child in ipairs(node) do
    statement(w, child)
  end
end

function statements.expression_statement(w, node)
  local inner = node[1]
  if #node > 1 then return emit(w, ("R.ignore(%s)"):format((list_text(w, node)))) end
  if statements[inner.type] then return statements[inner.type](w, inner) end
  if inner.type == "string" then return end -- a docstring
  emit(w, ("R.ignore(%s)"):format(expression(w, inner)))
end

local TARGET_LISTS = {
  pattern_list = true,
  tuple_pattern = true,
  list_pattern = true,
  tuple = true,
  list = true,
  expression_list = true,
}

-- Assign to several targets from one value.
local function assign_list(w, node, value)
  local temporaries, starred = {}, nil
  for i, child in ipairs(node) do
    temporaries[i] = "t" .. w.temporary + i
    if child.type == "list_splat_pattern" or child.type == "list_splat" then starred = i end
  end
  w.temporary = w.temporary + #node
  local unpacked = starred and ("R.unpack_starred(%s, %d, %d)"):format(value, starred - 1, #node - starred)
    or ("R.unpack(%s, %d)"):format(value, #node)
  emit(w, ("do local %s = %s "):format(table.concat(temporaries, ", "), unpacked))
  for i, child in ipairs(node) do
    assign(w, i == starred and child[1] or child, temporaries[i])
  end
  emit(w, " end")
end

function assign(w, target, value)
  if target.type == "identifier" then
    emit(w, (" %s = %s"):format(place(scope_of(w, target.text), target.text), value))
  elseif TARGET_LISTS[target.type] then
    assign_list(w, target, value)
  elseif target.type == "subscript" then
    emit(w, (" R.set_index(%s, %s, %s)"):format(expression(w, target.value), index_key(w, target), value))
  elseif target.type == "parenthesized_expression" then
    assign(w, target[1], value)
  else
    not_known(w, target, "assignment to " .. target.type:gsub("_", " "))
  end
end

function statements.assignment(w, node)
  if not node.right then return end -- an annotation alone
  local targets, value = { node.left }, node.right
  while value.type == "assignment" do
    targets[#targets + 1] = value.left
    value = value.right
  end
  local text = expression(w, value)
  if #targets == 1 then return assign(w, targets[1], text) end
  emit(w, ("do local chained = %s"):format(text))
  for _, target in ipairs(targets) do
    assign(w, target, "chained")
  end
  emit(w, " end")
end

function statements.augmented_assignment(w, node)
  local symbol, target = node.operator:sub(1, -2), node.left
  local value = expression(w, node.right)
  if target.type == "identifier" then
    local at = place(scope_of(w, target.text), target.text)
    if symbol == "+" then
      emit(
        w,
        ("if math_type(%s) then %s = R.add(%s, %s) else %s = R.augment('+', %s, %s) end"):format(
          at,
          at,
          at,
          value,
          at,
          at,
          value
        )
      )
    else
      emit(w, ("%s = R.augment(%q, %s, %s)"):format(at, symbol, at, value))
    end
  elseif target.type == "subscript" then
    emit(
      w,
      ("R.augment_index(%q, %s, %s, %s)"):format(
        symbol,
        expression(w, target.value),
        index_key(w, target),
        value
      )
    )
  else
    not_known(w, target, "assignment to " .. target.type:gsub("_", " "))
  end
end

function statements.return_statement(w, node)
  -- in parentheses: a tail call would leave no frame, and errors no line
  emit(w, ("do return (%s) end"):format(node[1] and expression(w, node[1]) or "None"))
end

function statements.pass_statement() end

function statements.assert_statement(w, node)
  emit(
    w,
    ("if not %s then R.assertion(%s) end"):format(
      condition(w, node[1]),
      node[2] and expression(w, node[2]) or "nil"
    )
  )
end

function statements.raise_statement(w, node)
  emit(w, ("R.raise(%s)"):format(node[1] and expression(w, node[1]) or "nil"))
end

function statements.if_statement(w, node)
  emit(w, ("if %s then"):format(condition(w, node.condition)))
  block(w, node.consequence)
  for _, clause in ipairs(node) do
    if clause.type == "elif_clause" then
      to_line(w, clause.line)
      emit(w, ("elseif %s then"):format(condition(w, clause.condition)))
      block(w, clause.consequence)
    elseif clause.type == "else_clause" then
      to_line(w, clause.line)
      emit(w, "else")
      block(w, clause.body)
    end
  end
  emit(w, " end")
end

-- A loop with its labels: `continue` goes to the end of its body, `break` beyond its else.
local function loop(w, head, before, node)
  w.labels = w.labels + 1
  local label = w.labels
  w.loops[#w.loops + 1] = label
  emit(w, head .. " do R.step() do " .. (before or ""))
  if type(node.body) == "table" then block(w, node.body) end
  emit(w, (" end ::continue_%d:: end"):format(label))
  w.loops[#w.loops] = nil
  for _, clause in ipairs(node) do
    if clause.type == "else_clause" then
      to_line(w, clause.line)
      emit(w, "do")
      block(w, clause.body)
      emit(w, " end")
    end
  end
  emit(w, (" ::break_%d::"):format(label))
end

local function range_arguments(w, node)
  local f = node.type == "call" and node["function"]
  if not f or f.type ~= "identifier" or f.text ~= "range" or scope_of(w, "range") then return nil end
  local words, list = arguments(w, node)
  if words ~= "nil" or list == "" or list:find "^R%.spread" then return nil end
  return list
end

function statements.for_statement(w, node)
  local range = range_arguments(w, node.right)
  emit(w, "do ")
  if range then
    w.temporary = w.temporary + 3
    local n = w.temporary
    emit(w, ("local t%d, t%d, t%d = R.bounds(%s) "):format(n - 2, n - 1, n, range))
    local before = inline(w, function() assign(w, node.left, "item") end)
    loop(w, ("for item = t%d, t%d, t%d"):format(n - 2, n - 1, n), before, node)
  else
    local before = inline(w, function() assign(w, node.left, "item") end)
    loop(w, ("for _, item in R.iterate(%s)"):format(expression(w, node.right)), before, node)
  end
  emit(w, " end")
end

function statements.while_statement(w, node)
  emit(w, "do ")
  loop(w, ("while %s"):format(condition(w, node.condition)), nil, node)
  emit(w, " end")
end

function statements.break_statement(w) emit(w, ("goto break_%d"):format(w.loops[#w.loops])) end

function statements.continue_statement(w) emit(w, ("goto continue_%d"):format(w.loops[#w.loops])) end

-- Is this torch.no_grad, called or not, or another of those that change no value?
local function is_idle(w, node)
  local place_in_constants = expression(w, node):match "^K%[(%d+)%]"
  return place_in_constants and w.is_idle(w.constants[tonumber(place_in_constants)])
end

-- `with torch.no_grad():` changes nothing here.
function statements.with_statement(w, node)
  for _, item in ipairs(node[1]) do
    local value = item.value or item[1]
    if value.type == "as_pattern" then not_known(w, item, "with ... as") end
    if not is_idle(w, value) then not_known(w, item, "with " .. (value.text or value.type)) end
  end
  block(w, node.body)
end

function statements.function_definition(w, node)
  local name = node.name.text
  local names = {}
  collect(node.body, names)
  for _, child in ipairs(node.body) do
    if child.type == "nonlocal_statement" or child.type == "global_statement" then
      for _, outer in ipairs(child) do
        names[outer.text] = nil
      end
    end
  end
  emit(w, ("%s ="):format(place(scope_of(w, name), name)))
  write_function(w, name, node.parameters, function()
    block(w, node.body)
    emit(w, " do return None end")
  end, names)
end

function statements.nonlocal_statement() end
statements.global_statement = statements.nonlocal_statement

function statements.decorated_definition(w, node)
  for _, child in ipairs(node) do
    if child.type == "decorator" and not is_idle(w, child[1]) then not_known(w, child, "this decorator") end
  end
  local definition = node.definition
  if definition.type ~= "function_definition" then not_known(w, definition) end
  to_line(w, definition.line)
  statements.function_definition(w, definition)
end

-- ---- imports ---------------------------------------------------------------------------------------

local function import(w, node, name)
  local module = w.modules[name]
  if not module then refuse(w, node, "hone does not know the module '%s'", name) end
  return module
end

function statements.import_statement(w, node)
  for _, item in ipairs(node) do
    if item.type == "aliased_import" then
      w.imports[item.alias.text] = import(w, item, item.name.text)
    else
      import(w, item, item.text)
      local head = item.text:match "^[^.]+"
      w.imports[head] = import(w, item, head)
    end
  end
end

function statements.import_from_statement(w, node)
  local module_name = node.module_name.text
  local module = module_name ~= "typing" and module_name ~= "__future__" and import(w, node, module_name)
  for i = 2, #node do
    local item = node[i]
    local name = item.type == "aliased_import" and item.name.text or item.text
    local alias = item.type == "aliased_import" and item.alias.text or name
    if not name then not_known(w, node, "import *") end
    local value = not module and values.None or module.members[name] or w.modules[module_name .. "." .. name]
    if value == nil then refuse(w, item, "hone does not know %s.%s", module_name, name) end
    w.imports[alias] = value
  end
end
statements.future_import_statement = function() end

-- ---- a whole source --------------------------------------------------------------------------------

local HEAD = "local R, K, None, Tuple, List = ... local setmetatable, rawequal = R.setmetatable, R.rawequal "
  .. "local select, math_type = R.select, R.math_type"

local function write_module(w, root)
  emit(w, HEAD)
  local names = {}
  collect(root, names)
  open_scope(w, names)
  for _, node in ipairs(root) do
    statement(w, node)
  end
  local parts = {}
  for name in pairs(names) do
    parts[#parts + 1] = ("[%q] = %s"):format(name, place(w.scope, name))
  end
  emit(w, (" do return {%s} end"):format(table.concat(parts, ", ")))
end

---The Lua text of a parsed source and its constants; nil and what hone does not know, with its place.
---@param root table # the tree as tables
---@param options { name: string, runtime: table, builtins: table, modules: table, find_method: function }
return function(root, options)
  local w = setmetatable({
    out = {},
    line = 1,
    constants = {},
    places = {},
    imports = {},
    loops = {},
    labels = 0,
    tables = 0,
    temporary = 0,
  }, Writer)
  for key, value in pairs(options) do
    w[key] = value
  end
  local ok, why = pcall(write_module, w, root)
  if ok then return table.concat(w.out), w.constants end
  if type(why) == "table" and why.refused then return nil, why.refused end
  error(why, 0)
end
