--- Root mean square normalization, alone or after adding the residual.

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

-- A norm that is given a residual is the fused one. Variants of the norm (Gemma's weight plus one, no weight)
-- are classes of their own in SGLang and other kernels.
local function kernels(layer)
  local hidden_size = layer:integer("hidden_size")
  local eps = layer:number("variance_epsilon") or layer:number("eps")
  if not hidden_size or not eps then return nil, "its size or its epsilon is not known" end
  local found = {}
  local function add(variant, calls)
    if #calls == 0 then return end
    found[#found + 1] = {
      variant = variant,
      params = { hidden_size = hidden_size, eps = eps },
      origins = { hidden_size = layer:origin("hidden_size") },
      calls = calls,
    }
  end
  add("rmsnorm", layer:calls(function(call) return call.residual ~= "given" end))
  add("fused_add_rmsnorm", layer:calls(function(call) return call.residual ~= "none" end))
  return found
end

local function gemma() return nil, "it scales by its weight plus one, which no definition describes" end

return {
  op_type = "rmsnorm",
  layers = {
    ["sglang.srt.layers.layernorm.RMSNorm"] = kernels,
    ["sglang.srt.layers.layernorm.GemmaRMSNorm"] = gemma,
    ["sglang.srt.layers.layernorm.Gemma3RMSNorm"] = gemma,
  },
  -- Fixed by the reference and shown nowhere else in a definition.
  hidden_constants = { { name = "eps", read = read_eps } },
  variants = {
    rmsnorm = {
      names = { { "rmsnorm_h${hidden_size}" } },
      description = "Root mean square normalization, hidden_size=${hidden_size}, epsilon ${eps}.",
      fi_api = "flashinfer.norm.rmsnorm",
      axes = axes,
      inputs = {
        { "hidden_states", { "batch_size", "hidden_size" }, "bfloat16", "Rows to normalize." },
        weight,
      },
      outputs = { output },
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

    scaled = normalized * weight.to(torch.float32)
    return scaled.to(hidden_states.dtype)
]=],
    },
    fused_add_rmsnorm = {
      names = { { "fused_add_rmsnorm_h${hidden_size}" } },
      description = "Residual addition, then root mean square normalization of the sum, "
        .. "hidden_size=${hidden_size}, epsilon ${eps}. The sum itself is not an output.",
      flags = { "fused" },
      fi_api = "flashinfer.norm.fused_add_rmsnorm",
      axes = axes,
      inputs = {
        { "hidden_states", { "batch_size", "hidden_size" }, "bfloat16", "Rows to add to the residual." },
        { "residual", { "batch_size", "hidden_size" }, "bfloat16", "Residual stream before the addition." },
        weight,
      },
      outputs = { output },
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

    scaled = normalized * weight.to(torch.float32)
    return scaled.to(hidden_states.dtype)
]=],
    },
  },
}
