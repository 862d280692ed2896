--- Ground truth and test inputs of sampling: not one answer but the tokens that may be drawn, and how often.
local truth = [=[
import torch


def truth(${arguments}):
    """The distribution that is drawn from, a row for each sequence."""
    rows = []
    for i in range(probs.shape[0]):
        p = probs[i].to(torch.float64)${top_k}${top_p}
        rows.append(p / p.sum())
    return torch.stack(rows)
]=]

local TOP_K = [=[

        k = int(top_k[i].item())
        if 0 < k < p.shape[0]:
            least = torch.sort(p, descending=True)[0][k - 1]
            p = torch.where(p >= least, p, torch.zeros_like(p))
            p = p / p.sum()]=]

local TOP_P = [=[

        share = float(top_p[i].item())
        if share <= 0:
            p = torch.where(p >= p.max(), p, torch.zeros_like(p))
        elif share < 1:
            ordered = torch.sort(p, descending=True)[0]
            before = torch.cumsum(ordered, dim=0) - ordered
            least = ordered[(before <= share).sum() - 1]
            p = torch.where(p >= least, p, torch.zeros_like(p))]=]

local make = [=[
CASES = [{"rows": 1}, {"rows": 5}]


def make_inputs(case, rng):
    rows = case["rows"]
    probs = torch.softmax(rng.normal(rows, VOCAB_SIZE, dtype=torch.float32) * 4, dim=-1)
    top_k = rng.integers(1, 20, rows, dtype=torch.int32)
    top_p = rng.uniform(rows) * 0.9 + 0.05
    return [${arguments}]
]=]

local flashinfer = [=[
def flashinfer_truth(${arguments}):
    from flashinfer.sampling import ${call}

    return ${call}(${arguments}).to(torch.int64)
]=]

local function variant(call, top_k, top_p)
  local arguments = "probs" .. (top_k and ", top_k" or "") .. (top_p and ", top_p" or "")
  return {
    truth = truth,
    make = make,
    flashinfer = flashinfer,
    is_distribution = true,
    parts = function()
      return {
        arguments = arguments,
        call = call,
        top_k = top_k and TOP_K or "",
        top_p = top_p and TOP_P or "",
      }
    end,
    make_parts = function() return { arguments = arguments } end,
  }
end

return {
  top_k = variant("top_k_sampling_from_probs", true, false),
  top_p = variant("top_p_sampling_from_probs", false, true),
  top_k_top_p = variant("top_k_top_p_sampling_from_probs", true, true),
}
