--- Ground truth and test inputs of gated delta nets: one head and one token after the other, the state as [V, K].
local shared = [=[
import math
import torch


def step(state, q, k, v, log_decay, rate, scale):
    """One token of one head: its state decays, what it holds for k is replaced by v, as far as `rate` says."""
    q, k, v = q.to(torch.float64), k.to(torch.float64), v.to(torch.float64)
    state = state * torch.exp(log_decay)
    wrong = v - (state * k.unsqueeze(0)).sum(dim=1)
    state = state + rate * wrong.unsqueeze(1) * k.unsqueeze(0)
    return state, scale * (state * q.unsqueeze(0)).sum(dim=1)


def gates(A_log, a, dt_bias, b, h):
    raw = a.to(torch.float64) + dt_bias[h].to(torch.float64)
    soft = torch.where(raw > 30, raw, torch.log(1 + torch.exp(raw)))
    return -torch.exp(A_log[h].to(torch.float64)) * soft, 1 / (1 + torch.exp(-b.to(torch.float64)))


def scale_of(scale, size):
    return scale if scale else 1 / math.sqrt(size)


]=]

local batch_body = [=[
    batch, tokens, key_heads, size = q.shape
    heads = v.shape[2]
    group = heads // key_heads
    scale = scale_of(scale, size)
    output = torch.zeros(batch, tokens, heads, size, dtype=torch.float64, device=q.device)
]=]

local decode = shared
  .. "def truth(q, k, v, state, A_log, a, dt_bias, b, scale):\n"
  .. batch_body
  .. [=[
    new_state = state.to(torch.float64).clone()
    for n in range(batch):
        for h in range(heads):
            decay, rate = gates(A_log, a[n, 0, h], dt_bias, b[n, 0, h], h)
            kept, out = step(new_state[n, h], q[n, 0, h // group], k[n, 0, h // group], v[n, 0, h], decay, rate, scale)
            new_state[n, h] = kept
            output[n, 0, h] = out
    return output, new_state
]=]

local mtp = shared
  .. "def truth(q, k, v, initial_state, initial_state_indices, A_log, a, dt_bias, b, scale,\n"
  .. "          intermediate_states_buffer):\n"
  .. batch_body
  .. [=[
    for n in range(batch):
        slot = int(initial_state_indices[n].item())
        for h in range(heads):
            state = initial_state[slot, h].to(torch.float64)
            for t in range(tokens):
                decay, rate = gates(A_log, a[n, t, h], dt_bias, b[n, t, h], h)
                state, out = step(state, q[n, t, h // group], k[n, t, h // group], v[n, t, h], decay, rate, scale)
                output[n, t, h] = out
    return output, initial_state.to(torch.float64)
]=]

local prefill = shared
  .. [=[
def truth(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    tokens, key_heads, size = q.shape
    heads = v.shape[1]
    group = heads // key_heads
    scale = scale_of(scale, size)
    output = torch.zeros(tokens, heads, size, dtype=torch.float64, device=q.device)
    new_state = torch.zeros(cu_seqlens.shape[0] - 1, heads, size, size, dtype=torch.float64, device=q.device)
    for n in range(cu_seqlens.shape[0] - 1):
        first, end = int(cu_seqlens[n].item()), int(cu_seqlens[n + 1].item())
        for h in range(heads if end > first else 0):
            held = state[n, h].to(torch.float64)
            for t in range(first, end):
                decay, rate = gates(A_log, a[t, h], dt_bias, b[t, h], h)
                held, out = step(held, q[t, h // group], k[t, h // group], v[t, h], decay, rate, scale)
                output[t, h] = out
            new_state[n, h] = held
    return output, new_state
]=]

-- FlashInfer's prefill takes the gates themselves; sequences without tokens are left out of the call.
local flashinfer_prefill = [=[
def flashinfer_truth(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    from flashinfer.gdn_prefill import chunk_gated_delta_rule

    step = torch.nn.functional.softplus(a.float() + dt_bias.float())
    keep, take = torch.exp(-torch.exp(A_log.float()) * step), torch.sigmoid(b.float())
    kept = cu_seqlens[1:] > cu_seqlens[:-1]
    starts = torch.cat((cu_seqlens[:1], cu_seqlens[1:][kept]))
    output, last = chunk_gated_delta_rule(q, k, v, keep, take, scale, initial_state=state[kept].contiguous(),
                                          output_final_state=True, cu_seqlens=starts)
    new_state = torch.zeros_like(state)
    new_state[kept] = last
    return output, new_state
]=]

local flashinfer_decode = [=[
def flashinfer_truth(q, k, v, state, A_log, a, dt_bias, b, scale):
    from flashinfer.gdn_decode import gated_delta_rule_decode_pretranspose

    output, _ = gated_delta_rule_decode_pretranspose(q, k, v, state, A_log, a, dt_bias, b, scale, use_qk_l2norm=False)
    return output, state
]=]

local flashinfer_mtp = [=[
def flashinfer_truth(q, k, v, initial_state, indices, A_log, a, dt_bias, b, scale, buffer):
    from flashinfer.gdn_decode import gated_delta_rule_mtp

    output, _ = gated_delta_rule_mtp(q, k, v, initial_state, indices, A_log, a, dt_bias, b, scale,
                                     intermediate_states_buffer=buffer, disable_state_update=True,
                                     use_qk_l2norm=False)
    return output, initial_state
]=]

local function make(cases, body) return "CASES = [" .. cases .. "]\n\n\ndef make_inputs(case, rng):\n" .. body end

local PARTS = [=[
    keys = [rng.unit(*lead, NUM_K_HEADS, HEAD_SIZE) for _ in range(2)]
    v = rng.normal(*lead, NUM_V_HEADS, HEAD_SIZE)
    gates = rng.uniform(NUM_V_HEADS), rng.normal(*lead, NUM_V_HEADS), rng.uniform(NUM_V_HEADS)
    b = rng.normal(*lead, NUM_V_HEADS)
]=]

local function states(count)
  return ("    state = rng.normal(%s, NUM_V_HEADS, HEAD_SIZE, HEAD_SIZE, dtype=torch.float32)\n"):format(
    count
  )
end

-- Chunks of tokens at a time lose a little more in bfloat16.
local TOLERANCE = { atol = 0.02, rtol = 0.02, library_distance = 0.03 }

return {
  decode = {
    truth = decode,
    flashinfer = flashinfer_decode,
    flashinfer_changes = { state = true },
    flashinfer_needs = { "flashinfer.gdn_decode", "cutlass" },
    make = make(
      '{"batch": 1}, {"batch": 4}',
      '    lead = (case["batch"], 1)\n'
        .. PARTS
        .. states 'case["batch"]'
        .. "    return [*keys, v, state, *gates, b, HEAD_SIZE ** -0.5]\n"
    ),
    tolerance = TOLERANCE,
  },
  mtp = {
    truth = mtp,
    flashinfer = flashinfer_mtp,
    flashinfer_changes = { initial_state = true }, -- it is given back as it was, and must be no input
    flashinfer_needs = { "flashinfer.gdn_decode", "cutlass" },
    make = make(
      '{"batch": 1, "tokens": 2}, {"batch": 3, "tokens": 4}',
      '    lead = (case["batch"], case["tokens"])\n'
        .. PARTS
        .. states 'case["batch"] + 2'
        .. '    slots = rng.tensor(list(range(case["batch"], 0, -1)))\n'
        .. '    buffer = torch.zeros(state.shape[0], case["tokens"], *state.shape[1:], device=state.device)\n'
        .. "    return [*keys, v, state, slots, *gates, b, HEAD_SIZE ** -0.5, buffer]\n"
    ),
    tolerance = TOLERANCE,
  },
  prefill = {
    truth = prefill,
    flashinfer = flashinfer_prefill,
    flashinfer_needs = { "flashinfer.gdn_prefill" },
    make = make(
      '{"lengths": [1]}, {"lengths": [3, 0, 6]}',
      '    lead = (sum(case["lengths"]),)\n'
        .. PARTS
        .. states 'len(case["lengths"])'
        .. '    starts = rng.starts(case["lengths"], dtype=torch.int64)\n'
        .. "    return [*keys, v, state, *gates, b, starts, HEAD_SIZE ** -0.5]\n"
    ),
    tolerance = TOLERANCE,
  },
}
