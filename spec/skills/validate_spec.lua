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
    assert.equal(json.null, report.definitions.double.benchmark)
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
