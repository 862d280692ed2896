--- References on hone's tensors: what torch gives for the same source and inputs, and what is refused.
local dataset = require "support.dataset"
local fs = require "hone.fs"
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local process = require "hone.process"
local reference = require "hone.reference"
local references = require "support.references"
local safetensors = require "hone.safetensors"
local tensor = require "hone.tensor"

local SECONDS = 600
-- How far an output may be from torch's, whose sums are in another order: a rounding of the result.
local MOST = { bfloat16 = 2 ^ -6, float16 = 2 ^ -3, float32 = 2e-5, int32 = 0, int64 = 0 }

-- What is drawn at random is the likeliest, on both sides; the weights are compared.
local function with_likeliest(body)
  local methods, drawn = tensor.Tensor, {}
  local own = methods.multinomial
  methods.multinomial = function(t, n)
    drawn[#drawn + 1] = t:clone()
    local best = t:argmax(-1, true)
    local shape = best:shape()
    shape[#shape] = n
    return best:expand(shape)
  end
  local ok, why = pcall(body, drawn)
  methods.multinomial = own
  if not ok then error(why, 0) end
end

-- Rounding is relative: a result that is large may be further off.
local function assert_near(ours, theirs, what)
  assert.equal(theirs.dtype, ours.dtype, what)
  assert.same(theirs:shape(), ours:shape(), what)
  local x, y = ours:cpu():to "float64", theirs:to "float64"
  assert.is_true(x:isnan():eq(y:isnan()):all():item() and x:isinf():eq(y:isinf()):all():item(), what)
  local finite = y:isfinite()
  local far = (x - y):abs():masked_select(finite)
  local bound = (y:abs():masked_select(finite):maximum(1.0)) * (MOST[theirs.dtype] or 0)
  assert.is_true(far:le(bound):all():item(), what .. ": " .. (far:numel() > 0 and far:max():item() or 0))
end

local function value_of(tensors, numbers, key)
  if tensors[key] then return tensors[key]:clone() end
  return json.decode(numbers[key])
end

local function check_case(run, definition, path)
  local tensors, numbers = assert(safetensors.read(path))
  with_likeliest(function(drawn)
    local arguments, names = {}, json.keys(definition.inputs)
    for i, name in ipairs(names) do
      arguments[i] = value_of(tensors, numbers, "in." .. name)
    end
    local outputs, why = run(table.unpack(arguments, 1, #names))
    assert.is_nil(why)
    for i, name in ipairs(json.keys(definition.outputs)) do
      assert_near(outputs[i], tensors["out." .. name], name)
    end
    for k, weights in ipairs(drawn) do
      assert_near(weights, tensors["draw." .. k - 1], "what is drawn from")
    end
  end)
end

describe("references on hone's tensors", function()
  local python, no_python = dataset.python()
  local folder

  setup(function()
    if not python then return end
    folder = assert(fs.tempdir())
    for _, definition in ipairs(references.definitions()) do
      local path = fs.join(folder.path, "definitions", definition.op_type, definition.name .. ".json")
      assert(json.write(path, definition))
    end
    assert(fs.mkdir(fs.join(folder.path, "cases")))
    local words = { python, "spec/support/reference_cases.py" }
    table.move({ fs.join(folder.path, "definitions"), fs.join(folder.path, "cases") }, 1, 2, 3, words)
    words.timeout = SECONDS
    local made = assert(process.run(words))
    assert(made.status == 0, made.stderr)
  end)

  teardown(function()
    if folder then fs.remove(folder.path, { recursive = true }) end
  end)

  for _, own in ipairs(references.definitions()) do
    it("give what torch gives: " .. own.name, function()
      if not python then return pending(no_python) end
      local cases = fs.join(folder.path, "cases")
      local definition = assert(json.read(fs.join(cases, own.name .. ".json")))
      local run, count = assert(reference(definition)), 0
      local path = fs.join(cases, own.name .. ".0.safetensors")
      while fs.is_file(path) do
        check_case(run, definition, path)
        count = count + 1
        path = fs.join(cases, ("%s.%d.safetensors"):format(own.name, count))
      end
      assert.is_true(count > 0)
    end)
  end
end)

describe("a definition's inputs", function()
  for _, definition in ipairs(references.definitions()) do
    it("are valid, and the same for a seed: " .. definition.name, function()
      local run = assert(reference(definition))
      local values, again = {}, assert(inputs.make(definition, { seed = 5 }))
      for i, entry in ipairs(assert(inputs.make(definition, { seed = 5 }))) do
        values[i] = entry.value
        if tensor.is_tensor(entry.value) then
          assert.equal(entry.value:bytes(), again[i].value:bytes(), entry.name)
        end
      end
      local outputs, why = run(table.unpack(values, 1, #again))
      assert.is_nil(why)
      for _, output in ipairs(outputs) do
        assert.is_false(output:to("float64"):isnan():any():item())
      end
    end)
  end

  it("have the sizes that are asked for, and others that fit", function()
    local definition = references.definitions()[16]
    assert.equal("gqa_paged_decode_h8_kv2_d64_ps1", definition.name)
    local axes = assert(inputs.axes(definition, { len_indptr = 8 }))
    assert.equal(7, axes.batch_size)
    axes = assert(inputs.axes(definition, { batch_size = 3 }))
    assert.equal(4, axes.len_indptr)
    assert.same(
      { nil, "gqa_paged_decode_h8_kv2_d64_ps1: the axis head_dim is 64, not 5" },
      { inputs.axes(definition, { head_dim = 5 }) }
    )
    assert.matches("has no axis 'heads'", select(2, inputs.axes(definition, { heads = 5 })))
  end)

  it("are a workload's, made where its files are missing", function()
    local definition = references.definitions()[16]
    local list = assert(inputs.make(definition, {
      root = "/nowhere",
      workload = {
        axes = { batch_size = 2, num_pages = 9, len_indptr = 3, num_kv_indices = 7 },
        inputs = {
          kv_indptr = { type = "safetensors", path = "blob/x.safetensors", tensor_key = "kv_indptr" },
          sm_scale = { type = "scalar", value = 0.25 },
        },
      },
    }))
    local by_name = {}
    for _, entry in ipairs(list) do
      by_name[entry.name] = entry
    end
    assert.equal("made: its file is not there", by_name.kv_indptr.from)
    assert.equal(7, by_name.kv_indptr.value:tolist()[3])
    assert.same({ 0.25, "workload" }, { by_name.sm_scale.value, by_name.sm_scale.from })
    assert.equal("random", by_name.q.from)
  end)
end)

describe("a reference", function()
  local function definition(source, more)
    local made = {
      name = "tiny",
      op_type = "tiny",
      axes = json.object { { "n", { type = "var" } }, { "two", { type = "const", value = 2 } } },
      inputs = json.object {
        { "x", { shape = { "n", "two" }, dtype = "float32" } },
        { "s", { dtype = "float32" } },
      },
      outputs = json.object { { "y", { shape = { "n" }, dtype = "float32" } } },
      reference = source,
    }
    for key, value in pairs(more or {}) do
      made[key] = value
    end
    return made
  end
  local SUM = "def run(x, s):\n    return x.sum(dim=1) * s\n"

  it("gives its outputs in order", function()
    local outputs = assert(assert(reference(definition(SUM)))(tensor.ones(3, 2), 2))
    assert.same({ 4, 4, 4 }, outputs[1]:tolist())
  end)

  for what, case in pairs {
    ["too many inputs"] = {
      SUM,
      { tensor.ones(3, 2), 2, 3 },
      "tiny: 3 inputs were given, the definition has 2",
    },
    ["a missing input"] = { SUM, { tensor.ones(3, 2) }, "tiny: the input 's' is missing" },
    ["no tensor"] = { SUM, { 3, 2 }, "tiny: 'x' is a number, not a tensor" },
    ["no number"] = { SUM, { tensor.ones(3, 2), tensor.ones(1) }, "tiny: 's' is a tensor, not a number" },
    ["another dtype"] = {
      SUM,
      { tensor.ones(3, 2, "int32"), 2 },
      "tiny: 'x' is int32, the definition has float32",
    },
    ["another rank"] = { SUM, { tensor.ones(3), 2 }, "tiny: 'x' has shape [3], the definition [n, two]" },
    ["another constant"] = {
      SUM,
      { tensor.ones(3, 4), 2 },
      "tiny: 'x' has shape [3, 4]: its axis two is 4, elsewhere it is 2",
    },
    ["an output of another shape"] = {
      "def run(x, s):\n    return x.sum()\n",
      { tensor.ones(3, 2), 2 },
      "tiny: 'y' has shape [], the definition [n]",
    },
    ["too many outputs"] = {
      "def run(x, s):\n    return x, x\n",
      { tensor.ones(3, 2), 2 },
      "tiny: the reference returns 2 values, the definition has 1 outputs",
    },
  } do
    it("refuses " .. what, function()
      local run = assert(reference(definition(case[1])))
      local outputs, why = run(table.unpack(case[2]))
      assert.is_nil(outputs)
      assert.equal(case[3], why)
    end)
  end

  it("holds its inputs to the definition's constraints", function()
    local run = assert(reference(definition(SUM, { constraints = { "n % two == 0", "x.shape[0] == n" } })))
    assert.is_table((run(tensor.ones(4, 2), 1)))
    assert.equal(
      "tiny: the inputs break the constraint n % two == 0 (n = 3, two = 2)",
      select(2, run(tensor.ones(3, 2), 1))
    )
    assert.matches(
      "^tiny: constraint:4: hone does not know",
      select(2, reference(definition(SUM, { constraints = { "yield n" } })))
    )
  end)

  it("holds its inputs to the definition each time, also after some that fitted", function()
    local run = assert(reference(definition "def run(x, s):\n    return x[:, :int(s)].sum(dim=1)\n"))
    for _, sizes in ipairs { { 3, 2 }, { 3, 2 }, { 5, 2 } } do
      assert.same({ sizes[1] }, assert(run(tensor.ones(table.unpack(sizes)), 1))[1]:shape())
    end
    local fitting = tensor.ones(5, 2)
    assert.equal("tiny: 'x' is a number, not a tensor", select(2, run(2, 1)))
    assert.equal("tiny: 's' is a tensor, not a number", select(2, run(fitting, fitting)))
    assert.equal("tiny: 'x' is float64, the definition has float32", select(2, run(fitting:to "float64", 1)))
    assert.matches("its axis two is 3, elsewhere it is 2", (select(2, run(tensor.ones(5, 3), 1))))
    assert.equal("tiny: the input 's' is missing", select(2, run(fitting)))
  end)

  it("is called by names where its arguments stand in another order", function()
    local run = assert(reference(definition "def run(s, x):\n    return x.sum(dim=1) * s\n"))
    assert.equal("the reference takes 's' as its argument 1, the definition lists it as input 2", run.note)
    assert.same({ 6 }, assert(run(tensor.ones(1, 2), 3))[1]:tolist())
  end)
end)

describe("references on a GPU #gpu", function()
  for _, definition in ipairs(references.definitions()) do
    it("give what they give on the CPU: " .. definition.name, function()
      if not require("hone.cuda").available() then return pending "no GPU here" end
      local run, here, there = assert(reference(definition)), {}, {}
      for i, entry in ipairs(assert(inputs.make(definition))) do
        here[i], there[i] = entry.value, entry.value
        if tensor.is_tensor(entry.value) then
          here[i], there[i] = entry.value:clone(), entry.value:to "cuda:0"
        end
      end
      local n = #json.keys(definition.inputs)
      with_likeliest(function()
        local expected = assert(run(table.unpack(here, 1, n)))
        local outputs = assert(run(table.unpack(there, 1, n)))
        for i, name in ipairs(json.keys(definition.outputs)) do
          assert.equal("cuda:0", outputs[i].device)
          assert_near(outputs[i], expected[i], name)
        end
      end)
    end)
  end
end)
