--- Other programs: run one to its end, talk to one while it runs, run many at once.
local core = require "hone.core.process"

local process = {}

-- ---- options --------------------------------------------------------------------------------------

local START_OPTIONS = {
  cwd = "string",
  env = "table",
  clear_env = "boolean",
  input = "string",
  stdin = "string",
  stdout = true,
  stderr = true,
  on_line = "function",
  timeout = "number",
  grace = "number",
}
local RUN_OPTIONS = setmetatable({ check = "boolean" }, { __index = START_OPTIONS })
local STREAM_MODES = { capture = "pipe", inherit = "inherit", discard = "null" }
local DEFAULT_GRACE = 2 -- seconds from SIGTERM to SIGKILL

local function has_zero_byte(text) return text:find("\0", 1, true) ~= nil end

-- What is wrong with one stream's option, nil when nothing is.
local function stream_mistake(name, value)
  if value == nil or type(value) == "function" or STREAM_MODES[value] then return nil end
  if name == "stderr" and value == "stdout" then return nil end
  return ('option \'%s\' is not "capture", "inherit", "discard" or a function'):format(name)
end

local function env_mistake(env)
  for name, value in pairs(env or {}) do
    if type(name) ~= "string" or name == "" or name:find("[=%z]") then
      return "option 'env' holds a name that no variable can have: " .. tostring(name)
    elseif value ~= false and type(value) ~= "string" and type(value) ~= "number" then
      return ("option 'env' holds a %s for %s (string, or false to remove it)"):format(type(value), name)
    elseif value and has_zero_byte(tostring(value)) then
      return ("option 'env' holds a zero byte in %s"):format(name)
    end
  end
end

local function option_mistake(options, allowed)
  for name, value in pairs(options) do
    local expected = allowed[name]
    if math.type(name) == "integer" then
      if name < 1 or name > #options then return "the command is not a list" end
    elseif not expected then
      return ("unknown option '%s'"):format(tostring(name))
    elseif expected ~= true and type(value) ~= expected then
      return ("option '%s' is a %s, not a %s"):format(name, type(value), expected)
    end
  end
  if options.stdin and options.stdin ~= "inherit" then return "option 'stdin' can only be \"inherit\"" end
  if options.stdin and options.input then return "option 'input' needs 'stdin' for itself" end
  if options.cwd and has_zero_byte(options.cwd) then return "option 'cwd' holds a zero byte" end
  return stream_mistake("stdout", options.stdout) or stream_mistake("stderr", options.stderr)
end

-- What the caller did wrong, nil when nothing is: found before anything is started.
local function find_mistake(options, allowed)
  if type(options) ~= "table" then return "table expected, got " .. type(options) end
  if #options == 0 then return "no program is named" end
  for i, word in ipairs(options) do
    if type(word) ~= "string" and type(word) ~= "number" then
      return ("word %d of the command is a %s, not a string"):format(i, type(word))
    elseif has_zero_byte(tostring(word)) then
      return ("word %d of the command holds a zero byte"):format(i)
    end
  end
  if options[1] == "" then return "no program is named" end
  return option_mistake(options, allowed) or env_mistake(options.env)
end

-- The child's environment as "NAME=value" lines; nil leaves it as ours.
local function environment(options)
  if not options.env and not options.clear_env then return nil end
  local lines, changes = {}, options.env or {}
  for _, line in ipairs(options.clear_env and {} or core.environment()) do
    if changes[line:match("^[^=]*")] == nil then lines[#lines + 1] = line end
  end
  for name, value in pairs(changes) do
    if value then lines[#lines + 1] = name .. "=" .. tostring(value) end
  end
  table.sort(lines)
  return lines
end

-- ---- finding programs -----------------------------------------------------------------------------

local function find_in(path, name)
  local fs = require "hone.fs"
  for folder in (path .. ":"):gmatch("([^:]*):") do
    local candidate = fs.absolute(fs.join(folder, name)) -- an empty entry is the current folder
    if core.is_program(candidate) then return candidate end
  end
end

local function search_path(options)
  local changed = options.env and options.env.PATH
  if changed ~= nil then return changed or "" end
  return not options.clear_env and os.getenv("PATH") or "/usr/local/bin:/usr/bin:/bin"
end

function process.which(name)
  if type(name) ~= "string" or name == "" or has_zero_byte(name) then
    error("bad argument #1 to 'which' (the name of a program expected)", 2)
  end
  if name:find("/", 1, true) then
    if core.is_program(name) then return require("hone.fs").absolute(name) end
    return nil, ("cannot find %s: not an executable file"):format(name), "ENOENT"
  end
  local found = find_in(search_path({}), name)
  if found then return found end
  return nil, ("cannot find %s: not found in PATH"):format(name), "ENOENT"
end

-- ---- lines ----------------------------------------------------------------------------------------

-- Cuts a stream into lines: feed(data) and, at its end, finish() call emit(line). What has no newline
-- yet is kept in pieces, so that one endless line does not cost the square of its length.
local function line_cutter(emit)
  local pieces = {}
  local cutter = {}
  function cutter.feed(data)
    local start = 1
    local stop = data:find("\n", start, true)
    while stop do
      pieces[#pieces + 1] = data:sub(start, stop - 1)
      local line = table.concat(pieces)
      pieces = {}
      start = stop + 1
      emit(line)
      stop = data:find("\n", start, true)
    end
    if start <= #data then pieces[#pieces + 1] = data:sub(start) end
  end
  function cutter.finish()
    if #pieces == 0 then return end
    local line = table.concat(pieces)
    pieces = {}
    emit(line)
  end
  return cutter
end

-- ---- a started process ----------------------------------------------------------------------------

local Process = { __name = "hone.Process" }
Process.__index = Process

local STREAMS = { "stdout", "stderr" }

-- What becomes of one captured stream as it comes: nothing (C keeps it until the end), a callback,
-- or lines and pieces.
local function make_sink(options, stream)
  local mode = options[stream] or "capture"
  if type(mode) == "function" then return { accept = mode, finish = function() end } end
  if mode ~= "capture" or not options.on_line then return nil end
  local cutter = line_cutter(function(line) options.on_line(stream, line) end)
  local sink = { pieces = {}, finish = cutter.finish }
  function sink.accept(data)
    sink.pieces[#sink.pieces + 1] = data
    cutter.feed(data)
  end
  return sink
end

local function stream_mode(value)
  if type(value) == "function" then return "pipe" end
  return STREAM_MODES[value or "capture"] or value
end

-- Give what has come to the sinks.
local function deliver(self)
  for i in ipairs(STREAMS) do
    local sink = self.sinks[i]
    if sink then
      local open = self.child:is_open(i)
      local data = self.child:take(i)
      if data ~= "" then sink.accept(data) end
      if not open and not sink.finished then
        sink.finished = true
        sink.finish()
      end
    end
  end
end

local function captured(self, i)
  local mode = self.options[STREAMS[i]] or "capture"
  if mode ~= "capture" then return nil end
  local sink = self.sinks[i]
  return sink and table.concat(sink.pieces) or self.child:take(i)
end

local function result_of(self)
  if self.result then return self.result end
  local status, signal, ended = self.child:outcome()
  self.result = {
    status = status,
    signal = signal,
    stdout = captured(self, 1),
    stderr = captured(self, 2),
    timed_out = self.timed_out,
    seconds = ended - self.started,
  }
  return self.result
end

-- Seconds until the process's own time limit, which is kept here: one that passed it is told to end.
local function time_left(self)
  if self.timed_out or not self.deadline then return math.huge end
  local left = self.deadline - core.now()
  if left > 0 or self.child:is_over() then return left end
  self.timed_out = true
  self.child:stop(self.grace * 1000)
  return math.huge
end

-- One turn of the loop for this process, of at most that many seconds. Returns whether it is over.
local function advance(self, longest)
  core.step(math.min(longest or math.huge, time_left(self)) * 1000)
  deliver(self)
  return self.child:is_over()
end

-- A value to be closed that ends the processes when an error passes by.
local function end_on_error(processes)
  return setmetatable({}, {
    __close = function(_, problem)
      if problem == nil then return end
      for _, running in ipairs(processes) do
        running.child:stop(running.grace * 1000)
      end
      for _, running in ipairs(processes) do
        running:stop()
      end
    end,
  })
end

local function unlimit(self)
  for i in ipairs(STREAMS) do
    if not self.sinks[i] then self.child:unlimit(i) end
  end
end

function Process:wait(timeout)
  if timeout ~= nil and type(timeout) ~= "number" then
    error(("bad argument #1 to 'wait' (seconds expected, got %s)"):format(type(timeout)), 2)
  end
  if self.result then return self.result end
  local guard <close> = end_on_error { self } -- luacheck: ignore guard
  local until_time = timeout and core.now() + timeout or math.huge
  unlimit(self)
  while not advance(self, until_time - core.now()) do
    if core.now() >= until_time then
      return nil, ("%s is still running after %g s"):format(self.name, timeout), "ETIMEDOUT"
    end
  end
  return result_of(self)
end

function Process:running()
  core.step(0)
  return not self.child:has_exited() and not self.child:is_over()
end

function Process:kill(signal)
  local number = signal == nil and 15 or signal
  if type(number) == "string" then number = core.signal_number(number) end
  if math.type(number) ~= "integer" then
    error(("bad argument #1 to 'kill' (no signal is called %s)"):format(tostring(signal)), 2)
  end
  local ok, reason, code = self.child:signal(number)
  if ok then return true end
  return nil, ("cannot signal %s: %s"):format(self.name, reason), code
end

function Process:stop(grace)
  if grace ~= nil and type(grace) ~= "number" then
    error(("bad argument #1 to 'stop' (seconds expected, got %s)"):format(type(grace)), 2)
  end
  self.child:stop((grace or self.grace) * 1000)
  while not self.child:is_over() do
    core.step(1000)
  end
  return result_of(self)
end

function Process:end_soon(grace)
  if grace ~= nil and type(grace) ~= "number" then
    error(("bad argument #1 to 'end_soon' (seconds expected, got %s)"):format(type(grace)), 2)
  end
  self.child:stop((grace or self.grace) * 1000)
end

function Process:__close() self:stop() end

function Process:__tostring() return ("process %d (%s)"):format(self.pid, self.name) end

local WRITE_AHEAD = 1024 * 1024 -- bytes that may wait before write() does

function Process:write(data)
  if type(data) ~= "string" then
    error(("bad argument #1 to 'write' (string expected, got %s)"):format(type(data)), 2)
  end
  local waiting, reason, code = self.child:write(data)
  if not waiting then return nil, ("cannot write to %s: %s"):format(self.name, reason), code end
  if waiting > WRITE_AHEAD then unlimit(self) end -- it may have to write before it can read on
  while self.child:unwritten() > WRITE_AHEAD do
    advance(self)
  end
  return true
end

function Process:close_input() self.child:close_input() end

-- Reads one stream by lines; a loop that was left can be taken up where it was.
local function line_reader(self, i)
  local queue, first, ended = {}, 1, false
  local cutter = line_cutter(function(line) queue[#queue + 1] = line end)
  return function()
    while first > #queue do
      if ended then return nil end
      queue, first = {}, 1
      ended = not self.child:is_open(i)
      cutter.feed(self.child:take(i))
      if ended then
        cutter.finish()
      elseif #queue == 0 then
        advance(self)
      end
    end
    local line = queue[first]
    queue[first] = false
    first = first + 1
    return line
  end
end

function Process:lines(stream)
  local i = stream == nil and 1 or stream == "stdout" and 1 or stream == "stderr" and 2
  if not i then error('bad argument #1 to \'lines\' ("stdout" or "stderr" expected)', 2) end
  if self.sinks[i] or (self.options[STREAMS[i]] or "capture") ~= "capture" then
    error(("%s of %s is not captured"):format(STREAMS[i], self.name), 2)
  end
  if not self.sinks[3 - i] then self.child:unlimit(3 - i) end -- it must not stop because of the other
  self.readers[i] = self.readers[i] or line_reader(self, i)
  return self.readers[i]
end

-- ---- starting -------------------------------------------------------------------------------------

local function words(options)
  local list = {}
  for i, word in ipairs(options) do
    list[i] = tostring(word)
  end
  return list
end

-- The file to execute | nil, message, code.
local function program(options)
  local name = tostring(options[1])
  local cwd = options.cwd
  if cwd and not require("hone.fs").is_dir(cwd) then
    return nil, ("cannot run %s in %s: no such folder"):format(name, cwd), "ENOENT"
  end
  if name:find("/", 1, true) then return name end
  local file = find_in(search_path(options), name)
  if file then return file end
  return nil, ("cannot run %s: not found in PATH"):format(name), "ENOENT"
end

local function stdin_mode(options, default) return options.stdin or (options.input and "pipe") or default end

-- Start what find_mistake found nothing wrong with. -> Process | nil, message, code
local function launch(options, default_stdin)
  local name = tostring(options[1])
  local file, why, code = program(options)
  if not file then return nil, why, code end
  local started = core.now()
  local child, reason, reason_code = core.spawn {
    file = file,
    args = words(options),
    env = environment(options),
    cwd = options.cwd,
    stdin = stdin_mode(options, default_stdin),
    stdout = stream_mode(options.stdout),
    stderr = stream_mode(options.stderr),
  }
  if not child then return nil, ("cannot run %s: %s"):format(name, reason), reason_code end
  if options.input then
    child:write(options.input)
    child:close_input()
  end
  return setmetatable({
    child = child,
    pid = child:pid(),
    name = name,
    options = options,
    started = started,
    deadline = options.timeout and started + options.timeout,
    grace = options.grace or DEFAULT_GRACE,
    timed_out = false,
    readers = {},
    sinks = { make_sink(options, "stdout"), [2] = make_sink(options, "stderr") },
  }, Process)
end

function process.start(command)
  local mistake = find_mistake(command, START_OPTIONS)
  if mistake then error(("bad argument #1 to 'start' (%s)"):format(mistake), 2) end
  return launch(command, "pipe")
end

-- The last line of what a program said about its failure.
local function last_line(text) return (text or ""):match("([^\n]*)%s*$") end

-- What `check` refuses: message, code | nil.
local function failure(options, result)
  local name = tostring(options[1])
  local said = last_line(result.stderr)
  if said ~= "" then said = ": " .. said end
  if result.timed_out then return ("%s: timed out after %g s"):format(name, options.timeout), "ETIMEDOUT" end
  if result.signal then return ("%s: ended by %s%s"):format(name, result.signal, said), "ESIGNAL" end
  if result.status ~= 0 then return ("%s: exit status %d%s"):format(name, result.status, said), "ESTATUS" end
end

function process.run(command)
  local mistake = find_mistake(command, RUN_OPTIONS)
  if mistake then error(("bad argument #1 to 'run' (%s)"):format(mistake), 2) end
  local running <close>, why, code = launch(command, "null")
  if not running then return nil, why, code end
  local result = running:wait()
  if command.check then
    why, code = failure(command, result)
    if why then return nil, why, code, result end
  end
  return result
end

-- ---- many at once ---------------------------------------------------------------------------------

-- Which argument of run_all is wrong, and how; nil when none is.
local function find_list_mistake(commands, options)
  if type(commands) ~= "table" then return 1, "list expected, got " .. type(commands) end
  for i, command in ipairs(commands) do
    local mistake = find_mistake(command, RUN_OPTIONS)
    if mistake then return 1, ("command %d: %s"):format(i, mistake) end
  end
  local max = options.max
  if max ~= nil and (math.type(max) ~= "integer" or max < 1) then return 2, "option 'max' is not a count" end
end

-- A command that could not be started, or that `check` refuses, says so in its result.
local function checked(command, result)
  if command.check then
    result.error, result.code = failure(command, result)
  end
  return result
end

local function start_one(i, command, running, results, on_done)
  local mistake = find_mistake(command, RUN_OPTIONS) -- on_done may have added it since the first look
  if mistake then error(("run_all: command %d: %s"):format(i, mistake), 0) end
  local started, why, code = launch(command, "null")
  if started then
    unlimit(started)
    started.index = i
    running[#running + 1] = started
  else
    results[i] = { error = why, code = code, timed_out = false, seconds = 0 }
    on_done(i, results[i])
  end
end

-- One turn for all of them; those that are over leave the list. Others are only read, so that they need not wait.
local function advance_all(running, results, on_done, others)
  local longest = math.huge
  for _, each in ipairs(running) do
    longest = math.min(longest, time_left(each))
  end
  core.step(longest * 1000)
  for _, other in ipairs(others) do
    deliver(other)
  end
  for _, each in ipairs(running) do
    deliver(each)
    if each.child:is_over() then
      results[each.index] = checked(each.options, result_of(each))
      on_done(each.index, results[each.index])
    end
  end
  for at = #running, 1, -1 do
    if running[at].result then table.remove(running, at) end
  end
end

function process.run_all(commands, options)
  options = options or {}
  local position, mistake = find_list_mistake(commands, options)
  if mistake then error(("bad argument #%d to 'run_all' (%s)"):format(position, mistake), 2) end
  local max, on_done = options.max or core.parallelism(), options.on_done or function() end
  local results, running, next_index = {}, {}, 1
  local guard <close> = end_on_error(running) -- luacheck: ignore guard
  while #running > 0 or next_index <= #commands do
    while #running < max and next_index <= #commands do
      start_one(next_index, commands[next_index], running, results, on_done)
      next_index = next_index + 1
    end
    if #running > 0 then advance_all(running, results, on_done, options.alongside or {}) end
  end
  return results
end

return process
