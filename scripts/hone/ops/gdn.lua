--- Gated Delta Net, the linear attention of Qwen3-Next: one token a sequence (decode), a few that a draft has
--- proposed (mtp), whole sequences (prefill).
--
-- Each value head keeps a state of head_size x head_size numbers, stored [V, K] ("k last"): value elements in
-- rows, key elements in columns. Value heads that follow each other share one query and key head.

local logged = require "hone.ops.parts.logged"

-- ---- what the variants have in common -----------------------------------------------------------------

local function num_q_heads(params) return params.num_q_heads end

local axis = {
  batch_size = { "batch_size", "var", "Number of sequences." },
  num_q_heads = { "num_q_heads", "const", "Number of query heads after tensor parallel split" },
  num_k_heads = { "num_k_heads", "const", "Number of key heads, as many as query heads", value = num_q_heads },
  num_v_heads = { "num_v_heads", "const", "Number of value heads after tensor parallel split" },
  head_size = { "head_size", "const", "Dimension of each query, key and value head" },
}

local head_constraints = {
  { "num_v_heads >= num_q_heads" },
  { "num_v_heads % num_q_heads == 0" },
  { "num_k_heads == num_q_heads" },
}

-- An input or output with one entry for each token; `tokens` are the axes that count tokens.
local function per_token(name, tokens, tail, description)
  local shape = table.move(tail, 1, #tail, #tokens + 1, table.move(tokens, 1, #tokens, 1, {}))
  return { name, shape, "bfloat16", description }
end

local function query(tokens)
  return per_token("q", tokens, { "num_q_heads", "head_size" }, "Query of each token.")
end

local function key(tokens) return per_token("k", tokens, { "num_k_heads", "head_size" }, "Key of each token.") end

local function value(tokens)
  return per_token("v", tokens, { "num_v_heads", "head_size" }, "Value of each token.")
end

local function decay(tokens)
  return per_token("a", tokens, { "num_v_heads" }, "What each token adds to the decay, before softplus.")
end

local function update(tokens)
  return per_token(
    "b",
    tokens,
    { "num_v_heads" },
    "How much each token updates the state, before the sigmoid."
  )
end

local function output(tokens)
  return per_token("output", tokens, { "num_v_heads", "head_size" }, "What each token's query reads.")
end

local A_log = {
  "A_log",
  { "num_v_heads" },
  "float32",
  "Logarithm of each head's decay rate: g = exp(-exp(A_log) * softplus(a + dt_bias)).",
}
local dt_bias = { "dt_bias", { "num_v_heads" }, "float32", "Bias that is added to a before softplus." }
local scale = { "scale", nil, "float32", "Factor of the output; 0 or none for 1/sqrt(head_size)." }

-- A state for each entry of the axis `of`.
local function states(name, of, description)
  return { name, { of, "num_v_heads", "head_size", "head_size" }, "float32", description }
end

local function optional(entry)
  entry.optional = true
  return entry
end

local function check(params)
  local keys, values = params.num_q_heads, params.num_v_heads
  if values % keys == 0 then return true end
  return nil, ("num_v_heads %d is no multiple of num_q_heads %d"):format(values, keys)
end

-- ---- pieces of the references -------------------------------------------------------------------------

local HEAD = [=[
import math
import torch
import torch.nn.functional as F


def gates(A_log, a, dt_bias, b):
    """How much of the state each token keeps, and how much of the new value it takes."""
    rate = torch.exp(A_log.to(torch.float32))
    step = F.softplus(a.to(torch.float32) + dt_bias.to(torch.float32))
    return torch.exp(-rate * step), torch.sigmoid(b.to(torch.float32))


def one_token(state, q, k, v, keep, take):
    """The state [heads, V, K] after a token, and what the token reads from it [heads, V]."""
    state = state * keep[:, None, None]
    expected = torch.einsum("hvk,hk->hv", state, k)  # the value that the state holds for this key
    change = take[:, None] * (v - expected)
    state = state + torch.einsum("hv,hk->hvk", change, k)
    return state, torch.einsum("hvk,hk->hv", state, q)


]=]

-- Checks of the constants; `T` is what comes before the heads in q's shape.
local function shapes(unpacked)
  return ([=[
    %s, num_q_heads, head_size = q.shape
    num_k_heads, num_v_heads = k.shape[-2], v.shape[-2]
    assert num_q_heads == ${num_q_heads}
    assert num_k_heads == ${num_q_heads}
    assert num_v_heads == ${num_v_heads}
    assert head_size == ${head_size}
]=]):format(unpacked)
end

local PREPARE = [=[

    if scale is None or scale == 0.0:
        scale = 1.0 / math.sqrt(head_size)
    keep, take = gates(A_log, a, dt_bias, b)

    # Value heads that follow each other share one query and key head.
    group_size = num_v_heads // num_q_heads
    queries = q.to(torch.float32).repeat_interleave(group_size, dim=-2)
    keys = k.to(torch.float32).repeat_interleave(group_size, dim=-2)
    values = v.to(torch.float32)

]=]

-- ---- decode -------------------------------------------------------------------------------------------

local ONE = { "batch_size", "seq_len" }

local decode = {
  names = { { "gdn_decode_qk${num_q_heads}_v${num_v_heads}_d${head_size}_k_last" } },
  description = "Gated Delta Net decode: one token of each sequence updates its recurrent state, "
    .. "which is stored k last.",
  stage = "decode",
  flags = { "layout:k-last" },
  fi_api = "flashinfer.gdn.gated_delta_rule_decode",
  logged = logged.delta_decode,
  parallel = { "tp" },
  axes = {
    axis.batch_size,
    { "seq_len", "const", "Number of tokens of each sequence", value = 1 },
    axis.num_q_heads,
    axis.num_k_heads,
    axis.num_v_heads,
    axis.head_size,
  },
  constraints = head_constraints,
  inputs = {
    query(ONE),
    key(ONE),
    value(ONE),
    optional(states("state", "batch_size", "Recurrent state of each sequence [B, H, V, K]; none for zeros.")),
    A_log,
    decay(ONE),
    dt_bias,
    update(ONE),
    scale,
  },
  outputs = {
    output(ONE),
    states("new_state", "batch_size", "Recurrent state of each sequence after its token."),
  },
  reference = HEAD .. [=[
@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, scale):
]=] .. shapes "batch_size, seq_len" .. [=[
    assert seq_len == 1
]=] .. PREPARE .. [=[
    output = torch.zeros(v.shape, dtype=torch.bfloat16, device=q.device)
    new_state = torch.zeros(
        (batch_size, num_v_heads, head_size, head_size), dtype=torch.float32, device=q.device
    )
    if state is not None:
        new_state = state.to(torch.float32, copy=True)

    for i in range(batch_size):
        new_state[i], read = one_token(
            new_state[i], queries[i, 0], keys[i, 0], values[i, 0], keep[i, 0], take[i, 0]
        )
        output[i, 0] = (scale * read).to(torch.bfloat16)

    return output, new_state
]=],
}

-- ---- verification of a draft --------------------------------------------------------------------------

local DRAFT = { "batch_size", "seq_len" }

local mtp = {
  logged = logged.delta_draft,
  names = { { "gdn_mtp_qk${num_q_heads}_v${num_v_heads}_d${head_size}_k_last" } },
  description = "Gated Delta Net over a draft's tokens (multi-token prediction): the states lie in a pool that "
    .. "stays as it is, and the state after each token is kept aside. Stored k last.",
  stage = "mtp",
  flags = { "layout:k-last" },
  parallel = { "tp" },
  axes = {
    axis.batch_size,
    { "seq_len", "var", "Number of tokens of each draft, more than one." },
    axis.num_q_heads,
    axis.num_k_heads,
    axis.num_v_heads,
    axis.head_size,
    { "pool_size", "var", "Number of states in the pool." },
  },
  constraints = { head_constraints[1], head_constraints[2], head_constraints[3], { "seq_len > 1" } },
  inputs = {
    query(DRAFT),
    key(DRAFT),
    value(DRAFT),
    states("initial_state", "pool_size", "Pool of recurrent states [pool_size, H, V, K]."),
    {
      "initial_state_indices",
      { "batch_size" },
      "int32",
      "Where each sequence's state lies in the pool; negative for a padded sequence.",
    },
    A_log,
    decay(DRAFT),
    dt_bias,
    update(DRAFT),
    scale,
    optional {
      "intermediate_states_buffer",
      { "pool_size", "seq_len", "num_v_heads", "head_size", "head_size" },
      "float32",
      "Receives the state after each token, at the sequence's place in the pool; none to keep nothing.",
    },
  },
  outputs = {
    output(DRAFT),
    states("final_state", "pool_size", "The pool as it was: a draft that is only verified changes no state."),
  },
  reference = HEAD
    .. [=[
@torch.no_grad()
def run(
    q, k, v, initial_state, initial_state_indices, A_log, a, dt_bias, b, scale, intermediate_states_buffer=None
):
]=]
    .. shapes "batch_size, seq_len"
    .. [=[
    assert seq_len > 1
]=]
    .. PREPARE
    .. [=[
    output = torch.zeros(v.shape, dtype=torch.bfloat16, device=q.device)

    for i, slot in enumerate(initial_state_indices.tolist()):
        if slot < 0:
            continue  # padding: nothing to read, nothing to keep
        state = initial_state[slot].to(torch.float32)
        for t in range(seq_len):
            state, read = one_token(state, queries[i, t], keys[i, t], values[i, t], keep[i, t], take[i, t])
            output[i, t] = (scale * read).to(torch.bfloat16)
            if intermediate_states_buffer is not None:
                intermediate_states_buffer[slot, t] = state

    # Which tokens are accepted is decided later: the pool itself does not change.
    return output, initial_state.clone()
]=],
}

-- ---- prefill ------------------------------------------------------------------------------------------

local PACKED = { "total_seq_len" }

local prefill = {
  names = { { "gdn_prefill_qk${num_q_heads}_v${num_v_heads}_d${head_size}_k_last" } },
  description = "Gated Delta Net prefill over sequences of any length, packed one after the other. "
    .. "The recurrent state is stored k last.",
  stage = "prefill",
  flags = { "layout:k-last" },
  fi_api = "flashinfer.gdn.chunk_gated_delta_rule",
  logged = logged.delta_prefill,
  parallel = { "tp" },
  axes = {
    { "total_seq_len", "var", "Number of tokens of all sequences." },
    { "num_seqs", "var", "Number of sequences." },
    axis.num_q_heads,
    axis.num_k_heads,
    axis.num_v_heads,
    axis.head_size,
    { "len_cu_seqlens", "var", "Length of cu_seqlens: number of sequences plus one." },
  },
  constraints = {
    { "len_cu_seqlens == num_seqs + 1" },
    { "total_seq_len == cu_seqlens[-1].item()" },
  },
  inputs = {
    query(PACKED),
    key(PACKED),
    value(PACKED),
    optional(states("state", "num_seqs", "Recurrent state of each sequence [N, H, V, K]; none for zeros.")),
    A_log,
    decay(PACKED),
    dt_bias,
    update(PACKED),
    { "cu_seqlens", { "len_cu_seqlens" }, "int64", "Where each sequence's tokens start." },
    scale,
  },
  outputs = {
    output(PACKED),
    states("new_state", "num_seqs", "Recurrent state after each sequence; zeros for an empty one."),
  },
  reference = HEAD .. [=[
@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
]=] .. shapes "total_seq_len" .. [=[
    cu_seqlens = cu_seqlens.tolist()
    num_seqs = len(cu_seqlens) - 1
    assert total_seq_len == cu_seqlens[-1]
]=] .. PREPARE .. [=[
    output = torch.zeros(v.shape, dtype=torch.bfloat16, device=q.device)
    new_state = torch.zeros(
        (num_seqs, num_v_heads, head_size, head_size), dtype=torch.float32, device=q.device
    )

    for i in range(num_seqs):
        start, end = cu_seqlens[i], cu_seqlens[i + 1]
        if start >= end:
            continue  # an empty sequence has no state
        if state is not None:
            new_state[i] = state[i].to(torch.float32)
        for t in range(start, end):
            new_state[i], read = one_token(new_state[i], queries[t], keys[t], values[t], keep[t], take[t])
            output[t] = (scale * read).to(torch.bfloat16)

    return output, new_state
]=],
}

-- ---- layers -------------------------------------------------------------------------------------------

-- Which forward pass calls which variant: a draft is verified where sequences are decoded.
local VARIANTS = { decode = { "decode", "mtp" }, prefill = { "prefill" } }

-- SGLang has one layer for linear attention of several kinds; the config's parameters of the states' cache tell
-- them apart.
local STATES = "Mamba2CacheParams"

local function kernels(layer)
  local cache = layer:configured "mamba2_cache_params"
  if cache ~= STATES then
    return nil, ("its states are not those of a Gated Delta Net (%s)"):format(cache or "the config has none")
  end
  local queries, keys = layer:integer "num_q_heads", layer:integer "num_k_heads"
  local values, head_size = layer:integer "num_v_heads", layer:integer "head_k_dim"
  local value_size = layer:integer "head_v_dim"
  if not (queries and values and head_size) then return nil, "its numbers of heads are not known" end
  if queries ~= keys or head_size ~= value_size then
    local message = "%d query heads and %s key heads of %d, values of %s: no definition describes that"
    return nil, message:format(queries, keys, head_size, value_size)
  end
  local params = { num_q_heads = queries, num_v_heads = values, head_size = head_size }
  local origins = {
    num_q_heads = layer:origin "num_q_heads",
    num_k_heads = layer:origin "num_k_heads",
    num_v_heads = layer:origin "num_v_heads",
    head_size = layer:origin "head_k_dim",
  }
  local found = {}
  for _, mode in ipairs { "decode", "prefill" } do
    local calls = layer:calls(function(call) return call.mode == mode end)
    for _, variant in ipairs(#calls > 0 and VARIANTS[mode] or {}) do
      found[#found + 1] = { variant = variant, params = params, origins = origins, calls = calls }
    end
  end
  return found
end

-- ---- inputs ----------------------------------------------------------------------------------------

-- Keys and queries of length one and small gates: the state stays bounded, as it does in models.
local function unit(make, definition, axes, name)
  local sizes = {}
  for i, name_of_axis in ipairs(definition.inputs[name].shape) do
    sizes[i] = axes[name_of_axis]
  end
  local drawn = make:normal(table.unpack(sizes))
  return drawn / (drawn * drawn):sum(-1, true):sqrt():clamp(1e-6, nil)
end

local function make_inputs(definition, axes, make)
  local list = {
    q = unit(make, definition, axes, "q"),
    k = unit(make, definition, axes, "k"),
    A_log = make:uniform(0, 1, axes.num_v_heads),
    scale = 1 / math.sqrt(axes.head_size),
  }
  if definition.inputs.cu_seqlens then
    list.cu_seqlens = make.starts(make:lengths(axes.num_seqs, axes.total_seq_len))
  end
  if definition.inputs.initial_state_indices then
    list.initial_state_indices = make:places(axes.batch_size, axes.pool_size)
  end
  return list
end

-- ---- work ------------------------------------------------------------------------------------------

-- Of a square of a head's state for each token, as factors of head_size x head_size: one token decays the state (1),
-- takes out what it holds for the key (2), adds what is new (2) and reads (2). Many tokens at once need not write the
-- state between them: a draft is read for its keys and its queries (4), a long sequence has at least its new state
-- put together (2).
local STEP = { decode = 7, mtp = 4, prefill = 2 }

local function bytes_of_tokens(definition, axes, dims)
  local bytes = 0
  for _, name in ipairs { "q", "k", "v", "a", "b" } do
    bytes = bytes + require("hone.ops.parts.work").bytes(definition.inputs[name], axes, dims)
  end
  return bytes
end

local function work(axes, definition, structure)
  local count = require "hone.ops.parts.work"
  local inputs = definition.inputs
  local state = axes.num_v_heads * axes.head_size * axes.head_size
  local function with(read, tokens, factor)
    local gates = tokens > 0 and count.inputs(definition, axes, { "A_log", "dt_bias" }) or 0
    local written = count.outputs(definition, axes)
    return { read = read + gates, written = written, flops = factor * tokens * state, dtype = "float32" }
  end
  if inputs.initial_state then
    -- The pool comes back as it was: all of it is read and written. A draft whose place is negative is padding.
    local places = count.list(structure, "initial_state_indices")
    local pool = count.inputs(definition, axes, { "initial_state", "initial_state_indices" })
    local function drafts(number)
      return with(pool + number * bytes_of_tokens(definition, axes, 1), number * axes.seq_len, STEP.mtp)
    end
    local result = drafts(places and count.count(places) or 0)
    if not places then result.usual = drafts(axes.batch_size) end
    return result
  end
  if inputs.cu_seqlens then
    local starts, sequences = count.list(structure, "cu_seqlens"), 0
    for i = 2, #(starts or {}) do
      if starts[i] > starts[i - 1] then sequences = sequences + 1 end
    end
    local function packed(number)
      local read = bytes_of_tokens(definition, axes, 0)
        + number * count.bytes(inputs.state, axes, 1)
        + count.bytes(inputs.cu_seqlens, axes)
      return with(read, axes.total_seq_len, STEP.prefill)
    end
    local result = packed(starts and sequences or math.min(1, axes.total_seq_len))
    if not starts then result.usual = packed(math.min(axes.num_seqs, axes.total_seq_len)) end
    return result
  end
  local read = bytes_of_tokens(definition, axes, 0) + count.bytes(inputs.state, axes)
  return with(read, axes.batch_size, STEP.decode)
end

return {
  op_type = "gdn",
  work = work,
  usual_axes = { batch_size = 4, pool_size = 6, num_seqs = 3, total_seq_len = 24 },
  make_inputs = make_inputs,
  mistakes = "gdn",
  may_change = { intermediate_states_buffer = true },
  layers = { ["sglang.srt.layers.radix_linear_attention.RadixLinearAttention"] = kernels },
  check = check,
  variants = { decode = decode, mtp = mtp, prefill = prefill },
}
