--- Several processes that read the portions of a folder's dumps at once: while one waits for the disk, others go on.
--- What they find comes in the order of the portions, so it does not matter how many there are.
local json = require "hone.json"
local calls, dump = require "hone.workloads.calls", require "hone.workloads.dump"

local readers = {}

local PORTION = 128 -- dumps
local AHEAD = 2 -- portions that a process is given before its first is wanted
local MOST = 8 -- processes

local CHILD = [[require("hone.workloads.readers").child()]]

-- ---- a process -------------------------------------------------------------------------------------------

---What such a process does: the job is the first line of its stdin, each further one a portion; a line of findings
---comes of each.
function readers.child()
  local asked = json.decode(io.read "l")
  local targets = {}
  for i, definition in ipairs(asked.definitions) do
    targets[i] = assert(require("hone.workloads.convert").target(definition))
  end
  local job = calls.job(asked.folder, targets)
  for line in io.lines() do
    local portion = json.decode(line)
    io.write(json.encode(json.array(calls.read(job, portion.names, portion.copies))), "\n")
    io.flush()
  end
end

local function start(job)
  local definitions = json.array {}
  for i, target in ipairs(job.targets) do
    definitions[i] = target.definition
  end
  local child = require("hone.process").start { require("hone.paths").exe, "-e", CHILD }
  local first = { folder = require("hone.fs").absolute(job.folder), definitions = definitions }
  if child and child:write(json.encode(first) .. "\n") then return child end
end

-- ---- all of them -------------------------------------------------------------------------------------------

---How many processes are worth it: some for each processor, since most of them wait for the disk.
---@param dumps integer
---@return integer # 0: this one reads
function readers.count(dumps)
  if not require("hone.paths").exe then return 0 end
  local count = math.min(MOST, 4 * require("hone.core.process").parallelism(), dumps // (4 * PORTION))
  return count > 1 and count or 0
end

local Readers = {}
Readers.__index = Readers

local function portion_of(self, number)
  local first = (number - 1) * PORTION + 1
  return table.move(self.names, first, math.min(first + PORTION - 1, #self.names), 1, {})
end

local function child_of(self, number)
  return #self.children > 0 and self.children[(number - 1) % #self.children + 1] or nil
end

-- How many runs of a portion somebody may want.
local function count_runs(job, names)
  local count = 0
  for _, name in ipairs(names) do
    local called = dump.parse_name(name).name
    if job.by_name[called] and not calls.is_plan(called) then count = count + 1 end
  end
  return count
end

local function send_next(self)
  self.sent = self.sent + 1
  local names = portion_of(self, self.sent)
  local held = { names = names, copies = self.copies(names), runs = count_runs(self.job, names) }
  self.held[self.sent] = held
  self.runs = self.runs + held.runs
  child_of(self, self.sent):write(json.encode { names = json.array(names), copies = held.copies } .. "\n")
end

-- Give the processes what they may have before a portion is wanted: as much as keeps them busy, and no more runs than
-- may still be needed.
local function send(self, wanted)
  local last = math.min(wanted + AHEAD * #self.children - 1, self.count)
  while self.sent < wanted or self.sent < last and self.runs < self.needed() do
    send_next(self)
  end
end

-- What a portion's process answers; where it ended instead, the portion is read here.
local function answer(self, number)
  local child = child_of(self, number)
  if not child then
    local names = portion_of(self, number)
    local copies = self.copies(names)
    return names, calls.read(self.job, names, copies), copies
  end
  send(self, number)
  local held = self.held[number]
  self.held[number] = nil
  self.runs = self.runs - held.runs
  local line = child:lines()()
  local findings = line and json.decode(line)
  if not findings and not self.problem then
    local result = child:wait()
    self.problem = ("a process that read dumps ended (%s): its part was read by another"):format(
      result.signal or "exit status " .. result.status
    )
  end
  return held.names, findings or calls.read(self.job, held.names, held.copies), held.copies
end

function Readers:__close()
  for _, child in ipairs(self.children) do
    child:end_soon()
  end
end

---Read a folder's dumps: for names, findings in reading:portions() do ... end
---@param job hone.workloads.Job
---@param names string[] # as dump.list gives them
---@param count integer # of processes; 0 reads here
---@param needs { copies: (fun(names: string[]): table<string, string>?), needed: fun(): integer }
--- copies of tensors in PyTorch's format; how many more runs are looked at, as far as it is known
---@return table reading # to be closed; problem: a process that ended before its time
function readers.start(job, names, count, needs)
  local self = setmetatable({
    job = job,
    names = names,
    copies = needs.copies,
    needed = needs.needed,
    runs = 0,
    count = (#names + PORTION - 1) // PORTION,
    sent = 0,
    held = {},
    children = {},
  }, Readers)
  for _ = 1, count do
    self.children[#self.children + 1] = start(job)
  end
  return self
end

---Portion after portion: its names, what was found, and the copies that were made for it.
---@return fun(): string[]?, hone.workloads.Finding[]?, table<string, string>?
function Readers:portions()
  local number = 0
  return function()
    number = number + 1
    if number <= self.count then return answer(self, number) end
  end
end

return readers
