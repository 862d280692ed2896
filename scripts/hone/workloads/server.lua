--- A server that answers requests while its kernels' calls are dumped: started, waited for, asked, stopped.
local fs, json = require "hone.fs", require "hone.json"
local http = require "hone.http"
local process = require "hone.process"
local now = require("hone.core.process").now

local server = {}

local HEALTH_EVERY = 0.5 -- seconds
local MOST_LOG = 64 * 1024 * 1024 -- bytes kept of what a server says

local Server = {}
Server.__index = Server

-- What the server says goes into a file, up to a bound: one that floods its output does no harm.
local function logger(path)
  local written, file, why = 0, io.open(path, "wb")
  if not file then return nil, ("cannot write the server's log: %s"):format(why) end
  file:setvbuf "line"
  return function(chunk)
    if written >= MOST_LOG then return end
    written = written + #chunk
    file:write(chunk)
    if written >= MOST_LOG then file:write "\n[the rest is left out]\n" end
  end
end

local function last_lines(path, count)
  local text = fs.read(path) or ""
  local lines = {}
  for line in text:sub(-8192):gmatch "[^\r\n]+" do
    lines[#lines + 1] = line
  end
  return table.concat(lines, " | ", math.max(1, #lines - count + 1))
end

---@class hone.workloads.ServerOptions
---@field url string # where it will answer
---@field log string # file for what it says
---@field env table<string, string>?
---@field timeout number # seconds until it must be healthy

---Start a server; closing the value stops it and all that it started.
---@param command string[]
---@param options hone.workloads.ServerOptions
---@return table? server
---@return string? why
function server.start(command, options)
  local write, refused = logger(options.log)
  if not write then return nil, refused end
  if http.get(options.url .. "/health", { timeout = 2, connect_timeout = 1, retries = 0, proxy = "" }) then
    return nil, ("another server answers at %s already: stop it, or give another --port"):format(options.url)
  end
  local words = { stdout = write, stderr = "stdout", env = options.env, grace = 10 }
  for i, word in ipairs(command) do
    words[i] = word
  end
  local child, why = process.start(words)
  if not child then return nil, why end
  return setmetatable({
    child = child,
    url = options.url,
    log = options.log,
    timeout = options.timeout,
    name = table.concat(command, " "),
  }, Server)
end

function Server:__close() self:stop() end

function Server:stop()
  if not self.child then return end
  self.child:stop()
  self.child = nil
end

-- How a server that is gone ended, and the last that it said.
function Server:_ended()
  local result = self.child:wait(1)
  local how = result and (result.signal or ("exit status %s"):format(result.status)) or "no exit status"
  return ("the server ended (%s): %s; its log is %s"):format(how, last_lines(self.log, 2), self.log)
end

-- Lets the child's output be read while time passes.
local function pause(self, seconds) self.child:wait(seconds) end

---Wait until it says that it is well.
---@param on_wait fun(seconds: number)?
---@return true? ok
---@return string? why
function Server:wait_until_healthy(on_wait)
  local started = now()
  while true do
    if not self.child:running() then return nil, self:_ended() end
    local answer =
      http.get(self.url .. "/health", { timeout = 5, connect_timeout = 2, retries = 0, proxy = "" })
    if answer and answer.status == 200 then return true end
    local waited = now() - started
    if waited > self.timeout then
      local last = answer and ("HTTP %d"):format(answer.status) or "no answer"
      return nil,
        ("the server was not healthy after %.0f s (%s): %s; its log is %s"):format(
          self.timeout,
          last,
          last_lines(self.log, 2),
          self.log
        )
    end
    if on_wait then on_wait(waited) end
    pause(self, HEALTH_EVERY)
  end
end

-- ---- requests ------------------------------------------------------------------------------------------

-- One request in a process of its own: as many at once as asked for, the next begins when one ends.
local CLIENT = [[require("hone.workloads.server").client()]]

---What such a process does: a request from stdin, one line about its answer to stdout.
function server.client()
  local asked = json.decode(io.read "a")
  local answer, why = http.post(asked.url .. "/generate", nil, {
    json = {
      text = asked.prompt,
      sampling_params = { max_new_tokens = asked.new_tokens, temperature = 0.8, ignore_eos = true },
    },
    timeout = asked.timeout,
    retries = 0,
    proxy = "",
    max_size = 1 << 26,
  })
  if not answer then
    io.write(json.encode { error = why })
  elseif answer.status ~= 200 then
    io.write(json.encode { error = ("HTTP %d: %s"):format(answer.status, answer.body:sub(1, 200)) })
  else
    io.write(json.encode { ok = true })
  end
end

---@class hone.workloads.Round
---@field prompts string[]
---@field concurrency integer
---@field new_tokens integer

---Send a round of requests, `concurrency` of them at once.
---@param round hone.workloads.Round
---@param on_done fun(done: integer)?
---@return { ok: integer, failed: integer, first: string? } outcome # first: why the first that failed did
function Server:ask(round, on_done)
  local outcome = { ok = 0, failed = 0 }
  local commands = {}
  for i, prompt in ipairs(round.prompts) do
    local input =
      json.encode { url = self.url, prompt = prompt, new_tokens = round.new_tokens, timeout = self.timeout }
    commands[i] = { require("hone.paths").exe, "-e", CLIENT, input = input }
  end
  process.run_all(commands, {
    max = round.concurrency,
    alongside = { self.child },
    on_done = function(_, result)
      local answer = result.stdout and json.decode(result.stdout)
      if type(answer) == "table" and answer.ok then
        outcome.ok = outcome.ok + 1
      else
        outcome.failed = outcome.failed + 1
        local why = type(answer) == "table" and answer.error or result.error or result.stderr or "no answer"
        outcome.first = outcome.first or why:match "[^\n]*"
      end
      if on_done then on_done(outcome.ok + outcome.failed) end
    end,
  })
  return outcome
end

---Whether it still runs; nil and how it ended.
function Server:check()
  if self.child and self.child:running() then return true end
  return nil, self.child and self:_ended() or "the server was stopped"
end

return server
