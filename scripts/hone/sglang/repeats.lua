--- Layers that do not differ are built, or at least run, once.
--
-- A stack of decoder layers is one constructor called with 0, 1, 2, ... When nothing reads that index while a
-- layer is built (it is stored, not compared, calculated with or looked up by), every layer comes out the
-- same, and one object stands for all those in the middle. When something does, every layer is built, and once the
-- whole model is, those of the same shape become one object. The first two and the last are always objects of their
-- own, since what surrounds them may differ. If the index of one that stands for others is read later, when forward
-- runs, the walk is done again without this.
--
-- An object that stands for others runs until what it is given and what it gives is what it was the time before.
local python = require "hone.python"

local M = {}

-- SGLang's function that builds a stack, where it has been defined.
M.BUILDERS = { ["sglang.srt.utils.common.make_layers"] = true, ["sglang.srt.utils.make_layers"] = true }

local FIRST_OF_THE_MIDDLE = 2 -- counted from 0

local Repeats = {}
Repeats.__index = Repeats

---@return table repeats # spoilt: the index of a layer that stands for others has been read
function M.new()
  return setmetatable({ reads = 0, stacks = {}, shared = {}, runs = {}, spoilt = false }, Repeats)
end

-- ---- building ----------------------------------------------------------------------------------------

-- The index that one layer is built with: it tells when it is read.
function Repeats:tracked(index, owner)
  return python.tracked(index, "layer index", function()
    if owner.building then
      self.reads = self.reads + 1
    elseif owner.shared then
      self.spoilt = true
    else
      owner.read_later = true
    end
  end)
end

function Repeats:share(owner)
  owner.shared = true
  self.shared[owner.layer] = true
  self.spoilt = self.spoilt or owner.read_later or false
end

-- A layer's name without its index, for the one that may stand for others: a constructor that takes the index from
-- there fails, and the walk is done again without this.
function Repeats:without_index(prefix, index)
  if type(prefix) ~= "string" then return prefix end
  self.spoilt = true -- until the layer is built
  return (prefix:gsub("%f[%w]" .. index .. "%f[%W]", "*"))
end

-- The constructor with what it needs to be called once for layers that cannot differ.
function Repeats:wrap(world, layer_fn, count)
  local standing
  local stack = {}
  self.stacks[#self.stacks + 1] = stack
  return python.fn("layer_fn", function(_, kwargs)
    local index = python.number(kwargs.idx)
    local is_middle = index and FIRST_OF_THE_MIDDLE <= index and index < count - 1
    if standing and is_middle then
      self:share(standing)
      return standing.layer
    end
    local owner, reads = { building = true, index = index, is_middle = is_middle }, self.reads
    local tracked = index and self:tracked(index, owner) or kwargs.idx
    local prefix, spoilt = kwargs.prefix, self.spoilt
    if index == FIRST_OF_THE_MIDDLE and reads == 0 then prefix = self:without_index(prefix, index) end
    owner.layer = assert(world:call(layer_fn, {}, { idx = tracked, prefix = prefix }))
    owner.building, self.spoilt = false, spoilt
    stack[#stack + 1] = owner
    if is_middle and self.reads == reads and self.reads == 0 then standing = owner end
    return owner.layer
  end)
end

-- The layers of a stack that others of the same shape stand for: { [layer] = that other }. What the first layer holds
-- is the same for all.
function Repeats:alike(world, stack)
  local known, by_shape, stand_in = {}, {}, {}
  for _, owner in ipairs(stack) do
    if not owner.is_middle then
      if not next(known) and owner.index then world:shape(owner.layer, owner.index, known) end
    else
      local shape = world:shape(owner.layer, owner.index, setmetatable({}, { __index = known }))
      local same = shape and by_shape[shape]
      if same then
        self:share(same)
        stand_in[owner.layer] = same.layer
      elseif shape then
        by_shape[shape] = owner
      end
    end
  end
  return stand_in
end

---Make layers that are alike one object, once the model is built and nothing is done with it yet: each has its place
---among its neighbours by then.
---@param world hone.python.World
---@param modules table<hone.python.Value, any> # all modules of the model, lists of layers among them
function Repeats:settle(world, modules)
  for _, stack in ipairs(self.stacks) do
    local stand_in = self:alike(world, stack)
    for module in pairs(next(stand_in) and modules or {}) do
      world:replace_items(module, stand_in)
    end
  end
end

---What replaces SGLang's builder: the builder itself, with another constructor.
function Repeats:override()
  return function(world, args, kwargs)
    local count = python.number(args[1] or kwargs.num_hidden_layers)
    local layer_fn = args[2] or kwargs.layer_fn
    if not count or not layer_fn or count <= FIRST_OF_THE_MIDDLE + 2 then return nil end
    local wrapped = self:wrap(world, layer_fn, count)
    if args[2] then
      args[2] = wrapped
    else
      kwargs.layer_fn = wrapped
    end
    return nil
  end
end

-- ---- running -----------------------------------------------------------------------------------------

-- Whether two values are the same as far as is known.
local function is_same(a, b)
  if rawequal(a, b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  if a.unknown and b.unknown then
    if not (a.alts and b.alts) then return not a.alts and not b.alts end
    a, b = { n = #a.alts, table.unpack(a.alts) }, { n = #b.alts, table.unpack(b.alts) }
  elseif a.boxed and b.boxed then
    return rawget(a, "value") ~= nil and rawequal(rawget(a, "value"), rawget(b, "value"))
  elseif a.attrs or b.attrs or a.cls ~= b.cls then
    return false
  end
  if not a.n or a.n ~= b.n then return false end
  for i = 1, a.n do
    if not is_same(a[i], b[i]) then return false end
  end
  return true
end

-- Whether what two runs are given is the same, numbers that neither reads left aside.
local function are_same(a, b)
  for key, value in pairs(a.values) do
    if a.read[key] ~= false and not is_same(value, b.values[key]) then return false end
  end
  for key in pairs(b.values) do
    if a.values[key] == nil then return false end
  end
  return true
end

-- Arguments to be given to a run, whole numbers among them as such that tell when they are read, and a record of them.
local function watched(arguments)
  local given, record = {}, { values = {}, read = {} }
  for key, value in pairs(arguments) do
    given[key] = value
    if key ~= "n" then
      record.values[key] = value
      if math.type(value) == "integer" then
        record.read[key] = false
        given[key] = python.tracked(value, key, function() record.read[key] = true end)
      end
    end
  end
  return given, record
end

---Run a module's forward, unless it stands for others and has settled.
---@param instance table
---@param mode string # "prefill" or "decode"
---@param run fun(args: table, kwargs: table): hone.python.Value # its forward
---@return hone.python.Value? # nil for one that stands for itself
function Repeats:run(instance, mode, args, kwargs, run)
  if not self.shared[instance] then return nil end
  local runs = self.runs[instance] or {}
  self.runs[instance] = runs
  local last = runs[mode]
  if last and last.running then return nil end
  local this = { running = true }
  local given, named
  given, this.args = watched(args)
  named, this.kwargs = watched(kwargs)
  local is_again = last and are_same(last.args, this.args) and are_same(last.kwargs, this.kwargs)
  if is_again and last.settled then return last.result end
  runs[mode] = this
  this.result = run(given, named)
  this.running = false
  this.settled = is_again and is_same(this.result, last.result)
  return this.result
end

return M
