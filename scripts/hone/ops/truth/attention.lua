--- Attention in float64, one query and one head at a time: the truth for what references do in float32 and at once.
-- Shared by the op types of attention; `sequence(...)` is written for one query row.
local M = {}

M.cached = [=[
import math
import torch


def gathered(cache, kv_indptr, kv_indices, lengths, b):
    pages = kv_indices[int(kv_indptr[b].item()):int(kv_indptr[b + 1].item())].to(torch.int64)
    tokens = cache[pages].reshape(-1, *cache.shape[2:])
    return tokens[:length_of(cache, pages, lengths, b)]


def length_of(cache, pages, lengths, b):
    count = pages.shape[0]
    if count == 0:
        return 0
    if lengths is None:
        return count * cache.shape[1]
    return (count - 1) * cache.shape[1] + int(lengths[b].item())


]=]

M.one_query = [=[
def attend(query, keys, values, scale):
    """One query over its keys: the attended value and the base 2 logarithm of the sum of weights."""
    logits = (keys.to(torch.float64) * query.to(torch.float64)).sum(dim=-1) * scale
    top = logits.max()
    weights = torch.exp(logits - top)
    total = weights.sum()
    value = (values.to(torch.float64) * (weights / total).unsqueeze(-1)).sum(dim=0)
    return value, (top + torch.log(total)) / math.log(2.0)


]=]

-- The same for the forms of attention (a window, a cap, sinks): the places are filled by M.form_parts.
M.one_query_of_form = [=[
def outside(count):
    """How many of so many keys are too old for a query to see."""
    return ${outside}


def attend(query, keys, values, scale${sink_parameter}):
    """One query over the keys that it sees: the attended value and the base 2 logarithm of the sum of weights."""
    logits = (keys.to(torch.float64) * query.to(torch.float64)).sum(dim=-1) * scale${capped}
    top = ${top}
    weights = torch.exp(logits - top)
    total = weights.sum()${sink_weight}
    value = (values.to(torch.float64) * (weights / total).unsqueeze(-1)).sum(dim=0)
    return value, (top + torch.log(total)) / math.log(2.0)


]=]

local function constant(definition, name)
  local axis = definition.axes[name]
  return axis and require("hone.dataset.definition").axis_value(axis)
end

---What a definition's form puts into the places.
function M.form_parts(definition)
  local window, cap = constant(definition, "window_size"), constant(definition, "logits_soft_cap")
  local has_sink = definition.inputs.sink ~= nil
  return {
    outside = window and ("max(0, count - %d)"):format(window) or "0",
    capped = cap and ("\n    logits = %d * torch.tanh(logits / %d)"):format(cap, cap) or "",
    top = has_sink and "torch.maximum(logits.max(), sink.to(torch.float64))" or "logits.max()",
    sink_weight = has_sink and " + torch.exp(sink.to(torch.float64) - top)" or "",
    sink_parameter = has_sink and ", sink" or "",
    sink_argument = has_sink and "sink, " or "",
    sink_of_head = has_sink and ", sink[h]" or "",
    make_sink = has_sink and "rng.normal(NUM_QO_HEADS, dtype=torch.float32), " or "",
    window_left = window and tostring(window - 1) or "-1",
    plan_more = (window and (", window_left=%d"):format(window - 1) or "")
      .. (cap and (", logits_soft_cap=%.1f"):format(cap) or ""),
  }
end

---A table of truths with an entry for each form. FlashInfer's wrapper for sinks is another one, which knows no cap.
---@param truths table # those of plain attention, by variant; with sinks, FlashInfer's truth is `flashinfer_sink`
---@param has_sinks boolean
function M.with_forms(truths, has_sinks)
  local all = {}
  for variant, truth in pairs(truths) do
    for _, form in ipairs(require("hone.ops.parts.attention_form").FORMS) do
      local one = {}
      for key, value in pairs(truth) do
        one[key] = value
      end
      one.without_flashinfer = "FlashInfer's wrapper for sinks knows no cap"
      if form.has.sink then
        one.flashinfer = not form.has.softcap and truth.flashinfer_sink or nil
        one.flashinfer_lacks = "lse"
      end
      if has_sinks or not form.has.sink then all[variant .. form.variant] = one end
    end
  end
  return all
end

return M
