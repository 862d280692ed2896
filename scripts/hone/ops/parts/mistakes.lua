--- How mistakes that kernels are known to make are written down: what a diagnosis tries on a wrong result, op type by
--- op type, in the folder `mistakes`. See scripts/hone/bench/diagnose/init.lua for what a mistake holds.
--
-- Most of them are the reference itself with other inputs, so that they hold for every form of an op type and for
-- references that others wrote.
local tensor = require "hone.tensor"

local M = {}

---A mistake that is the reference with other inputs: `change(input, case)` gives them by name, nil where it does not
---apply.
function M.changed(what, hint, change)
  return {
    what = what,
    hint = hint,
    runs = true,
    outputs = function(case)
      local inputs = change(case.input, case)
      return inputs and case:run(inputs)
    end,
  }
end

---An input replaced by one value all over: `name` filled with it, where the definition has such an input.
function M.filled(name, value, what, hint)
  return M.changed(what, hint, function(input)
    local t = input[name]
    if not tensor.is_tensor(t) then return nil end
    return { [name] = tensor.full_like(t, value) }
  end)
end

---A number that is given in place of another.
function M.number(name, other, what, hint)
  return M.changed(what, hint, function(input, case)
    local value = input[name]
    if type(value) ~= "number" then return nil end
    local instead = other(value, case)
    if not instead or instead == value then return nil end
    return { [name] = instead }
  end)
end

---A piece of the reference's source in other words; of hone's own reference where the definition's is written otherwise.
function M.edited(what, hint, from, to)
  return {
    what = what,
    hint = hint,
    runs = true,
    outputs = function(case) return case:edited(from, to) end,
  }
end

---Positions of a dimension, counted from 0, as a tensor that selects them.
function M.index(list, device) return tensor.new(list, "int64"):to(device) end

---Where heads go so that those that share a key head by their number's remainder share it by its quotient: the order
---that gathers them, and the one that brings them back.
function M.interleaved(heads, groups, device)
  local size = heads // groups
  local gather, back = {}, {}
  for h = 0, heads - 1 do
    local place = (h % groups) * size + h // groups
    gather[place + 1], back[h + 1] = h, place
  end
  return M.index(gather, device), M.index(back, device)
end

---The halves of a dimension exchanged.
function M.swap_halves(t, dim)
  local half = t:size(dim) // 2
  return tensor.cat({ t:narrow(dim, half + 1, half), t:narrow(dim, 1, half) }, dim)
end

---Mistakes of several lists as one.
function M.join(...)
  local all = {}
  for _, list in ipairs { ... } do
    table.move(list, 1, #list, #all + 1, all)
  end
  return all
end

return M
