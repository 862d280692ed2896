-- Verdicts beside flashinfer-bench's own on many pairs of tensors. The release on PyPI has no evaluators for DSA:
-- those run where HONE_FLASHINFER_BENCH names a checkout that has them.
local fs, json, process = require "hone.fs", require "hone.json", require "hone.process"
local evaluate = require "hone.bench.evaluate"
local safetensors, support = require "hone.safetensors", require "support.dataset"
local random = require("support.evaluations")

local function text(x)
  if x ~= x then return "nan" end
  if x == math.huge then return "inf" end
  return x
end

local function close(ours, theirs)
  ours = text(ours)
  if type(ours) == "string" or type(theirs) == "string" then return ours == theirs end
  return math.abs(ours - theirs) <= 1e-6 * math.max(math.abs(ours), math.abs(theirs))
end

describe("beside flashinfer-bench's evaluators", function()
  local python, absent = support.python()
  if not python then return pending(absent) end

  local folder, cases, theirs

  local function ours(case)
    local evaluator = assert(evaluate.new(case.definition, case.resolved))
    for trial, expected in ipairs(case.expected) do
      local verdict = evaluator:check(case.outputs[trial], expected, case.inputs[trial])
      if verdict then return verdict end
    end
    return evaluator:finish()
  end

  setup(function()
    folder = assert(fs.tempdir())
    cases = random.cases(11, 400)
    local described, tensors = random.describe(cases)
    assert(fs.write(fs.join(folder.path, "cases.json"), json.encode(described)))
    assert(safetensors.write(fs.join(folder.path, "tensors.safetensors"), tensors))
    local done = assert(process.run {
      python,
      "spec/support/bench_peers.py",
      fs.join(folder.path, "cases.json"),
      fs.join(folder.path, "tensors.safetensors"),
      os.getenv "HONE_FLASHINFER_BENCH",
      timeout = 300,
    })
    assert(done.status == 0, done.stderr)
    theirs = {}
    for line in done.stdout:gmatch "[^\n]+" do
      theirs[#theirs + 1] = assert(json.decode(line))
    end
    assert(#theirs == #cases)
  end)

  teardown(function() folder:remove() end)

  it("gives the same status and errors where everything is finite", function()
    local counts = {}
    for i, case in ipairs(cases) do
      local their = theirs[i]
      if not case.strange and their.status ~= "EXCEPTION" then
        local verdict = ours(case)
        assert.equal(their.status, verdict.status, case.what)
        assert.is_nil(verdict.upstream, case.what)
        local c = verdict.correctness
        assert.equal(their.absolute ~= nil, c ~= nil, case.what)
        if c then
          assert.is_true(close(c.max_absolute_error, their.absolute), case.what)
          assert.is_true(close(c.max_relative_error, their.relative), case.what)
        end
        if c and type(their.extra) == "table" and their.extra.matched_ratio then
          assert.is_true(close(c.extra.matched_ratio, their.extra.matched_ratio), case.what)
        end
        counts[their.status] = (counts[their.status] or 0) + 1
      end
    end
    for _, status in ipairs { "PASSED", "INCORRECT_NUMERICAL", "INCORRECT_SHAPE", "INCORRECT_DTYPE" } do
      assert.is_true((counts[status] or 0) >= 10, status)
    end
  end)

  it("knows what flashinfer-bench says of what is not finite, and says so where it differs", function()
    local differ, agree = 0, 0
    for i, case in ipairs(cases) do
      if case.strange and theirs[i].status ~= "EXCEPTION" then
        local verdict = ours(case)
        assert.equal(theirs[i].status, verdict.upstream or verdict.status, case.what)
        if verdict.upstream then
          differ = differ + 1
        else
          agree = agree + 1
        end
      end
    end
    assert.is_true(differ >= 10 and agree >= 10)
  end)

  it("chooses the same evaluators", function()
    local names = {
      DefaultEvaluator = "default",
      LowBitEvaluator = "lowbit",
      DsaSparseAttentionEvaluator = "dsa_sparse_attention",
      DsaTopkIndexerEvaluator = "dsa_topk_indexer",
    }
    local seen = {}
    for i, case in ipairs(cases) do
      local name = names[theirs[i].evaluator]
      if name then
        assert.equal(name, evaluate.choose(case.definition))
        seen[name] = true
      end
    end
    assert.is_true(seen.default and seen.lowbit)
  end)

end)
