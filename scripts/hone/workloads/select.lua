--- Few workloads that differ much, out of many.
local select_ = {}

-- How far apart the sizes of two workloads are: each axis by the share that it differs by.
local function distance(a, b)
  local sum = 0
  for i = 1, #a do
    local share = (a[i] - b[i]) / math.max(math.abs(a[i]), math.abs(b[i]), 1)
    sum = sum + share * share
  end
  return math.sqrt(sum)
end

local function sizes_of(candidate, names)
  local sizes = {}
  for i, name in ipairs(names) do
    sizes[i] = candidate.axes[name] or 0
  end
  return sizes
end

-- How far each candidate is from the nearest chosen one is kept, and lowered whenever one is chosen.
local Choice = {}
Choice.__index = Choice

function Choice:take(index)
  self.taken[index] = true
  self.order[#self.order + 1] = index
  for i, sizes in ipairs(self.sizes) do
    if not self.taken[i] then
      self.nearest[i] = math.min(self.nearest[i], distance(sizes, self.sizes[index]))
    end
  end
end

-- The farthest of those in `among`; the first of several.
function Choice:farthest(among)
  local best
  for _, i in ipairs(among) do
    if not self.taken[i] and (not best or self.nearest[i] > self.nearest[best]) then best = i end
  end
  return best
end

local function groups_by_batch(candidates)
  local groups, sizes = {}, {}
  for i, candidate in ipairs(candidates) do
    local size = candidate.axes.batch_size or 0
    if not groups[size] then
      groups[size] = {}
      sizes[#sizes + 1] = size
    end
    table.insert(groups[size], i)
  end
  table.sort(sizes)
  return groups, sizes
end

---Choose: one of each batch size first, from the smallest up, then always the one that is farthest from those chosen.
---@generic T: { axes: table<string, integer> }
---@param candidates T[]
---@param names string[] # variable axes
---@param most integer
---@return T[] chosen
function select_.diverse(candidates, names, most)
  if #candidates <= most or #names == 0 then return table.move(candidates, 1, most, 1, {}) end
  local choice = setmetatable({ taken = {}, order = {}, sizes = {}, nearest = {} }, Choice)
  local all = {}
  for i, candidate in ipairs(candidates) do
    choice.sizes[i], choice.nearest[i], all[i] = sizes_of(candidate, names), math.huge, i
  end
  local groups, sizes = groups_by_batch(candidates)
  for _, size in ipairs(sizes) do
    if #choice.order < most then choice:take(choice:farthest(groups[size])) end
  end
  while #choice.order < most do
    choice:take(choice:farthest(all))
  end
  local chosen = {}
  for i, index in ipairs(choice.order) do
    chosen[i] = candidates[index]
  end
  return chosen
end

return select_
