-- Traces, solutions, queries and scores against flashinfer-bench's own, on random records. The release on PyPI has no
-- unique names and no scores: those run where HONE_FLASHINFER_BENCH names a checkout that has them.
local fs, json, process = require "hone.fs", require "hone.json", require "hone.process"
local solution, trace = require "hone.dataset.solution", require "hone.dataset.trace"
local traceset, support = require "hone.dataset.traceset", require "support.dataset"

describe("beside flashinfer-bench", function()
  local python, absent = support.python()
  if not python then return pending(absent) end

  local dataset, report

  setup(function()
    dataset = assert(fs.tempdir())
    local command =
      { python, "spec/support/random_dataset.py", dataset.path, "7", os.getenv "HONE_FLASHINFER_BENCH" }
    command.timeout = 120
    local done = assert(process.run(command))
    assert(done.status == 0, done.stderr)
    report = assert(json.decode(done.stdout))
  end)

  teardown(function() dataset:remove() end)

  -- An infinite latency or scalar is null there, which cannot be read again; here it is quoted.
  local function as_printed_there(line)
    return (
      line:gsub('("[%a_]+":)"%-?%a+"([,}])', function(key, after)
        local is_latency = key == '"latency_ms":' or key == '"reference_latency_ms":'
        if is_latency or key == '"speedup_factor":' or key == '"value":' then
          return key .. "null" .. after
        end
      end)
    )
  end

  it("takes and refuses the same traces, and prints the same lines", function()
    local taken = 0
    for _, case in ipairs(report.lines) do
      local read = trace.read(case[1])
      local line = read and trace.line(read)
      local expected = case[2] ~= json.null and case[2] or nil
      assert.equal(expected, line and as_printed_there(line), case[1])
      if line then taken = taken + 1 end
    end
    assert.is_true(taken > 500 and taken < #report.lines)
  end)

  it("takes and refuses the same solutions, and writes the same files", function()
    local taken = 0
    for _, case in ipairs(report.solutions) do
      local read = solution.check(assert(json.decode(case[1])))
      local text = read and solution.encode(read)
      assert.equal(case[2] ~= json.null and case[2].text or nil, text, case[1])
      if text then taken = taken + 1 end
    end
    assert.is_true(taken > 100 and taken < #report.solutions)
  end)

  it("gives solutions the same hashes and unique names", function()
    local compared = 0
    for _, case in ipairs(report.solutions) do
      if case[2] ~= json.null and case[2].hash then
        local read = assert(solution.check(assert(json.decode(case[1]))))
        assert.equal(case[2].hash, solution.hash(read))
        assert.equal(case[2].unique, solution.with_unique_name(read).name)
        compared = compared + 1
      end
    end
    if compared == 0 then pending "this flashinfer-bench has no unique names" end
  end)

  it("finds the same best trace for given axes", function()
    local set = assert(traceset.open(dataset.path))
    for name, line in pairs(report.best) do
      local best = set:best_trace(name, { axes = { n = 1 } })
      assert.equal(line ~= json.null and line or nil, best and trace.line(best))
      assert.equal(report.kept[name], #set:filter_traces(name, 0.015, 0.015))
    end
  end)

  -- Sums run in another order there: the last digits may differ.
  local function assert_ranking(expected, ranking)
    assert.equal(#expected, #ranking)
    for i, entry in ipairs(expected) do
      local score, theirs = ranking[i], entry[2]
      assert.equal(entry[1], score.author)
      assert.near(theirs.avg_speedup, score.avg_speedup, 1e-12)
      assert.near(theirs.win_rate, score.win_rate, 1e-12)
      assert.near(theirs.success_rate, score.success_rate, 1e-12)
      assert.equal(theirs.definitions, score.definitions)
      assert.equal(theirs.workloads, score.workloads)
      for definition, name in pairs(theirs.best_solutions) do
        assert.equal(name, score.best_solutions[definition])
      end
    end
  end

  it("ranks the authors as it does", function()
    if not report.ranking then return pending "this flashinfer-bench has no scores" end
    local set = assert(traceset.open(dataset.path))
    local summary = assert(set:summary())
    assert.same(report.counts, { summary.total, summary.passed, summary.failed })
    assert_ranking(report.ranking, summary.rankings)
    assert_ranking(report.of_op0, (assert(set:rank_authors { op_type = "op0" })))
  end)
end)
