--- Running compilers: bounded in time, memory, files and words, and ended with all that they started.
local process = require "hone.process"

local command = {}

local LOG_BYTES = 5 * 1024 * 1024 -- as much of a log as a trace keeps
local TRUNCATED = "\n\n[log truncated]\n"
local FILE_BLOCKS = 8 * 1024 * 1024 -- of 512 bytes: no file of a build grows past 4 GiB
local GRACE = 0.2 -- seconds from SIGTERM to SIGKILL

-- What a program prints, up to the limit; the rest is read and dropped.
local function new_log()
  local pieces, size, cut = {}, 0, false
  local log = {}
  function log.add(chunk)
    if size + #chunk > LOG_BYTES then
      chunk, cut = chunk:sub(1, LOG_BYTES - size), true
    end
    pieces[#pieces + 1], size = chunk, size + #chunk
  end
  function log.text() return table.concat(pieces) .. (cut and TRUNCATED or "") end
  return log
end

-- Three quarters of the machine's memory, in KiB; nil where that is not told.
local function memory_limit()
  local file <close> = io.open "/proc/meminfo"
  local total = file and tonumber((file:read "a"):match "MemTotal:%s*(%d+)")
  return total and total // 4 * 3
end

local function limits(job)
  local memory = not job.unlimited_memory and memory_limit()
  return ('ulimit -f %d; ulimit -c 0; %sexec "$@"'):format(
    FILE_BLOCKS,
    memory and ("ulimit -v %d; "):format(memory) or ""
  )
end

-- The words of a job behind those of a shell that sets its limits.
local function limited(job) return table.move(job.words, 1, #job.words, 5, { "sh", "-c", limits(job), "sh" }) end

local function prepared(job, deadline)
  local log, words = new_log(), limited(job)
  words.cwd, words.input, words.env = job.cwd, job.input, { LC_ALL = "C.UTF-8", TMPDIR = job.tmp }
  for name, value in pairs(job.env or {}) do
    words.env[name] = value
  end
  words.stdout, words.stderr, words.grace = log.add, "stdout", GRACE
  words.timeout = math.max(deadline - command.now(), 0.01)
  return words, log
end

---Seconds on a clock that only goes forward.
function command.now() return require("hone.core.process").now() end

local function joined(logs)
  local parts = {}
  for _, log in ipairs(logs) do
    local text = log.text()
    if text ~= "" then parts[#parts + 1] = text end
  end
  return table.concat(parts, "\n")
end

-- What ended a program, other than its own wish, as "nvcc was ended by SIGSEGV"; nil when nothing did.
local function mishap(job, result)
  local name = require("hone.fs").basename(job.words[1])
  if result.error then return result.error end
  if result.signal == "SIGXFSZ" then return ("%s wrote a file of more than 4 GiB"):format(name) end
  if result.signal then return ("%s was ended by %s"):format(name, result.signal) end
  if result.status == 127 then return ("%s could not be run"):format(name) end
end

---Run programs, `max` at once. Each is { words, cwd, tmp, env, input, unlimited_memory }.
---@return true? ok # all of them exited with 0
---@return { timed_out: boolean, mishap: string? }? failure
---@return string log # what they printed, in their order
function command.run_all(jobs, deadline, max)
  local commands, logs = {}, {}
  for i, job in ipairs(jobs) do
    commands[i], logs[i] = prepared(job, deadline)
  end
  local failure
  for i, result in ipairs(process.run_all(commands, { max = max })) do
    if result.status ~= 0 and not failure then
      failure = { timed_out = result.timed_out, mishap = mishap(jobs[i], result) }
    end
  end
  local log = joined(logs)
  if #log > LOG_BYTES + #TRUNCATED then log = log:sub(1, LOG_BYTES) .. TRUNCATED end
  if failure then return nil, failure, log end
  return true, nil, log
end

---Run a program that answers on its output, such as one asked for its version: the text, or nil.
function command.ask(words, timeout)
  local question = table.move(words, 1, #words, 1, { timeout = timeout or 20, env = { LC_ALL = "C.UTF-8" } })
  local result = process.run(question)
  return result and result.status == 0 and result.stdout or nil
end

return command
