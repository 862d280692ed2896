--- The walks of one model for several serving settings, some of them in processes of their own: as many at once as
--- there are processors. Each process is given every n-th setting, since a second walk is less work than the first.
local json = require "hone.json"

local M = {}

local CHILD = [[require("hone.sglang.apart").child()]]

-- ---- a process -------------------------------------------------------------------------------------------

local function place(at) return { file = at.file, line = at.line } end

local function map(list, change)
  local changed = json.array {}
  for i, item in ipairs(list) do
    changed[i] = change(item)
  end
  return changed
end

local function plain_kernel(kernel)
  return {
    op_type = kernel.op_type,
    calls = map(kernel.calls, place),
    modules = map(
      kernel.modules,
      function(module)
        return { path = module.path, count = module.count, file = module.file, line = module.line }
      end
    ),
  }
end

-- What a walk found, without what only its process can look into.
local function plain(outcome)
  local copy = {}
  for name, value in pairs(outcome) do
    copy[name] = json.array(value)
  end
  copy.kernels = map(outcome.kernels, plain_kernel)
  return copy
end

-- Walk every n-th setting, from `from` on: { [its place] = what was found, or { message } }.
local function walk_some(job, from)
  local walk = require("hone.sglang.extraction").walk
  local outcomes = {}
  for i = from, #job.settings, job.processes do
    local outcome, message = walk(job.sources, job.settings[i], job.options)
    outcomes[i] = outcome or { message = message }
  end
  return outcomes
end

---What a process of its own does: a job from stdin, what was found to stdout.
function M.child()
  local paused <close> = require("hone.garbage").pause() -- luacheck: ignore 211
  local job = json.decode(io.read "a", { nan = true })
  local answers = json.array {}
  for i, outcome in pairs(walk_some(job, job.from)) do
    answers[#answers + 1] = { setting = i, outcome = outcome.message and outcome or plain(outcome) }
  end
  io.write(json.encode(answers, { nan = "allow" }), "\n")
end

-- ---- all of them -------------------------------------------------------------------------------------------

local Apart = {}
Apart.__index = Apart

function Apart:__close()
  for _, process in pairs(self.running) do
    process:stop()
  end
end

---Start the processes; the first settings' walk is left to this one.
---@param sources hone.sglang.Sources
---@param settings hone.sglang.Setting[]
---@param options table # as hone.sglang.extraction's find takes them
---@return table? apart # nil where nothing is gained: one setting, one processor, or no hone command to run
function M.start(sources, settings, options)
  local processes = math.min(#settings, require("hone.core.process").parallelism())
  local exe = require("hone.paths").exe
  if processes < 2 or not exe or options.explain then return nil end
  local job = { sources = sources, settings = settings, options = options, processes = processes }
  local self = setmetatable({ job = job, outcomes = {}, running = {} }, Apart)
  for from = 2, processes do
    job.from = from
    local input = json.encode(job, { nan = "allow" })
    self.running[from] = require("hone.process").start { exe, "-e", CHILD, input = input }
  end
  return self
end

-- What a process found; where it failed, the walks are done here.
local function answers_of(process, job, from)
  local result = process and process:wait()
  local answers = result and result.status == 0 and json.decode(result.stdout, { nan = true })
  if type(answers) ~= "table" then return walk_some(job, from) end
  local outcomes = {}
  for _, answer in ipairs(answers) do
    outcomes[answer.setting] = answer.outcome
  end
  return outcomes
end

---What the walk for a setting found.
---@param i integer
---@return hone.sglang.WalkOutcome? outcome
---@return string? message
function Apart:outcome(i)
  local from = (i - 1) % self.job.processes + 1
  if not self.outcomes[from] then
    local some = from == 1 and walk_some(self.job, 1) or answers_of(self.running[from], self.job, from)
    self.outcomes[from] = some
  end
  local outcome = self.outcomes[from][i]
  if outcome.message then return nil, outcome.message end
  return outcome
end

return M
