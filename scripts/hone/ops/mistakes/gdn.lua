--- Mistakes of gated delta nets' kernels. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed, filled, number = mistakes.changed, mistakes.filled, mistakes.number

-- The names of the state that is given and of the one that comes out.
local function states(case)
  local input = case.input.initial_state and "initial_state" or case.input.state and "state"
  local output = case.expected.final_state and "final_state" or case.expected.new_state and "new_state"
  return input or nil, output or nil
end

local function turned(t) return t:transpose(-1, -2):contiguous() end

local layout = {
  {
    what = "the state is stored and read as [K, V], it should be [V, K] (k last)",
    hint = "the last dimension of the state counts key elements",
    runs = true,
    outputs = function(case)
      local input, output = states(case)
      if not input then return nil end
      local made = case:run { [input] = turned(case.input[input]) }
      if made then made[output] = turned(made[output]) end
      return made
    end,
  },
  {
    what = "the state is stored as [K, V], it should be [V, K] (k last)",
    hint = "the last dimension of the state counts key elements; it is read as it should be",
    over = function(outputs) return outputs.new_state and { new_state = turned(outputs.new_state) } end,
  },
  changed(
    "the state is read as [K, V], it should be [V, K] (k last)",
    "the last dimension of the state counts key elements; it is stored as it should be",
    function(_, case)
      local input = states(case)
      return input and { [input] = turned(case.input[input]) }
    end
  ),
  changed(
    "the state that is given is not read: it starts from zeros",
    "load the state first",
    function(_, case)
      local input = states(case)
      return input and { [input] = tensor.zeros_like(case.input[input]) }
    end
  ),
}

local function head_size(case) return case.input.q and case.input.q:size(-1) end

local factors = {
  number("scale", function() return 1.0 end, "scale is missing", "multiply what is read by scale"),
  number("scale", function(scale, case)
    if scale == 0 then scale = 1 / math.sqrt(head_size(case)) end
    return scale ^ 2
  end, "scale is applied twice", "queries are already scaled"),
  number(
    "scale",
    function(_, case) return 1 / math.sqrt(head_size(case)) end,
    "1/sqrt(head_size) is applied instead of scale",
    "use the scale that is given"
  ),
}

local function log_of(t) return t:gt(0):all():item() and t:to("float32"):log():to(t.dtype) or nil end

local gates = {
  filled(
    "A_log",
    -1e4,
    "the state does not decay",
    "multiply the state by exp(-exp(A_log) * softplus(a + dt_bias))"
  ),
  filled("dt_bias", 0, "dt_bias is missing", "the decay is softplus(a + dt_bias)"),
  filled("a", 0, "a is missing from the decay", "the decay is softplus(a + dt_bias)"),
  filled(
    "b",
    100,
    "the update is not scaled by sigmoid(b)",
    "the change of the state is sigmoid(b) * (v - k S)"
  ),
  changed("A_log is taken as the rate itself", "the rate is exp(A_log)", function(input)
    local logarithm = input.A_log and log_of(input.A_log)
    return logarithm and { A_log = logarithm }
  end),
  changed(
    "a and b are exchanged",
    "a makes the decay, b the update",
    function(input) return input.a and input.b and { a = input.b, b = input.a } end
  ),
  changed(
    "q and k are exchanged",
    "k updates the state, q reads it",
    function(input) return input.q and input.k and { q = input.k, k = input.q } end
  ),
}

local rule = {
  mistakes.edited(
    "values are added to the state as they are: what it holds for their keys is not taken off",
    "the delta rule adds sigmoid(b) * (v - k S), not sigmoid(b) * v",
    "take[:, None] * (v - expected)",
    "take[:, None] * v"
  ),
  mistakes.edited(
    "the change is worked out before the state decays",
    "the state decays first",
    'state = state * keep[:, None, None]\n    expected = torch.einsum("hvk,hk->hv", state, k)',
    'expected = torch.einsum("hvk,hk->hv", state, k)\n    state = state * keep[:, None, None]'
  ),
  mistakes.edited(
    "softplus is missing",
    "the decay is exp(-exp(A_log) * softplus(a + dt_bias))",
    "F.softplus(a.to(torch.float32) + dt_bias.to(torch.float32))",
    "(a.to(torch.float32) + dt_bias.to(torch.float32))"
  ),
  mistakes.edited(
    "what a token reads is the state before it",
    "the query reads the state that its own token has changed",
    'state = state + torch.einsum("hv,hk->hvk", change, k)\n    return state, torch.einsum("hvk,hk->hv", state, q)',
    'read = torch.einsum("hvk,hk->hv", state, q)\n'
      .. '    state = state + torch.einsum("hv,hk->hvk", change, k)\n    return state, read'
  ),
}

-- Value heads in another order, whatever has one entry a head: heads are the dimension that this gives.
local HEADS = { v = -2, state = 2, initial_state = 2, A_log = 1, a = -1, dt_bias = 1, b = -1 }

local function dimension(t, dim) return dim < 0 and t:dim() + dim + 1 or dim end

local heads = {
  {
    what = "value heads share query and key heads by h % num_k_heads, it should be h // (num_v_heads / num_k_heads)",
    hint = "query and key heads are repeated one after the other (repeat_interleave), not all in turn",
    runs = true,
    outputs = function(case)
      local values, keys = case.input.v:size(-2), case.input.k:size(-2)
      if keys == 1 or values == keys then return nil end
      local gather, back = mistakes.interleaved(values, keys, case.input.v.device)
      local inputs = {}
      for name, dim in pairs(HEADS) do
        local t = case.input[name]
        if tensor.is_tensor(t) then inputs[name] = t:index_select(dimension(t, dim), gather) end
      end
      local made = case:run(inputs)
      if not made then return nil end
      for name, t in pairs(made) do
        made[name] = t:index_select(name == "output" and t:dim() - 1 or 2, back)
      end
      return made
    end,
  },
}

return mistakes.join(layout, factors, gates, heads, rule)
