--- Mistakes of rotary embeddings' kernels. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed = mistakes.changed

-- The first elements of each head in another order, the rest as it is.
local function reordered(t, first, order)
  local size = t:size(-1)
  local moved = t:narrow(-1, 1, first):index_select(t:dim(), mistakes.index(order, t.device))
  if first == size then return moved end
  return tensor.cat({ moved, t:narrow(-1, first + 1, size - first) }, t:dim())
end

-- A permutation of the rotated elements and its inverse: neighbours to halves.
local function orders(n)
  local apart, together = {}, {}
  for i = 0, n - 1 do
    local place = i % 2 * (n // 2) + i // 2
    apart[place + 1], together[i + 1] = i, place
  end
  return apart, together
end

-- The pairs of the other style: elements are brought where the reference expects them, rotated, and brought back.
local function other_style(what, hint, swap)
  return {
    what = what,
    hint = hint,
    runs = true,
    outputs = function(case)
      local n = case.input.cos_sin_cache:size(2)
      local apart, together = orders(n)
      if swap then
        apart, together = together, apart
      end
      local made = case:run { q = reordered(case.input.q, n, apart), k = reordered(case.input.k, n, apart) }
      if not made then return nil end
      return { q_out = reordered(made.q_out, n, together), k_out = reordered(made.k_out, n, together) }
    end,
  }
end

local function halves(t)
  local half = t:size(2) // 2
  return t:narrow(2, 1, half), t:narrow(2, half + 1, half)
end

local function moved_by(step, what)
  return changed(what, "positions count from 0", function(input)
    local last = input.cos_sin_cache:size(1) - 1
    return { positions = (input.positions + step):clamp(0, last) }
  end)
end

return {
  other_style(
    "neighbours are rotated as pairs (GPT-J style), it should be the two halves (NeoX style)",
    "element i belongs to element i + rotary_dim / 2",
    false
  ),
  other_style(
    "the two halves are rotated as pairs (NeoX style), it should be neighbours (GPT-J style)",
    "element 2 i belongs to element 2 i + 1",
    true
  ),
  changed(
    "it is rotated the other way: the sign of the sine is wrong",
    "x cos - y sin, y cos + x sin",
    function(input)
      local cosines, sines = halves(input.cos_sin_cache)
      return { cos_sin_cache = tensor.cat({ cosines, -sines }, 2) }
    end
  ),
  changed("cosines and sines are exchanged", "a row of the cache holds the cosines first", function(input)
    local cosines, sines = halves(input.cos_sin_cache)
    return { cos_sin_cache = tensor.cat({ sines, cosines }, 2) }
  end),
  changed(
    "cosines and sines are read in turn",
    "a row of the cache holds all cosines, then all sines",
    function(input)
      local pairs_of = input.cos_sin_cache:reshape(input.cos_sin_cache:size(1), -1, 2)
      return { cos_sin_cache = tensor.cat({ pairs_of:select(3, 1), pairs_of:select(3, 2) }, 2) }
    end
  ),
  changed(
    "positions is not used: token i has position i",
    "take the row of the cache from positions",
    function(input)
      local positions, last = input.positions, input.cos_sin_cache:size(1) - 1
      return { positions = tensor.arange(positions:numel(), { device = positions.device }):clamp(0, last) }
    end
  ),
  moved_by(1, "positions are one too large"),
  moved_by(-1, "positions are one too small"),
  {
    what = "nothing is rotated",
    hint = "the outputs are the inputs",
    outputs = function(case) return { q_out = case.input.q, k_out = case.input.k } end,
  },
}
