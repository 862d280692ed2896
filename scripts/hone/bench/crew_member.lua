--- One process of a crew: `hone crew_member.lua` reads what it is and then what to do from stdin, a line of JSON each,
--- and writes what comes of it to stdout. See crew.lua.
local json = require "hone.json"
local trace = require "hone.dataset.trace"
local traceset = require "hone.dataset.traceset"

io.stdout:setvbuf "line"

local function say(message) io.stdout:write(json.encode(message), "\n") end

local told = assert(json.decode(io.read "l" or ""))
local options = told.options
options.device = told.device
local settings = require("hone.bench.settings").load(options.settings)

local station <close> = require("hone.bench.station").new {
  device = told.device,
  settings = settings,
  isolated = options.isolated,
  reference = options.reference,
  cache = options.cache,
}
local sets = {}

local function set_of(root)
  sets[root] = sets[root] or assert(traceset.open(root))
  return sets[root]
end

local function group_of(message)
  local set, group, by_uuid = set_of(message.root), {}, {}
  local definition = set:definition(message.definition)
  for _, line in ipairs(set:workloads(message.definition)) do
    by_uuid[line.workload.uuid] = by_uuid[line.workload.uuid] or line.workload
  end
  for i, item in ipairs(message.items) do
    local solutions = {}
    for k, name in ipairs(item.solutions) do
      solutions[k] = set:solution(name)
    end
    group[i] = {
      root = message.root,
      definition = definition,
      workload = by_uuid[item.uuid],
      solutions = solutions,
      kind = "cuda",
    }
  end
  return group
end

-- The groups that a message tells of ahead.
local function coming_of(message)
  local groups = {}
  for i, one in ipairs(message.coming) do
    groups[i] = group_of(one)
  end
  return groups
end

local function report(t) say { trace = assert(trace.line(t)) } end

local function skip(item, why, solution)
  say { skip = why, uuid = item.workload.uuid, solution = solution and solution.name }
end

-- Pieces of one definition follow one another: its workers are kept until another comes.
local last
for line in io.lines() do
  local message = assert(json.decode(line))
  local group = group_of(message)
  if last and last[1].definition ~= group[1].definition then
    for _, item in ipairs(last) do
      station:leave(item.solutions)
    end
  end
  last = group
  require("hone.bench.runner").run_items(station, group, report, skip, {
    keep = true,
    coming = coming_of(message),
  })
  say { done = true, shares = station:shares() }
end
