--- What may be added to plain attention: a sliding window, a soft cap on the logits, attention sinks.
--
-- FlashInfer's wrappers take these as window_left (one less than the window), logits_soft_cap and a tensor of
-- sinks. Each combination is a kernel of its own, with a variant of its own.
local M = {}

-- What each addition brings to a kind. `axis` is a constant, `input` a tensor before sm_scale, `phrase` stands in
-- descriptions; the rest are pieces of references.
local ADDITIONS = {
  {
    name = "window",
    suffix = "_window${window_size}",
    phrase = ", sliding window of ${window_size} tokens",
    axis = {
      "window_size",
      "const",
      "Number of newest keys that a query sees, its own included; FlashInfer's window_left is one less",
    },
    parts = {
      constants = "\nWINDOW_SIZE = ${window_size}",
      newest = [=[


        # A query sees the newest keys only.
        keys, values = keys[-WINDOW_SIZE:], values[-WINDOW_SIZE:]]=],
      too_old = [=[

            unseen |= kv_position[None, :] <= q_position[:, None] + offset - WINDOW_SIZE]=],
    },
  },
  {
    name = "softcap",
    suffix = "_softcap${logits_soft_cap}",
    phrase = ", logits capped at ${logits_soft_cap}",
    axis = {
      "logits_soft_cap",
      "const",
      "Bound of the logits: cap * tanh(logit / cap), after scaling",
    },
    parts = {
      constants = "\nLOGITS_SOFT_CAP = ${logits_soft_cap}",
      capped = "\n${indent}logits = LOGITS_SOFT_CAP * torch.tanh(logits / LOGITS_SOFT_CAP)",
    },
  },
  {
    name = "sink",
    suffix = "_sink",
    phrase = ", attention sinks",
    fi_api = "flashinfer.attention.BatchAttentionWithAttentionSinkWrapper",
    input = {
      "sink",
      { "num_qo_heads" },
      "float32",
      "Logit of each head's sink, not scaled: it takes part in the softmax and has no value.",
    },
    parts = {
      sink_argument = "sink, ",
      sink_heads = "\n    sink = sink.reshape(num_kv_heads, group_size).to(torch.float32)",
      total = "torch.logaddexp(torch.logsumexp(logits, dim=-1), sink)",
      weights = "torch.exp(logits - total[..., None])  # what the sink takes is lost",
    },
  },
}

-- What plain attention has in the places of the pieces.
local PLAIN = {
  constants = "",
  newest = "",
  too_old = "",
  capped = "",
  sink_argument = "",
  sink_heads = "",
  total = "torch.logsumexp(logits, dim=-1)",
  weights = "torch.softmax(logits, dim=-1)",
}

---@class hone.ops.AttentionForm
---@field variant string # what follows a variant's name: "_window_softcap"
---@field suffix string # what follows a definition's name
---@field phrase string # what follows a description
---@field axes table[] # constants
---@field inputs table[] # before sm_scale
---@field fi_api string? # when it differs from plain attention's
---@field has table<string, boolean> # names of what is added

local function form_of(additions)
  local form = { variant = "", suffix = "", phrase = "", axes = {}, inputs = {}, has = {} }
  for _, addition in ipairs(additions) do
    form.variant = form.variant .. "_" .. addition.name
    form.suffix = form.suffix .. addition.suffix
    form.phrase = form.phrase .. addition.phrase
    form.axes[#form.axes + 1] = addition.axis
    form.inputs[#form.inputs + 1] = addition.input
    form.fi_api = addition.fi_api or form.fi_api
    form.has[addition.name] = true
  end
  form.additions = additions
  return form
end

-- All combinations, plain attention first.
local function combinations()
  local forms = {}
  for bits = 0, (1 << #ADDITIONS) - 1 do
    local additions = {}
    for i, addition in ipairs(ADDITIONS) do
      if bits & (1 << (i - 1)) ~= 0 then additions[#additions + 1] = addition end
    end
    forms[#forms + 1] = form_of(additions)
  end
  return forms
end

---Every form of attention, plain attention first.
---@type hone.ops.AttentionForm[]
M.FORMS = combinations()

---The pieces of a reference that depend on the form.
---@param form hone.ops.AttentionForm
---@param indent string # of the line at which logits are computed
function M.reference_parts(form, indent)
  local parts = {}
  for name, text in pairs(PLAIN) do
    parts[name] = text
  end
  for _, addition in ipairs(form.additions) do
    for name, text in pairs(addition.parts) do
      local before = name == "constants" and parts.constants or ""
      parts[name] = before .. text:gsub("%${indent}", indent)
    end
  end
  if parts.constants ~= "" then parts.constants = parts.constants .. "\n" end
  return parts
end

---A kind's outputs, the second of which is the lse: that of sinks counts them.
function M.with_outputs(form, outputs)
  if not form.has.sink then return outputs end
  local lse = table.move(outputs[2], 1, #outputs[2], 1, {})
  lse[4] = lse[4]:gsub("of the scaled logits", "of the scaled logits and the sink")
  return { outputs[1], lse }
end

---A kind's inputs with those of the form before the last, which is sm_scale.
function M.with_inputs(form, inputs)
  local list = table.move(inputs, 1, #inputs - 1, 1, {})
  table.move(form.inputs, 1, #form.inputs, #list + 1, list)
  list[#list + 1] = inputs[#inputs]
  return list
end

---A kind's axes, followed by those of the form.
function M.with_axes(form, axes)
  local list = table.move(axes, 1, #axes, 1, {})
  return table.move(form.axes, 1, #form.axes, #list + 1, list)
end

return M
