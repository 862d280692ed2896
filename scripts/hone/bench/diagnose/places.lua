--- Where in a tensor a mask holds, in words: whole slices, ranges, or how many and the first.
local M = {}

-- The positions of a dimension at which the mask holds anywhere, as a list counted from 0.
local function positions_along(mask, dim)
  local others = {}
  for d = 1, mask:dim() do
    if d ~= dim then others[#others + 1] = d end
  end
  local any = #others > 0 and mask:any(others) or mask
  return any:nonzero():flatten():tolist()
end

-- "3:7", "5", ":" for all; nil where it is no range. A step is said too: "1::2".
local function range_text(positions, size)
  local n, first, last = #positions, positions[1], positions[#positions]
  if n == size then return ":" end
  if n == 1 then return tostring(first) end
  local step = positions[2] - first
  for i = 2, n do
    if positions[i] - positions[i - 1] ~= step then return nil end
  end
  local to = last + step >= size and "" or tostring(last + 1)
  if step == 1 then return ("%s:%s"):format(first == 0 and "" or first, to) end
  return ("%s:%s:%d"):format(first == 0 and "" or first, to, step)
end

local MOST_OF_ALL, LEAST_FILLED = 0.5, 0.5

---The smallest box that holds all elements, "[3, :, 64:]", where it is much smaller than the tensor and they fill most
---of it: a tile, a row or a head that is wrong has elements that are right by chance. Nil else.
---@param mask hone.Tensor # bool, not all false
---@return string?
function M.box(mask)
  local parts, volume = {}, 1
  for d = 1, mask:dim() do
    local positions = positions_along(mask, d)
    volume = volume * #positions
    parts[d] = range_text(positions, mask:size(d))
    if not parts[d] then return nil end
  end
  local n = mask:to("int64"):sum():item()
  if mask:dim() == 0 or volume > MOST_OF_ALL * mask:numel() or n < LEAST_FILLED * volume then return nil end
  return ("[%s]"):format(table.concat(parts, ", "))
end

---Where the elements are, as Python would index them: "[:, 64:]"; else how many there are and the first.
---@param mask hone.Tensor # bool, not all false
---@return string
function M.describe(mask)
  local n, total = mask:to("int64"):sum():item(), mask:numel()
  if n == total then return "all elements" end
  local parts, box = {}, 1
  for d = 1, mask:dim() do
    local positions = positions_along(mask, d)
    box = box * #positions
    parts[d] = range_text(positions, mask:size(d))
  end
  if box == n and #parts == mask:dim() then return ("[%s]"):format(table.concat(parts, ", ")) end
  local first = mask:nonzero()[1]:tolist()
  return ("%d of %d elements, the first at [%s]"):format(n, total, table.concat(first, ", "))
end

return M
