--- Several GPUs at once: a process for each, which runs the workloads of one definition after another as it is given
--- them. What comes of them comes back line by line; a process that ends early is replaced, once.
local clock = require "hone.bench.clock"
local core = require "hone.core.process"
local json = require "hone.json"
local paths = require "hone.paths"
local process = require "hone.process"
local trace = require "hone.dataset.trace"
local with_solutions = require("hone.bench.runner").with_solutions

local crew = {}

local MOST_TRIES = 2 -- of a definition's workloads, where a process ends in the middle of them
local TURN = 20 -- milliseconds

-- ---- one process -----------------------------------------------------------------------------------

local function begin(self, device)
  local member = { device = device, errors = {} }
  local function on_line(stream, line)
    if stream == "stderr" then
      table.insert(member.errors, line)
    else
      member.on_message(json.decode(line) or {})
    end
  end
  local child, why = process.start {
    paths.exe,
    self.script,
    on_line = on_line,
    grace = 2,
  }
  if not child then return nil, why end
  member.child = child
  local options = json.object { { "device", device }, { "options", self.options.plain } }
  child:write(json.encode(options) .. "\n")
  return member
end

-- What a process is told of a group: names only, since it reads the dataset by itself.
local function describe(group)
  local items = json.array {}
  for i, item in ipairs(group) do
    local names = json.array {}
    for k, solution in ipairs(item.solutions) do
      names[k] = solution.name
    end
    items[i] = json.object { { "uuid", item.workload.uuid }, { "solutions", names } }
  end
  return json.object {
    { "root", group[1].root },
    { "definition", group[1].definition.name },
    { "items", items },
  }
end

-- ---- all of them -----------------------------------------------------------------------------------

local function key_of(uuid, name) return uuid .. "\0" .. name end

-- The items of a group without what has come back.
local function rest_of(group, done)
  local rest = { tries = (group.tries or 1) + 1 }
  for _, item in ipairs(group) do
    local left = {}
    for _, solution in ipairs(item.solutions) do
      if not done[key_of(item.workload.uuid, solution.name)] then left[#left + 1] = solution end
    end
    if #left > 0 then rest[#rest + 1] = with_solutions(item, left) end
  end
  return rest
end

local function item_of(group, uuid)
  for _, item in ipairs(group) do
    if item.workload.uuid == uuid then return item end
  end
end

local function solution_of(item, name)
  for _, solution in ipairs(item.solutions) do
    if solution.name == name then return solution end
  end
end

local COMING = 2 -- definitions that a process is told of ahead, to have workers come up for them

-- The next groups of other definitions.
local function coming_after(self, group)
  local list, seen = json.array {}, { [group[1].definition.name] = true }
  for _, other in ipairs(self.groups) do
    local name = other[1].definition.name
    if not seen[name] and #list < COMING then
      seen[name] = true
      list[#list + 1] = describe(other)
    end
  end
  return list
end

local function give(self, member, group)
  member.group, member.done = group, {}
  function member.on_message(message)
    if message.trace then
      local t = trace.read(message.trace)
      local item = t and item_of(group, t.workload.uuid)
      local solution = item and solution_of(item, t.solution)
      if not solution then return end
      member.done[key_of(t.workload.uuid, t.solution)] = true
      self.report(t, solution, item)
    elseif message.skip then
      local item = item_of(group, message.uuid) or group[1]
      local solution = message.solution and solution_of(item, message.solution)
      if solution then
        member.done[key_of(item.workload.uuid, solution.name)] = true
      else
        for _, one in ipairs(item.solutions) do
          member.done[key_of(item.workload.uuid, one.name)] = true
        end
      end
      self.skip(item, message.skip, solution)
    elseif message.done then
      member.group = nil
      for name, seconds in pairs(message.shares or {}) do
        member.shares = member.shares or {}
        member.shares[name] = seconds
      end
    end
  end
  local message = describe(group)
  message.coming = coming_after(self, group)
  member.child:write(json.encode(message) .. "\n")
end

-- A process has ended: what it had not done is given to another, or left out.
local function replace(self, i)
  local member = self.members[i]
  local last = member.errors[#member.errors] or "no word"
  if member.group then
    local rest = rest_of(member.group, member.done)
    if #rest > 0 and rest.tries <= MOST_TRIES then
      table.insert(self.groups, 1, rest)
    else
      for _, item in ipairs(rest) do
        self.skip(item, ("the process of %s ended: %s"):format(member.device, last))
      end
    end
  end
  self.restarts = self.restarts + 1
  if self.restarts > self.most_restarts then
    self.members[i] = false
    return
  end
  self.members[i] = begin(self, member.device) or false
end

-- A piece of the definition that it has workers for, or else of one that nobody is at, or the first.
local function next_group(self, member)
  local taken = {}
  for _, other in ipairs(self.members) do
    if other and other ~= member and other.definition then taken[other.definition] = true end
  end
  local at
  for i, group in ipairs(self.groups) do
    local name = group[1].definition.name
    if name == member.definition then
      at = i
      break
    end
    at = at or not taken[name] and i or nil
  end
  local group = table.remove(self.groups, at or 1)
  member.definition = group[1].definition.name
  return group
end

local function turn(self)
  local busy = false
  for i, member in ipairs(self.members) do
    if member then
      local ended = member.child:wait(0)
      if ended then
        replace(self, i)
        busy = busy or #self.groups > 0
      else
        if not member.group and #self.groups > 0 then give(self, member, next_group(self, member)) end
        busy = busy or member.group ~= nil
      end
    end
  end
  return busy
end

local function close(self)
  for _, member in ipairs(self.members) do
    if member then member.child:stop(2) end
  end
end

---Run groups of items ({ root, definition, workload, solutions } of one definition each) on several devices.
---@param options { devices: string[], plain: table }
---@return table<string, number> shares
function crew.run(groups, options, report, skip)
  local self = setmetatable({
    groups = groups,
    options = options,
    report = report,
    skip = skip,
    members = {},
    restarts = 0,
    most_restarts = 2 * #options.devices,
    script = require("hone.fs").join(paths.home, "scripts", "hone", "bench", "crew_member.lua"),
    started = clock.now(),
  }, { __close = close })
  local guard <close> = self -- luacheck: ignore guard
  for i, device in ipairs(options.devices) do
    self.members[i] = assert(begin(self, device))
  end
  while turn(self) do
    core.step(TURN)
  end
  for _, group in ipairs(self.groups) do -- no process is left to do them
    for _, item in ipairs(group) do
      skip(item, "the processes of all devices ended")
    end
  end
  local shares = {}
  for _, member in ipairs(self.members) do
    for name, seconds in pairs(member and member.shares or {}) do
      shares[name] = (shares[name] or 0) + seconds
    end
  end
  return shares
end

return crew
