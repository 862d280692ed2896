local concrete = require "hone.python.concrete"
local diagnose = require "hone.bench.diagnose"
local fs = require "hone.fs"
local inputs = require "hone.dataset.inputs"
local json, ops, tensor = require "hone.json", require "hone.ops", require "hone.tensor"
local reference = require "hone.reference"
local mistakes = require "support.mistakes"
local support = require "support.dataset"
local truth = require "hone.ops.truth"

local function values_of(definition, axes)
  local values, list = {}, assert(inputs.make(definition, { axes = axes, seed = 4 }))
  for i, input in ipairs(list) do
    values[i] = input.value
  end
  return values, #list
end

-- Small rows, in which epsilon counts.
local function with_small(values, edit)
  if not edit.small then return values end
  for i, value in ipairs(values) do
    if tensor.is_tensor(value) and value:dim() == 2 then values[i] = value * 2.0 ^ -9 end
  end
  return values
end

local function outputs_of(definition, source, values, n)
  local copy = setmetatable({ reference = source }, { __index = definition })
  return assert(assert(reference(copy))(table.unpack(values, 1, n)))
end

local function listed(found) return table.concat(diagnose.lines(found), "\n") end

describe("the diagnosis of a wrong kernel #slow", function()
  for _, edit in ipairs(mistakes.edits) do
    it(("of %s, %s says: %s"):format(edit[1], edit[2], edit[4]), function()
      local definition = assert(ops.build(edit[1], edit[2], edit[3]))
      local values, n = values_of(definition, edit.axes)
      values = with_small(values, edit)
      local expected = outputs_of(definition, definition.reference, values, n)
      local got = outputs_of(definition, mistakes.edited(definition.reference, edit), values, n)
      local settings = edit.tolerance and { atol = edit.tolerance, rtol = edit.tolerance }
      local found = diagnose.explain(definition, values, got, expected, { settings = settings, budget = 60 })
      assert.is_true(#found > 0, "nothing is said")
      assert.equal(edit[4], found[1].what:sub(1, #edit[4]), listed(found))
    end)
  end
end)

-- What the formula that tests a definition gives, in the outputs' dtypes.
local function by_formula(definition, edit, values, n, expected)
  local source = truth.constants(definition)
    .. "\n"
    .. mistakes.edited(assert(truth.formula(definition)), edit)
  local copies = {}
  for i = 1, n do
    copies[i] = tensor.is_tensor(values[i]) and values[i]:clone() or values[i]
  end
  local formula = assert(concrete.load(source, { name = "formula" }))
  local results = assert(formula:call("truth", table.unpack(copies, 1, n)))
  if tensor.is_tensor(results) then results = { results } end
  local outputs = {}
  for i, one in ipairs(expected) do
    outputs[i] = results[i]:to(one.dtype)
  end
  return outputs
end

describe("the diagnosis of a wrong formula #slow", function()
  for _, edit in ipairs(mistakes.formulas) do
    it(("of %s, %s says: %s"):format(edit[1], edit[2], edit[4]), function()
      local definition = assert(ops.build(edit[1], edit[2], edit[3]))
      local values, n = values_of(definition, edit.axes)
      local expected = outputs_of(definition, definition.reference, values, n)
      local right = by_formula(definition, {}, values, n, expected)
      assert.same({}, diagnose.explain(definition, values, right, expected))
      local got = by_formula(definition, edit, values, n, expected)
      local found = diagnose.explain(definition, values, got, expected, { budget = 60 })
      assert.is_true(#found > 0, "nothing is said")
      assert.equal(edit[4], found[1].what:sub(1, #edit[4]), listed(found))
    end)
  end
end)

-- Definitions of the public dataset, whose references others wrote.
local PUBLIC = {
  { "gqa_paged/gqa_paged_decode_h24_kv8_d128_ps64", 1, { num_kv_indices = 8, num_pages = 12 } },
  { "gqa_paged/gqa_paged_decode_h24_kv8_d128_ps64", 4, { num_kv_indices = 8, num_pages = 12 } },
  { "gqa_paged/gqa_paged_prefill_causal_h24_kv8_d128_ps1", 7 },
  { "gqa_paged/gqa_paged_prefill_causal_h24_kv8_d128_ps1", 9 },
  { "gdn/gdn_prefill_qk4_v8_d128_k_last", 19, { num_seqs = 2, total_seq_len = 9, len_cu_seqlens = 3 } },
}

describe("the diagnosis under a reference of the public dataset #slow", function()
  local root, absent = support.trace()
  for _, case in ipairs(PUBLIC) do
    local edit = mistakes.formulas[case[2]]
    it(("says of %s: %s"):format(case[1], edit[4]), function()
      if not root then return pending(absent) end
      local definition = assert(json.read(fs.join(root, "definitions", case[1] .. ".json")))
      local values, n = values_of(definition, case[3])
      local expected = outputs_of(definition, definition.reference, values, n)
      local got = by_formula(definition, edit, values, n, expected)
      local found = diagnose.explain(definition, values, got, expected, { budget = 60 })
      assert.is_true(#found > 0, "nothing is said")
      assert.equal(edit[4], found[1].what:sub(1, #edit[4]), listed(found))
    end)
  end
end)

-- Noise of a share of each element.
local function noisy(t, share, seed)
  local noise = tensor.randn(t:shape(), { generator = tensor.generator(seed) }) * share
  return (t:to "float32" * (noise + 1)):to(t.dtype)
end

describe("the diagnosis of a right kernel", function()
  local seen = {}
  for _, edit in ipairs(mistakes.edits) do
    local name = edit[1] .. ", " .. edit[2]
    if not seen[name] then
      seen[name] = true
      it("of " .. name .. " says nothing, nor of noise", function()
        local definition = assert(ops.build(edit[1], edit[2], edit[3]))
        local values, n = values_of(definition, edit.axes)
        local expected = outputs_of(definition, definition.reference, values, n)
        assert.same({}, diagnose.explain(definition, values, expected, expected))
        for seed, share in ipairs { 0.002, 0.05, 0.3 } do
          local got = {}
          for i, t in ipairs(expected) do
            got[i] = noisy(t, share, seed)
          end
          local found = diagnose.explain(definition, values, got, expected)
          assert.same({}, found, listed(found))
        end
      end)
    end
  end
end)

describe("the diagnosis of any kernel", function()
  local definition = json.object {
    { "name", "some_kernel" },
    { "op_type", "unheard_of" },
    {
      "axes",
      json.object { { "n", { type = "var" } }, { "h", { type = "var" } }, { "d", { type = "var" } } },
    },
    {
      "inputs",
      json.object { { "x", json.object { { "shape", { "n", "h", "d" } }, { "dtype", "float32" } } } },
    },
    {
      "outputs",
      json.object {
        { "y", json.object { { "shape", { "n", "h", "d" } }, { "dtype", "float32" } } },
        { "z", json.object { { "shape", { "n", "h", "d" } }, { "dtype", "float32" } } },
      },
    },
    { "reference", "def run(x):\n    return 2 * x + 1, x.square() - 0.5\n" },
  }
  local x = tensor.randn({ 6, 4, 32 }, { generator = tensor.generator(8) })
  local y, z = x * 2 + 1, x:square() - 0.5

  local function first(got_y, got_z)
    local found = diagnose.explain(definition, { x }, { got_y, got_z or z }, { y, z })
    return found[1] and found[1].what or "nothing", found
  end

  local function starts(expected, what) assert.equal(expected, what:sub(1, #expected)) end

  local function poisoned(t, byte)
    local bytes = string.rep(string.char(byte), 4 * t:numel())
    return tensor.from_bytes(bytes, "float32", table.unpack(t:shape()))
  end

  it("says what was never written, and where", function()
    for _, byte in ipairs { 0xFF, 0x5A } do
      assert.equal("nothing was written", (first(poisoned(y, byte))))
      local part = y:clone()
      part:narrow(1, 6, 1):copy_(poisoned(y:narrow(1, 6, 1), byte))
      assert.equal("never written: [5, :, :]", (first(part)))
      part = y:clone()
      part:narrow(3, 25, 8):copy_(poisoned(y:narrow(3, 25, 8), byte))
      assert.equal("never written: [:, :, 24:]", (first(part)))
    end
  end)

  it("says how many scattered elements were never written", function()
    local part = y:clone()
    part:view(-1)[5] = 0 / 0
    local bits = part:view "int32"
    bits:view(-1)[5], bits:view(-1)[300] = -1, -1
    assert.equal("never written: 2 of 768 elements, the first at [0, 0, 4]", (first(part)))
  end)

  it("says what was never written even where more is wrong", function()
    local part = y * 1.7
    part:narrow(1, 6, 1):copy_(poisoned(y:narrow(1, 6, 1), 0xFF))
    local _, found = first(part)
    local said = {}
    for _, one in ipairs(found) do
      said[one.what] = true
    end
    assert.is_true(said["never written: [5, :, :]"], listed(found))
  end)

  it("is not misled by what is right in a large output", function()
    local large = tensor.randn({ 2060, 4, 512 }, { generator = tensor.generator(2) }) -- of which some rows are summed
    local got = large:to("bfloat16"):to "float32"
    got:narrow(1, 2002, 1):copy_(tensor.randn({ 1, 4, 512 }, { generator = tensor.generator(3) }))
    assert.same({}, diagnose.explain(definition, { large }, { got, large }, { large, large }))
    local found = diagnose.explain(definition, { large * 3 }, { -large, large }, { large, large })
    assert.equal("the sign is turned round", found[1].what)
  end)

  it("does not take padding of -1 for what was never written", function()
    local indices = json.object {
      { "name", "some_kernel" },
      { "op_type", "unheard_of" },
      { "axes", json.object { { "n", { type = "var" } } } },
      { "inputs", json.object { { "x", json.object { { "shape", { "n" } }, { "dtype", "int32" } } } } },
      { "outputs", json.object { { "y", json.object { { "shape", { "n" } }, { "dtype", "int32" } } } } },
      { "reference", "def run(x):\n    return x + 1\n" },
    }
    local wanted = tensor.new({ 4, 9, 2, 7, -1, -1 }, "int32")
    local got = tensor.new({ 4, 9, 3, 7, -1, -1 }, "int32")
    assert.same({}, diagnose.explain(indices, { wanted - 1 }, { got }, { wanted }))
  end)

  it("says where zeros are that should not be", function()
    local part = y:clone()
    part:narrow(2, 1, 1):zero_()
    assert.equal("zero where it should not be: [:, 0, :]", (first(part)))
    assert.equal("it is all zeros", (first(tensor.zeros_like(y))))
  end)

  it("knows a constant, a copy of an input, an output in the other's place", function()
    assert.equal("every element is 3.0", (first(tensor.full(y:shape(), 3.0, "float32"))))
    assert.equal("it is a copy of the input x", (first(x:clone())))
    assert.equal("it holds what belongs to z", (first(z:clone())))
    local what, found = first(z:clone(), y:clone())
    starts("it holds what belongs to", what)
    assert.equal(2, #found)
  end)

  it("knows an order of rows, of heads, and says which", function()
    assert.equal("rows are permuted: reversed", (first(y:flip(1))))
    assert.equal(
      "rows are permuted: 1 and 4 exchanged",
      (first(y:index_select(1, tensor.new { 0, 4, 2, 3, 1, 5 })))
    )
    starts(
      "slices of dimension 1 are permuted: in the order 2, 0, 3, 1",
      (first(y:index_select(2, tensor.new { 2, 0, 3, 1 })))
    )
    assert.equal(
      "rows are permuted: rotated by 2",
      (first(y:index_select(1, tensor.new { 2, 3, 4, 5, 0, 1 })))
    )
  end)

  it("names one mistake of two outputs once", function()
    local what, found = first(y:flip(1), z:flip(1))
    assert.equal("rows are permuted: reversed", what)
    assert.same({ "y", "z" }, found[1].outputs)
  end)

  it("knows an index that starts one too late", function()
    local late = y:clone()
    late:narrow(1, 1, 5):copy_(y:narrow(1, 2, 5):clone())
    late:narrow(1, 6, 1):copy_(x:narrow(1, 1, 1))
    starts("rows are off by one: element i holds what belongs to i + 1", (first(late)))
  end)

  it(
    "knows all rows like the first",
    function()
      assert.equal("all rows are like the first", (first(y:narrow(1, 1, 1):expand_as(y):contiguous())))
    end
  )

  it("knows another layout", function()
    local written = y:transpose(1, 2):contiguous():reshape(6, 4, 32)
    starts("it lies in memory as [h, n, d]", (first(written)))
    written = y:transpose(2, 3):contiguous():reshape(6, 4, 32)
    starts("it lies in memory as [n, d, h]", (first(written)))
  end)

  it("knows a factor, and what it may be", function()
    assert.equal("it is twice what it should be", (first(y * 2)))
    assert.equal("the sign is turned round", (first(-y)))
    assert.equal("it is sqrt(d) = 5.657 times too small", (first(y / math.sqrt(32))))
    assert.equal("it is 1.7 times what it should be", (first(y * 1.7)))
    starts(
      "each row is off by a factor of its own, from 0.5 to 3",
      (first(y * tensor.new { 0.5, 1, 1.5, 2, 2.5, 3 }:to("float32"):reshape(6, 1, 1)))
    )
    assert.equal("0.25 is added to every element", (first(y + 0.25)))
    assert.equal("the signs are lost: it is the absolute value", (first(y:abs())))
  end)

  it("knows lost precision", function()
    local what = first(y:to("float8_e4m3fn"):to "float32")
    assert.equal("precision is lost: it is the right result rounded to float8_e4m3fn", what)
    local large = { x * 1e5 }
    local wanted = { (x * 2e5 + 1), z }
    local cut = wanted[1]:clamp(-65504, 65504):to("float16"):to "float32"
    local found = diagnose.explain(definition, large, { cut, z }, wanted)
    assert.equal("precision is lost: it is the right result rounded to float16", found[1].what)
  end)

  it("has the error that would remain, the share that would match, and what to look at", function()
    local _, found = first(y:flip(1))
    assert.equal(0, found[1].error_if_so)
    assert.equal(1, found[1].matched_if_so)
    assert.is_true(#found[1].hint > 0)
    local lines = diagnose.lines(found)
    assert.is_true(#lines <= 3)
    assert.truthy(
      lines[1]:find("it looks like: y: rows are permuted: reversed (remaining error 0, 100% match;", 1, true)
    )
    assert.same({}, diagnose.lines {})
  end)

  it("says nothing of outputs of another shape or dtype", function()
    assert.same({}, diagnose.explain(definition, { x }, { y:narrow(1, 1, 2), z }, { y, z }))
    assert.same({}, diagnose.explain(definition, { x }, { y:to "float16", z }, { y, z }))
  end)

  it("says nothing of outputs that have no elements", function()
    local none = tensor.zeros(0, 4, 32)
    assert.same({}, diagnose.explain(definition, { none }, { none, none }, { none, none }))
  end)

  it("does not change what it is given", function()
    local got, before = y:flip(1), y:bytes()
    local got_before = got:bytes()
    diagnose.explain(definition, { x }, { got, z }, { y, z })
    assert.equal(before, y:bytes())
    assert.equal(got_before, got:bytes())
  end)

  it("stops when its time is up", function()
    local slow = setmetatable({}, { __call = function() error "the reference was run" end })
    local gdn = assert(ops.build("gdn", "decode", { num_q_heads = 2, num_v_heads = 4, head_size = 32 }))
    local values, n = values_of(gdn)
    local expected = outputs_of(gdn, gdn.reference, values, n)
    local got = { noisy(expected[1], 1, 1), noisy(expected[2], 1, 2) }
    assert.same({}, diagnose.explain(gdn, values, got, expected, { budget = 0, run = slow }))
  end)
end)
