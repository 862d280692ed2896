--- The calls of a folder of dumps, one after the other, each with the plan that it ran under.
--
-- A wrapper's plan() holds for all its run() until it is planned again: by the same process, and by the same object
-- where the dumps name it. Folders' names begin with the time, so they sort in the order of the calls; only names are
-- held in memory, however many dumps there are.
local fs = require "hone.fs"
local dump = require "hone.workloads.dump"

local calls = {}

local function class_of(name) return name:match "^(.*)%.[^.]+$" or name end

local Pairing = {}
Pairing.__index = Pairing

function Pairing:remember(process, opened)
  local class = class_of(opened.name)
  self.by_class[process .. " " .. class] = opened
  if opened.record.self_id then self.by_object[("%s %s"):format(process, opened.record.self_id)] = opened end
end

-- The plan of a run: its own object's; the latest of its class where the dumps do not tell objects apart.
function Pairing:plan_of(process, opened)
  local object = opened.record.self_id
  if object then return self.by_object[("%s %s"):format(process, object)] end
  return self.by_class[process .. " " .. class_of(opened.name)]
end

local function is_plan(name) return name:find "%.plan$" ~= nil end

-- Old releases log the bare names of methods: the class is then told by the module.
local function matches(target, opened)
  if target.api.calls[opened.name] then return true end
  local bare = target.api.is_wrapper and target.api.calls[target.api.last .. "." .. opened.name]
  local module = type(opened.record.module) == "string" and opened.record.module or ""
  return bare and target.api.module ~= "" and module:sub(1, #target.api.module) == target.api.module or false
end

-- The targets that may want a call, by the names under which it and its plan are logged.
local function targets_by_name(targets)
  local by_name = {}
  local function add(name, target)
    by_name[name] = by_name[name] or {}
    table.insert(by_name[name], target)
  end
  for _, target in ipairs(targets) do
    for name in pairs(target.api.calls) do
      add(name, target)
      if target.api.is_wrapper then add(name:match "[^.]*$", target) end
    end
    if target.api.plan then add(target.api.plan, target) end
  end
  return by_name
end

local function is_wanted(targets, visitor)
  for _, target in ipairs(targets or {}) do
    if not visitor.wants or visitor.wants(target) then return true end
  end
  return false
end

---@class hone.workloads.Visitor
---@field call fun(target: hone.workloads.Target, run: hone.workloads.Dump, plan: hone.workloads.Dump?) # a call that a definition may want
---@field broken fun(name: string, why: string) # a dump that cannot be read
---@field wants (fun(target: hone.workloads.Target): boolean)? # whether more calls of it are looked at
---@field left_out fun(name: string) # a call that nobody looked at any more
---@field seen fun(done: integer, all: integer)? # progress

local function visit(opened, plan, targets, visitor)
  for _, target in ipairs(targets) do
    if matches(target, opened) then visitor.call(target, opened, plan) end
  end
end

-- One dump: a plan is remembered, a run given to those that may want it.
local function look_at(self, name)
  local process = dump.parse_name(name:match "^[^/]*").process
  local opened, problem = dump.open(fs.join(self.folder, name))
  if not opened then return self.visitor.broken(name, problem) end
  opened.converted, opened.folder = self.copies and self.copies[name], name
  if is_plan(opened.name) then return self.pairing:remember(process, opened) end
  visit(opened, self.pairing:plan_of(process, opened), self.targets, self.visitor)
  opened:close()
end

---Go through a folder's dumps.
---@param folder string
---@param names string[] # as dump.list gives them
---@param targets hone.workloads.Target[]
---@param visitor hone.workloads.Visitor
---@param copies table<string, string>? # safetensors copies of tensors in PyTorch's format, by dump
function calls.each(folder, names, targets, visitor, copies)
  local by_name = targets_by_name(targets)
  local pairing = setmetatable({ by_class = {}, by_object = {} }, Pairing)
  local self = { folder = folder, targets = targets, visitor = visitor, copies = copies, pairing = pairing }
  for i, name in ipairs(names) do
    local called = dump.parse_name(name).name
    if is_wanted(by_name[called], visitor) then
      for _, replay in ipairs(dump.replays(folder, name)) do
        look_at(self, replay)
      end
    elseif by_name[called] and not is_plan(called) then
      visitor.left_out(name)
    end
    if visitor.seen then visitor.seen(i, #names) end
  end
end

return calls
