--- The calls of dumps, read: what each is a workload of, or why it is none.
--
-- Dumps are read in portions, each as if there were no other, so that several processes can read: findings are plain
-- data, one after the other. A wrapper's plan() holds for all its run() until it is planned again: by the same
-- process, and by the same object where the dumps name it. A run whose plan is none of its portion's stays open;
-- whoever puts the portions together knows what was planned before. Folders' names begin with the time, so they sort
-- in the order of the calls.
local fs = require "hone.fs"
local convert, dump = require "hone.workloads.convert", require "hone.workloads.dump"

local calls = {}

---@class hone.workloads.Job # what there is to read
---@field folder string
---@field targets hone.workloads.Target[]
---@field by_name table<string, hone.workloads.Target[]> # who may want the calls of a name

---@class hone.workloads.Reading # of a call for a target, which stands by its number
---@field target integer
---@field axes table<string, integer>?
---@field digest string? # of the workload
---@field why string? # it is none

---@class hone.workloads.Finding
---@field name string # of the dump, relative to the folder
---@field problem string? # why the dump cannot be read
---@field plans string[]? # it is a plan: what it holds for
---@field open boolean? # it runs what was planned before its portion
---@field plan string? # the plan that it ran under
---@field readings hone.workloads.Reading[]?

-- ---- who wants a call ------------------------------------------------------------------------------------

function calls.is_plan(name) return name:find "%.plan$" ~= nil end

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

---@param folder string
---@param targets hone.workloads.Target[]
---@return hone.workloads.Job
function calls.job(folder, targets)
  return { folder = folder, targets = targets, by_name = targets_by_name(targets) }
end

-- ---- plans -----------------------------------------------------------------------------------------------

local function class_of(name) return name:match "^(.*)%.[^.]+$" or name end

local function process_of(name) return dump.parse_name(name:match "^[^/]*").process end

-- What a plan holds for: its own object, and its class for runs that do not tell their objects.
local function keys_of_plan(process, opened)
  local keys = { process .. " " .. class_of(opened.name) }
  if opened.object then keys[2] = ("%s %s"):format(process, opened.object) end
  return keys
end

local function key_of_run(process, opened)
  return ("%s %s"):format(process, opened.object or class_of(opened.name))
end

---Note what a finding says of plans. A plan that cannot be read takes those of its process and class with it: one of
---their objects was planned anew, and nobody knows which.
---@param known table<string, string> # the plan that holds for an object or class, changed here
---@param finding hone.workloads.Finding
function calls.note_plan(known, finding)
  for _, key in ipairs(finding.plans or {}) do
    known[key] = finding.name
  end
  local lost = finding.problem and dump.parse_name(finding.name:match "^[^/]*")
  if not lost or not calls.is_plan(lost.name) then return end
  for key, name in pairs(known) do
    local about = dump.parse_name(name)
    if about.process == lost.process and about.name == lost.name then known[key] = nil end
  end
end

-- ---- reading ---------------------------------------------------------------------------------------------

local function open(job, name, copies)
  local opened, why = dump.open(fs.join(job.folder, name))
  if opened then opened.converted = copies and copies[name] end
  return opened, why
end

local function read_for(target, run, plan)
  if target.api.is_wrapper and not plan and next(target.mapping.plan or {}) then
    return nil, "no plan() that can be read comes before it in its process"
  end
  return convert.read(target, run, plan)
end

local function read_for_all(job, run, plan)
  local readings = {}
  for i, target in ipairs(job.targets) do
    if matches(target, run) then
      local candidate, why = read_for(target, run, plan)
      readings[#readings + 1] = candidate and { target = i, axes = candidate.axes, digest = candidate.digest }
        or { target = i, why = why }
    end
  end
  return readings
end

local function needs_plan(job, run)
  for _, target in ipairs(job.targets) do
    if target.api.is_wrapper and matches(target, run) then return true end
  end
  return false
end

local Portion = {}
Portion.__index = Portion

-- Plans stay open as long as their portion is read: many runs follow one of them.
function Portion:plan_of(key)
  local name = self.known[key]
  if name and not self.opened[name] then self.opened[name] = open(self.job, name, self.copies) end
  return self.opened[name], name
end

function Portion:read(name)
  local opened, problem = open(self.job, name, self.copies)
  if not opened then return { name = name, problem = problem } end
  local process = process_of(name)
  if calls.is_plan(opened.name) then
    self.opened[name] = opened
    return { name = name, plans = keys_of_plan(process, opened) }
  end
  local run <close> = opened
  local plan, planned = self:plan_of(key_of_run(process, run))
  if not plan and not self.is_last_word and needs_plan(self.job, run) then
    return { name = name, open = true }
  end
  return { name = name, plan = planned, readings = read_for_all(self.job, run, plan) }
end

function Portion:__close()
  for _, opened in pairs(self.opened) do
    opened:close()
  end
end

local function new_portion(job, known, copies)
  return setmetatable({ job = job, known = known, copies = copies, opened = {} }, Portion)
end

---Read a portion of a folder's dumps.
---@param job hone.workloads.Job
---@param names string[] # as dump.list gives them
---@param copies table<string, string>? # safetensors copies of tensors in PyTorch's format, by dump
---@return hone.workloads.Finding[] findings # in the order of the names; nothing of dumps that nobody wants
function calls.read(job, names, copies)
  local portion <close> = new_portion(job, {}, copies)
  local findings = {}
  for _, name in ipairs(names) do
    if job.by_name[dump.parse_name(name).name] then
      for _, replay in ipairs(dump.replays(job.folder, name)) do
        local finding = portion:read(replay)
        calls.note_plan(portion.known, finding)
        findings[#findings + 1] = finding
      end
    end
  end
  return findings
end

---Read a run that was open, with what is known to be planned before it.
---@param job hone.workloads.Job
---@param name string
---@param known table<string, string> # the plan that holds for an object or class
---@param copies table<string, string>?
---@return hone.workloads.Finding
function calls.read_open(job, name, known, copies)
  local portion <close> = new_portion(job, known, copies)
  portion.is_last_word = true
  return portion:read(name)
end

return calls
