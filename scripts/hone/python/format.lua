--- Values as text: repr, str, f-strings, str.format and the % operator.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"

local types, None = core.types, core.None
local class_of, lookup_own = core.class_of, core.lookup_own
local format = {}

---The shortest decimal that reads back as the same float, as Python shows it.
local function float_repr(x)
  if x ~= x then return "nan" end
  if x == math.huge then return "inf" end
  if x == -math.huge then return "-inf" end
  local digits
  for precision = 1, 17 do
    digits = ("%." .. (precision - 1) .. "e"):format(x)
    if tonumber(digits) == x then break end
  end
  local sign, first, rest, exponent = digits:match("^(-?)(%d)%.?(%d*)e([-+]%d+)$")
  local e = tonumber(exponent)
  local all = first .. rest
  if e < -4 or e >= 16 then
    return ("%s%s%se%s%02d"):format(
      sign,
      first,
      rest ~= "" and "." .. rest or "",
      e < 0 and "-" or "+",
      math.abs(e)
    )
  end
  if e < 0 then return sign .. "0." .. ("0"):rep(-e - 1) .. all end
  if #all <= e + 1 then return sign .. all .. ("0"):rep(e + 1 - #all) .. ".0" end
  return sign .. all:sub(1, e + 1) .. "." .. all:sub(e + 2)
end
format.float = float_repr

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\" }

local function string_repr(s)
  local quote = "'"
  if s:find("'", 1, true) and not s:find('"', 1, true) then quote = '"' end
  s = s:gsub("[%c\\]", function(c) return ESCAPES[c] or ("\\x%02x"):format(c:byte()) end)
  if quote == "'" then s = s:gsub("'", "\\'") end
  return quote .. s .. quote
end

local MOST_TEXT = 1 << 20 -- characters of one repr

local function joined(v, open, close, seen)
  if seen[v] then return open .. "..." .. close end
  seen[v] = true
  local parts, size = {}, 0
  for i = 1, v.n do
    parts[i] = format.repr(v[i], seen)
    size = size + #parts[i]
    if size > MOST_TEXT then core.stop("a repr of more than 1 MB") end
  end
  seen[v] = nil
  core.charge(v.n)
  return open .. table.concat(parts, ", ") .. close
end

local function entries(v, seen, with_values)
  if seen[v] then return "..." end
  seen[v] = true
  local parts = {}
  for k, value in dict.each(v) do
    local text = format.repr(k, seen)
    if with_values then text = text .. ": " .. format.repr(value, seen) end
    parts[#parts + 1] = text
  end
  seen[v] = nil
  core.charge(#parts)
  return table.concat(parts, ", ")
end

local function sequence_of(view)
  local next_item = core.iterate(view)
  local items = {}
  for item in next_item do
    items[#items + 1] = item
  end
  return core.list(items)
end

local BUILTIN = {
  [types.list] = function(v, seen) return joined(v, "[", "]", seen) end,
  [types.tuple] = function(v, seen) return joined(v, "(", v.n == 1 and ",)" or ")", seen) end,
  [types.dict] = function(v, seen) return "{" .. entries(v, seen, true) .. "}" end,
  [types.OrderedDict] = function(v, seen)
    if v.count == 0 then return "OrderedDict()" end
    return "OrderedDict({" .. entries(v, seen, true) .. "})"
  end,
  [types.defaultdict] = function(v, seen)
    return ("defaultdict(%s, {%s})"):format(format.repr(v.factory or None, seen), entries(v, seen, true))
  end,
  [types.set] = function(v, seen) return v.count == 0 and "set()" or "{" .. entries(v, seen) .. "}" end,
  [types.frozenset] = function(v, seen)
    return v.count == 0 and "frozenset()" or "frozenset({" .. entries(v, seen) .. "})"
  end,
  [types.range] = function(v)
    if v.step == 1 then return ("range(%d, %d)"):format(v.start, v.stop) end
    return ("range(%d, %d, %d)"):format(v.start, v.stop, v.step)
  end,
  [types.NoneType] = function() return "None" end,
  [types.ellipsis] = function() return "Ellipsis" end,
  [types.NotImplementedType] = function() return "NotImplemented" end,
  [types.bytes] = function(v) return "b" .. string_repr(v.data) end,
  [types.slice] = function(v)
    return ("slice(%s, %s, %s)"):format(format.repr(v.start), format.repr(v.stop), format.repr(v.step))
  end,
  [types["function"]] = function(v) return ("<function %s>"):format(v.local_name or v.name) end,
  [types.builtin_function_or_method] = function(v) return ("<built-in function %s>"):format(v.name) end,
  [types.method] = function(v) return ("<bound method %s>"):format(v.func.local_name or v.func.name) end,
  [types.module] = function(v) return ("<module '%s'>"):format(v.module.name) end,
  [types.unknown] = function(v) return ("<unknown %s>"):format(v.origin) end,
}

for _, name in ipairs { "dict_keys", "dict_values", "dict_items" } do
  BUILTIN[types[name]] = function(v, seen)
    local list = format.repr(sequence_of(v), seen)
    return ("%s(%s)"):format(name, list)
  end
end

local function class_name(class)
  if class.module == "builtins" or class.builtin then return class.name end
  return class.module .. "." .. (class.local_name or class.name)
end

local function instance_repr(v, seen)
  local class = v.cls
  if core.is_subclass(class, types.BaseException) then
    local args = v.attrs.args
    return ("%s%s"):format(
      class.name,
      args.n == 1 and "(" .. format.repr(args[1], seen) .. ")" or joined(args, "(", ")", seen)
    )
  end
  for _, base in ipairs(class.mro) do
    if BUILTIN[base] then return BUILTIN[base](v, seen) end
  end
  return ("<%s object>"):format(class_name(class))
end

---repr(v).
function format.repr(v, seen)
  local t = type(v)
  if t == "string" then return string_repr(v) end
  if t == "boolean" then return v and "True" or "False" end
  if t == "number" then return math.type(v) == "integer" and ("%d"):format(v) or float_repr(v) end
  if t ~= "table" then return "<built-in function>" end
  if v.mro then
    local own = lookup_own(v.cls, "__repr__")
    if own then return format.text_of(core.call(own, { v, n = 1 })) end
    return ("<class '%s'>"):format(class_name(v))
  end
  if v.cls.show then return v.cls.show(v, seen or {}) end
  if not v.cls.builtin then
    local own = lookup_own(v.cls, "__repr__")
    if own then return format.text_of(core.call(own, { v, n = 1 })) end
  end
  if v.boxed then return format.repr(v.value, seen) end
  local show = BUILTIN[v.cls]
  if show then return show(v, seen or {}) end
  return instance_repr(v, seen or {})
end

---The text of what __str__ or __repr__ returned.
function format.text_of(v)
  v = unknown.plain(v)
  if type(v) == "string" then return v end
  if unknown.is(v) then return format.repr(v) end
  core.raise("TypeError", "__str__ returned non-string (type %s)", class_of(v).name)
end

local function exception_text(v)
  local args = v.attrs and v.attrs.args
  if not args or unknown.is(args) or args.n == 0 then return "" end
  if args.n == 1 then
    if core.is_subclass(v.cls, types.KeyError) then return format.repr(args[1]) end
    return format.str(args[1])
  end
  return joined(args, "(", ")", {})
end

---str(v) as a Lua string; unknowns show as <unknown name>.
function format.str(v)
  if type(v) == "string" then return v end
  if type(v) ~= "table" or v.mro then return format.repr(v) end
  if v.cls.text then return v.cls.text(v) end
  if not v.cls.builtin then
    local own = lookup_own(v.cls, "__str__")
    if own then return format.text_of(core.call(own, { v, n = 1 })) end
  end
  if v.boxed then return format.str(v.value) end
  if core.is_subclass(v.cls, types.BaseException) then return exception_text(v) end
  return format.repr(v)
end

-- ---- format specifications ----------------------------------------------------------------------

local function group(digits, separator)
  local head = #digits % 3
  local parts = {}
  if head > 0 then parts[1] = digits:sub(1, head) end
  for i = head + 1, #digits, 3 do
    parts[#parts + 1] = digits:sub(i, i + 2)
  end
  return table.concat(parts, separator)
end

local function to_base(n, bits, digits)
  if n == 0 then return "0" end
  local mask, out = (1 << bits) - 1, {}
  while n > 0 do
    out[#out + 1] = digits:sub((n & mask) + 1, (n & mask) + 1)
    n = n >> bits
  end
  return table.concat(out):reverse()
end

local PREFIX = { b = "0b", o = "0o", x = "0x", X = "0X" }
local BITS = { b = 1, o = 3, x = 4, X = 4 }

local function general_float(x, precision, alternate)
  local text = ("%" .. (alternate and "#" or "") .. "." .. math.max(precision, 1) .. "g"):format(x)
  return (text:gsub("e([-+])0*(%d%d)", "e%1%2"))
end

local function number_digits(v, kind, precision)
  local x = math.abs(v)
  if math.type(v) == "integer" and BITS[kind] then
    return to_base(x, BITS[kind], kind == "X" and "0123456789ABCDEF" or "0123456789abcdef")
  end
  if kind == "c" then return utf8.char(v) end
  if math.type(v) == "integer" and (kind == "" or kind == "d" or kind == "n") and not precision then
    return ("%d"):format(x)
  end
  if x ~= x then return "nan" end
  if x == math.huge then return "inf" end
  if kind == "f" or kind == "F" then return ("%." .. (precision or 6) .. "f"):format(x) end
  if kind == "e" or kind == "E" then return ("%." .. (precision or 6) .. kind):format(x) end
  if kind == "%" then return ("%." .. (precision or 6) .. "f%%"):format(x * 100) end
  if kind == "g" or kind == "G" or kind == "n" then return general_float(x, precision or 6) end
  if precision then
    local text = general_float(x, precision)
    return text:find("[.e]") and text or text .. ".0"
  end
  return float_repr(x * 1.0)
end

local function pad(text, width, fill, align)
  local missing = width - (utf8.len(text) or #text)
  if missing <= 0 then return text end
  if align == "<" then return text .. fill:rep(missing) end
  if align == "^" then return fill:rep(missing // 2) .. text .. fill:rep(missing - missing // 2) end
  return fill:rep(missing) .. text
end

local function parse_spec(spec)
  local fill, align, rest = spec:match("^(" .. utf8.charpattern .. ")([<>=^])(.*)$")
  if not fill then
    align, rest = spec:match("^([<>=^]?)(.*)$")
    fill = " "
  end
  local sign, alternate, zero, width, separator, precision, kind =
    rest:match("^([-+ ]?)(#?)(0?)(%d*)([,_]?)%.?(%d*)([a-zA-Z%%]?)$")
  if not sign then core.raise("ValueError", "Invalid format specifier '%s'", spec) end
  if zero == "0" and align == "" then
    fill, align = "0", "="
  end
  width, precision = tonumber(width) or 0, tonumber(precision)
  if width > 1 << 20 or (precision or 0) > 90 then core.stop("a formatted text of more than 1 MB") end
  return {
    fill = fill,
    align = align,
    sign = sign,
    alternate = alternate == "#",
    width = width,
    separator = separator,
    precision = precision,
    kind = kind,
  }
end

local function format_number(v, s)
  local digits = number_digits(v, s.kind, s.precision)
  if s.separator ~= "" then
    local whole, rest = digits:match("^(%d+)(.*)$")
    if whole then digits = group(whole, s.separator) .. rest end
  end
  local sign = (v < 0 or 1 / v == -math.huge) and "-" or s.sign == "-" and "" or s.sign
  if s.alternate and PREFIX[s.kind] then sign = sign .. PREFIX[s.kind] end
  if s.align == "=" then return sign .. pad(digits, s.width - #sign, s.fill, ">") end
  return pad(sign .. digits, s.width, s.fill, s.align == "" and ">" or s.align)
end

---format(v, spec).
function format.format(v, spec)
  if type(v) == "table" and not v.cls.builtin and not v.mro then
    local own = lookup_own(v.cls, "__format__")
    if own then return format.text_of(core.call(own, { v, spec, n = 2 })) end
  end
  if spec == "" then return format.str(v) end
  if unknown.is(v) then return format.str(v) end
  local plain = unknown.plain(v)
  local s = parse_spec(spec)
  if type(plain) == "boolean" and s.kind ~= "s" then plain = plain and 1 or 0 end
  if type(plain) == "number" then return format_number(plain, s) end
  local text = format.str(v)
  if s.precision then text = text:sub(1, (utf8.offset(text, s.precision + 1) or #text + 1) - 1) end
  return pad(text, s.width, s.fill, (s.align == "" or s.align == "=") and "<" or s.align)
end

---Apply !r, !s or !a.
function format.convert(v, conversion)
  if conversion == "r" or conversion == "a" then return format.repr(v) end
  return format.str(v)
end

-- ---- str.format and % ---------------------------------------------------------------------------

local function field_value(name, args, kw, auto)
  local first, rest = name:match("^([^.%[]*)(.*)$")
  local v
  if first == "" then
    auto.n = auto.n + 1
    v = args[auto.n + 1]
  elseif first:match("^%d+$") then
    v = args[tonumber(first) + 2]
  else
    v = kw and kw.map[first]
    if v == nil then core.raise("KeyError", first) end
  end
  if v == nil then
    core.raise(
      "IndexError",
      "Replacement index %s out of range for positional args tuple",
      first == "" and auto.n - 1 or first
    )
  end
  for kind, key in rest:gmatch("([.%[])([^.%[%]]+)%]?") do
    if kind == "." then
      v = object.getattr(v, key)
    else
      v = core.getitem(v, math.tointeger(tonumber(key)) or key)
    end
  end
  return v
end

---str.format: args[1] is the template.
function format.template(args, kw, auto)
  local template, out, i = args[1], {}, 1
  auto = auto or { n = 0 }
  while i <= #template do
    local c = template:sub(i, i)
    local two = template:sub(i, i + 1)
    if two == "{{" or two == "}}" then
      out[#out + 1] = c
      i = i + 2
    elseif c == "{" then
      local body = template:match("^%b{}", i)
      if not body then core.raise("ValueError", "expected '}' before end of string") end
      local name, conversion, spec = body:sub(2, -2):match("^([^!:]*)!?([rsa]?):?(.*)$")
      local v = field_value(name, args, kw, auto)
      if conversion ~= "" then v = format.convert(v, conversion) end
      if spec:find("{", 1, true) then
        local nested = { spec, n = args.n }
        table.move(args, 2, args.n, 2, nested)
        spec = format.template(nested, kw, auto)
      end
      out[#out + 1] = format.format(v, spec)
      i = i + #body
    else
      local plain = template:match("^[^{}]+", i)
      if not plain then core.raise("ValueError", "Single '}' encountered in format string") end
      out[#out + 1] = plain
      i = i + #plain
    end
  end
  return table.concat(out)
end

local function percent_one(flags, width, precision, kind, v)
  if kind == "s" or kind == "r" or kind == "a" then
    v = kind == "s" and format.str(v) or format.repr(v)
    if precision ~= "" then v = v:sub(1, tonumber(precision)) end
    return pad(v, tonumber(width) or 0, " ", flags:find("-", 1, true) and "<" or ">")
  end
  if unknown.is(v) then return format.str(v) end
  v = unknown.plain(v)
  if type(v) == "boolean" then v = v and 1 or 0 end
  if type(v) ~= "number" then
    core.raise("TypeError", "%%%s format: a real number is required, not %s", kind, class_of(v).name)
  end
  if kind == "d" or kind == "i" or kind == "u" then
    v = math.type(v) == "integer" and v or math.tointeger(v < 0 and math.ceil(v) or math.floor(v)) or v
    kind = "d"
  end
  local s = {
    fill = " ",
    align = ">",
    sign = flags:match("[+ ]") or "",
    alternate = flags:find("#", 1, true) ~= nil,
    width = tonumber(width) or 0,
    separator = "",
    precision = kind ~= "d" and tonumber(precision) or nil,
    kind = kind,
  }
  if flags:find("-", 1, true) then
    s.align = "<"
  elseif flags:find("0", 1, true) then
    s.fill, s.align = "0", "="
  end
  return format_number(v, s)
end

---template % args.
function format.percent(template, args)
  if unknown.is(args) then return unknown.new("formatted text") end
  local is_tuple = type(args) == "table" and args.cls == types.tuple
  local used = 0
  local function next_arg()
    used = used + 1
    if is_tuple then
      if used > args.n then core.raise("TypeError", "not enough arguments for format string") end
      return args[used]
    end
    if used > 1 then core.raise("TypeError", "not enough arguments for format string") end
    return args
  end
  local out, i = {}, 1
  while i <= #template do
    local plain = template:match("^[^%%]+", i)
    if plain then
      out[#out + 1] = plain
      i = i + #plain
    elseif template:sub(i, i + 1) == "%%" then
      out[#out + 1] = "%"
      i = i + 2
    else
      local spec, name, flags, width, precision, kind =
        template:match("^(%%(%b())([-+ #0]*)(%d*)%.?(%d*)[lh]?([a-zA-Z]))", i)
      if not spec then
        spec, flags, width, precision, kind =
          template:match("^(%%([-+ #0]*)([%d*]*)%.?(%d*)[lh]?([a-zA-Z]))", i)
      end
      if not spec then core.raise("ValueError", "incomplete format") end
      if width == "*" then width = format.str(next_arg()) end
      local v
      if name then
        v = core.getitem(args, name:sub(2, -2))
      else
        v = next_arg()
      end
      out[#out + 1] = percent_one(flags, width, precision, kind, v)
      i = i + #spec
    end
  end
  if is_tuple and used < args.n then
    core.raise("TypeError", "not all arguments converted during string formatting")
  end
  return table.concat(out)
end

return format
