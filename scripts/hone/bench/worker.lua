--- A process that runs somebody's kernels, as its judge sees it. See scripts/meta/bench/worker.lua.
local core = require "hone.core.worker"
local fs = require "hone.fs"
local json = require "hone.json"
local paths = require "hone.paths"

local worker = {}

local Worker = {}
Worker.__index = Worker

local START_SECONDS = 120 -- a Python with torch on a cold disk
local MOST_FILE = { native = 64 << 20, lua = 64 << 20, python = 1 << 30 }

-- DLPack's code, bits and lanes of a dtype.
local DLPACK = {
  float64 = { 2, 64, 1 },
  float32 = { 2, 32, 1 },
  float16 = { 2, 16, 1 },
  bfloat16 = { 4, 16, 1 },
  float8_e4m3fn = { 10, 8, 1 },
  float8_e5m2 = { 12, 8, 1 },
  float4_e2m1 = { 17, 4, 2 },
  int64 = { 0, 64, 1 },
  int32 = { 0, 32, 1 },
  int16 = { 0, 16, 1 },
  int8 = { 0, 8, 1 },
  uint8 = { 1, 8, 1 },
  bool = { 6, 8, 1 },
}

-- ---- starting --------------------------------------------------------------------------------------

local function library_file(name)
  local path = paths.lib and fs.join(paths.lib, "hone", name)
  if path and fs.is_file(path) then return path end
  return nil, ("cannot start a worker: %s is not there; run make"):format(path or name)
end

-- The script that runs a language's solutions.
local function script_file(name) return fs.join(paths.home, "scripts", "hone", "bench", name) end

local commands = {
  native = function()
    local program, why = library_file "worker"
    return program and { program }, why
  end,
  python = function(options)
    local library, why = library_file "libhone_worker.so"
    if not library then return nil, why end
    return { options.python or os.getenv "HONE_PYTHON" or "python3", script_file "worker.py", library }
  end,
  lua = function() return { paths.exe or "hone", script_file "lua_worker.lua" } end,
}

local function cupti_folders(device)
  return device == "cpu" and json.array {} or json.array(require("hone.cuda.toolkit").library_folders())
end

-- What of the judge's environment a solution may know.
local function environment(extra)
  local list = {}
  for _, line in ipairs(require("hone.core.process").environment()) do
    local name = line:match "^[^=]*"
    if not (name:find "TOKEN" or name:find "SECRET" or name:find "PASSWORD") then list[#list + 1] = line end
  end
  for name, value in pairs(extra or {}) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

local function start_request(self, options)
  return json.encode {
    device = require("hone.bench.device").ordinal(self.device) or -1,
    memory = options.memory_limit or 0,
    file = options.file_limit or MOST_FILE[self.kind],
    may_start = self.kind == "python",
    cupti = cupti_folders(self.device),
  }
end

---Start a process for solutions of one kind: "native", "python" or "lua"; `imports`: a module that one of Python is to
---import before it is asked. It comes up by itself as far as that touches no device ("coming", then "here"); `begin` has
---it open the device ("beginning", then "up").
---@return table? worker
---@return string? message
function worker.start(options)
  local self = setmetatable({ kind = options.kind, device = options.device or "cpu" }, Worker)
  local command, why = commands[self.kind](options)
  if not command then return nil, why end
  command[#command + 1] = tostring(core.descriptor)
  command[#command + 1] = options.imports
  self.process, why = core.spawn(command, environment(options.environment))
  if not self.process then return nil, ("%s (%s)"):format(why, command[1]) end
  self.request, self.state = start_request(self, options), "coming"
  return self
end

-- ---- requests --------------------------------------------------------------------------------------

local CODES = { LATE = "TIMEOUT", CLOSED = "CRASH", FORGED = "CRASH" }

-- The worker is of no use any more.
local function lose(self, code, seconds)
  local ended = code ~= "LATE" and self.process:wait(true) or nil
  self:kill()
  if code == "LATE" then return nil, ("nothing came within %.3g s"):format(seconds), "TIMEOUT" end
  if code == "FORGED" then
    return nil,
      "what came from the worker's process was not written by the worker: it is not believed",
      "CRASH"
  end
  return nil,
    ("the worker's process ended (%s)"):format(ended or "its end is not known"),
    CODES[code] or "CRASH"
end

local function receive(self, seconds)
  local text, code = self.process:receive(seconds)
  if not text then return lose(self, code, seconds) end
  local reply, why = json.decode(text)
  if not reply then return nil, "the worker's reply is not JSON: " .. why, "CRASH" end
  if reply.ok then return reply end
  if reply.lost then self:kill() end
  return nil, reply.why, reply.code
end

---Whether the process has come so far that it can begin; true of one that never will, which `ready` tells.
function Worker:is_here()
  if self.state ~= "coming" or self.dead then return true end
  local text, code = self.process:receive(0)
  if text then
    self.state = "here"
  elseif code ~= "LATE" then
    self.failure = { lose(self, code, 0) }
  end
  return text ~= nil or code ~= "LATE"
end

-- What it said while it failed belongs to the message.
local function cannot_start(self, why, code)
  local printed = self:log()
  self:kill()
  if printed ~= "" then why = why .. ": " .. printed:match "^%s*(.-)%s*$" end
  return nil, "cannot start a worker: " .. why, code
end

---Have it open its device, without waiting for the end of that.
function Worker:begin(seconds)
  if self.state == "coming" and not self.dead then
    local reply, why, code = receive(self, seconds or START_SECONDS)
    if not reply then return cannot_start(self, why, code) end
    self.state = "here"
  end
  if self.state == "here" then
    self.process:send("start", self.request)
    self.state = "beginning"
  end
  return true
end

---Wait until it is up. Every request does so.
function Worker:ready(seconds)
  if self.failure then return cannot_start(self, self.failure[2], self.failure[3]) end
  if self.dead then return nil, "the worker's process has ended", "CRASH" end
  if self.state == "up" then return true end
  local ok, why, code = self:begin(seconds)
  if not ok then return nil, why, code end
  local reply
  reply, why, code = receive(self, seconds or START_SECONDS)
  if not reply then return cannot_start(self, why, code) end
  self.state, self.about = "up", reply
  return true
end

local function ask(self, kind, request, seconds, memory)
  local ok, why, code = self:ready()
  if not ok then return nil, why, code end
  ok, code = self.process:send(kind, json.encode(request), memory)
  if not ok then return lose(self, code, seconds) end
  return receive(self, seconds)
end

local MAP_SECONDS = 60

---Let it see an arena, in the place of the one it saw before.
function Worker:map(arena)
  local request = { bytes = arena.bytes, handle = arena.handle or json.null }
  local reply, why, code = ask(self, "map", request, MAP_SECONDS, arena.memory)
  if not reply then return nil, why, code end
  self.arena = arena
  return true
end

---Let go of the arena that it sees: its owner must not free what others have open.
function Worker:unmap()
  if not self.arena or self.dead then return true end
  self.arena = nil
  local reply, why, code = ask(self, "map", { bytes = 0, handle = json.null }, MAP_SECONDS)
  if not reply then return nil, why, code end
  return true
end

---Begin to load what hone.bench.build made, without waiting for the end of it; nothing else may be asked before
---`loaded` was.
function Worker:begin_load(artefact)
  local ok, why, code = self:ready()
  if not ok then return nil, why, code end
  ok, code = self.process:send("load", json.encode { artefact = artefact })
  if not ok then return lose(self, code, 0) end
  self.is_loading = true
  return true
end

---Wait until it is loaded.
function Worker:loaded(seconds)
  if self.is_loading then
    self.is_loading = false
    local reply, why, code = receive(self, seconds)
    self.load_failure = not reply and { why, code } or nil
  end
  if self.load_failure then return nil, table.unpack(self.load_failure) end
  return true
end

---Load what hone.bench.build made.
function Worker:load(artefact, options)
  local ok, why, code = self:begin_load(artefact)
  if not ok then return nil, why, code end
  return self:loaded(options and options.timeout or 300)
end

-- JSON has no number for these.
local function number_of(value)
  if value ~= value then return "nan" end
  if value == math.huge then return "inf" end
  return value == -math.huge and "-inf" or value
end

local function describe(value)
  if value.shape then
    local code = DLPACK[value.dtype]
    return {
      kind = "tensor",
      dtype = value.dtype,
      code = code[1],
      bits = code[2],
      lanes = code[3],
      shape = json.array(value.shape),
    }
  elseif value.value == nil or value.value == json.null then
    return { kind = "none", dtype = value.dtype }
  elseif type(value.value) == "boolean" then
    return { kind = "bool", dtype = value.dtype, value = value.value }
  elseif value.dtype:find "int" and math.type(value.value) == "integer" then
    return { kind = "integer", dtype = value.dtype, value = value.value }
  end
  return { kind = "float", dtype = value.dtype, value = number_of(value.value) }
end

-- A list of every slot's.
local function lists(slots, name)
  local all = json.array {}
  for i, slot in ipairs(slots) do
    all[i] = json.array(slot[name])
  end
  return all
end

-- The same where slots have one.
local function lists_beside(slots, name)
  local first = slots[1] and slots[1][name]
  return first and #first > 0 and lists(slots, name) or nil
end

---Make calls, one for each slot: `values` says what all have in common, { dtype, shape } or { dtype, value }, the
---first `inputs` of them inputs. A slot has lists of offsets in the arena: `offsets` of its tensors, `sources` that its
---inputs are copied from before the call and `seen` that its outputs are copied to after it. The first `warmup` calls
---are not timed.
---@return table? reply # { seconds, host, clock, returned, … }
---@return string? message
---@return string? code # COMPILE_ERROR, RUNTIME_ERROR, OUT_OF_MEMORY, TIMEOUT, CRASH
function Worker:calls(request)
  local values = json.array {}
  for i, value in ipairs(request.values) do
    values[i] = describe(value)
  end
  local seconds = request.timeout or 300
  return ask(self, "calls", {
    values = values,
    inputs = request.inputs,
    slots = lists(request.slots, "offsets"),
    sources = lists_beside(request.slots, "sources"),
    seen = lists_beside(request.slots, "seen"),
    warmup = request.warmup or 1,
    cold = request.cold ~= false,
    events = request.clock == "events",
    timeout = seconds,
  }, seconds)
end

-- ---- ending ----------------------------------------------------------------------------------------

---What it printed since it was last asked: at most 5 MiB, in UTF-8.
function Worker:log()
  local text, printed = self.process:log()
  text = require("hone.text").to_utf8(text)
  if printed > #text and printed > 5 << 20 then text = text .. "\n\n[log truncated]\n" end
  return text
end

function Worker:alive() return not self.dead and not self.process:wait() end

function Worker:kill()
  self.dead = true
  self.process:kill()
end

---Bid it end, without waiting for that.
function Worker:bid_end()
  if self.dead or self.state ~= "up" then return end
  self.state = "ending"
  self.process:send("stop", "{}")
end

function Worker:stop()
  self:bid_end()
  if not self.dead and self.state == "ending" then self.process:wait(true) end
  self:kill()
  self.process:close()
end

Worker.__close = Worker.stop

return worker
