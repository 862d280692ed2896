--- Selective state update of Mamba2: one token of each sequence updates its state and reads from it.
--
-- The definition has a decay for each element of A and a time step for each element of a head, as the kernel's
-- interface has; Mamba2 gives one number a head, which is repeated.

local logged = require "hone.ops.parts.logged"

local state_shape = { "state_cache_size", "nheads", "head_dim", "dstate" }

local function check(params)
  local heads, groups = params.nheads, params.ngroups
  if heads % groups == 0 then return true end
  return nil, ("nheads %d is no multiple of ngroups %d"):format(heads, groups)
end

local decode = {
  names = { { "mamba_ssu_decode_h${nheads}_d${head_dim}_s${dstate}_ng${ngroups}" } },
  description = "Mamba2 selective state update for decode: ${nheads} heads of ${head_dim}, "
    .. "state of ${dstate} for each element, ${ngroups} groups.",
  stage = "decode",
  fi_api = "flashinfer.mamba.selective_state_update",
  logged = logged.state_update,
  parallel = { "tp" },
  axes = {
    { "batch_size", "var", "Number of sequences, one token each." },
    { "state_cache_size", "var", "Number of slots in the cache of states, at least batch_size." },
    { "nheads", "const", "Number of state space heads after tensor parallel split" },
    { "head_dim", "const", "Dimension of each head" },
    { "dstate", "const", "Size of the state of each element of a head" },
    { "ngroups", "const", "Number of groups of heads that share B and C, after tensor parallel split" },
  },
  constraints = { { "nheads % ngroups == 0" }, { "state_cache_size >= batch_size" } },
  inputs = {
    { "state", state_shape, "bfloat16", "Cache of states; kernels update it in place." },
    { "x", { "batch_size", "nheads", "head_dim" }, "bfloat16", "Input of each token." },
    { "dt", { "batch_size", "nheads", "head_dim" }, "bfloat16", "Time step, before the bias and softplus." },
    {
      "A",
      { "nheads", "head_dim", "dstate" },
      "float32",
      "Decay rate, negative; the same number all over a head.",
    },
    { "B", { "batch_size", "ngroups", "dstate" }, "bfloat16", "How much of the input enters the state." },
    { "C", { "batch_size", "ngroups", "dstate" }, "bfloat16", "How much of the state is read." },
    { "D", { "nheads", "head_dim" }, "bfloat16", "Factor of the input that goes past the state." },
    { "dt_bias", { "nheads", "head_dim" }, "bfloat16", "Bias of the time step." },
    {
      "state_batch_indices",
      { "batch_size" },
      "int32",
      "Slot of each sequence's state; negative for a padded sequence.",
    },
  },
  outputs = {
    { "output", { "batch_size", "nheads", "head_dim" }, "bfloat16", "Output; zeros for a padded sequence." },
    { "new_state", state_shape, "bfloat16", "The cache with the states of these sequences updated." },
  },
  reference = [=[
import torch
import torch.nn.functional as F


@torch.no_grad()
def run(state, x, dt, A, B, C, D, dt_bias, state_batch_indices):
    batch_size, nheads, head_dim = x.shape
    _, ngroups, dstate = B.shape
    assert nheads == ${nheads}
    assert head_dim == ${head_dim}
    assert dstate == ${dstate}
    assert ngroups == ${ngroups}

    # Heads that follow each other share the B and C of one group.
    heads_per_group = nheads // ngroups

    output = torch.zeros_like(x)
    new_state = state.clone()

    for i, slot in enumerate(state_batch_indices.tolist()):
        if slot < 0:
            continue  # padding: no state to update

        token = x[i].to(torch.float32)  # [nheads, head_dim]
        time_step = F.softplus(dt[i].to(torch.float32) + dt_bias.to(torch.float32))
        decay = torch.exp(A.to(torch.float32) * time_step[:, :, None])  # [nheads, head_dim, dstate]
        enters = B[i].to(torch.float32).repeat_interleave(heads_per_group, dim=0)  # [nheads, dstate]
        reads = C[i].to(torch.float32).repeat_interleave(heads_per_group, dim=0)

        # What is read is the state before it is rounded to be stored.
        updated = new_state[slot].to(torch.float32) * decay
        updated = updated + (time_step * token)[:, :, None] * enters[:, None, :]
        new_state[slot] = updated.to(state.dtype)

        read = (updated * reads[:, None, :]).sum(dim=-1)
        output[i] = (read + token * D.to(torch.float32)).to(x.dtype)

    return output, new_state
]=],
}

-- "mamba_num_heads 128 / TP 2 = 64"
local function shared_out(origin, ranks, share)
  if not origin or ranks == 1 then return origin end
  return ("%s / TP %d = %d"):format(origin, ranks, share)
end

-- A mixer's projections, its convolution and its norm are layers of their own; it runs the state update itself.
local function kernels(layer)
  local ranks = layer:integer "tp_size"
  local heads, groups = layer:integer "num_heads", layer:integer "n_groups"
  local head_dim, dstate = layer:integer "head_dim", layer:integer "ssm_state_size"
  if not (ranks and heads and groups and head_dim and dstate) then
    return nil, "the numbers of its heads and groups are not known"
  end
  local params = { nheads = heads // ranks, ngroups = groups // ranks, head_dim = head_dim, dstate = dstate }
  local origins = {
    nheads = shared_out(layer:origin "num_heads", ranks, params.nheads),
    ngroups = shared_out(layer:origin "n_groups", ranks, params.ngroups),
    head_dim = layer:origin "head_dim",
    dstate = layer:origin "ssm_state_size",
  }
  local calls = layer:calls(function(call) return call.mode == "decode" end)
  local scans = #layer:calls() > #calls
  local found = {}
  if #calls > 0 then found[1] = { variant = "decode", params = params, origins = origins, calls = calls } end
  return found, scans and "its scan over a prompt in prefill, which no definition describes" or nil
end

-- Rates below zero, so that states fade; a slot of the cache for each sequence.
local function make_inputs(_, axes, make)
  return {
    A = -make:uniform(0.5, 4, axes.nheads, axes.head_dim, axes.dstate),
    state_batch_indices = make:places(axes.batch_size, axes.state_cache_size),
  }
end

-- The cache is an output: all of it is read and written. An element of a state that is updated costs the product
-- with A, the decay, what enters (two) and what is read from it (two). Sequences may all be padding.
local function work(axes, definition, structure)
  local count = require "hone.ops.parts.work"
  local slots = count.list(structure, "state_batch_indices")
  local token = 0
  for _, name in ipairs { "x", "dt", "B", "C" } do
    token = token + count.bytes(definition.inputs[name], axes, 1)
  end
  local function with(sequences)
    local weights = sequences > 0 and count.inputs(definition, axes, { "A", "D", "dt_bias" }) or 0
    return {
      read = count.inputs(definition, axes, { "state", "state_batch_indices" }) + weights + sequences * token,
      written = count.outputs(definition, axes),
      flops = 6 * sequences * axes.nheads * axes.head_dim * axes.dstate,
      dtype = "float32",
    }
  end
  local result = with(slots and count.count(slots) or 0)
  if not slots then result.usual = with(axes.batch_size) end
  return result
end

return {
  op_type = "mamba_ssu",
  work = work,
  usual_axes = { batch_size = 4, state_cache_size = 6 },
  make_inputs = make_inputs,
  mistakes = "mamba_ssu",
  layers = { ["sglang.srt.layers.attention.mamba.mamba.MambaMixer2"] = kernels },
  check = check,
  variants = { decode = decode },
}
