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

  local checkout, no_checkout = support.checkout()
  local folder, cases, theirs

  local function repeated(case, inputs)
    if not case.times then return inputs end
    local list = {}
    for i, value in ipairs(inputs) do
      local times = { case.times }
      for d = 2, value:dim() do
        times[d] = 1
      end
      list[i] = value:tile(table.unpack(times))
    end
    return list
  end

  local function ours(case)
    local evaluator = assert(evaluate.new(case.definition, case.resolved))
    if case.times then evaluator:calls { batch_size = case.inputs[1][1]:size(1), vocab_size = 64 } end
    for trial, expected in ipairs(case.expected) do
      local inputs = repeated(case, case.inputs[trial])
      local verdict = evaluator:check(case.outputs[trial], expected, inputs)
      if verdict then return verdict end
    end
    return evaluator:finish()
  end

  -- What flashinfer-bench says of each case.
  local function ask(asked)
    local described, tensors = random.describe(asked)
    assert(fs.write(fs.join(folder.path, "cases.json"), json.encode(described)))
    assert(safetensors.write(fs.join(folder.path, "tensors.safetensors"), tensors))
    local done = assert(process.run {
      python,
      "spec/support/bench_peers.py",
      fs.join(folder.path, "cases.json"),
      fs.join(folder.path, "tensors.safetensors"),
      checkout,
      timeout = 300,
    })
    assert(done.status == 0, done.stderr)
    local answers = {}
    for line in done.stdout:gmatch "[^\n]+" do
      answers[#answers + 1] = assert(json.decode(line))
    end
    assert(#answers == #asked)
    return answers
  end

  setup(function()
    folder = assert(fs.tempdir())
    cases = random.cases(11, 400)
    theirs = ask(cases)
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
      local is_later = not checkout and case.definition.name:find "^dsa_"
      if name and not is_later then
        assert.equal(name, evaluate.choose(case.definition))
        seen[name] = true
      end
    end
    assert.is_true(seen.default and seen.lowbit)
  end)

  it("says of the indexer of DSA what flashinfer-bench says", function()
    if not checkout then return pending(no_checkout) end
    local asked = random.indexer_cases(5, 70)
    local seen = {}
    for i, their in ipairs(ask(asked)) do
      assert.equal("DsaTopkIndexerEvaluator", their.evaluator)
      local verdict = ours(asked[i])
      assert.equal(their.status, verdict.status, asked[i].what)
      if verdict.correctness then
        assert.is_true(close(verdict.correctness.max_absolute_error, their.absolute), asked[i].what)
        assert.is_true(close(verdict.correctness.max_relative_error, their.relative), asked[i].what)
      end
      seen[their.status] = true
    end
    assert.is_true(seen.PASSED and seen.INCORRECT_NUMERICAL and seen.INCORRECT_SHAPE and seen.INCORRECT_DTYPE)
  end)

  it("knows what flashinfer-bench says of draws, and says so where it differs", function()
    if not checkout then return pending(no_checkout) end
    local asked = random.sampling_cases(9, 30)
    local differ, seen = 0, {}
    for i, their in ipairs(ask(asked)) do
      assert.equal("SamplingEvaluator", their.evaluator)
      local verdict = ours(asked[i])
      assert.equal(their.status, verdict.upstream or verdict.status, asked[i].what)
      if verdict.upstream then differ = differ + 1 end
      seen[verdict.status] = true
    end
    assert.is_true(differ > 0 and seen.PASSED and seen.INCORRECT_NUMERICAL)
  end)
end)
