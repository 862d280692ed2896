--- The skill validate, on a small dataset that is spoilt in one way each.
local fs, json = require "hone.fs", require "hone.json"
local sandbox = require "support.sandbox"

local DEFINITION = json.object {
  { "name", "double" },
  { "op_type", "toy" },
  { "axes", json.object { { "n", { type = "var", description = "count" } } } },
  { "inputs", json.object { { "x", { shape = { "n" }, dtype = "float32", description = "in" } } } },
  { "outputs", json.object { { "y", { shape = { "n" }, dtype = "float32", description = "out" } } } },
  { "reference", "def run(x):\n    return x + x\n" },
  { "description", "twice x" },
}

local LINE = '{"definition":"double","workload":{"axes":{"n":%s},"inputs":{"x":%s},"uuid":"u1"}}\n'

describe("hone validate", function()
  local box

  before_each(function()
    box = sandbox.new()
    assert(json.write(box:at "d/definitions/toy/double.json", DEFINITION))
  end)
  after_each(function() box:close() end)

  local function workload(size, input)
    assert(fs.write(box:at "d/workloads/toy/double.jsonl", LINE:format(size, input)))
  end

  local function validate(...)
    local done = box:hone { "validate", "--dataset", "d", "--json", ... }
    return done, json.decode(done.stdout)
  end

  local function messages(check)
    local _, report = validate "--disable-gpu"
    local list = {}
    for i, message in ipairs(report.definitions.double[check].messages) do
      list[i] = message.message
    end
    return list
  end

  it("succeeds where there are no errors", function()
    workload(4, '{"type":"random"}')
    local done, report = validate()
    assert.equal(0, done.status, done.stderr)
    assert.equal("ok", report.definitions.double.workload.status)
    assert.equal("reference build: ok", report.definitions.double.definition.messages[1].message)
    local said = report.definitions.double.benchmark.messages
    assert.equal("no baseline solutions for benchmark", said[1].message)
  end)

  it("builds and runs nothing without a GPU's leave", function()
    local done, report = validate "--disable-gpu"
    assert.equal(0, done.status)
    assert.equal(json.null, report.definitions.double.benchmark)
    assert.same({}, report.definitions.double.definition.messages)
  end)

  local function baseline(source)
    assert(json.write(box:at "d/solutions/baseline/toy/double/double_cpp.json", {
      name = "double_cpp",
      definition = "double",
      author = "baseline",
      spec = { language = "cpp", target_hardware = { "cpu" }, entry_point = "double.cpp::double_it" },
      sources = { { path = "double.cpp", content = source } },
    }))
  end

  local DOUBLE = [[
#include <tvm/ffi/function.h>
#include <tvm/ffi/container/tensor.h>

static void double_it(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  const float *from = static_cast<const float *>(x.data_ptr());
  float *to = static_cast<float *>(y.data_ptr());
  for (int64_t i = 0; i < x.size(0); i++) to[i] = FACTOR * from[i];
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(double_it, double_it);
]]

  local function levels(check, report)
    local list = {}
    for _, message in ipairs(report.definitions.double[check].messages) do
      list[#list + 1] = message.level .. ": " .. message.message
    end
    return list
  end

  it("builds baseline solutions and runs them", function()
    workload(4, '{"type":"random"}')
    baseline((DOUBLE:gsub("FACTOR", "2")))
    local done, report = validate("--checks", "baseline,benchmark")
    assert.equal(0, done.status, done.stderr)
    assert.equal("info: build double_cpp: ok", levels("baseline", report)[2])
    local said = table.concat(levels("benchmark", report), "\n")
    assert.truthy(said:find("info: baseline: PASS", 1, true), said)
  end)

  it("names a baseline that is wrong, and one that does not build", function()
    workload(4, '{"type":"random"}')
    baseline((DOUBLE:gsub("FACTOR", "3")))
    local done, report = validate("--checks", "benchmark")
    assert.equal(1, done.status)
    local said = table.concat(levels("benchmark", report), "\n")
    assert.truthy(said:find("error: baseline failed: double_cpp on u1: INCORRECT_NUMERICAL", 1, true), said)
    baseline "this is no C++"
    done, report = validate("--checks", "baseline")
    assert.equal(1, done.status)
    assert.matches("^error: build double_cpp failed: ", levels("baseline", report)[2])
  end)

  it("fails where a workload has an axis of no size", function()
    workload(0, '{"type":"random"}')
    assert.equal(1, validate("--disable-gpu").status)
    assert.same({ "0/1 valid", "u1: axis n has non-positive value 0" }, messages "workload")
  end)

  it("names a blob that is missing, in both checks that look at it", function()
    workload(4, '{"type":"safetensors","path":"blob/b","tensor_key":"x"}')
    assert.same({ "workload u1: blob missing at blob/b" }, messages "layout")
    assert.same({ "0/1 valid", "u1: blob missing at blob/b" }, messages "workload")
  end)

  it("says that a blob is a Git LFS pointer", function()
    workload(4, '{"type":"safetensors","path":"blob/b","tensor_key":"x"}')
    assert(fs.write(box:at "d/blob/b", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"))
    assert.matches("Git LFS pointer", messages("workload")[2])
  end)

  it("compares a blob's shape with the workload's", function()
    workload(4, '{"type":"safetensors","path":"blob/b","tensor_key":"x"}')
    local tensor = require "hone.tensor"
    assert(fs.mkdir(box:at "d/blob"))
    assert(require("hone.safetensors").write(box:at "d/blob/b", { x = tensor.zeros(3) }))
    assert.same({ "0/1 valid", "u1: x shape mismatch: expected (4,), got (3,)" }, messages "workload")
  end)

  it(
    "refuses a check that it does not have",
    function() assert.equal(2, validate("--checks", "taste").status) end
  )
end)
