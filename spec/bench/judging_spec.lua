-- Verdicts as traces have them, on small kernels that the CPU runs in workers. The solutions are scripts of hone's own.
local fs = require "hone.fs"
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local mistakes = require "support.mistakes"
local ops = require "hone.ops"
local references = require "support.references"
local settings = require "hone.bench.settings"
local station = require "hone.bench.station"

-- A solution that computes what a reference says, right or wrong.
local BY_REFERENCE = [==[
local concrete = require "hone.python.concrete"
local source = assert(concrete.load([=[%s]=], { name = "solution" }))
local function run(...)
  local results = assert(source:call("run", ...))
  if concrete.is_tuple(results) then return table.unpack(results, 1, results.n) end
  return results
end
return { run = run }
]==]

-- Top-k sampling in hone's tensors: what is drawn from is `weight(probability)`.
local SAMPLER = [==[
local tensor = require "hone.tensor"
local function run(probs, top_k)
  local rank = probs:argsort(2, true):argsort(2)
  local kept = rank:%s(top_k:to("int64"):unsqueeze(2))
  local weights = tensor.where(kept, probs, 0.0)
  return (%s):multinomial(1):select(2, 1)
end
return { run = run }
]==]

local function solution_of(definition, name, code)
  return {
    name = name,
    definition = definition.name,
    author = "spec",
    spec = {
      language = "lua",
      target_hardware = { "cpu" },
      entry_point = "main.lua::run",
      destination_passing_style = false,
    },
    sources = { { path = "main.lua", content = code } },
  }
end

local function workload_of(definition, axes, numbers)
  local named = json.object()
  for name in pairs(definition.inputs) do
    local number = numbers and numbers[name]
    named[name] = number and { type = "scalar", value = number } or { type = "random" }
  end
  return { axes = axes, inputs = named, uuid = "one" }
end

describe("a station #slow", function()
  local folder

  setup(function() folder = assert(fs.tempdir()) end)
  teardown(function() folder:remove() end)

  -- The evaluations of solutions, { name = code }, by their names.
  local function run(definition, workload, codes)
    local solutions, evaluations = {}, {}
    for name, code in pairs(codes) do
      solutions[#solutions + 1] = solution_of(definition, name, code)
    end
    local here <close> = station.new {
      device = "cpu",
      settings = assert(settings.load { overrides = { iterations = 3, num_trials = 2 } }),
      reference = "native",
      cache = fs.join(folder.path, "cache"),
    }
    local item = { root = folder.path, definition = definition, workload = workload, solutions = solutions }
    assert(here:run(item, function(trace) evaluations[trace.solution] = trace.evaluation end))
    return evaluations
  end

  local function assert_says(evaluation, text)
    assert.truthy(evaluation.log:find(text, 1, true), evaluation.log)
  end

  -- The sizes of the axes that a workload names, and numbers that are not 1.
  local function workload_for(definition, axes)
    local sizes, given, numbers = assert(inputs.axes(definition, axes)), {}, {}
    for name, axis in pairs(definition.axes) do
      if axis.type == "var" then given[name] = sizes[name] end
    end
    for _, name in ipairs { "sm_scale", "scale" } do
      if definition.inputs[name] then numbers[name] = 0.1 end
    end
    return workload_of(definition, given, numbers)
  end

  for _, definition in ipairs(references.definitions()) do
    if definition.op_type ~= "moe" then
      it("passes what is right: " .. definition.name, function()
        local found =
          run(definition, workload_for(definition), { right = BY_REFERENCE:format(definition.reference) })
        assert.equal("PASSED", found.right.status, found.right.log)
      end)
    end
  end

  for _, edit in ipairs(mistakes.edits) do
    -- some take inputs of their own, or may make the same choice; experts take more time than a run gives a diagnosis
    if not edit.small and not edit.subtle and edit[1] ~= "moe" then
      it(("says of a wrong %s, %s: %s"):format(edit[1], edit[2], edit[4]), function()
        local definition = assert(ops.build(edit[1], edit[2], edit[3]))
        local code = BY_REFERENCE:format(mistakes.edited(definition.reference, edit))
        local found = run(definition, workload_for(definition, edit.axes), { wrong = code })
        assert.equal("INCORRECT_NUMERICAL", found.wrong.status, found.wrong.log)
        local line = found.wrong.log:match "it looks like: [^\n]*" or ""
        assert.truthy(line:find(": " .. edit[4], 1, true), found.wrong.log)
      end)
    end
  end

  it("judges draws by the workload's rows, and says what a wrong sampler does", function()
    local definition = assert(ops.build("sampling", "top_k", { vocab_size = 300 }))
    local found = run(definition, workload_of(definition, { batch_size = 3 }), {
      right = SAMPLER:format("lt", "weights"),
      one_more = SAMPLER:format("le", "weights"),
      squared = SAMPLER:format("lt", "weights * weights"),
    })
    assert.equal("PASSED", found.right.status, found.right.log)
    assert.equal(3, #found.right.correctness.extra.tvds_per_batch)
    assert_says(found.right, "draws a row")
    assert.equal("INCORRECT_NUMERICAL", found.one_more.status)
    assert_says(found.one_more, "may not be drawn")
    assert_says(found.one_more, "it looks like: samples: top-k keeps one token too many")
    assert.equal("INCORRECT_NUMERICAL", found.squared.status)
    assert_says(found.squared, "it looks like: samples: probabilities are squared")
  end)

  it("says in the log which layer set the tolerances, and what a wrong result looks like", function()
    local params = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64, page_size = 16 }
    local definition = assert(ops.build("gqa_paged", "decode", params))
    local axes = { batch_size = 4, num_pages = 40, len_indptr = 5, num_kv_indices = 20 }
    local reference = definition.reference
    local found = run(definition, workload_of(definition, axes, { sm_scale = 0.125 }), {
      right = BY_REFERENCE:format(reference),
      unscaled = BY_REFERENCE:format((reference:gsub(" %* sm_scale", ""))),
    })
    assert.equal("PASSED", found.right.status, found.right.log)
    assert_says(found.right, "tolerances: atol 0.01 (defaults), rtol 0.01 (defaults)")
    assert.equal("INCORRECT_NUMERICAL", found.unscaled.status)
    assert_says(found.unscaled, "it looks like: output, lse: sm_scale is missing")
  end)

  it("lets a kernel write into the buffers that it is given for that", function()
    local definition = assert(ops.build("gdn", "mtp", { num_q_heads = 2, num_v_heads = 4, head_size = 16 }))
    local axes = { batch_size = 2, seq_len = 3, pool_size = 4 }
    local found = run(definition, workload_of(definition, axes), {
      right = BY_REFERENCE:format(definition.reference),
    })
    assert.equal("PASSED", found.right.status, found.right.log)
  end)
end)
