--- Solutions made ready to run: compiled where they need it, kept by content, many at once.
local command = require "hone.bench.build.command"
local core = require "hone.core.process"
local fs = require "hone.fs"
local solutions = require "hone.dataset.solution"
local store = require "hone.bench.build.store"
local toolchain = require "hone.bench.build.toolchain"

local build = {}

local TIMEOUT = 300 -- seconds
local FORMAT = "hone build 1" -- what an older hone built in another way has another name

-- ---- the languages --------------------------------------------------------------------------------

-- How each is built (a module's name and its part), who runs it, what that may import ahead, and how its package's
-- name begins.
local LANGUAGES = {
  ["tvm-ffi"] = { module = "tvm_ffi_library", worker = "native", prefix = "tvm_ffi_" },
  torch = { module = "python_package", part = "torch", worker = "python", prefix = "torch_" },
  python = { module = "python_package", part = "sources", worker = "python", prefix = "fib_python_" },
  triton = {
    module = "python_package",
    part = "sources",
    worker = "python",
    imports = "triton",
    prefix = "fib_triton_",
  },
  tilelang = {
    module = "python_package",
    part = "sources",
    worker = "python",
    imports = "tilelang",
    prefix = "fib_tilelang_",
  },
  lua = { module = "python_package", part = "sources", worker = "lua", prefix = "hone_lua_" },
}

local function language_of(plan)
  local is_compiled = plan.language == "cuda" or plan.language == "cpp"
  local kind = is_compiled and plan.binding or plan.language
  return LANGUAGES[kind], kind
end

---Which kind of worker runs a solution: "native", "python" or "lua"; nil for a language that is not known.
function build.worker_of(solution)
  local language = language_of(solutions.build_of(solution))
  return language and language.worker
end

-- A kind of worker, and what it imports before it is given a solution: "native", "python triton".
local function kit_of(language)
  return language.imports and language.worker .. " " .. language.imports or language.worker
end

---What a worker of a solution is started as: its kind, and behind it what it may import ahead; nil for a language that
---is not known.
function build.kit_of(solution)
  local language = language_of(solutions.build_of(solution))
  return language and kit_of(language)
end

local function builder_of(language)
  local module = require("hone.bench.build." .. language.module)
  return language.part and module[language.part] or module
end

local LONGEST_NAME = 100 -- bytes of a solution's name in a file's

-- As flashinfer-bench calls it: letters and digits of the name, and a piece of the hash.
local function package_name(prefix, solution)
  local name = solution.name:sub(1, LONGEST_NAME):gsub("[^%w_]", "_")
  if name:find "^%d" then name = "_" .. name end
  return prefix .. name .. "_" .. solutions.hash(solution):sub(1, 6)
end

local function count(fields)
  local n = 0
  for _ in pairs(fields) do
    n = n + 1
  end
  return n
end

-- ---- planning ---------------------------------------------------------------------------------------

-- What the solution itself adds to the key of its build.
local function content_parts(plan)
  local parts =
    { FORMAT, plan.language, plan.binding or "", plan.entry, plan.symbol, tostring(plan.dps), plan.package }
  for _, source in ipairs(plan.sources) do
    parts[#parts + 1] = source.path
    parts[#parts + 1] = source.content
  end
  return parts
end

local function refuse_paths(sources, is_compiled)
  for _, source in ipairs(sources) do
    local mistake = store.path_mistake(source.path) or is_compiled and store.name_mistake(source.path)
    if mistake then return nil, mistake, "COMPILE_ERROR" end
  end
  return true
end

-- All that is needed to build a solution, found: a plan, or nil, message, code.
local function make_plan(definition, solution, options)
  local plan = solutions.build_of(solution)
  local language, kind = language_of(plan)
  if not language then return nil, ("language '%s' is not known"):format(kind), "COMPILE_ERROR" end
  local ok, why, code = refuse_paths(solution.sources, plan.binding ~= nil)
  if not ok then return nil, why, code end
  if plan.symbol == "" then return nil, "entry_point names no function after '::'", "COMPILE_ERROR" end
  plan.name, plan.sources, plan.kind, plan.worker = solution.name, solution.sources, kind, language.worker
  plan.package = package_name(language.prefix, solution)
  plan.inputs, plan.outputs = count(definition.inputs), count(definition.outputs)
  plan.jobs = options.jobs or core.parallelism()
  local parts
  parts, why, code = builder_of(language).plan(plan, solution, options)
  if not parts then return nil, why, code end
  plan.key = store.key(table.move(parts, 1, #parts, #parts + 1, content_parts(plan)))
  plan.folder, why, code = store.path(options.cache, plan.key)
  if not plan.folder then return nil, why, code end
  return plan
end

local function artefact_of(plan, record, cached)
  local artefact = {
    name = plan.name,
    worker = plan.worker,
    kit = kit_of(LANGUAGES[plan.kind]),
    language = plan.language,
    binding = plan.binding,
    directory = plan.folder,
    library = record.made.library and fs.join(plan.folder, record.made.library),
    package = plan.package,
    entry = fs.normalize(plan.entry),
    symbol = plan.symbol,
    dps = plan.dps,
    inputs = plan.inputs,
    outputs = plan.outputs,
    hash = plan.key,
    cached = cached,
  }
  local finish = builder_of(LANGUAGES[plan.kind]).finish
  if finish then finish(plan, artefact) end
  return artefact
end

-- ---- what went wrong --------------------------------------------------------------------------------

-- The line of a compiler's log that says it best.
local function telling_line(log)
  local last
  for line in log:gmatch "[^\n]+" do
    if line:lower():find "error[: ]" or line:find "undefined " then return line end
    if line:find "%S" then last = line end
  end
  return last or "the compiler failed without a word"
end

local function is_disk_full(text) return text:find("No space left on device", 1, true) ~= nil end

-- One line, and what kind of failure it is.
local function explain(failure, code, log, plan, timeout)
  if is_disk_full((type(failure) == "string" and failure or "") .. (log or "")) then
    return ("the disk of %s is full"):format(plan.folder), "UNAVAILABLE"
  elseif type(failure) == "table" then
    if failure.timed_out then return ("not done after %g s"):format(timeout), "TIMEOUT" end
    return failure.mishap or telling_line(log), "COMPILE_ERROR"
  elseif code == "ETIMEDOUT" then
    return failure, "TIMEOUT"
  end
  return failure, code == "COMPILE_ERROR" and code or "UNAVAILABLE"
end

local function refused(solution, why, log, code)
  return nil, (("cannot build %s: %s"):format(solution.name, why):gsub("%c", " ")), log or "", code
end

-- A log without the name of the folder that is built in, which nobody knows.
local function without_folder(text, plan)
  local folder = (plan.folder .. ".new/"):gsub("%p", "%%%0")
  return text and (text:gsub(folder .. "sources/", ""):gsub(folder, ""))
end

-- ---- one solution, here -----------------------------------------------------------------------------

function build.solution(definition, solution, options)
  options = options or {}
  local timeout = options.timeout or TIMEOUT
  local deadline = command.now() + timeout
  local plan, why, code = make_plan(definition, solution, options)
  if not plan then return refused(solution, why, nil, code == "COMPILE_ERROR" and code or "UNAVAILABLE") end
  local builder = builder_of(LANGUAGES[plan.kind])
  local record, message, kind, log = store.get(
    plan.folder,
    deadline,
    function(folder) return builder.make(plan, folder, deadline) end
  )
  if record then return artefact_of(plan, record, message), nil, without_folder(record.log, plan) end
  log = without_folder(log, plan)
  why, code = explain(message, kind, log, plan, timeout)
  return refused(solution, why, log, code)
end

-- What was kept of a solution: its artefact and log; nil when it is to be built.
local function kept(definition, solution, options)
  local plan = make_plan(definition, solution, { -- what would have to be fetched is the child's to fetch
    cache = options.cache,
    architecture = options.architecture,
    device = options.device,
    download = false,
  })
  local record = plan and store.read(plan.folder)
  if record then return artefact_of(plan, record, true), without_folder(record.log, plan) end
end

-- ---- many, beside us --------------------------------------------------------------------------------

local Job = { __name = "hone.bench.Build" }
Job.__index = Job

local queue, running = {}, {} -- jobs to be started, and started

local MARGIN = 15 -- seconds that a child gets to end by itself after its own time limit
local ENDING = 2 -- seconds that a cancelled one gets to end its compilers

local function settle(job, artefact, message, log, code)
  job.process, job.settled = nil, table.pack(artefact, message, log, code)
end

-- What a child of ours answered; one that could not is told by how it ended.
local function answer(job, result)
  local reply = result.status == 0 and require("hone.json").decode(result.stdout)
  if reply then return settle(job, reply.artefact, reply.message, reply.log, reply.code) end
  if result.timed_out then return settle(job, refused(job.solution, "not done in time", nil, "TIMEOUT")) end
  local said = (result.stderr or ""):match "([^\n]+)%s*$" or result.signal or "no word"
  settle(job, refused(job.solution, "the builder ended early: " .. said, nil, "UNAVAILABLE"))
end

local SCRIPT = fs.absolute((debug.getinfo(1, "S").source:sub(2):gsub("%.lua$", "/child.lua")))

local function request_of(job)
  local json = require "hone.json"
  local options, definition = json.object(), json.object()
  for name, value in pairs(job.options) do
    options[name] = value
  end
  options.jobs = math.max(1, core.parallelism() // (#running + #queue + 1))
  definition.inputs, definition.outputs = job.definition.inputs, job.definition.outputs
  local request = json.object()
  request.definition, request.solution, request.options = definition, job.solution, options
  request.known = toolchain.export()
  return json.encode(request)
end

local function launch(job)
  local timeout = (job.options.timeout or TIMEOUT) + MARGIN
  local process, why = require("hone.process").start {
    require("hone.paths").exe,
    SCRIPT,
    input = request_of(job),
    timeout = timeout,
  }
  if not process then return settle(job, refused(job.solution, why, nil, "UNAVAILABLE")) end
  job.process = process
  running[#running + 1] = job
end

local function keep(list, wanted)
  local at = 1
  for i = 1, #list do
    local item = list[i]
    list[i] = nil
    if wanted(item) then
      list[at], at = item, at + 1
    end
  end
end

-- Take what is done, start what is next.
local function turn()
  keep(running, function(job)
    local result = job.process:wait(0)
    if result then answer(job, result) end
    return not result
  end)
  while #queue > 0 and #running < core.parallelism() do
    launch(table.remove(queue, 1))
  end
end

function Job:done()
  if not self.settled then turn() end
  return self.settled ~= nil
end

function Job:wait(timeout)
  local until_time = timeout and command.now() + timeout or math.huge
  while not self:done() do
    local left = until_time - command.now()
    if left <= 0 then return refused(self.solution, "it is still being built", nil, "RUNNING") end
    core.step(math.min(left, 1) * 1000)
  end
  return table.unpack(self.settled, 1, self.settled.n)
end

function Job:cancel()
  if self.settled then return end
  local function is_other(job) return job ~= self end
  keep(queue, is_other)
  keep(running, is_other)
  if self.process then self.process:end_soon(ENDING) end
  settle(self, refused(self.solution, "it was cancelled", nil, "CANCELLED"))
end

Job.__close = Job.cancel

local function needs_compiler(solution)
  local language = solution.spec.language
  return language == "cuda" or language == "cpp"
end

function build.start(definition, solution, options)
  local job = setmetatable({ definition = definition, solution = solution, options = options or {} }, Job)
  local artefact, log = kept(definition, solution, job.options)
  if artefact then
    settle(job, artefact, nil, log)
  elseif require("hone.paths").exe and needs_compiler(solution) then
    queue[#queue + 1] = job
    turn()
  else -- a matter of writing files; or stock lua5.4, which has no hone to run
    settle(job, build.solution(definition, solution, job.options))
  end
  return job
end

return build
