--- Root mean square normalization, alone or after adding the residual; Gemma's scales by its weight plus one.

local NUMBER = "%d[%d.]*[eE]?[+-]?%d*"

local function means_epsilon(name)
  name = name:lower()
  return name == "eps" or name:find("_eps$") or name:find("epsilon")
end

---Read epsilon out of a reference: an assignment or default argument (`EPS = 1e-5`, `eps: float = 1e-6`),
---or a literal under the root. Nothing found, or several values, is nil: unknown.
---@param source string a reference without comments
---@return number?
local function read_eps(source)
  local found, several
  local function note(digits)
    local value = tonumber(digits)
    if found and value ~= found then several = true end
    found = found or value
  end
  for name, digits in source:gmatch("([%w_]+)%s*=%s*(" .. NUMBER .. ")") do
    if means_epsilon(name) then note(digits) end
  end
  for name, digits in source:gmatch("([%w_]+)%s*:%s*float%s*=%s*(" .. NUMBER .. ")") do
    if means_epsilon(name) then note(digits) end
  end
  for argument in source:gmatch("sqrt(%b())") do
    local digits = argument:match("%+%s*(" .. NUMBER .. ")%s*%)$")
    if digits then note(digits) end
  end
  if several then return nil end
  return found
end

local axes = {
  { "batch_size", "var", "Number of tokens, one row each." },
  { "hidden_size", "const", "Size of the dimension that is normalized" },
}
local weight = { "weight", { "hidden_size" }, "bfloat16", "Scale of each element after normalization." }
local output = { "output", { "batch_size", "hidden_size" }, "bfloat16", "Normalized and scaled rows." }

---Whether a reference adds one to its weight; false where it does not.
---@param source string a reference without comments
local function read_offset(source)
  local offset = source:find "1%.?0?%s*%+%s*[%w_.]*weight"
    or source:find "weight[%w_.()]*%s*%+%s*1%.?0?%f[^%d.]"
  return offset and 1 or false
end

-- A norm that is given a residual is the fused one.
local function kernels_of(layer, prefix)
  local hidden_size = layer:integer("hidden_size") or layer:integer("dim")
  local eps = layer:number("variance_epsilon") or layer:number("eps")
  if not hidden_size or not eps then return nil, "its size or its epsilon is not known" end
  local found = {}
  local function add(variant, calls)
    if #calls == 0 then return end
    found[#found + 1] = {
      variant = prefix .. variant,
      params = { hidden_size = hidden_size, eps = eps },
      origins = { hidden_size = layer:origin("hidden_size") or layer:origin("dim") },
      calls = calls,
    }
  end
  add("rmsnorm", layer:calls(function(call) return call.residual ~= "given" end))
  add("fused_add_rmsnorm", layer:calls(function(call) return call.residual ~= "none" end))
  return found
end

local function kernels(layer) return kernels_of(layer, "") end
local function gemma_kernels(layer) return kernels_of(layer, "gemma_") end

-- Gemma's norm differs from the plain one in what it multiplies by.
local PLAIN = { prefix = "", gain = "weight.to(torch.float32)", phrase = "" }
local GEMMA = {
  prefix = "gemma_",
  gain = "(1.0 + weight.to(torch.float32))",
  phrase = ", scaled by the weight plus one",
}

local function rmsnorm(form)
  return {
    names = { { form.prefix .. "rmsnorm_h${hidden_size}" } },
    description = ("Root mean square normalization%s, hidden_size=${hidden_size}, epsilon ${eps}."):format(
      form.phrase
    ),
    fi_api = ("flashinfer.norm.%srmsnorm"):format(form.prefix),
    logged = { run = { hidden_states = "input" } },
    axes = axes,
    inputs = {
      { "hidden_states", { "batch_size", "hidden_size" }, "bfloat16", "Rows to normalize." },
      weight,
    },
    outputs = { output },
    reference_parts = function() return { gain = form.gain } end,
    reference = [=[
import torch

EPS = ${eps}


@torch.no_grad()
def run(hidden_states, weight):
    _, hidden_size = hidden_states.shape
    assert hidden_size == ${hidden_size}

    x = hidden_states.to(torch.float32)
    mean_square = (x * x).mean(dim=-1, keepdim=True)
    normalized = x * torch.rsqrt(mean_square + EPS)

    scaled = normalized * ${gain}
    return scaled.to(hidden_states.dtype)
]=],
  }
end

local function fused_add_rmsnorm(form)
  return {
    names = { { form.prefix .. "fused_add_rmsnorm_h${hidden_size}" } },
    description = "Residual addition, then root mean square normalization of the sum"
      .. form.phrase
      .. ", hidden_size=${hidden_size}, epsilon ${eps}. The sum itself is not an output.",
    flags = { "fused" },
    fi_api = ("flashinfer.norm.%sfused_add_rmsnorm"):format(form.prefix),
    logged = { run = { hidden_states = "input" } },
    axes = axes,
    inputs = {
      { "hidden_states", { "batch_size", "hidden_size" }, "bfloat16", "Rows to add to the residual." },
      { "residual", { "batch_size", "hidden_size" }, "bfloat16", "Residual stream before the addition." },
      weight,
    },
    outputs = { output },
    reference_parts = function() return { gain = form.gain } end,
    reference = [=[
import torch

EPS = ${eps}


@torch.no_grad()
def run(hidden_states, residual, weight):
    _, hidden_size = hidden_states.shape
    assert hidden_size == ${hidden_size}

    # The sum is normalized as it is, before it would be rounded to the residual's dtype.
    x = hidden_states.to(torch.float32) + residual.to(torch.float32)
    mean_square = (x * x).mean(dim=-1, keepdim=True)
    normalized = x * torch.rsqrt(mean_square + EPS)

    scaled = normalized * ${gain}
    return scaled.to(hidden_states.dtype)
]=],
  }
end

-- A square and a sum, two factors, and the addition of a residual for each element; what a row does once is not
-- counted.
local function work(sizes, definition)
  local count = require "hone.ops.parts.work"
  local written = count.outputs(definition, sizes)
  if written == 0 then return { read = 0, written = 0, flops = 0 } end
  local of_element = definition.inputs.residual and 5 or 4
  return {
    read = count.inputs(definition, sizes),
    written = written,
    flops = of_element * sizes.batch_size * sizes.hidden_size,
    dtype = "float32",
  }
end

return {
  op_type = "rmsnorm",
  work = work,
  mistakes = "rmsnorm",
  layers = {
    ["sglang.srt.layers.layernorm.RMSNorm"] = kernels,
    ["sglang.srt.layers.layernorm.GemmaRMSNorm"] = gemma_kernels,
    ["sglang.srt.layers.layernorm.Gemma3RMSNorm"] = gemma_kernels,
  },
  -- Fixed by the reference and shown nowhere else in a definition.
  hidden_constants = {
    { name = "eps", read = read_eps },
    { name = "weight_offset", read = read_offset, of = function() return false end },
  },
  variants = {
    rmsnorm = rmsnorm(PLAIN),
    fused_add_rmsnorm = fused_add_rmsnorm(PLAIN),
    gemma_rmsnorm = rmsnorm(GEMMA),
    gemma_fused_add_rmsnorm = fused_add_rmsnorm(GEMMA),
  },
}
