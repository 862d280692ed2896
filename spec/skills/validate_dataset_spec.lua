--- hone validate-dataset: files and references behind one gate.
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local references = require "support.references"
local sandbox = require "support.sandbox"

local NAMES = {
  rmsnorm_h96 = true,
  gqa_paged_decode_h8_kv2_d64_ps1 = true,
  gdn_decode_qk2_v4_d32_k_last = true,
  gqa_paged_decode_h8_kv2_d64_ps1_window9 = true,
}

describe("hone validate-dataset", function()
  local box

  local function write(change)
    for _, definition in ipairs(references.definitions()) do
      if NAMES[definition.name] then
        if change then change(definition) end
        assert(
          json.write(box:at("trace/definitions", definition.op_type, definition.name .. ".json"), definition)
        )
      end
    end
  end

  before_each(function()
    box = sandbox.new()
    write()
  end)
  after_each(function() box:close() end)

  local function validate(...) return box:hone { "validate-dataset", "--local", "trace", ... } end

  it("checks files and references, and leaves a report", function()
    local result = validate "--json"
    assert.equal(0, result.status, result.stderr)
    local answer = json.decode(result.stdout)
    local by_name = {}
    for _, entry in ipairs(answer.references) do
      by_name[entry.definition] = entry.status
    end
    assert.same({
      rmsnorm_h96 = "agrees",
      gqa_paged_decode_h8_kv2_d64_ps1 = "agrees",
      gdn_decode_qk2_v4_d32_k_last = "agrees",
      gqa_paged_decode_h8_kv2_d64_ps1_window9 = "agrees",
    }, by_name)
    assert.is_truthy(answer.files.definitions.rmsnorm_h96)
    local report = fs.read(box:at(answer.report .. ".md"))
    assert.matches("4 agree with their formula, 0 disagree, 0 have no formula", report, 1, true)
  end)

  it("fails for a reference that is wrong", function()
    write(function(definition)
      if definition.name == "rmsnorm_h96" then
        definition.reference = definition.reference:gsub("normalized %*", "normalized * 2 *")
      end
    end)
    local result = validate "--no-report"
    assert.equal(1, result.status)
    assert.matches("1 references disagree with their formula", result.stderr, 1, true)
    assert.matches("- rmsnorm_h96: output", result.stdout, 1, true)
    assert.is_false(fs.exists(box:at "trace/reports"))
  end)

  it("fails for files that are wrong, and still tests the references", function()
    box:write("trace/workloads/rmsnorm/rmsnorm_h96.jsonl", '{"definition":"rmsnorm_h96","workload":{}}\n')
    local result = validate "--json"
    assert.equal(1, result.status)
    assert.matches("1 definitions of trace have errors", result.stderr, 1, true)
    assert.equal(4, #json.decode(result.stdout).references)
  end)

  it("looks at what is asked for", function()
    local result = validate("--op-types", "gdn", "--json")
    local answer = json.decode(result.stdout)
    assert.equal(1, #answer.references)
    assert.same({ "gdn_decode_qk2_v4_d32_k_last" }, json.keys(answer.files.definitions))
  end)

  it("runs the pytest files where there is torch, and says what to do where there are none", function()
    local result = validate("--tests", "pytest", "--no-report")
    assert.equal(1, result.status)
    assert.matches("hone add-reference-tests --all writes them", result.stderr, 1, true)
    if process.run({ "python3", "-c", "import torch, pytest" }).status ~= 0 then return pending "no torch" end
    box:hone { "add-reference-tests", "--local", "trace", "--all" }
    result = validate("--tests", "both", "--json")
    assert.equal(0, result.status, result.stderr)
    local counts = json.decode(result.stdout).pytest
    assert.equal(0, counts.failed)
    assert.is_true(counts.passed > 10)
  end)

  it("refuses a dataset that is not there, and a Python without pytest", function()
    assert.matches("no such directory", box:hone({ "validate-dataset", "--local", "nowhere" }).stderr)
    box:hone { "add-reference-tests", "--local", "trace", "--all" }
    local result = validate("--tests", "pytest", "--python", "false", "--no-report")
    assert.equal(1, result.status)
    assert.matches(
      "no-such-python",
      validate("--tests", "pytest", "--python", "no-such-python").stderr,
      1,
      true
    )
  end)
end)
