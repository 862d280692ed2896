--- Small datasets for `hone run`: y = 2x, and solutions of it that are right, wrong or a nuisance.
local fs = require "hone.fs"
local json = require "hone.json"
local safetensors = require "hone.safetensors"

local support = {}

support.DEFINITION = [[{"name": "%s", "op_type": "doubling", "axes": {"n": {"type": "var"}},
  "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
  "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
  "reference": "import torch\n\ndef run(x):\n    return x * 2\n"}]]

-- tvm-ffi's C interface alone compiles in a moment.
local HEAD = [[
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>
#include <tvm/ffi/c_api.h>
static void kernel(const float *x, float *y, int64_t n, int32_t count) {
  (void)x; (void)y; (void)n; (void)count;
]]

local TAIL = [[

}
static float *data(const TVMFFIAny &a) {
  DLTensor *t = (DLTensor *)a.v_ptr;
  return (float *)((char *)t->data + t->byte_offset);
}
extern "C" __attribute__((visibility("default"))) int __tvm_ffi_run(void *, const TVMFFIAny *args, int32_t count,
                                                                    TVMFFIAny *) {
  kernel(data(args[0]), data(args[1]), ((DLTensor *)args[0].v_ptr)->shape[0], count);
  return 0;
}
]]

support.RIGHT = "for (int64_t i = 0; i < n; i++) y[i] = 2 * x[i];"

local function solution(language, file, content, dps)
  return {
    author = "spec",
    spec = {
      language = language,
      target_hardware = { "cpu" },
      entry_point = file .. "::run",
      destination_passing_style = dps,
    },
    sources = { { path = file, content = content } },
  }
end

---A solution in C++ whose kernel has x, y and n; `before` stands outside of it.
function support.cpp(body, before)
  return solution("cpp", "main.cpp", (before or "") .. HEAD .. body .. TAIL, true)
end

---In Python: run(x) returns, run(x, y) fills.
function support.python(code, dps)
  return solution("python", "main.py", "import torch\n" .. code, dps or false)
end

function support.lua(code)
  local made = solution("lua", "main.lua", "return { run = function(x) " .. code .. " end }", false)
  made.spec.extension = "hone"
  return made
end

---The lines of a workload: sizes, or { axes, inputs } each.
function support.workload(uuid, n, input)
  return {
    axes = { n = n },
    inputs = { x = input or { type = "random" } },
    uuid = uuid,
  }
end

local Dataset = {}
Dataset.__index = Dataset

---A dataset in a folder of a sandbox: definitions by name, each with the solutions, by name, and workloads.
function support.dataset(box, folder)
  return setmetatable({ box = box, folder = folder or "set", root = box:at(folder or "set") }, Dataset)
end

local function write(path, value)
  assert(fs.mkdir(fs.dirname(path)))
  assert(fs.write(path, type(value) == "string" and value or assert(json.encode(value))))
end

function Dataset:define(name, workloads, solutions)
  write(fs.join(self.root, "definitions", "doubling", name .. ".json"), support.DEFINITION:format(name))
  local lines = {}
  for i, workload in ipairs(workloads) do
    lines[i] = assert(json.encode {
      definition = name,
      workload = workload,
      solution = json.null,
      evaluation = json.null,
    }) .. "\n"
  end
  write(fs.join(self.root, "workloads", "doubling", name .. ".jsonl"), table.concat(lines))
  for solution_name, each in pairs(solutions) do
    each.name, each.definition = solution_name, name
    write(fs.join(self.root, "solutions", "spec", "doubling", name, solution_name .. ".json"), each)
  end
  return self
end

---A file with a tensor, as a workload names it.
function Dataset:blob(path, t, key)
  local full = fs.join(self.root, path)
  assert(fs.mkdir(fs.dirname(full)))
  assert(safetensors.write(full, { [key or "x"] = t }))
  return { type = "safetensors", path = path, tensor_key = key or "x" }
end

function Dataset:traces_file(name) return fs.join(self.root, "traces", "spec", "doubling", name .. ".jsonl") end

---The traces on disk, in order.
function Dataset:traces(name)
  local list = {}
  for line in (fs.read(self:traces_file(name)) or ""):gmatch "[^\n]+" do
    list[#list + 1] = assert(json.decode(line))
  end
  return list
end

local FEW = { "--warmup-runs", "1", "--iterations", "3", "--num-trials", "1" }

---The words of a quick run of the dataset.
function Dataset:words(...)
  local words = { "run", "--local", self.folder, "--devices", "cpu" }
  table.move(FEW, 1, #FEW, #words + 1, words)
  return table.move({ ... }, 1, select("#", ...), #words + 1, words)
end

---`hone run` on it, quickly: the process's result, and the evaluations by solution and uuid.
function Dataset:run(...)
  local result = self.box:hone(self:words(...))
  return result, self:evaluations()
end

---What stands on disk by solution, and by the workload's uuid.
function Dataset:evaluations()
  local by = {}
  for path in pairs(self:trace_files()) do
    for line in assert(fs.read(path)):gmatch "[^\n]+" do
      local t = json.decode(line)
      if t then
        by[t.solution] = by[t.solution] or {}
        by[t.solution][t.workload.uuid] = t.evaluation
      end
    end
  end
  return by
end

function Dataset:trace_files()
  local files = {}
  local folder = fs.join(self.root, "traces", "spec", "doubling")
  if fs.is_dir(folder) then
    for _, name in ipairs(assert(fs.list(folder))) do
      files[fs.join(folder, name)] = true
    end
  end
  return files
end

---The processes that a sandbox's runs started and that are still there: by pid, who their parents are.
function support.processes(box)
  local found = {}
  for _, name in ipairs(assert(fs.list "/proc")) do
    local pid = math.tointeger(tonumber(name))
    local environment = pid and fs.read(fs.join("/proc", name, "environ"))
    if environment and environment:find(box.path, 1, true) then
      local status = fs.read(fs.join("/proc", name, "status")) or ""
      found[pid] = math.tointeger(tonumber(status:match "PPid:%s*(%d+)"))
    end
  end
  return found
end

return support
