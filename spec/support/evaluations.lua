--- Random outputs beside expected ones: for evaluators, and for what others say of the same.
local json, tensor = require "hone.json", require "hone.tensor"

local M = {}

local DTYPES = { "float32", "float16", "bfloat16", "int32", "int64" }
local NAMES = { "some_kernel", "moe_fp8_block_scale_some", "other_kernel" }
local OF_TWO = "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps1" -- has two outputs

local function definition_of(name, outputs)
  local definition = json.object {
    { "name", name },
    { "op_type", "some" },
    { "axes", json.object { { "n", json.object { { "type", "var" } } } } },
    { "inputs", json.object { { "x", json.object { { "shape", { "n" } }, { "dtype", "float32" } } } } },
    { "outputs", json.object() },
    { "reference", "def run(x):\n    return x\n" },
  }
  for i, dtype in ipairs(outputs) do
    definition.outputs["y" .. i] = json.object { { "shape", { "n" } }, { "dtype", dtype } }
  end
  return definition
end

-- A draw of 1 .. n.
local function one_of(r, n) return tensor.randint(1, n + 1, { 1 }, { generator = r }):item() end
local function chance(r, p) return tensor.rand(1, { generator = r, dtype = "float64" }):item() < p end

local SHAPES = { { 7 }, { 3, 5 }, { 1 }, { 0 }, { 2, 3, 4 }, { 130 }, {} }

-- What a solution might make of an expected output.
local function perturb(r, expected, case)
  local output = expected:clone()
  local is_float = output:is_floating_point()
  local kind = one_of(r, 10)
  if kind <= 4 then
    if is_float then
      local noise = tensor.randn(output:shape(), { generator = r }) * 10 ^ (one_of(r, 5) - 5)
      output = (output:to "float32" + noise):to(output.dtype)
    elseif output:numel() > 0 then
      output = output + tensor.randint(0, 2, output:shape(), { generator = r }):to(output.dtype)
    end
  elseif kind == 5 and output:numel() > 0 then
    output:view(-1)[one_of(r, output:numel())] = 77
  elseif kind == 6 and chance(r, 0.6) then
    output = tensor.cat { output:reshape(-1), output:reshape(-1):narrow(1, 1, math.min(1, output:numel())) }
    case.what = case.what .. " shape"
  elseif kind == 7 and chance(r, 0.6) then
    output = output:to(output.dtype == "float32" and "float16" or "float32")
    case.what = case.what .. " dtype"
  end
  return output
end

local STRANGE = { math.huge, -math.huge, 0 / 0 }

-- Put what is not finite into the one, the other or both.
local function add_strange(r, output, expected, case)
  if not (expected:is_floating_point() and expected:numel() > 0) or output:numel() ~= expected:numel() then
    return
  end
  if not output:is_floating_point() then return end
  local where, value = one_of(r, 3), STRANGE[one_of(r, 3)]
  local at = one_of(r, expected:numel())
  if where ~= 1 then expected:view(-1)[at] = value end
  if where ~= 2 then output:view(-1)[at] = value end
  case.strange = true
  case.what = ("%s strange %s in %d"):format(case.what, value, where)
end

local function one_case(r, i)
  local case = { what = "case " .. i, outputs = {}, expected = {}, inputs = {} }
  local dtypes, shapes = {}, {}
  for k = 1, one_of(r, 2) do
    dtypes[k], shapes[k] = DTYPES[one_of(r, #DTYPES)], SHAPES[one_of(r, #SHAPES)]
  end
  local name = NAMES[one_of(r, #NAMES)]
  if #dtypes == 2 and chance(r, 0.3) then name = OF_TWO end
  case.definition = definition_of(name, dtypes)
  local settings = { atol = 10.0 ^ -one_of(r, 4), rtol = 10.0 ^ -one_of(r, 4) }
  if chance(r, 0.5) then settings.required_matched_ratio = ({ 0.5, 0.9, 0.99, 1.0 })[one_of(r, 4)] end
  case.settings = settings
  case.resolved = { atol = settings.atol, rtol = settings.rtol, extra = {} }
  case.resolved.required_matched_ratio = settings.required_matched_ratio
  local want_strange = chance(r, 0.35)
  for trial = 1, one_of(r, 3) do
    case.outputs[trial], case.expected[trial] = {}, {}
    for k, dtype in ipairs(dtypes) do
      local expected = (tensor.randn(shapes[k], { generator = r }) * 4):to(dtype)
      local output = chance(r, 0.4) and expected:clone() or perturb(r, expected, case)
      if want_strange and chance(r, 0.6) then add_strange(r, output, expected, case) end
      case.outputs[trial][k], case.expected[trial][k] = output, expected
    end
    case.inputs[trial] = { tensor.zeros(1) }
  end
  return case
end

---So many cases of a seed.
function M.cases(seed, n)
  local r, cases = tensor.generator(seed), {}
  for i = 1, n do
    cases[i] = one_case(r, i)
  end
  return cases
end

-- ---- the indexer of DSA --------------------------------------------------------------------------------

-- What an indexer might choose instead.
local SLIPS = {
  function(indices) return indices end,
  function(indices) return indices:flip(2) end,
  function(indices, r) -- a token of another place, perhaps of another sequence
    indices[one_of(r, indices:size(1))][one_of(r, indices:size(2))] = one_of(r, 190)
    return indices
  end,
  function(indices) -- the same twice
    indices[1][1] = indices[1]:tolist()[2]
    return indices
  end,
  function(indices, r) -- padding too early
    indices[one_of(r, indices:size(1))][indices:size(2)] = -1
    return indices
  end,
  function(indices) return indices:to "int64" end,
  function(indices) return indices:narrow(2, 1, 3):contiguous() end,
}

---So many cases of DSA's indexer.
function M.indexer_cases(seed, n)
  local ops, inputs = require "hone.ops", require "hone.dataset.inputs"
  local definition = assert(ops.build("dsa_paged", "topk_indexer", {
    num_index_heads = 4,
    index_head_dim = 32,
    page_size = 8,
    topk = 16,
  }))
  local run = assert(require "hone.reference"(definition))
  local r, cases = tensor.generator(seed), {}
  for i = 1, n do
    local sizes = { batch_size = one_of(r, 4), max_num_pages = 6, num_pages = 24 }
    local values = {}
    for k, input in ipairs(assert(inputs.make(definition, { axes = sizes, seed = seed + i }))) do
      values[k] = input.value
    end
    local expected = assert(run(table.unpack(values)))
    local output = SLIPS[(i - 1) % #SLIPS + 1](expected[1]:clone(), r)
    local settings = { atol = 1e-2, rtol = 1e-2 }
    cases[i] = {
      what = "indexer " .. i,
      definition = definition,
      settings = settings,
      resolved = { atol = 1e-2, rtol = 1e-2, extra = {} },
      outputs = { { output } },
      expected = { expected },
      inputs = { values },
    }
  end
  return cases
end

-- ---- sampling ------------------------------------------------------------------------------------------

local DRAWN, ROWS, VOCAB = 20000, 2, 64
local VARIANTS = { "top_k", "top_p", "top_k_top_p" }

-- Draws of solutions that are right, and of some that ignore what they are told.
local function sampling_case(r, i)
  local definition =
    assert(require("hone.ops").build("sampling", VARIANTS[(i - 1) % 3 + 1], { vocab_size = VOCAB }))
  local probs = (tensor.randn({ ROWS, VOCAB }, { generator = r }) * 3):softmax(-1)
  local values = { probs }
  if definition.inputs.top_k then
    values[2] = tensor.randint(2, 30, { ROWS }, { generator = r }):to "int32"
  end
  if definition.inputs.top_p then
    values[#values + 1] = tensor.rand({ ROWS }, { generator = r }) * 0.8 + 0.1
  end
  local sampling = require "hone.bench.evaluate.sampling"
  local has_k = definition.inputs.top_k ~= nil
  local top_k = has_k and values[2] or nil
  local right = sampling.expected(definition, probs, top_k, values[has_k and 3 or 2]).probs
  local actual = chance(r, 0.3) and tensor.full({ ROWS, VOCAB }, 1 / VOCAB, "float64") or right
  local samples = actual:multinomial(DRAWN, true, r):t():reshape(-1)
  local counts = tensor.zeros(ROWS * VOCAB, "int64")
  local row = tensor.arange(samples:numel()):remainder(ROWS)
  counts:index_add_(1, row * VOCAB + samples, tensor.ones(samples:numel(), "int64"))
  local extra = { sampling_validation_trials = 1 }
  return {
    what = ("sampling %d, %s"):format(i, definition.name),
    definition = definition,
    settings = { atol = 1e-2, rtol = 1e-2, extra = extra },
    resolved = { atol = 1e-2, rtol = 1e-2, extra = extra, secret = i },
    outputs = { { samples } },
    expected = { { probs } },
    inputs = { values },
    frequencies = counts:reshape(ROWS, VOCAB):to "float32" / DRAWN,
    times = DRAWN,
  }
end

---So many cases of sampling. A case's inputs are the workload's; its one call holds them `times` over.
function M.sampling_cases(seed, n)
  local r, cases = tensor.generator(seed), {}
  for i = 1, n do
    cases[i] = sampling_case(r, i)
  end
  return cases
end

---Cases as JSON and the tensors that they name.
function M.describe(cases)
  local list, tensors = json.array {}, {}
  for i, case in ipairs(cases) do
    local function keys(kind, of)
      local named = json.array {}
      for trial, values in ipairs(of) do
        named[trial] = json.array {}
        for k, t in ipairs(values) do
          local key = ("c%d_%s_%d_%d"):format(i, kind, trial, k)
          tensors[key], named[trial][k] = t:contiguous(), key
        end
      end
      return named
    end
    list[i] = json.object {
      { "definition", case.definition },
      { "settings", case.settings },
      { "outputs", keys("outputs", case.outputs) },
      { "expected", keys("expected", case.expected) },
      { "inputs", keys("inputs", case.inputs) },
    }
    if case.frequencies then
      local key = ("c%d_frequencies"):format(i)
      list[i].frequencies, tensors[key] = key, case.frequencies
    end
  end
  return list, tensors
end

return M
