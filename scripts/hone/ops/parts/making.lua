--- What op types make inputs with: lengths that add up, places without repetition. All from one generator, so that
--- a seed gives the same inputs everywhere.
local tensor = require "hone.tensor"

local Making = {}
Making.__index = Making

---Integers from low to high, both included.
function Making:integers(low, high, n)
  local list = {}
  if n == 0 then return list end
  for i, value in ipairs(tensor.randint(low, high + 1, { n }, { generator = self.generator }):tolist()) do
    list[i] = value
  end
  return list
end

---n lengths that add up to `total`, of uneven sizes, each at least 1 where there is enough.
function Making:lengths(n, total)
  local least = total >= n and 1 or 0
  local weights, sum, lengths, left = self:integers(1, 8, n), 0, {}, total
  for _, weight in ipairs(weights) do
    sum = sum + weight
  end
  for i, weight in ipairs(weights) do
    lengths[i] = i == n and left or least + (total - least * n) * weight // sum
    left = left - lengths[i]
  end
  return lengths
end

---Where pieces of these lengths start, and the end of the last: [n + 1].
function Making.starts(lengths)
  local starts = { 0 }
  for i, length in ipairs(lengths) do
    starts[i + 1] = starts[i] + length
  end
  return tensor.new(starts, "int64")
end

---n different numbers below `limit`; some of them twice where there are too few.
function Making:places(n, limit)
  local order = tensor.randperm(math.max(limit, 1), { generator = self.generator }):tolist()
  local list = {}
  for i = 1, n do
    list[i] = order[(i - 1) % #order + 1]
  end
  return tensor.new(list, "int64"):reshape(n)
end

---Values between low and high.
function Making:uniform(low, high, ...)
  return tensor.rand({ ... }, { generator = self.generator }) * (high - low) + low
end

function Making:normal(...) return tensor.randn({ ... }, { generator = self.generator }) end

local M = {}

function M.new(generator) return setmetatable({ generator = generator }, Making) end

return M
