--- Ground truth and test inputs of rotary embedding: each pair of elements is turned by its angle.
local truth = [=[
import torch


def turned(x, cache, positions):
    half = ROTARY_DIM // 2
    cos, sin = cache[positions, :half].to(torch.float64), cache[positions, half:].to(torch.float64)
    out = x.to(torch.float64).clone()
    for i in range(half):
        first, second = ${pair}
        a, b = x[:, :, first].to(torch.float64), x[:, :, second].to(torch.float64)
        c, s = cos[:, i].unsqueeze(1), sin[:, i].unsqueeze(1)
        out[:, :, first] = a * c - b * s
        out[:, :, second] = a * s + b * c
    return out


def truth(q, k, cos_sin_cache, positions):
    return turned(q, cos_sin_cache, positions), turned(k, cos_sin_cache, positions)
]=]

local make = [=[
CASES = [{"rows": 1, "heads": (4, 1)}, {"rows": 9, "heads": (8, 2)}]


def make_inputs(case, rng):
    q, k = (rng.normal(case["rows"], heads, HEAD_SIZE) for heads in case["heads"])
    angles = torch.arange(64)[:, None] / 10000.0 ** (torch.arange(0, ROTARY_DIM, 2) / ROTARY_DIM)
    cache = torch.cat((angles.cos(), angles.sin()), dim=-1).float()
    return [q, k, cache.to(q.device), rng.integers(0, 64, case["rows"], dtype=torch.int64)]
]=]

local flashinfer = [=[
def flashinfer_truth(q, k, cos_sin_cache, positions):
    from flashinfer.rope import apply_rope_with_cos_sin_cache_inplace

    rows = q.shape[0]
    flat = q.reshape(rows, -1).clone(), k.reshape(rows, -1).clone()
    apply_rope_with_cos_sin_cache_inplace(positions, *flat, HEAD_SIZE, cos_sin_cache, is_neox=${is_neox})
    return flat[0].view_as(q), flat[1].view_as(k)
]=]

local function variant(pair, is_neox)
  return {
    truth = truth,
    make = make,
    flashinfer = flashinfer,
    needs_constants = true,
    parts = function() return { pair = pair, is_neox = is_neox } end,
  }
end

return { neox = variant("i, i + half", "True"), gptj = variant("2 * i, 2 * i + 1", "False") }
