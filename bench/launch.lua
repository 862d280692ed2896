--- What a kernel launch costs the host, against C through the driver and against Python's libraries.
-- HONE_LAUNCH_C names the program built from spec/gpu/launch.c, HONE_LAUNCH_PEERS the script beside it.
local cuda = require "hone.cuda"
local clock = require("hone.core.terminal").clock
local process = require "hone.process"

local BATCH, BATCHES, NODES, REPLAYS = 512, 200, 200, 200 -- as in launch.c
local ROUNDS = 3

local function entry(name, pointers, integers, numbers)
  local params = {}
  for i = 1, pointers + integers + numbers do
    local kind = i <= pointers and "u64" or i <= pointers + integers and "u32" or "f32"
    params[i] = (".param .%s p%d"):format(kind, i)
  end
  return (".visible .entry %s(%s) { ret; }\n"):format(name, table.concat(params, ", "))
end

local PTX = ".version 7.0\n.target sm_70\n.address_size 64\n"
  .. entry("five", 3, 1, 1)
  .. entry("nineteen", 8, 6, 5)

local function median(times)
  table.sort(times)
  return times[#times // 2 + 1]
end

-- Nanoseconds of one of the calls of a batch.
local function time_batches(batch)
  local times = {}
  for i = 1, BATCHES do
    local start = clock()
    batch()
    times[i] = (clock() - start) / BATCH * 1e9
    assert(cuda.synchronize())
  end
  return median(times)
end

local function time_replays(graph)
  local stream, times = assert(cuda.stream()), {}
  for i = 1, REPLAYS do
    local start = clock()
    graph(stream)
    stream:synchronize()
    times[i] = (clock() - start) / NODES * 1e9
  end
  return median(times)
end

-- "NAME NANOSECONDS" lines of a program; the least of each name stays.
local function add_printed(figures, command)
  local result = process.run(command)
  for name, figure in (result and result.stdout or ""):gmatch("([^\n#]-) ([%d.]+)\n") do
    figures[name] = math.min(figures[name] or math.huge, tonumber(figure))
    figures[#figures + 1] = name
  end
end

local function batches(m)
  local five, nineteen = assert(m:kernel "five"), assert(m:kernel "nineteen")
  local b, i, f = assert(cuda.alloc(64)), 7, 0.5
  local call5 = assert(five:bind { grid = 1, block = 32, b, b, b, i, f })
  local call19 =
    assert(nineteen:bind { grid = 1, block = 32, b, b, b, b, b, b, b, b, i, i, i, i, i, i, f, f, f, f, f })
  local function prepared5()
    for _ = 1, BATCH do
      call5(b, b, b, i, f)
    end
  end
  local function prepared19()
    for _ = 1, BATCH do
      call19(b, b, b, b, b, b, b, b, i, i, i, i, i, i, f, f, f, f, f)
    end
  end
  local function table5()
    for _ = 1, BATCH do
      five:launch { grid = 1, block = 32, b, b, b, i, f }
    end
  end
  local function table19()
    for _ = 1, BATCH do
      nineteen:launch { grid = 1, block = 32, b, b, b, b, b, b, b, b, i, i, i, i, i, i, f, f, f, f, f }
    end
  end
  local function bound(launch)
    return function()
      for _ = 1, BATCH do
        launch()
      end
    end
  end
  return call5,
    {
      { "five", "5 arguments, prepared", prepared5 },
      { "five", "5 arguments, prepared and bound", bound(call5) },
      { "five", "5 arguments, table call", table5 },
      { "nineteen", "19 arguments, prepared", prepared19 },
      { "nineteen", "19 arguments, prepared and bound", bound(call19) },
      { "nineteen", "19 arguments, table call", table19 },
    }
end

-- C and Lua take turns, so that what else the machine does meets both; the least median of each stays.
local function take_turns(m, c_program, path)
  local theirs, ours = {}, {}
  local call5, list = batches(m)
  local graph = assert(cuda.graph(function()
    for _ = 1, NODES do
      call5()
    end
  end))
  for _ = 1, ROUNDS do
    if c_program then add_printed(theirs, { c_program, path }) end
    for _, item in ipairs(list) do
      ours[item[2]] = math.min(ours[item[2]] or math.huge, time_batches(item[3]))
    end
    ours.graph = math.min(ours.graph or math.huge, time_replays(graph))
  end
  return theirs, ours, list
end

local function report_against(report, label, ours, theirs)
  local detail = theirs and ("%.0f ns against %.0f ns in C"):format(ours, theirs) or ("%.0f ns"):format(ours)
  report(label, theirs and ours / theirs, detail)
end

local function report_peers(report, ours)
  local peers = {}
  add_printed(peers, { "python3", os.getenv "HONE_LAUNCH_PEERS", timeout = 120 })
  for _, name in ipairs(peers) do
    report(
      "5 arguments, table call, against " .. name,
      ours / peers[name],
      ("%.0f ns against %.0f ns"):format(ours, peers[name])
    )
  end
end

local function run(report)
  local available, why = cuda.available()
  if not available then return report("no GPU", nil, why) end
  local fs = require "hone.fs"
  local folder <close> = assert(fs.tempdir())
  local path = fs.join(folder.path, "empty.ptx")
  assert(fs.write(path, PTX))
  local theirs, ours, list = take_turns(assert(cuda.load(PTX)), os.getenv "HONE_LAUNCH_C", path)
  for _, item in ipairs(list) do
    report_against(report, item[2], ours[item[2]], theirs[item[1]])
  end
  report_against(report, "graph replay, a node", ours.graph, theirs.graph)
  if os.getenv "HONE_LAUNCH_PEERS" then report_peers(report, ours["5 arguments, table call"]) end
end

return { name = "launch", run = run }
