--- Ground truth and test inputs of Mamba2's state update: head by head.
local truth = [=[
import torch


def truth(state, x, dt, A, B, C, D, dt_bias, state_batch_indices):
    new_state = state.to(torch.float64).clone()
    batch, heads, dim = x.shape
    group = heads // B.shape[1]
    output = torch.zeros(batch, heads, dim, dtype=torch.float64, device=x.device)
    for b in range(batch):
        slot = int(state_batch_indices[b].item())
        for h in range(heads if slot >= 0 else 0):
            raw = dt[b, h].to(torch.float64) + dt_bias[h].to(torch.float64)
            step = torch.where(raw > 30, raw, torch.log(1 + torch.exp(raw)))
            value = x[b, h].to(torch.float64)
            decay = torch.exp(A[h].to(torch.float64) * step.unsqueeze(1))
            added = (step * value).unsqueeze(1) * B[b, h // group].to(torch.float64).unsqueeze(0)
            new_state[slot, h] = new_state[slot, h] * decay + added
            read = (new_state[slot, h] * C[b, h // group].to(torch.float64).unsqueeze(0)).sum(dim=1)
            output[b, h] = read + value * D[h].to(torch.float64)
    return output, new_state
]=]

local make = [=[
CASES = [{"slots": [0]}, {"slots": [3, -1, 1]}]


def make_inputs(case, rng):
    batch, pool = len(case["slots"]), 5
    heads, groups = (batch, NHEADS, HEAD_DIM), (batch, NGROUPS, DSTATE)
    state = rng.normal(pool, NHEADS, HEAD_DIM, DSTATE)
    decay = -rng.uniform(NHEADS)[:, None, None].expand(NHEADS, HEAD_DIM, DSTATE).contiguous()
    per_head = [rng.normal(NHEADS)[:, None].expand(NHEADS, HEAD_DIM).contiguous() for _ in range(2)]
    step = rng.normal(batch, NHEADS)[:, :, None].expand(heads).contiguous()
    slots = rng.tensor(case["slots"])
    return [state, rng.normal(*heads), step, decay, rng.normal(*groups), rng.normal(*groups), *per_head, slots]
]=]

-- FlashInfer takes what is one number for each head as a view that is so: of stride 1 over heads and 0 after them. For a
-- padded row its kernel writes what a state of zeros gives, which nobody reads; the definition has zeros there.
local flashinfer = [=[
def of_heads(x, first):
    """The same tensor, of which all after the dimension of heads is repeated instead of stored."""
    kept = x[(slice(None),) * (first + 1) + (0,) * (x.dim() - first - 1)].contiguous()
    return kept[(...,) + (None,) * (x.dim() - first - 1)].expand(x.shape)


def flashinfer_truth(state, x, dt, A, B, C, D, dt_bias, state_batch_indices):
    from flashinfer.mamba import selective_state_update

    output = selective_state_update(state, x, of_heads(dt, 1), of_heads(A, 0), B, C, of_heads(D, 0),
                                    dt_bias=of_heads(dt_bias, 0), dt_softplus=True,
                                    state_batch_indices=state_batch_indices, pad_slot_id=-1)
    output[state_batch_indices < 0] = 0
    return output, state
]=]

return {
  decode = {
    truth = truth,
    make = make,
    flashinfer = flashinfer,
    flashinfer_needs = { "flashinfer.mamba" },
    tolerance = { atol = 0.05, rtol = 0.02 },
    flashinfer_changes = { state = true },
  },
}
