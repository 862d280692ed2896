--- torch, torch.nn.functional and the methods of tensors, mapped onto hone's tensors. Dimensions and positions
--- are converted here: torch counts them from 0.
--
-- A row of the tables below is a function of torch: its parameters, where it is found (`t` torch, `m` a tensor's
-- method, `f` torch.nn.functional), and what it does with its arguments, in which what was left out, and None,
-- is nil.
local tensor = require "hone.tensor"
local runtime = require "hone.python.concrete.runtime"
local values = require "hone.python.concrete.values"
local words = require("hone.text").words

local fail, type_name = runtime.fail, values.type_name
local None = values.None
local math_type = math.type

-- Nothing else here is a userdata.
local function is_tensor(v) return type(v) == "userdata" end

local members, functional, methods = {}, {}, runtime.tensor_methods
local PLACES = { t = members, f = functional, m = methods }

-- ---- arguments -------------------------------------------------------------------------------------

local function bind_keywords(name, at, list, keywords)
  for key, value in pairs(keywords) do
    local place = at[key]
    if not place then fail("TypeError", "%s() got an unexpected keyword argument '%s'", name, key) end
    if list[place] ~= nil then fail("TypeError", "%s() got multiple values for argument '%s'", name, key) end
    if value ~= None then list[place] = value end
  end
end

local function need_tensor(v, name)
  if not is_tensor(v) then fail("TypeError", "%s(): a Tensor is expected, not %s", name, type_name(v)) end
  return v
end

local MOST_PARAMETERS = 6

-- { words, at = { [name] = place }, required, count, is_tensors }. A word that ends in "?" may be left out; the first
-- is a tensor if it is called `input`.
local function read_parameters(text)
  local p = { words = words(text), at = {}, required = 0 }
  for i, word in ipairs(p.words) do
    local plain = word:gsub("[?_]$", "")
    p.at[plain] = i
    if not word:find "%?$" then p.required = i end
  end
  p.count, p.is_tensors = #p.words, p.words[1] == "input"
  assert(p.count <= MOST_PARAMETERS, text)
  if p.at.input then p.at.self = p.at.input end
  return p
end

local function check_arguments(name, p, list)
  for i = 1, p.required do
    if list[i] == nil then fail("TypeError", "%s() missing a required argument: '%s'", name, p.words[i]) end
  end
  for i = p.count + 1, MOST_PARAMETERS + 1 do
    if list[i] ~= nil then fail("TypeError", "%s() takes at most %d arguments", name, p.count) end
  end
  if p.is_tensors then need_tensor(list[1], name) end
end

-- function(keywords, ...) of a Lua function with these parameters.
local function with_parameters(name, text, f)
  local p = read_parameters(text)
  local required, count = p.required, p.count
  local function bind(keywords, ...)
    local list = { ... }
    for i = 1, MOST_PARAMETERS do
      if list[i] == None then list[i] = nil end
    end
    if keywords then bind_keywords(name, p.at, list, keywords) end
    check_arguments(name, p, list)
    return f(table.unpack(list, 1, count))
  end
  -- The plain case first: a tensor, and one or two arguments of Lua's own kinds.
  local function call(keywords, a, b, c, ...)
    if keywords or ... ~= nil or not is_tensor(a) then return bind(keywords, a, b, c, ...) end
    if b == None or c == None then return bind(nil, a, b, c) end
    if required > 1 and b == nil or required > 2 or count < 3 and c ~= nil or count < 2 and b ~= nil then
      return bind(nil, a, b, c)
    end
    return f(a, b, c)
  end
  runtime.parameters[call] = p.at
  return call
end

local function put(places, name, f)
  for place in places:gmatch "." do
    local held = PLACES[place]
    held[name] = f
  end
end

local function define(places, names, parameters, f)
  for name in names:gmatch "%S+" do
    put(places, name, with_parameters(name, parameters, f))
  end
end

-- ---- dimensions, sizes -----------------------------------------------------------------------------

local function dim_of(v)
  if v == nil then return nil end
  if math_type(v) == "integer" then return v >= 0 and v + 1 or v end
  local d = runtime.integer(v)
  return d >= 0 and d + 1 or d
end

-- One dimension, several, or none given.
local function dims_of(v)
  if v == nil or not values.is_sequence(v) then return dim_of(v) end
  local list = {}
  for i = 1, v.n do
    list[i] = dim_of(v[i])
  end
  return list
end

-- Sizes given one by one, or as one sequence, from argument `from` of `list` on.
local function sizes_of(...)
  local first = ...
  local list = values.is_sequence(first) and first or table.pack(...)
  local sizes = {}
  for i = 1, list.n do
    sizes[i] = runtime.integer(list[i])
  end
  return sizes
end

local function shape_of(t)
  local sizes = t:shape()
  sizes.n = #sizes
  return setmetatable(sizes, values.Tuple)
end

local function truth_or(v, otherwise)
  if v == nil then return otherwise end
  return runtime.truth(v)
end

-- { dtype = ... }, nil where there is none.
local function dtype_option(dtype) return dtype and { dtype = values.dtype_name(dtype) } end

local function options_of(dtype, device)
  return { dtype = values.dtype_name(dtype), device = values.device_name(device) }
end

local function keyword_options(keywords, known)
  local options = {}
  for key, value in pairs(keywords or {}) do
    if key == "dtype" or key == "device" then
      if value ~= None then options[key] = values[key .. "_name"](value) end
    elseif not known[key] then
      fail("TypeError", "got an unexpected keyword argument '%s'", key)
    end
  end
  return options
end

local function pair(a, b) return values.tuple({ a, b }, 2) end

-- What torch.max(x, dim) and such give: a tuple whose parts have names too.
local function named_pair(a, b) return values.tuple({ a, b, values = a, indices = b }, 2) end

-- ---- elementwise -----------------------------------------------------------------------------------

local UNARY = "neg abs sign square floor ceil trunc round frac relu reciprocal sqrt rsqrt exp exp2 expm1 log log2 "
  .. "log10 log1p sin cos tan tanh erf sigmoid logical_not bitwise_not"
for name in UNARY:gmatch "%S+" do
  define("tm", name, "input", function(t) return t[name](t) end)
  local in_place = name .. "_"
  define("m", in_place, "input", function(t) return t[in_place](t) end)
end
define("tm", "isnan", "input", function(t) return t:isnan() end)
define("tm", "isinf", "input", function(t) return t:isinf() end)
define("tm", "isfinite", "input", function(t) return t:isfinite() end)
define("tm", "absolute", "input", function(t) return t:abs() end)
define("tm", "negative", "input", function(t) return t:neg() end)
define("f", "relu", "input inplace?", function(t) return t:relu() end)
define("f", "sigmoid", "input", function(t) return t:sigmoid() end)
define("f", "tanh", "input", function(t) return t:tanh() end)
define(
  "f",
  "silu",
  "input inplace?",
  function(t, inplace) return truth_or(inplace, false) and t:silu_() or t:silu() end
)
define(
  "f",
  "gelu",
  "input approximate?",
  function(t, approximate) return approximate == "tanh" and t:gelu_tanh() or t:gelu() end
)
define(
  "f",
  "softplus",
  "input beta? threshold?",
  function(t, beta, threshold) return t:softplus(beta or 1, threshold or 20) end
)
define("f", "logsigmoid", "input", function(t) return -(-t):softplus() end)

local BINARY = { -- torch's name, hone's
  "mul mul",
  "multiply mul",
  "pow pow",
  "maximum maximum",
  "minimum minimum",
  "atan2 atan2",
  "remainder remainder",
  "fmod fmod",
  "floor_divide floor_divide",
  "eq eq",
  "ne ne",
  "lt lt",
  "le le",
  "gt gt",
  "ge ge",
  "logical_and logical_and",
  "logical_or logical_or",
  "logical_xor logical_xor",
  "bitwise_and bitwise_and",
  "bitwise_or bitwise_or",
  "bitwise_xor bitwise_xor",
  "bitwise_left_shift bitwise_left_shift",
  "bitwise_right_shift bitwise_right_shift",
}

-- The method of whichever operand is a tensor; a number in front is made one.
local function call_binary(method, a, b)
  if not is_tensor(a) then a = tensor.new(a, { device = b.device }) end
  return a[method](a, b)
end

for _, row in ipairs(BINARY) do
  local name, method = row:match "(%S+) (%S+)"
  define("tm", name, "input_ other", function(a, b) return call_binary(method, a, b) end)
  local in_place = method .. "_"
  define("m", name .. "_", "input other", function(a, b) return a[in_place](a, b) end)
end

local function scaled(other, alpha)
  return (alpha == nil or alpha == 1) and other or runtime.multiply(other, alpha)
end

define("tm", "add", "input_ other alpha?", function(a, b, alpha) return a + scaled(b, alpha) end)
define("tm", "sub subtract", "input_ other alpha?", function(a, b, alpha) return a - scaled(b, alpha) end)
define("m", "add_", "input other alpha?", function(a, b, alpha) return a:add_(scaled(b, alpha)) end)
define("m", "sub_", "input other alpha?", function(a, b, alpha) return a:sub_(scaled(b, alpha)) end)

local ROUNDINGS = { floor = "floor_divide" }
local function divide(a, b, mode)
  if mode == nil then return call_binary("div", a, b) end
  if mode == "trunc" then return call_binary("div", a, b):trunc():to(tensor.result_type(a, b)) end
  local method = ROUNDINGS[mode]
    or fail("ValueError", "div(): rounding_mode is 'trunc' or 'floor', not %s", values.repr(mode))
  return call_binary(method, a, b)
end
define("tm", "div divide true_divide", "input_ other rounding_mode?", divide)
define("m", "div_", "input other", function(a, b) return a:div_(b) end)

define("tm", "clamp clip", "input min? max?", function(t, low, high) return t:clamp(low, high) end)
define("m", "clamp_ clip_", "input min? max?", function(t, low, high) return t:clamp_(low, high) end)
define("tm", "clamp_min", "input min", function(t, low) return t:clamp(low, nil) end)
define("tm", "clamp_max", "input max", function(t, high) return t:clamp(nil, high) end)
define("tm", "lerp", "input end weight", function(t, other, weight) return t:lerp(other, weight) end)
define("tm", "rsub", "input other", function(t, other) return other - t end)
define(
  "tm",
  "masked_fill",
  "input mask value",
  function(t, mask, value) return t:masked_fill(mask, value) end
)
define(
  "m",
  "masked_fill_",
  "input mask value",
  function(t, mask, value) return t:masked_fill_(mask, value) end
)
define("m", "copy_", "input src non_blocking?", function(t, from) return t:copy_(from) end)
define("m", "fill_", "input value", function(t, value) return t:fill_(value) end)
define("m", "zero_", "input", function(t) return t:zero_() end)

define("t", "where", "condition input? other?", function(mask, a, b)
  if a ~= nil then return tensor.where(mask, a, b) end
  local places = need_tensor(mask, "where"):nonzero()
  local list = {}
  for d = 1, mask:dim() do
    list[d] = places:select(2, d)
  end
  return values.tuple(list, mask:dim())
end)
define(
  "m",
  "where",
  "input condition other",
  function(t, mask, other) return tensor.where(mask, t, other) end
)

-- ---- reductions ------------------------------------------------------------------------------------

for _, name in ipairs { "sum", "prod", "mean" } do
  define(
    "tm",
    name,
    "input dim? keepdim? dtype?",
    function(t, dim, keepdim, dtype)
      return t[name](t, dims_of(dim), truth_or(keepdim, false), dtype_option(dtype))
    end
  )
end
for _, name in ipairs { "amax", "amin", "any", "all", "logsumexp" } do
  define(
    "tm",
    name,
    "input dim? keepdim?",
    function(t, dim, keepdim) return t[name](t, dims_of(dim), truth_or(keepdim, false)) end
  )
end
for _, name in ipairs { "argmax", "argmin" } do
  define(
    "tm",
    name,
    "input dim? keepdim?",
    function(t, dim, keepdim) return t[name](t, dim_of(dim), truth_or(keepdim, false)) end
  )
end
for _, name in ipairs { "max", "min" } do
  local between = name .. "imum"
  define("tm", name, "input dim? keepdim?", function(t, dim, keepdim)
    if dim == nil then return t[name](t) end
    if is_tensor(dim) then return t[between](t, dim) end
    return named_pair(t[name](t, dim_of(dim), truth_or(keepdim, false)))
  end)
end
for _, name in ipairs { "var", "std" } do
  define(
    "tm",
    name,
    "input dim? unbiased? keepdim? correction?",
    function(t, dim, unbiased, keepdim, correction)
      local dims = dims_of(dim)
      local list = type(dims) == "table" and dims or { dims }
      list.correction = correction or (truth_or(unbiased, true) and 1 or 0)
      return t[name](t, list, truth_or(keepdim, false))
    end
  )
end
define("tm", "norm", "input p? dim? keepdim?", function(t, p, dim, keepdim)
  if p ~= nil and p ~= 2 and p ~= "fro" then
    fail("NotImplementedError", "hone knows norm() for p = 2 only")
  end
  return t:norm(dims_of(dim), truth_or(keepdim, false))
end)
define("tmf", "softmax", "input dim? dtype? _stacklevel?", function(t, dim, dtype)
  if dim == nil then fail("TypeError", "softmax() missing a required argument: 'dim'") end
  return t:softmax(dim_of(dim), dtype_option(dtype))
end)
define(
  "tmf",
  "log_softmax",
  "input dim dtype?",
  function(t, dim, dtype) return t:log_softmax(dim_of(dim), dtype_option(dtype)) end
)
local function cast(t, dtype)
  local name = values.dtype_name(dtype)
  return name and t:to(name) or t
end
define(
  "tm",
  "cumsum",
  "input dim dtype?",
  function(t, dim, dtype) return cast(t, dtype):cumsum(dim_of(dim)) end
)
define(
  "tm",
  "cumprod",
  "input dim dtype?",
  function(t, dim, dtype) return cast(t, dtype):cumprod(dim_of(dim)) end
)
define("tm", "count_nonzero", "input dim?", function(t, dim) return t:ne(0):sum(dims_of(dim)) end)
-- log(exp(a) + exp(b)); two infinities of one sign leave no difference to take.
define("tm", "logaddexp", "input other", function(a, b)
  local most = a:maximum(b)
  local sum = most + (a - b):abs():neg():exp():log1p()
  return tensor.where(most:isinf(), most, sum)
end)
define(
  "tm",
  "allclose",
  "input other rtol? atol? equal_nan?",
  function(t, other, rtol, atol, equal_nan)
    return t:allclose(other, { rtol = rtol, atol = atol, equal_nan = equal_nan })
  end
)
define("tm", "equal", "input other", function(t, other) return t:equal(other) end)

-- ---- order -----------------------------------------------------------------------------------------

define(
  "tm",
  "sort",
  "input dim? descending? stable?",
  function(t, dim, descending) return named_pair(t:sort(dim_of(dim or -1), truth_or(descending, false))) end
)
define(
  "tm",
  "argsort",
  "input dim? descending? stable?",
  function(t, dim, descending) return t:argsort(dim_of(dim or -1), truth_or(descending, false)) end
)
define(
  "tm",
  "topk",
  "input k dim? largest? sorted?",
  function(t, k, dim, largest)
    return named_pair(t:topk(runtime.integer(k), dim_of(dim or -1), truth_or(largest, true)))
  end
)
define("t", "searchsorted", "sorted_sequence input out_int32? right?", function(sorted, input, narrow, right)
  local places = sorted:searchsorted(is_tensor(input) and input or tensor.new(input), truth_or(right, false))
  return truth_or(narrow, false) and places:to "int32" or places
end)
define("tm", "unique", "input sorted? return_inverse? return_counts?", function(t, _, inverse, counts)
  local found, places, times = t:unique()
  local list = { found }
  if truth_or(inverse, false) then list[#list + 1] = places end
  if truth_or(counts, false) then list[#list + 1] = times end
  return #list == 1 and found or values.tuple(list)
end)
define("tm", "bincount", "input weights? minlength?", function(t, weights, least)
  local n = math.max(least or 0, t:numel() > 0 and t:max():item() + 1 or 0)
  local made = tensor.zeros(n, { dtype = weights and weights.dtype or "int64", device = t.device })
  return made:scatter_add_(
    1,
    t:to "int64",
    weights or tensor.ones(t:numel(), { dtype = "int64", device = t.device })
  )
end)

-- ---- shapes ----------------------------------------------------------------------------------------

local function method_of_sizes(name, f)
  methods[name] = function(keywords, t, ...)
    local sizes = sizes_of(...)
    for key, value in pairs(keywords or {}) do
      if key ~= "size" and key ~= "shape" and key ~= "repeats" then
        fail("TypeError", "%s() got an unexpected keyword argument '%s'", name, key)
      end
      sizes = sizes_of(value)
    end
    return f(t, sizes)
  end
end

methods.view = function(_, t, first, ...)
  if math_type(first) == "integer" and ... == nil then return t:view(first) end
  local mt = getmetatable(first)
  if mt == values.DType or mt == values.Type then return t:view(values.dtype_name(first)) end
  return t:view(sizes_of(first, ...))
end
method_of_sizes("reshape", function(t, sizes) return t:reshape(sizes) end)
method_of_sizes("expand", function(t, sizes) return t:expand(sizes) end)
method_of_sizes("repeat", function(t, sizes) return t:tile(sizes) end)
method_of_sizes("tile", function(t, sizes) return t:tile(sizes) end)
method_of_sizes("permute", function(t, dims)
  for i, d in ipairs(dims) do
    dims[i] = dim_of(d)
  end
  return t:permute(dims)
end)
method_of_sizes("flip", function(t, dims)
  for i, d in ipairs(dims) do
    dims[i] = dim_of(d)
  end
  return t:flip(dims)
end)
define("t", "reshape", "input shape", function(t, shape) return t:reshape(sizes_of(shape)) end)
define("t", "permute", "input dims", function(t, dims) return t:permute(dims_of(dims)) end)
define("t", "flip", "input dims", function(t, dims) return t:flip(dims_of(dims)) end)
define("t", "tile", "input dims", function(t, dims) return t:tile(sizes_of(dims)) end)
define("t", "broadcast_to", "input size", function(t, size) return t:expand(sizes_of(size)) end)
define("m", "view_as", "input other", function(t, other) return t:view(other:shape()) end)
define("m", "reshape_as", "input other", function(t, other) return t:reshape(other:shape()) end)
define("m", "expand_as", "input other", function(t, other) return t:expand_as(other) end)
define("tm", "t", "input", function(t) return t:t() end)
define(
  "tm",
  "transpose swapaxes swapdims",
  "input dim0 dim1",
  function(t, a, b) return t:transpose(dim_of(a), dim_of(b)) end
)
define("tm", "squeeze", "input dim?", function(t, dim) return t:squeeze(dim_of(dim)) end)
define("tm", "unsqueeze", "input dim", function(t, dim) return t:unsqueeze(dim_of(dim)) end)
define(
  "tm",
  "flatten",
  "input start_dim? end_dim?",
  function(t, first, last) return t:flatten(dim_of(first or 0), dim_of(last or -1)) end
)
define("tm", "ravel", "input", function(t) return t:reshape(-1) end)
define(
  "tm",
  "unflatten",
  "input dim sizes",
  function(t, dim, sizes) return t:unflatten(dim_of(dim), sizes_of(sizes)) end
)
define(
  "tm",
  "narrow",
  "input dim start length",
  function(t, dim, start, length)
    return t:narrow(dim_of(dim), runtime.integer(start) + 1, runtime.integer(length))
  end
)
define(
  "tm",
  "select",
  "input dim index",
  function(t, dim, index) return t:select(dim_of(dim), dim_of(index)) end
)
define("tm", "diagonal", "input", function(t) return t:diagonal() end)
define("m", "contiguous", "input", function(t) return t:contiguous() end)
define("tm", "clone", "input", function(t) return t:clone() end)
define("tm", "detach", "input", function(t) return t end)
define("tm", "tril", "input diagonal?", function(t, diagonal) return t:tril(diagonal or 0) end)
define("tm", "triu", "input diagonal?", function(t, diagonal) return t:triu(diagonal or 0) end)
define("tm", "roll", "input shifts dims", function(t, shifts, dims)
  local d, n = dim_of(dims), t:size(dim_of(dims))
  if n == 0 then return t:clone() end
  local by = shifts % n
  if by == 0 then return t:clone() end
  return tensor.cat({ t:narrow(d, n - by + 1, by), t:narrow(d, 1, n - by) }, d)
end)

local function list_of(tensors) return values.tuple(tensors, #tensors) end

define(
  "tm",
  "chunk",
  "input chunks dim?",
  function(t, n, dim) return list_of(t:chunk(n, dim_of(dim or 0))) end
)
define(
  "tm",
  "split",
  "input split_size_or_sections dim?",
  function(t, size, dim)
    return list_of(t:split(values.is_sequence(size) and sizes_of(size) or size, dim_of(dim or 0)))
  end
)
define("tm", "unbind", "input dim?", function(t, dim) return list_of(t:unbind(dim_of(dim or 0))) end)
define(
  "tm",
  "repeat_interleave",
  "input repeats dim?",
  function(t, times, dim) return t:repeat_interleave(times, dim_of(dim)) end
)
define("f", "pad", "input pad mode? value?", function(t, pad, mode, value)
  if mode ~= nil and mode ~= "constant" then
    fail("NotImplementedError", "hone knows pad() with mode 'constant' only")
  end
  local sizes, box = t:shape(), {}
  for i = 1, #sizes do
    box[i] = { 1, sizes[i] }
  end
  for i = 1, pad.n // 2 do
    local d, before, after = #sizes + 1 - i, pad[2 * i - 1], pad[2 * i]
    box[d] = { before + 1, before + sizes[d] }
    sizes[d] = sizes[d] + before + after
  end
  local made = tensor.full(sizes, value or 0, { dtype = t.dtype, device = t.device })
  made[box] = t
  return made
end)

local function sequence_of_tensors(v)
  local list = values.is_sequence(v) and v or runtime.collect(v)
  for i = 1, list.n do
    need_tensor(list[i], "cat")
  end
  return list
end

define(
  "t",
  "cat concat concatenate",
  "tensors dim?",
  function(list, dim) return tensor.cat(sequence_of_tensors(list), dim_of(dim or 0)) end
)
define(
  "t",
  "stack",
  "tensors dim?",
  function(list, dim) return tensor.stack(sequence_of_tensors(list), dim_of(dim or 0)) end
)

-- ---- indexing --------------------------------------------------------------------------------------

define(
  "tm",
  "index_select",
  "input dim index",
  function(t, dim, index) return t:index_select(dim_of(dim), index) end
)
define("tm", "gather", "input dim index", function(t, dim, index) return t:gather(dim_of(dim), index) end)
define("tm", "take", "input index", function(t, index) return t:take(index) end)
define("tm", "masked_select", "input mask", function(t, mask) return t:masked_select(mask) end)
define(
  "m",
  "scatter_",
  "input dim index src",
  function(t, dim, index, src) return t:scatter_(dim_of(dim), index, src) end
)
define(
  "m",
  "scatter_add_",
  "input dim index src",
  function(t, dim, index, src) return t:scatter_add_(dim_of(dim), index, src) end
)
define(
  "tm",
  "scatter",
  "input dim index src",
  function(t, dim, index, src) return t:clone():scatter_(dim_of(dim), index, src) end
)
define(
  "tm",
  "scatter_add",
  "input dim index src",
  function(t, dim, index, src) return t:clone():scatter_add_(dim_of(dim), index, src) end
)
define(
  "m",
  "index_add_",
  "input dim index source alpha?",
  function(t, dim, index, source, alpha) return t:index_add_(dim_of(dim), index, scaled(source, alpha)) end
)
define(
  "tm",
  "index_add",
  "input dim index source alpha?",
  function(t, dim, index, source, alpha)
    return t:clone():index_add_(dim_of(dim), index, scaled(source, alpha))
  end
)
define(
  "m",
  "index_copy_",
  "input dim index source",
  function(t, dim, index, source) return t:index_copy_(dim_of(dim), index, source) end
)
define("tm", "nonzero", "input as_tuple?", function(t, as_tuple)
  local places = t:nonzero()
  if not truth_or(as_tuple, false) then return places end
  local list = {}
  for d = 1, t:dim() do
    list[d] = places:select(2, d)
  end
  return values.tuple(list, t:dim())
end)

-- ---- products --------------------------------------------------------------------------------------

for _, name in ipairs { "matmul", "mm", "bmm", "mv", "dot", "outer" } do
  define("tm", name, "input other", function(a, b) return a[name](a, need_tensor(b, name)) end)
end
define(
  "tm",
  "addmm",
  "input mat1 mat2 beta? alpha?",
  function(t, a, b, beta, alpha) return t:addmm(a, b, { beta = beta, alpha = alpha }) end
)
define(
  "tm",
  "baddbmm",
  "input batch1 batch2 beta? alpha?",
  function(t, a, b, beta, alpha) return t:baddbmm(a, b, { beta = beta, alpha = alpha }) end
)
define("f", "linear", "input weight bias?", function(t, weight, bias)
  local product = t:matmul(weight:t())
  return bias and product + bias or product
end)
members.einsum = function(_, equation, first, ...)
  if values.is_sequence(first) then return tensor.einsum(equation, table.unpack(first, 1, first.n)) end
  return tensor.einsum(equation, first, ...)
end
define("f", "one_hot", "input num_classes?", function(t, classes)
  local n = classes or t:max():item() + 1
  return t:unsqueeze(-1):eq(tensor.arange(n, { device = t.device })):to "int64"
end)
define("f", "rms_norm", "input normalized_shape weight? eps?", function(t, shape, weight, eps)
  local dims = {}
  for i = 1, shape.n do
    dims[i] = -i
  end
  local x = t:to "float32"
  local normal = x * (x * x):mean(dims, true):add(eps or 0x1p-23):rsqrt()
  local scaled_up = weight and normal * weight:to "float32" or normal
  return scaled_up:to(t.dtype)
end)

-- ---- numbers, types, places ------------------------------------------------------------------------

define("m", "item", "input", function(t)
  if t:numel() ~= 1 then
    fail("RuntimeError", "a Tensor with %d elements cannot be converted to Scalar", t:numel())
  end
  return t:item()
end)

local function list_from(plain)
  if type(plain) ~= "table" then return plain end
  for i, item in ipairs(plain) do
    plain[i] = list_from(item)
  end
  return values.list(plain)
end
define("m", "tolist", "input", function(t) return list_from(t:tolist()) end)
define("m", "dim ndimension", "input", function(t) return t:dim() end)
define("tm", "numel", "input", function(t) return t:numel() end)
define("m", "nelement", "input", function(t) return t:numel() end)
define("m", "element_size", "input", function(t) return t:element_size() end)
define("m", "size", "input dim?", function(t, dim)
  if dim == nil then return shape_of(t) end
  return t:size(dim_of(dim))
end)
define("m", "stride", "input dim?", function(t, dim)
  local strides = t:stride()
  if dim == nil then return values.tuple(strides) end
  return strides[dim_of(dim)] or strides[#strides + 1 + dim]
end)
define("m", "is_contiguous", "input", function(t) return t:is_contiguous() end)
define("tm", "is_floating_point", "input", function(t) return t:is_floating_point() end)
define("t", "is_tensor", "obj", function(v) return is_tensor(v) end)

local DTYPE_METHODS = {
  float = "float32",
  double = "float64",
  half = "float16",
  bfloat16 = "bfloat16",
  long = "int64",
  int = "int32",
  short = "int16",
  char = "int8",
  byte = "uint8",
  bool = "bool",
}
for name, dtype in pairs(DTYPE_METHODS) do
  define("m", name, "input", function(t) return t:to(dtype) end)
end
define("m", "type", "input dtype", function(t, dtype) return t:to(values.dtype_name(dtype)) end)
define(
  "m",
  "type_as",
  "input other",
  function(t, other) return t:to { dtype = other.dtype, device = other.device } end
)
define("m", "cpu", "input", function(t) return t:to "cpu" end)
define(
  "m",
  "cuda",
  "input device?",
  function(t, device) return t:to(values.device_name(device) or "cuda:0") end
)

-- to(dtype), to(device), to(device, dtype), to(other), and by keywords.
local function move(keywords, t, ...)
  local options = keyword_options(keywords, { copy = true, non_blocking = true })
  for _, v in ipairs { ... } do
    local mt = getmetatable(v)
    if is_tensor(v) then
      options.dtype, options.device = v.dtype, v.device
    elseif mt == values.DType or mt == values.Type then
      options.dtype = values.dtype_name(v)
    elseif mt == values.Device or type(v) == "string" then
      options.device = values.device_name(v)
    end
  end
  local made = t:to(options)
  local copy = keywords and keywords.copy
  return copy == true and made:data_ptr() == t:data_ptr() and made:clone() or made
end

methods.to = function(keywords, t, first, ...)
  if not keywords and getmetatable(first) == values.DType and ... == nil then return t:to(first.name) end
  return move(keywords, t, first, ...)
end

local function transposed(t)
  local dims = {}
  for d = t:dim(), 1, -1 do
    dims[#dims + 1] = d
  end
  return t:permute(dims)
end

local attributes = runtime.tensor_attributes
attributes.shape = shape_of
function attributes.dtype(t) return values.dtype(t.dtype) end
function attributes.device(t) return values.device(t.device) end
function attributes.ndim(t) return t:dim() end
attributes.T = transposed
function attributes.mT(t) return t:transpose(-1, -2) end
function attributes.is_cuda(t) return t.device ~= "cpu" end
function attributes.data(t) return t end
function attributes.requires_grad() return false end
function attributes.itemsize(t) return t:element_size() end

-- ---- making ----------------------------------------------------------------------------------------

local IGNORED = { requires_grad = true, layout = true, pin_memory = true, memory_format = true, out = true }

local function maker(name)
  members[name] = function(keywords, ...)
    local options = keyword_options(keywords, { size = true, requires_grad = true })
    local sizes = keywords and keywords.size and sizes_of(keywords.size) or sizes_of(...)
    return tensor[name](sizes, options)
  end
  methods["new_" .. name] = function(keywords, t, ...)
    local options = keyword_options(keywords, { requires_grad = true })
    options.dtype, options.device = options.dtype or t.dtype, options.device or t.device
    return tensor[name](sizes_of(...), options)
  end
  local like = name .. "_like"
  members[like] = function(keywords, t)
    return tensor[like](need_tensor(t, like), keyword_options(keywords, IGNORED))
  end
end
for _, name in ipairs { "empty", "zeros", "ones" } do
  maker(name)
end

define(
  "t",
  "full",
  "size fill_value dtype? device? requires_grad?",
  function(size, value, dtype, device) return tensor.full(sizes_of(size), value, options_of(dtype, device)) end
)
define(
  "t",
  "full_like",
  "input fill_value dtype? device?",
  function(t, value, dtype, device) return tensor.full_like(t, value, options_of(dtype, device)) end
)
define("m", "new_full", "input size fill_value dtype? device?", function(t, size, value, dtype, device)
  local options = options_of(dtype, device)
  return tensor.full(
    sizes_of(size),
    value,
    { dtype = options.dtype or t.dtype, device = options.device or t.device }
  )
end)
define(
  "m",
  "new_tensor",
  "input data dtype? device?",
  function(t, data, dtype, device)
    return members.tensor(nil, data, dtype or values.dtype(t.dtype), device or values.device(t.device))
  end
)

local function bound(v) return is_tensor(v) and v:item() or v end

members.arange = function(keywords, ...)
  local options =
    keyword_options(keywords, { start = true, ["end"] = true, step = true, requires_grad = true })
  local numbers = { ... }
  if keywords and (keywords["end"] or keywords.start or keywords.step) then
    numbers =
      { keywords.start or numbers[1] or 0, keywords["end"] or numbers[2], keywords.step or numbers[3] or 1 }
  end
  for i, v in ipairs(numbers) do
    numbers[i] = bound(v)
  end
  numbers[#numbers + 1] = options
  return tensor.arange(table.unpack(numbers))
end
define(
  "t",
  "linspace",
  "start end steps dtype? device?",
  function(first, last, steps, dtype, device)
    return tensor.linspace(bound(first), bound(last), steps, options_of(dtype, device))
  end
)
define(
  "t",
  "eye",
  "n m? dtype? device?",
  function(n, m, dtype, device) return tensor.eye(n, m or n, options_of(dtype, device)) end
)

local function plain_data(v)
  if is_tensor(v) then return v:tolist() end
  if not values.is_sequence(v) then return v end
  local list = {}
  for i = 1, v.n do
    list[i] = plain_data(v[i])
  end
  return list
end
local function to_tensor(data, dtype, device)
  if is_tensor(data) then return data:clone():to(options_of(dtype, device)) end
  return tensor.new(plain_data(data), options_of(dtype, device))
end
define("t", "tensor as_tensor", "data dtype? device? requires_grad?", to_tensor)
define("t", "scalar_tensor", "data dtype? device?", to_tensor)

for _, name in ipairs { "rand", "randn" } do
  members[name] = function(keywords, ...)
    return tensor[name](sizes_of(...), keyword_options(keywords, { generator = true, requires_grad = true }))
  end
end
define("t", "randint", "low high? size? dtype? device? generator?", function(low, high, size, dtype, device)
  if values.is_sequence(high) then return tensor.randint(low, sizes_of(high), options_of(size, dtype)) end
  return tensor.randint(low, high, sizes_of(size), options_of(dtype, device))
end)
define(
  "t",
  "randperm",
  "n dtype? device? generator?",
  function(n, dtype, device) return tensor.randperm(n, options_of(dtype, device)) end
)
define(
  "tm",
  "multinomial",
  "input num_samples replacement? generator?",
  function(t, n, replacement) return t:multinomial(n, truth_or(replacement, false)) end
)
define("tm", "bernoulli", "input generator?", function(t) return t:bernoulli() end)
define("m", "exponential_", "input lambd? generator?", function(t, rate) return t:exponential_(rate or 1) end)
define("t", "manual_seed", "seed", function(seed)
  tensor.manual_seed(seed)
  return None
end)
define(
  "t",
  "result_type",
  "tensor1 tensor2",
  function(a, b) return values.dtype(tensor.result_type(a, b)) end
)
define("t", "broadcast_tensors", "a b", function(a, b)
  local shape = (a:eq(b)):shape()
  return pair(a:expand(shape), b:expand(shape))
end)

-- ---- dtypes and what is asked of them --------------------------------------------------------------

local DTYPES = {
  float64 = "float64 double",
  float32 = "float32 float",
  float16 = "float16 half",
  bfloat16 = "bfloat16",
  float8_e4m3fn = "float8_e4m3fn",
  float8_e5m2 = "float8_e5m2",
  int64 = "int64 long",
  int32 = "int32 int",
  int16 = "int16 short",
  int8 = "int8",
  uint8 = "uint8",
  bool = "bool",
}
for dtype, names in pairs(DTYPES) do
  for name in names:gmatch "%S+" do
    members[name] = values.dtype(dtype)
  end
end

local FINITE = { -- greatest, least normal, distance from 1 to the next
  float64 = { 0x1.fffffffffffffp1023, 0x1p-1022, 0x1p-52 },
  float32 = { 0x1.fffffep127, 0x1p-126, 0x1p-23 },
  float16 = { 65504.0, 0x1p-14, 0x1p-10 },
  bfloat16 = { 0x1.fep127, 0x1p-126, 0x1p-7 },
  float8_e4m3fn = { 448.0, 0x1p-6, 0x1p-3 },
  float8_e5m2 = { 57344.0, 0x1p-14, 0x1p-2 },
}
define("t", "finfo", "type?", function(dtype)
  local name = values.dtype_name(dtype) or "float32"
  local f = FINITE[name] or fail("TypeError", "torch.finfo() requires a floating point input type")
  return setmetatable(
    { fields = { max = f[1], min = -f[1], tiny = f[2], smallest_normal = f[2], eps = f[3] } },
    values.Record
  )
end)
define("t", "iinfo", "type", function(dtype)
  local name = values.dtype_name(dtype)
  local bits = math.tointeger(tonumber(name:match "int(%d+)$"))
    or fail("TypeError", "torch.iinfo() requires an integer input type")
  local is_signed = not name:find "^u"
  local most = bits == 64 and math.maxinteger or (1 << (is_signed and bits - 1 or bits)) - 1
  return setmetatable(
    { fields = { max = most, min = is_signed and -most - 1 or 0, bits = bits } },
    values.Record
  )
end)

define("t", "device", "type index?", function(name, index)
  if getmetatable(name) == values.Device then return name end
  return values.device(index and ("%s:%d"):format(name, index) or name)
end)
members.inf, members.nan, members.pi = math.huge, 0 / 0, math.pi
members.Tensor = require("hone.python.concrete.builtins").builtins.Tensor
members.Size = require("hone.python.concrete.builtins").builtins.tuple
for _, name in ipairs { "dtype" } do
  members[name] =
    setmetatable({ name = name, is = function(v) return getmetatable(v) == values.DType end }, values.Type)
end

-- ---- what changes no value -------------------------------------------------------------------------

local idle = {}
local function idle_function() return None end
for _, name in ipairs { "no_grad", "inference_mode", "enable_grad" } do
  members[name] = function() return None end
  idle[members[name]] = true
end

-- ---- the modules -----------------------------------------------------------------------------------

local function module(name, held) return setmetatable({ name = name, members = held }, values.Module) end

members.cuda = module("torch.cuda", {
  is_available = function() return true end,
  synchronize = idle_function,
  empty_cache = idle_function,
})
members.nn = module("torch.nn", { functional = module("torch.nn.functional", functional) })
members.special = module(
  "torch.special",
  { expit = members.sigmoid, logsumexp = members.logsumexp, softmax = members.softmax }
)
members.linalg = module("torch.linalg", { norm = function(_, t) return t:norm() end })

return { torch = module("torch", members), is_idle = function(f) return idle[f] or false end }
