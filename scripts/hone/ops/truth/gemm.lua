--- Ground truth and test inputs of matrix products.
local truth = [=[
import torch


def truth(A, B):
    return A.to(torch.float64) @ B.to(torch.float64).t()
]=]

local make = [=[
CASES = [{"rows": 1}, {"rows": 7}, {"rows": 64}]


def make_inputs(case, rng):
    return [rng.normal(case["rows"], K, dtype=DTYPE), rng.normal(N, K, dtype=DTYPE)]
]=]

-- Sums of so many products lose digits in proportion to their size: what is compared is scaled by it.
return {
  gemm = {
    truth = truth,
    make = make,
    tolerance = { atol = 0.25, rtol = 0.01 },
    make_parts = function() return {} end,
    constants = function(definition) return { DTYPE = "torch." .. definition.inputs.A.dtype } end,
  },
}
