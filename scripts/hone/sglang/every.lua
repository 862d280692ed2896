--- Many models at once: every config at hand whose model SGLang has, each read in a process of its own.
local fs = require "hone.fs"
local json = require "hone.json"

local M = {}

-- ---- configs at hand ----------------------------------------------------------------------------------

---@class hone.sglang.Job
---@field name string # the model's repository, or the name of its config's folder
---@field model_name string # the file in SGLang's models folder
---@field config string # path of the config
---@field tp integer[]? # sizes for this model alone
---@field ep integer[]?

local function config_files(folder)
  if fs.is_file(folder) then return { folder } end
  if not fs.is_dir(folder) then
    return nil, ("cannot read the configs in %s: there is no such folder"):format(folder)
  end
  local paths, why = fs.glob(fs.join(folder, "**/config.json"))
  if not paths then return nil, why end
  table.sort(paths)
  return paths
end

-- Configs of folders, then those that HuggingFace's cache holds: { path, repo_id? }.
local function candidates(folders, use_cache)
  local list = {}
  for _, folder in ipairs(folders) do
    local paths, why = config_files(folder)
    if not paths then return nil, why end
    for _, path in ipairs(paths) do
      list[#list + 1] = { path = path }
    end
  end
  if use_cache then
    for _, cached in ipairs(require("hone.model.hub").list_cached "config.json") do
      list[#list + 1] = cached
    end
  end
  return list
end

-- Which model file offers each architecture: read once for all configs.
local function files_by_architecture(package)
  local sources, by_architecture = require "hone.sglang.sources", {}
  for _, name in ipairs(sources.models(package) or {}) do
    for _, class in ipairs(sources.entry_classes(package, name) or {}) do
      by_architecture[class] = by_architecture[class] or name
    end
  end
  return by_architecture
end

local function model_file(config, by_architecture)
  for _, architecture in ipairs(config.architectures) do
    if by_architecture[architecture] then return by_architecture[architecture] end
  end
end

---The models that can be read: those in SGLang's folder for which a config is at hand.
---@param package string # SGLang's package folder
---@param options { configs: string[], cache: boolean? } # folders (or files) of configs; whether to look in HuggingFace's cache
---@return hone.sglang.Job[]? jobs
---@return { config: string, why: string }[]|string skipped # configs that no model goes with; or the message
function M.jobs(package, options)
  local list, message = candidates(options.configs, options.cache)
  if not list then return nil, message end
  local by_architecture, jobs, skipped, seen = files_by_architecture(package), {}, {}, {}
  local read = require("hone.model.config").from_file
  for _, candidate in ipairs(list) do
    local config, why = read(candidate.path, candidate.repo_id)
    local file = config and model_file(config, by_architecture)
    if not config then
      skipped[#skipped + 1] = { config = candidate.path, why = why }
    elseif not file then
      local names = #config.architectures > 0 and table.concat(config.architectures, ", ")
        or "no architectures"
      local reason = ("no model file of this SGLang implements it (the config names %s)"):format(names)
      skipped[#skipped + 1] = { config = candidate.path, why = reason }
    elseif not seen[config.repo_id] then
      seen[config.repo_id] = true
      jobs[#jobs + 1] = { name = config.repo_id, model_name = file, config = candidate.path }
    end
  end
  return jobs, skipped
end

-- ---- one model ----------------------------------------------------------------------------------------

---@class hone.sglang.EveryOptions
---@field package string
---@field tp integer[]?
---@field ep integer[]?
---@field cookbook string?
---@field page_sizes integer[]
---@field modes string[]
---@field gemm_dtype "float16"|"model"
---@field include_quantized boolean
---@field expert_formats string[]?

---Read one model in this process.
---@param job hone.sglang.Job
---@param options hone.sglang.EveryOptions
---@return hone.sglang.Report? report
---@return string? message
function M.one(job, options)
  local extraction, serving = require "hone.sglang.extraction", require "hone.sglang.serving"
  local config, message = require("hone.model.config").from_file(job.config, job.name)
  if not config then return nil, message end
  local sources
  sources, message =
    extraction.sources { package = options.package, model_name = job.model_name, config = config }
  if not sources then return nil, message end
  local asked, warnings = { tp = job.tp or options.tp, ep = job.ep or options.ep }, sources.warnings
  local settings, origin = serving.settings(config, asked, {
    cookbook = options.cookbook,
    on_warning = function(text) warnings[#warnings + 1] = text end,
  })
  if not settings then return nil, origin end
  local dtype
  dtype, message = extraction.gemm_dtype(config, options.gemm_dtype)
  if not dtype then return nil, message end
  local found
  found, message = extraction.find(sources, settings, {
    page_sizes = options.page_sizes,
    gemm_dtype = dtype,
    quantization = options.include_quantized and extraction.quantization(config) or nil,
    modes = options.modes,
    expert_formats = options.expert_formats,
    usual = not (asked.tp or asked.ep),
  })
  if not found then return nil, message end
  return require("hone.sglang.report").of(found, sources, origin)
end

-- ---- processes ----------------------------------------------------------------------------------------

local CHILD = [[require("hone.sglang.every").child()]]

-- The most memory that this process has had, in bytes; nil where the system does not tell.
local function peak_memory()
  local status = fs.read "/proc/self/status"
  local kilobytes = status and status:match "VmHWM:%s*(%d+) kB"
  return kilobytes and math.tointeger(tonumber(kilobytes)) * 1024
end

---What a process of its own does: a job from stdin, its report to stdout.
function M.child()
  local input = json.decode(io.read("a"))
  local started = os.clock()
  local report, message = M.one(input.job, input.options)
  local answer = json.object { { "report", report or json.null }, { "message", message or json.null } }
  answer.seconds, answer.peak_bytes = os.clock() - started, peak_memory()
  io.write(json.encode(answer, { nan = "allow" }), "\n")
end

---@class hone.sglang.Outcome
---@field job hone.sglang.Job
---@field report hone.sglang.Report? # nil when the model could not be read
---@field message string? # why not
---@field seconds number # of processor time
---@field peak_bytes integer? # memory of its process

-- What a finished process says: its answer, or how it ended without one.
local function outcome_of(job, result)
  local answer = result.stdout and json.decode(result.stdout, { nan = true })
  if type(answer) == "table" and answer.seconds then
    local report, message = answer.report, answer.message
    return {
      job = job,
      report = report ~= json.null and report or nil,
      message = message ~= json.null and message or nil,
      seconds = answer.seconds,
      peak_bytes = answer.peak_bytes,
    }
  end
  local said = (result.stderr or ""):match("[^\n]+")
  local ended = result.signal and ("ended by " .. result.signal) or ("exit status %s"):format(result.status)
  local why = result.timed_out and "took too long" or result.error or said or ended
  return { job = job, message = ("its process failed: %s"):format(why), seconds = result.seconds }
end

-- Without the hone command (under stock Lua) the models are read here, one after the other.
local function run_here(jobs, options, on_done)
  local outcomes = {}
  for i, job in ipairs(jobs) do
    local started = os.clock()
    local whole, report, message = pcall(M.one, job, options)
    if not whole and report == "interrupted" then error(report, 0) end
    if not whole then
      report, message = nil, "it failed: " .. tostring(report)
    end
    outcomes[i] = { job = job, report = report, message = message, seconds = os.clock() - started }
    on_done(outcomes[i])
  end
  return outcomes
end

---Read several models, a few at a time. A model that fails, or whose process does, leaves the others alone.
---@param jobs hone.sglang.Job[]
---@param options hone.sglang.EveryOptions
---@param how { processes: integer?, timeout: number?, on_done: fun(outcome: hone.sglang.Outcome)? }? # processes at once; seconds a model
---@return hone.sglang.Outcome[] outcomes # in the order of the jobs
---@return number seconds # from the first start to the last end
function M.run(jobs, options, how)
  local now = require("hone.core.process").now
  local started = now()
  how = how or {}
  local on_done = how.on_done or function() end
  local exe = require("hone.paths").exe
  if not exe then return run_here(jobs, options, on_done), now() - started end
  local commands, outcomes = {}, {}
  for i, job in ipairs(jobs) do
    local input = json.encode { job = job, options = options }
    commands[i] = { exe, "-e", CHILD, input = input, timeout = how.timeout or 120 }
  end
  require("hone.process").run_all(commands, {
    max = how.processes,
    on_done = function(i, result)
      outcomes[i] = outcome_of(jobs[i], result)
      on_done(outcomes[i])
    end,
  })
  return outcomes, now() - started
end

return M
