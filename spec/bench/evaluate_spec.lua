local evaluate = require "hone.bench.evaluate"
local json, tensor = require "hone.json", require "hone.tensor"

local INF, NAN = math.huge, 0 / 0

local function definition_of(outputs, more)
  local definition = json.object {
    { "name", "some_kernel" },
    { "op_type", "some" },
    { "axes", json.object { { "n", json.object { { "type", "var" } } } } },
    { "inputs", json.object() },
    { "outputs", json.object() },
  }
  for _, name in ipairs(outputs) do
    definition.outputs[name] = json.object { { "shape", { "n" } }, { "dtype", "float32" } }
  end
  for key, value in pairs(more or {}) do
    definition[key] = value
  end
  return definition
end

local function settings_of(more)
  local settings = { atol = 1e-2, rtol = 1e-2, num_trials = 3, extra = {} }
  for key, value in pairs(more or {}) do
    settings[key] = value
  end
  return settings
end

-- The verdict on pairs of { outputs, expected }, a call each.
local function judge(definition, settings, pairs_of_calls)
  local evaluator = assert(evaluate.new(definition, settings))
  for _, call in ipairs(pairs_of_calls) do
    local verdict = evaluator:check(call[1], call[2], call[3] or {})
    if verdict then return verdict end
  end
  return evaluator:finish()
end

local function judge_one(output, expected, settings, more)
  local call = { { tensor.new(output, "float32") }, { tensor.new(expected, "float32") } }
  return judge(definition_of({ "y" }, more), settings_of(settings), { call })
end

local function log_of(verdict) return table.concat(verdict.log, "\n") end

describe("hone.bench.evaluate", function()
  it("passes what is within tolerance, and says how far it is", function()
    local verdict = judge_one({ 1, 2, 3.0005 }, { 1, 2, 3 })
    assert.equal("PASSED", verdict.status)
    assert.is_true(math.abs(verdict.correctness.max_absolute_error - 0.0005) < 1e-5)
    assert.is_nil(verdict.upstream)
  end)

  it("says how many elements are wrong, and where the first is, counted from 0", function()
    local verdict = judge_one({ 1, 5, 3, 9 }, { 1, 2, 3, 4 })
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("y: 2 of 4 elements", 1, true))
    assert.truthy(log_of(verdict):find("the first at [1]", 1, true))
  end)

  it("says which part is wrong, where it is a row, a head or a tile", function()
    local expected = tensor.randn({ 6, 4, 32 }, { generator = tensor.generator(3) })
    local function log_if(...)
      local output = expected:clone()
      local view = output
      for dim, range in ipairs { ... } do
        if range then view = view:narrow(dim, range[1], range[2]) end
      end
      view:add_(1)
      return log_of(judge(definition_of { "y" }, settings_of(), { { { output }, { expected } } }))
    end
    assert.truthy(log_if({ 6, 1 }):find(", all in [5, :, :]", 1, true))
    assert.truthy(log_if(false, { 2, 1 }):find(", all in [:, 1, :]", 1, true))
    assert.truthy(log_if({ 3, 2 }, false, { 25, 8 }):find(", all in [2:4, :, 24:]", 1, true))
    assert.falsy(log_if(false):find("all in", 1, true))
    local scattered = expected:clone()
    for _, i in ipairs { 5, 200, 700 } do
      scattered:view(-1)[i] = 9
    end
    local verdict = judge(definition_of { "y" }, settings_of(), { { { scattered }, { expected } } })
    assert.falsy(log_of(verdict):find("all in", 1, true))
  end)

  it("refuses another shape and another dtype by name", function()
    local wrong_shape = judge_one({ 1, 2, 3 }, { 1, 2 })
    assert.equal("INCORRECT_SHAPE", wrong_shape.status)
    assert.is_nil(wrong_shape.correctness)
    assert.truthy(log_of(wrong_shape):find("y has shape [3], it should be [2]", 1, true))
    local call = { { tensor.new({ 1 }, "float16") }, { tensor.new { 1.0 } } }
    local wrong_dtype = judge(definition_of { "y" }, settings_of(), { call })
    assert.equal("INCORRECT_DTYPE", wrong_dtype.status)
    assert.truthy(log_of(wrong_dtype):find("y is float16, it should be float32", 1, true))
  end)

  it("refuses another number of outputs", function()
    local call = { { tensor.new { 1.0 } }, { tensor.new { 1.0 }, tensor.new { 2.0 } } }
    local verdict = judge(definition_of { "a", "b" }, settings_of(), { call })
    assert.equal("RUNTIME_ERROR", verdict.status)
    assert.truthy(log_of(verdict):find("1 outputs, it should be 2", 1, true))
  end)

  it("passes an infinity that the reference has too, and says what flashinfer-bench would", function()
    local verdict = judge_one({ 1, -INF }, { 1, -INF })
    assert.equal("PASSED", verdict.status)
    assert.equal("INCORRECT_NUMERICAL", verdict.upstream)
    assert.truthy(log_of(verdict):find("flashinfer-bench would say INCORRECT_NUMERICAL", 1, true))
    assert.equal(0, verdict.correctness.max_absolute_error)
  end)

  it("refuses a number where the reference is infinite, which flashinfer-bench passes", function()
    local verdict = judge_one({ 1, 7 }, { 1, INF })
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.equal("PASSED", verdict.upstream)
    assert.equal(INF, verdict.correctness.max_absolute_error)
    assert.truthy(log_of(verdict):find("finite where the reference is infinite", 1, true))
  end)

  it(
    "refuses an infinity of the other sign",
    function() assert.equal("INCORRECT_NUMERICAL", judge_one({ 1, INF }, { 1, -INF }).status) end
  )

  it("never matches NaN, not even with NaN", function()
    for _, pair in ipairs { { { NAN }, { 1 } }, { { NAN }, { NAN } }, { { 1 }, { NAN } } } do
      local verdict = judge_one(pair[1], pair[2])
      assert.equal("INCORRECT_NUMERICAL", verdict.status)
      local e = verdict.correctness.max_absolute_error
      assert.is_true(e ~= e)
    end
  end)

  it("keeps an infinite error over one that is no number", function()
    local function pair(output, expected)
      return { { tensor.new({ output }, "float32") }, { tensor.new({ expected }, "float32") } }
    end
    local verdict = judge(definition_of { "y" }, settings_of(), { pair(1, INF), pair(1, NAN), pair(1, 1) })
    assert.equal(INF, verdict.correctness.max_absolute_error)
    verdict = judge(definition_of { "y" }, settings_of(), { pair(1, NAN), pair(1, 1) })
    assert.not_equal(verdict.correctness.max_absolute_error, verdict.correctness.max_absolute_error)
  end)

  it("asks of all calls, and keeps the greatest errors", function()
    local right, wrong = tensor.new { 1.0, 2.0 }, tensor.new { 1.0, 2.5 }
    local verdict = judge(definition_of { "y" }, settings_of(), {
      { { right }, { right } },
      { { wrong }, { right } },
      { { right }, { right } },
    })
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.equal(0.5, verdict.correctness.max_absolute_error)
  end)

  it("lets as many elements differ as the settings say", function()
    local output, expected = { 9, 2, 3, 4 }, { 1, 2, 3, 4 }
    assert.equal("PASSED", judge_one(output, expected, { required_matched_ratio = 0.75 }).status)
    assert.equal("INCORRECT_NUMERICAL", judge_one(output, expected, { required_matched_ratio = 0.8 }).status)
  end)

  it("asks 95 % of experts in FP8, and says how many matched", function()
    local output, expected = {}, {}
    for i = 1, 100 do
      output[i], expected[i] = i, i
    end
    output[1], output[2] = 500, 500
    local verdict = judge_one(output, expected, nil, { name = "moe_fp8_block_scale_x" })
    assert.equal("PASSED", verdict.status)
    assert.is_true(math.abs(verdict.correctness.extra.matched_ratio - 0.98) < 1e-12)
    for i = 3, 6 do
      output[i] = 500
    end
    assert.equal(
      "INCORRECT_NUMERICAL",
      judge_one(output, expected, nil, { name = "moe_fp8_block_scale_x" }).status
    )
  end)

  it("compares outputs of no elements and of few bits", function()
    for _, dtype in ipairs { "float8_e4m3fn", "float8_e5m2", "bool", "int8" } do
      local t = tensor.new({ 1, 0, 1 }, "float32"):to(dtype)
      assert.equal("PASSED", judge(definition_of { "y" }, settings_of(), { { { t }, { t:clone() } } }).status)
      local empty = tensor.zeros(0, 3, { dtype = dtype })
      assert.equal("PASSED", judge(definition_of { "y" }, settings_of(), { { { empty }, { empty } } }).status)
    end
  end)

  it("says which input its evaluator needs, where a definition has it not", function()
    local t = tensor.new({ 1 }, "int32")
    for name, op_type in pairs { dsa_topk_indexer_x = "dsa_paged", top_k_x = "sampling" } do
      local verdict =
        judge(definition_of({ "y" }, { name = name, op_type = op_type }), settings_of(), { { { t }, { t } } })
      assert.equal("RUNTIME_ERROR", verdict.status)
      assert.truthy(log_of(verdict):find("which its evaluator", 1, true))
    end
  end)

  it("says that two evaluators would judge a definition", function()
    local definition = definition_of({ "y" }, { name = "moe_fp8_block_scale_x", op_type = "sampling" })
    local chosen, why = evaluate.new(definition, settings_of())
    assert.is_nil(chosen)
    assert.truthy(why:find("two evaluators", 1, true))
  end)

  describe("of sparse attention", function()
    local definition = definition_of(
      { "output", "lse" },
      { name = "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps1" }
    )
    local right, wrong = tensor.new { 1.0 }, tensor.new { 2.0 }

    it("lets a solution leave out the LSE", function()
      assert.equal("PASSED", judge(definition, settings_of(), { { { right }, { right, right } } }).status)
      assert.equal(
        "INCORRECT_NUMERICAL",
        judge(definition, settings_of(), { { { wrong }, { right, right } } }).status
      )
    end)

    it("compares the LSE that is given", function()
      local verdict = judge(definition, settings_of(), { { { right, wrong }, { right, right } } })
      assert.equal("INCORRECT_NUMERICAL", verdict.status)
    end)

    it("refuses more outputs, none, and a reference without LSE", function()
      local three = { right, right, right }
      assert.equal(
        "INCORRECT_SHAPE",
        judge(definition, settings_of(), { { three, { right, right } } }).status
      )
      assert.equal("INCORRECT_SHAPE", judge(definition, settings_of(), { { {}, { right, right } } }).status)
      assert.equal("RUNTIME_ERROR", judge(definition, settings_of(), { { { right }, { right } } }).status)
    end)
  end)
end)
