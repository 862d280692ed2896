--- Extracting Llama 3.1 8B from SGLang's sources, against CPython's ast parsing the same files.
local fs = require "hone.fs"
local process = require "hone.process"

local CONFIG = "examples/configs/meta-llama/Llama-3.1-8B-Instruct/config.json"
local RUNS = 5

local PARSE = [[
import ast, sys, time
paths = sys.stdin.read().split("\n")
best = None
for _ in range(%d):
    start = time.perf_counter()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            ast.parse(file.read())
    seconds = time.perf_counter() - start
    best = seconds if best is None else min(best, seconds)
print(best)
]]

local function package()
  local root = os.getenv("HONE_SGLANG") or "build/demo/repos/sglang"
  return require("hone.sglang.sources").package(root)
end

-- From the files on disk to the decisions what to write, as the skill does it.
local function extract(sglang)
  local config = assert(require("hone.model.config").from_file(CONFIG))
  local sources = require "hone.sglang.sources"
  local model = assert(sources.find(sglang, "llama", config.architectures, {}))
  local walked = assert(require("hone.sglang.walk").walk {
    package = sglang,
    model = model,
    config = config,
    tp = 1,
    ep = 1,
    modes = { "prefill", "decode" },
  })
  local settings = { page_sizes = { 1, 64 }, gemm_dtype = "float16" }
  local definitions = {}
  for i, kernel in ipairs(require("hone.sglang.kernels").collect(walked, settings).kernels) do
    definitions[i] = assert(require("hone.ops").build(kernel.op_type, kernel.variant, kernel.params, {}))
  end
  return walked, #definitions
end

local function paths_of(walked)
  local paths = {}
  for i, file in ipairs(walked.files) do
    paths[i] = file.path
  end
  return paths
end

-- Every model of which a config is at hand, two at a time: how long it takes, the slowest one, the memory.
local function report_every(report, sglang)
  local configs = os.getenv "HONE_CONFIGS" or "../shared/hf-configs"
  local label = "every model with a config at hand, 2 at a time"
  if not fs.is_dir(configs) then return report(label, nil, "no configs at " .. configs) end
  local every = require "hone.sglang.every"
  local outcomes, seconds = every.run(assert(every.jobs(sglang, { configs = { configs } })), {
    package = sglang,
    page_sizes = { 1, 64 },
    modes = { "prefill", "decode" },
    gemm_dtype = "float16",
    include_quantized = false,
  }, { processes = 2 })
  local slowest, memory = outcomes[1], 0
  for _, outcome in ipairs(outcomes) do
    if outcome.seconds > slowest.seconds then slowest = outcome end
    memory = math.max(memory, outcome.peak_bytes or 0)
  end
  local detail = "%.1f s for %d models; the slowest %.2f s (%s, %d settings); at most %.0f MB a process"
  local settings = slowest.report and #slowest.report.settings or 0
  report(
    label,
    nil,
    detail:format(seconds, #outcomes, slowest.seconds, slowest.job.name, settings, memory / 1e6)
  )
end

return {
  name = "extract",
  run = function(report)
    local sglang, why = package()
    if not sglang then return report("extract Llama 3.1 8B", nil, why) end
    local clock = require("hone.core.terminal").clock
    local best, walked, count
    for _ = 1, RUNS do
      local start = clock()
      walked, count = extract(sglang)
      best = math.min(best or math.huge, clock() - start)
      collectgarbage()
    end
    local paths = paths_of(walked)
    local python = assert(process.run {
      "python3",
      "-c",
      PARSE:format(RUNS),
      input = table.concat(paths, "\n"),
      check = true,
    })
    local theirs = tonumber(python.stdout)
    local bytes = 0
    for _, path in ipairs(paths) do
      bytes = bytes + fs.size(path)
    end
    report(
      "extract Llama 3.1 8B / ast.parse of the same files",
      best / theirs,
      ("hone %.0f ms (%d definitions), CPython %.0f ms (%d files, %.1f MB)"):format(
        best * 1000,
        count,
        theirs * 1000,
        #paths,
        bytes / 1e6
      )
    )
    report_every(report, sglang)
  end,
}
