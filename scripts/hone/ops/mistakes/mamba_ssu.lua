--- Mistakes of Mamba2's state update. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed, filled = mistakes.changed, mistakes.filled

-- What has one entry a head, and in which dimension.
local HEADS = { state = 2, x = 2, dt = 2, A = 1, D = 1, dt_bias = 1 }

return {
  filled("D", 0, "D is missing: the input does not go past the state", "add x * D to what is read"),
  filled("D", 1, "D is taken as 1", "add x * D to what is read"),
  filled("dt_bias", 0, "dt_bias is missing", "the time step is softplus(dt + dt_bias)"),
  filled("A", 0, "the state does not decay", "multiply the state by exp(A * dt)"),
  filled("state", 0, "the state that is given is not read", "load the state first"),
  changed(
    "A is taken as its logarithm",
    "A is the rate itself, negative: exp(A * dt)",
    function(input) return { A = -(input.A:exp()) } end
  ),
  changed("A has the wrong sign", "A is negative: exp(A * dt)", function(input) return { A = -input.A } end),
  changed(
    "B and C are exchanged",
    "B enters the state, C reads it",
    function(input) return { B = input.C, C = input.B } end
  ),
  changed(
    "state_batch_indices is not used: sequence i updates slot i",
    "states lie anywhere in the cache",
    function(input)
      local indices = input.state_batch_indices
      return {
        state_batch_indices = tensor.arange(indices:numel(), { device = indices.device }):to(indices.dtype),
      }
    end
  ),
  {
    what = "heads share B and C by h % ngroups, it should be h // (nheads / ngroups)",
    hint = "heads that follow each other belong to one group",
    runs = true,
    outputs = function(case)
      local count, groups = case.input.x:size(2), case.input.B:size(2)
      if groups == 1 or groups == count then return nil end
      local gather, back = mistakes.interleaved(count, groups, case.input.x.device)
      local inputs = {}
      for name, dim in pairs(HEADS) do
        inputs[name] = case.input[name]:index_select(dim, gather)
      end
      local made = case:run(inputs)
      if not made then return nil end
      for name, t in pairs(made) do
        made[name] = t:index_select(2, back)
      end
      return made
    end,
  },
  mistakes.edited(
    "softplus is missing",
    "the time step is softplus(dt + dt_bias)",
    "F.softplus(dt[i].to(torch.float32) + dt_bias.to(torch.float32))",
    "(dt[i].to(torch.float32) + dt_bias.to(torch.float32))"
  ),
  mistakes.edited(
    "what enters the state is not multiplied by the time step",
    "x * dt * B enters the state",
    "(time_step * token)[:, :, None]",
    "token[:, :, None]"
  ),
}
