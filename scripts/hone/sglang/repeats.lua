--- Layers that do not differ are built, or at least run, once.
--
-- A stack of decoder layers is one constructor called with 0, 1, 2, ... While a layer is built, the tests that its
-- index is put to are noted: `layer_id < 3`, `layer_id % 4 == 3`, an item of a list looked up by it. A layer with another
-- index that would pass the same tests comes out the same, and need not be built: one of its kind stands for it, the
-- one that has neighbours of the same kinds, since layers take their places among their neighbours. Layers whose
-- constructor does anything else with the index are all built, and once the whole model is, those of the same shape
-- become one object. The first two and the last are always objects of their own, since what surrounds them may differ.
-- If the index of one that stands for others is read later, when forward runs, the walk is done again without this.
--
-- An object that stands for others runs until what it is given and what it gives is what it was the time before. What
-- it wrote is then written again in place of running it: the objects that layers hand on are used up by the next.
local python = require "hone.python"

local M = {}

-- SGLang's function that builds a stack, where it has been defined.
M.BUILDERS = { ["sglang.srt.utils.common.make_layers"] = true, ["sglang.srt.utils.make_layers"] = true }

local FIRST_OF_THE_MIDDLE = 2 -- counted from 0
local NO_INDEX = -1 -- of what is no layer

local Repeats = {}
Repeats.__index = Repeats

---@param named table<integer, boolean>? # layers that are told apart by their names: each is built
---@return table repeats # spoilt: the index of a layer that stands for others has been read
function M.new(named)
  return setmetatable({ stacks = {}, shared = {}, runs = {}, spoilt = false, named = named or {} }, Repeats)
end

-- ---- kinds of layers -----------------------------------------------------------------------------------

-- Layers of a stack that have been built: the kind of each by its index, and those that may stand for others by the
-- kinds of themselves and their neighbours. A kind is the first layer that came out of its tests.
local Stack = {}
Stack.__index = Stack

local function passes(kind, index)
  for _, holds in ipairs(kind.tests) do
    local ok, result = pcall(holds, index)
    if not (ok and result) then return false end
  end
  return true
end

-- The kind that a layer would be of, nil when it is not known without building it.
function Stack:kind_of(index)
  local kind = self.kinds[index]
  for _, known in ipairs(kind == nil and not self.named[index] and self.known or {}) do
    if passes(known, index) then
      kind = known
      break
    end
  end
  return kind
end

function Stack:add(owner)
  local index = owner.index
  if owner.is_opaque then
    self.kinds[index] = owner
    return
  end
  local kind = self:kind_of(index)
  if not kind then
    kind = owner
    table.insert(self.known, owner)
  end
  self.kinds[index] = kind
  self.built[index] = owner
end

-- The kinds of a layer and of its neighbours, nil when one is not known.
function Stack:context(index)
  local before, own, after = self:kind_of(index - 1), self:kind_of(index), self:kind_of(index + 1)
  if not (before and own and after) then return nil end
  return ("%d %d %d"):format(before.index, own.index, after.index)
end

-- The layer that stands for one that is not built; nil when none can.
function Stack:stand_in(index)
  local context = self:context(index)
  for at = FIRST_OF_THE_MIDDLE, context and self.count - 2 or 0 do
    if self.built[at] and self:context(at) == context then return self.built[at] end
  end
end

-- Where to go on building when the layers from `first` on are left out: the last place that fits to what was built
-- before `first`.
function Stack:resume(first)
  local last = first
  local stand_ins = {}
  for index = first, self.count - 2 do
    stand_ins[index] = self:stand_in(index)
    if not stand_ins[index] then break end
    local fits = self:kind_of(index + 1) == self:kind_of(first)
      and self:kind_of(index) == self:kind_of(first - 1)
    if fits then last = index + 1 end
  end
  return last, stand_ins
end

-- ---- building ----------------------------------------------------------------------------------------

-- The index that one layer is built with: it tells when it is read or tested.
function Repeats:tracked(index, owner)
  local function read()
    if owner.building then
      owner.is_opaque = true
    elseif owner.shared then
      self.spoilt = true
    else
      owner.read_later = true
    end
  end
  return python.tracked(index, "layer index", read, function(holds)
    if owner.building then
      table.insert(owner.tests, holds)
    else
      read()
    end
  end)
end

function Repeats:share(owner)
  owner.shared = true
  self.shared[owner.layer] = true
  self.spoilt = self.spoilt or owner.read_later or false
end

local ANY = "*"

-- A layer's name without its index, since others of its kind have other names: a constructor that takes the index from
-- there gets the one that tells, or it fails, and the walk is done again without this.
function Repeats:without_index(prefix, index)
  if type(prefix) ~= "string" then return prefix end
  self.spoilt = true -- until the layer is built
  return (prefix:gsub("%f[%w]" .. index .. "%f[%W]", ANY))
end

function Repeats:build(world, layer_fn, owner, prefix)
  local spoilt = self.spoilt
  owner.is_opaque = self.named[owner.index]
  if not owner.is_opaque then prefix = self:without_index(prefix, owner.index) end
  local tracked = self:tracked(owner.index, owner)
  world:reads_as(ANY, tracked)
  owner.layer = assert(world:call(layer_fn, {}, { idx = tracked, prefix = prefix }))
  world:reads_as(ANY, nil)
  owner.building, self.spoilt = false, spoilt
  if rawget(tracked, "has_derived") then
    local _, keeps = world:shape(owner.layer, owner.index, {})
    owner.is_opaque = owner.is_opaque or keeps -- a size, perhaps
  end
end

-- The constructor with what it needs to be called once for layers that cannot differ.
function Repeats:wrap(world, layer_fn, count)
  local stack = setmetatable({ count = count, named = self.named, kinds = {}, known = {}, built = {} }, Stack)
  self.stacks[#self.stacks + 1] = stack
  local resume, stand_ins = 0, {}
  return python.fn("layer_fn", function(_, kwargs)
    local index = python.number(kwargs.idx)
    if not index then return assert(world:call(layer_fn, {}, kwargs)) end
    local is_middle = FIRST_OF_THE_MIDDLE <= index and index < count - 1
    if is_middle and index >= resume then
      resume, stand_ins = stack:resume(index)
    end
    if index < resume then
      self:share(stand_ins[index])
      return stand_ins[index].layer
    end
    local owner = { building = true, index = index, is_middle = is_middle, tests = {} }
    self:build(world, layer_fn, owner, kwargs.prefix)
    table.insert(stack, owner)
    stack:add(owner)
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
  self.world, self.modules = world, modules
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
    local is_alike = a.shapes[key] and a.shapes[key] == b.shapes[key]
    if a.read[key] ~= false and not is_alike and not is_same(value, b.values[key]) then return false end
  end
  for key in pairs(b.values) do
    if a.values[key] == nil then return false end
  end
  return true
end

-- The shape of an object that a layer hands on to the next, which may have changed by the time that there is
-- another to compare it with; nil for other values.
function Repeats:shape(value)
  if type(value) ~= "table" or not (value.cls and value.cls.file and value.attrs) then return nil end
  if self.modules[value] then return nil end
  return (self.world:shape(value, NO_INDEX, setmetatable({}, { __index = self.modules })))
end

-- Arguments to be given to a run, whole numbers among them as such that tell when they are read, and a record of them.
function Repeats:watched(arguments)
  local given, record = {}, { values = {}, read = {}, shapes = {} }
  for key, value in pairs(arguments) do
    given[key] = value
    if key ~= "n" then
      record.values[key] = value
      record.shapes[key] = self:shape(value)
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
  given, this.args = self:watched(args)
  named, this.kwargs = self:watched(kwargs)
  local is_again = last and are_same(last.args, this.args) and are_same(last.kwargs, this.kwargs)
  if is_again and last.settled then
    last.write_again()
    return last.result
  end
  runs[mode] = this
  this.result, this.write_again = self.world:record(function() return run(given, named) end)
  this.running = false
  this.shape = self:shape(this.result)
  local is_alike = this.shape and is_again and this.shape == last.shape
  this.settled = is_alike or is_again and is_same(this.result, last.result)
  return this.result
end

return M
