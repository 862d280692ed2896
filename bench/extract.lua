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
local function report_every(report, sglang, jobs)
  local every = require "hone.sglang.every"
  local outcomes, seconds = every.run(jobs, {
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
    "every model with a config at hand, 2 at a time",
    nil,
    detail:format(seconds, #outcomes, slowest.seconds, slowest.job.name, settings, memory / 1e6)
  )
end

local BOUND = 0.5 -- seconds for one model

-- Each of these models alone, from the command line: a process's start to its end, the best of a few.
local function report_each(report, sglang, jobs)
  local exe = assert(require("hone.paths").exe)
  local folder <close> = assert(fs.tempdir "hone-bench-")
  local slowest, within = { seconds = 0 }, 0
  for _, job in ipairs(jobs) do
    local best = math.huge
    for i = 1, RUNS do
      local result = assert(process.run {
        exe,
        "extract-kernel-definitions",
        "--model-name",
        job.model_name,
        "--config",
        job.config,
        "--sglang-path",
        sglang,
        "--local",
        fs.join(folder.path, ("%s-%d"):format(job.name:gsub("/", "-"), i)),
        check = true,
      })
      best = math.min(best, result.seconds)
    end
    if best < BOUND then within = within + 1 end
    if best > slowest.seconds then slowest = { seconds = best, name = job.name } end
  end
  local detail = "%d of %d models under %.1f s; the slowest %.2f s (%s)"
  report(
    "one model, process start to end",
    nil,
    detail:format(within, #jobs, BOUND, slowest.seconds, slowest.name)
  )
end

local function report_models(report, sglang)
  local configs = os.getenv "HONE_CONFIGS" or "../shared/hf-configs"
  if not fs.is_dir(configs) then return report("every model", nil, "no configs at " .. configs) end
  local folders = { configs, "spec/support/configs" }
  local jobs = assert(require("hone.sglang.every").jobs(sglang, { configs = folders }))
  report_every(report, sglang, jobs)
  report_each(report, sglang, jobs)
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
    report_models(report, sglang)
  end,
}
