--- Ground truth and test inputs of root mean square normalization.
local plain = [=[
import torch


def truth(hidden_states, weight):
    x = hidden_states.to(torch.float64)
    length = torch.sqrt((x * x).sum(dim=-1, keepdim=True) / x.shape[-1] + ${eps})
    return x / length * ${gain}
]=]

local fused = [=[
import torch


def truth(hidden_states, residual, weight):
    x = hidden_states.to(torch.float64) + residual.to(torch.float64)
    length = torch.sqrt((x * x).sum(dim=-1, keepdim=True) / x.shape[-1] + ${eps})
    return x / length * ${gain}
]=]

local CASES = 'CASES = [{"rows": 1}, {"rows": 7}, {"rows": 130}]\n'

local make_plain = CASES
  .. [=[


def make_inputs(case, rng):
    return [rng.normal(case["rows"], HIDDEN_SIZE), rng.normal(HIDDEN_SIZE)]
]=]

local make_fused = CASES
  .. [=[


def make_inputs(case, rng):
    return [rng.normal(case["rows"], HIDDEN_SIZE), rng.normal(case["rows"], HIDDEN_SIZE), rng.normal(HIDDEN_SIZE)]
]=]

local flashinfer_plain = [=[
def flashinfer_truth(hidden_states, weight):
    from flashinfer.norm import ${prefix}rmsnorm

    return ${prefix}rmsnorm(hidden_states, weight, eps=${eps})
]=]

local flashinfer_fused = [=[
def flashinfer_truth(hidden_states, residual, weight):
    from flashinfer.norm import ${prefix}fused_add_rmsnorm

    ${prefix}fused_add_rmsnorm(hidden_states, residual, weight, ${eps})
    return hidden_states
]=]

local sglang_plain = [=[
def sglang_truth(hidden_states, weight):
    from sgl_kernel import ${prefix}rmsnorm

    return ${prefix}rmsnorm(hidden_states, weight, ${eps})
]=]

local sglang_fused = [=[
def sglang_truth(hidden_states, residual, weight):
    from sgl_kernel import ${prefix}fused_add_rmsnorm

    ${prefix}fused_add_rmsnorm(hidden_states, residual, weight, ${eps})
    return hidden_states
]=]

local function parts(definition)
  local _, details = require("hone.ops").signature(definition)
  local is_gemma = definition.name:find "^gemma_" ~= nil
  return {
    eps = details.hidden.eps,
    gain = is_gemma and "(1 + weight.to(torch.float64))" or "weight.to(torch.float64)",
    prefix = is_gemma and "gemma_" or "",
  }
end

local rmsnorm =
  { truth = plain, make = make_plain, flashinfer = flashinfer_plain, sglang = sglang_plain, parts = parts }
local fused_add_rmsnorm = {
  truth = fused,
  make = make_fused,
  flashinfer = flashinfer_fused,
  flashinfer_changes = { hidden_states = true, residual = true },
  sglang = sglang_fused,
  parts = parts,
}

return {
  rmsnorm = rmsnorm,
  fused_add_rmsnorm = fused_add_rmsnorm,
  gemma_rmsnorm = rmsnorm,
  gemma_fused_add_rmsnorm = fused_add_rmsnorm,
}
