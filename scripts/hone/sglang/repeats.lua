--- Layers that cannot differ are built once.
--
-- A stack of decoder layers is one constructor called with 0, 1, 2, ... When nothing reads that index while a
-- layer is built (it is stored, not compared, calculated with or looked up by), every layer comes out the
-- same. Then one object stands for all those in the middle; the first two and the last are always built, since
-- what surrounds them may differ. If the index is read after all, when forward runs, the walk is done again
-- without this.
local python = require "hone.python"

local M = {}

-- SGLang's function that builds a stack, where it has been defined.
M.BUILDERS = { ["sglang.srt.utils.common.make_layers"] = true, ["sglang.srt.utils.make_layers"] = true }

local BUILT_AT_THE_START = 3 -- the first, the second, and the one that stands for those in the middle

local Repeats = {}
Repeats.__index = Repeats

---@return table repeats # reads: how often an index was read; used: whether a layer stands for others
function M.new() return setmetatable({ reads = 0, used = false }, Repeats) end

-- The constructor with what it needs to be called once for layers that are alike.
function Repeats:wrap(world, layer_fn, count)
  local standing
  return python.fn("layer_fn", function(_, kwargs)
    local index = python.number(kwargs.idx)
    if standing and index and index < count - 1 then return standing end
    local before = self.reads
    local tracked = index and python.tracked(index, "layer index", function() self.reads = self.reads + 1 end)
    local layer = assert(world:call(layer_fn, {}, { idx = tracked or kwargs.idx, prefix = kwargs.prefix }))
    if index == BUILT_AT_THE_START - 1 and self.reads == before and self.reads == 0 then
      standing, self.used = layer, true
    end
    return layer
  end)
end

---What replaces SGLang's builder: the builder itself, with another constructor.
function Repeats:override()
  return function(world, args, kwargs)
    local count = python.number(args[1] or kwargs.num_hidden_layers)
    local layer_fn = args[2] or kwargs.layer_fn
    if not count or not layer_fn or count <= BUILT_AT_THE_START + 1 then return nil end
    local wrapped = self:wrap(world, layer_fn, count)
    if args[2] then
      args[2] = wrapped
    else
      kwargs.layer_fn = wrapped
    end
    return nil
  end
end

return M
