--- Workers that are ready when they are needed: one process for each solution, kept over its workloads, and some of each
--- kit (a kind of worker, and what it imports ahead: "native", "python triton") started before anybody asks, so that
--- nobody waits for a Python or a CUDA context to come up.
local worker = require "hone.bench.worker"

local pool = {}

local Pool = {}
Pool.__index = Pool

local MOST_KEPT = 10 -- processes that wait for their solution's next workload

---@param options { device: string, isolated: boolean?, ahead: boolean? }
function pool.new(options)
  return setmetatable({ options = options, kept = {}, order = {}, spares = {} }, Pool)
end

local function start(self, kit)
  local kind, imports = kit:match "^(%S+) ?(%S*)$"
  return worker.start {
    kind = kind,
    imports = imports ~= "" and imports or nil,
    device = self.options.device,
  }
end

local MOST_SPARES = { native = 4, python = 8, lua = 2 }

---Have `wanted` workers of a kit come up, which somebody will ask for soon.
function Pool:prepare(kit, wanted)
  if not self.options.ahead then return end
  local spares = self.spares[kit] or {}
  self.spares[kit] = spares
  while #spares < math.min(wanted, MOST_SPARES[kit:match "%S+"]) do
    local fresh = start(self, kit)
    if not fresh then return end -- whoever needs it will be told why
    spares[#spares + 1] = fresh
  end
end

---Whether the solution of this name has its process.
function Pool:has(name) return self.kept[name] ~= nil end

---Whether one that was started ahead needs no more than to open its device; true where none was.
function Pool:is_here(kit)
  local spares = self.spares[kit] or {}
  for _, spare in ipairs(spares) do
    if spare:is_here() then return true end
  end
  return #spares == 0
end

local LOADING_SECONDS = 120

---Bring to an end all that touches the device besides a measurement: workers that open it, solutions that are loaded.
---Between two evaluations, so that none disturbs another's.
function Pool:settle()
  for _, spares in pairs(self.spares) do
    for _, spare in ipairs(spares) do
      if spare:is_here() and not spare.dead then spare:begin() end
    end
  end
  for _, spares in pairs(self.spares) do
    for _, spare in ipairs(spares) do
      if spare.state == "beginning" then spare:ready() end
    end
  end
  for _, kept in pairs(self.kept) do
    kept:loaded(LOADING_SECONDS)
  end
end

-- One that was started ahead, or a new one.
local function take(self, kit)
  local spares = self.spares[kit] or {}
  for i, spare in ipairs(spares) do -- the first that is as far as that
    if spare:is_here() then
      table.remove(spares, i)
      if spare:alive() then return spare end
      spare:stop()
      return start(self, kit)
    end
  end
  if #spares > 0 then return table.remove(spares, 1) end
  return start(self, kit)
end

local function forget(self, name)
  self.kept[name] = nil
  for i, known in ipairs(self.order) do
    if known == name then table.remove(self.order, i) end
  end
end

-- The one that was used least recently makes room.
local function make_room(self)
  while #self.order >= MOST_KEPT do
    local oldest = self.order[1]
    self.kept[oldest]:stop()
    forget(self, oldest)
  end
end

local function keep(self, name, process)
  self.kept[name] = process
  self.order[#self.order + 1] = name
end

---Begin to load an artefact where a worker has come up and there is room for one: whoever asks for it later waits less.
function Pool:preload(name, artefact)
  if self.kept[name] or #self.order >= MOST_KEPT then return end
  for i, spare in ipairs(self.spares[artefact.kit] or {}) do
    if spare.state == "up" then
      table.remove(self.spares[artefact.kit], i)
      if not spare:begin_load(artefact) then return spare:stop() end
      return keep(self, name, spare)
    end
  end
end

-- A new process for the solution.
local function load(self, name, artefact, timeout)
  make_room(self)
  local fresh, why = take(self, artefact.kit)
  if not fresh then return nil, why, "RUNTIME_ERROR" end
  local ok, code
  ok, why, code = fresh:ready(timeout)
  if ok then
    ok, why, code = fresh:begin_load(artefact)
  end
  if ok then
    keep(self, name, fresh)
    return fresh
  end
  local printed = fresh:log()
  fresh:stop()
  return nil, why, code, printed
end

---A worker with the solution of this name loaded: the one that it had, or a new one that loads the artefact.
---@return table? worker
---@return string? message
---@return string? code
---@return string? printed # what it said while it failed
function Pool:get(name, artefact, timeout)
  local known = self.kept[name]
  if known and not known:alive() then
    forget(self, name)
    known = nil
  end
  if not known then
    local fresh, why, code, printed = load(self, name, artefact, timeout)
    if not fresh then return nil, why, code, printed end
    known = fresh
  end
  local ok, why, code = known:loaded(timeout)
  local printed = known:log() -- no part of what is to come
  if ok then return known end
  known:stop()
  forget(self, name)
  return nil, why, code, printed
end

---The evaluation is over: the process stays for the next workload, unless it is of no use, or is not to be kept.
function Pool:put(name)
  local used = self.kept[name]
  if used and (self.options.isolated or not used:alive()) then
    used:stop()
    forget(self, name)
  end
end

---The solutions of these names have no workloads left. Their processes end all at once, and have ended then: what a
---device has to do for that would disturb others.
function Pool:drop(names)
  for _, name in ipairs(names) do
    if self.kept[name] then self.kept[name]:bid_end() end
  end
  for _, name in ipairs(names) do
    if self.kept[name] then
      self.kept[name]:stop()
      forget(self, name)
    end
  end
end

function Pool:close()
  for _, kept in pairs(self.kept) do
    kept:kill()
  end
  for _, spares in pairs(self.spares) do
    for _, spare in ipairs(spares) do
      spare:kill()
    end
  end
  self.kept, self.order, self.spares = {}, {}, {}
end

Pool.__close = Pool.close

return pool
