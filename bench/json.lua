--- JSON: reading and writing against lua-cjson, which keeps no order and no integers.
local cjson = require "cjson"
local fs = require "hone.fs"
local json = require "hone.json"

local MEBIBYTE = 1024 * 1024

-- The least of several times, in seconds of processor time, for `each` of all items.
local function seconds_of(items, each)
  local best = math.huge
  for _ = 1, 9 do
    collectgarbage()
    local start = os.clock()
    for _, item in ipairs(items) do
      each(item)
    end
    best = math.min(best, os.clock() - start)
  end
  return best
end

local function compare(report, label, ours, theirs)
  report(label, ours / theirs, ("hone %.2f ms, cjson %.2f ms"):format(ours * 1e3, theirs * 1e3))
end

local function definitions_folder()
  for _, folder in ipairs { os.getenv("HONE_TRACE") or "", "../shared/flashinfer-trace", "examples" } do
    if folder ~= "" and fs.is_dir(folder) then return folder end
  end
end

local function definitions()
  local texts = {}
  for _, path in ipairs(fs.glob(fs.join(definitions_folder(), "**", "*.json"))) do
    texts[#texts + 1] = assert(fs.read(path))
  end
  return texts
end

local function decoded(texts, decode)
  local values = {}
  for i, text in ipairs(texts) do
    values[i] = decode(text)
  end
  return values
end

-- A trace as the benchmark writes it; `i` makes lines differ.
local function trace(i)
  return json.object {
    { "definition", "gqa_paged_decode_h32_kv8_d128_ps1" },
    {
      "workload",
      json.object {
        {
          "axes",
          json.object { { "batch_size", i % 128 }, { "num_pages", i }, { "len_indptr", i % 128 + 1 } },
        },
        {
          "inputs",
          json.object { { "q", { type = "random" } }, { "sm_scale", { type = "scalar", value = 1 / i } } },
        },
        { "uuid", ("%08x-0000-4000-8000-%012x"):format(i, i * 7919) },
      },
    },
    { "solution", "flashinfer_wrapper_" .. i % 10 },
    {
      "evaluation",
      json.object {
        { "status", "PASSED" },
        { "log", ("line one of a log\n\tand the second, %d\n"):format(i) },
        { "performance", json.object { { "latency_ms", i / 977 }, { "speedup_factor", 1 + 1 / i } } },
      },
    },
  }
end

local function write_traces(path, bytes)
  local file <close> = assert(io.open(path, "w"))
  local lines = {}
  for i = 1, 2000 do
    lines[i] = json.encode(trace(i)) .. "\n"
  end
  local block = table.concat(lines)
  for _ = 1, math.ceil(bytes / #block) do
    assert(file:write(block))
  end
end

-- Processor time of a walk in seconds, and the peak memory of the whole process meanwhile in MiB.
local function measure(walk)
  collectgarbage()
  local peak <close> = assert(io.open("/proc/self/clear_refs", "w"))
  peak:write("5")
  peak:flush()
  local start = os.clock()
  walk()
  local seconds = os.clock() - start
  for line in io.lines("/proc/self/status") do
    local kibibytes = line:match("^VmHWM:%s*(%d+)")
    if kibibytes then return seconds, tonumber(kibibytes) / 1024 end
  end
end

local function compare_lines(report)
  local folder <close> = fs.tempdir()
  local path = fs.join(folder.path, "traces.jsonl")
  write_traces(path, 100 * MEBIBYTE)
  local ours, memory = measure(function()
    for number, value, why in assert(json.lines(path)) do
      if not value then error(("line %d: %s"):format(number, why)) end
    end
  end)
  local theirs, their_memory = measure(function()
    for line in io.lines(path) do
      cjson.decode(line)
    end
  end)
  compare(report, "decode 100 MiB of JSONL", ours, theirs)
  local detail = ("hone %.1f MiB, cjson %.1f MiB"):format(memory, their_memory)
  report("peak memory of the process meanwhile", memory / their_memory, detail)
end

local function run(report)
  local texts = definitions()
  compare(
    report,
    ("decode %d definitions"):format(#texts),
    seconds_of(texts, json.decode),
    seconds_of(texts, cjson.decode)
  )
  local ours, theirs = decoded(texts, json.decode), decoded(texts, cjson.decode)
  compare(report, "encode them", seconds_of(ours, json.encode), seconds_of(theirs, cjson.encode))
  compare_lines(report)
end

return { name = "json", run = run }
