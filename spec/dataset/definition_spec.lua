local json, ops = require "hone.json", require "hone.ops"
local definition = require "hone.dataset.definition"
local support = require "support.dataset"

local function valid()
  local params = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64, page_size = 4 }
  return assert(ops.build("gqa_paged", "decode", params))
end

-- The messages about a definition after `change` has spoilt it.
local function messages(change)
  local def = valid()
  change(def)
  local ok, list = definition.validate(def)
  assert.is_nil(ok)
  return list
end

describe("definition.validate", function()
  it("accepts what hone builds", function() assert.is_true(definition.validate(valid())) end)

  it("names the field that is wrong", function()
    assert.same(
      { "name must be a string that is not empty, got nothing" },
      messages(function(def) def.name = nil end)
    )
    assert.same(
      { 'op_type must be a string that is not empty, got ""' },
      messages(function(def) def.op_type = "" end)
    )
    assert.same(
      { "description must be a string or null, got 3" },
      messages(function(def) def.description = 3 end)
    )
    assert.same(
      { "tags must be an array of strings, got null" },
      messages(function(def) def.tags = json.null end)
    )
    assert.same(
      { "tags[1] must be a string that is not empty, got 7" },
      messages(function(def) def.tags[2] = 7 end)
    )
    assert.same(
      { 'axes.page_size.type must be "const" or "var", got "fixed"' },
      messages(function(def) def.axes.page_size.type = "fixed" end)
    )
    assert.same(
      { "axes.page_size.value must be an integer that is not negative, got -4" },
      messages(function(def) def.axes.page_size.value = -4 end)
    )
    assert.same(
      { "axes.page_size.value must be an integer that is not negative, got nothing" },
      messages(function(def) def.axes.page_size.value = nil end)
    )
    assert.same(
      { 'inputs.q.shape[1] is no axis of this definition: "heads"' },
      messages(function(def) def.inputs.q.shape[2] = "heads" end)
    )
    assert.same(
      { "inputs.q.shape[0] is no axis of this definition: 8" },
      messages(function(def) def.inputs.q.shape[1] = 8 end)
    )
    assert.same(
      { "inputs.q.shape must be an array of axes, or null for a scalar, got nothing" },
      messages(function(def) def.inputs.q.shape = nil end)
    )
    assert.same(
      { 'outputs.lse.dtype is no known dtype: "float64"' },
      messages(function(def) def.outputs.lse.dtype = "float64" end)
    )
    assert.same(
      { "outputs.q is the name of an input as well" },
      messages(function(def) def.outputs.q = def.outputs.lse end)
    )
    assert.same(
      { "outputs must be an object, got an array" },
      messages(function(def) def.outputs = json.array {} end)
    )
  end)

  it("reports everything that is wrong at once", function()
    local list = messages(function(def)
      def.name = ""
      def.inputs.q.dtype = nil
      def.reference = nil
    end)
    assert.same({
      'name must be a string that is not empty, got ""',
      "inputs.q.dtype is no known dtype: nothing",
      "reference must be a string that is not empty, got nothing",
    }, list)
  end)

  it("accepts what flashinfer-bench accepts", function()
    for _, change in ipairs {
      function(def) def.axes.page_size.value = 4.0 end,
      function(def) def.axes.page_size.value = "4" end,
      function(def) def.axes.page_size.type = nil end,
      function(def) def.axes.batch_size.type = nil end,
      function(def) def.axes.page_size.value = 0 end,
      function(def)
        def.tags, def.constraints, def.description = nil, nil, nil
      end,
      function(def) def.description = json.null end,
      function(def) def.inputs.q.shape = json.array {} end,
      function(def) def.unknown_key = true end,
      function(def)
        def.inputs, def.outputs = json.object(), json.object()
      end,
    } do
      local def = valid()
      change(def)
      assert.is_true(definition.validate(def))
    end
  end)

  it("refuses what is no object", function()
    local _, list = definition.validate(json.array {})
    assert.same({ "a definition must be an object, got an array" }, list)
    assert.same({ 'a definition must be an object, got "x"' }, select(2, definition.validate("x")))
  end)

  it("wants a reference that is Python", function()
    assert.same(
      { "reference must be Python: syntax error at line 2" },
      messages(function(def) def.reference = "import torch\nx = = 1\n" end)
    )
  end)

  it("wants a function 'run' at the reference's top level", function()
    for _, source in ipairs {
      "run = lambda q: q",
      "async def run(q): pass",
      "class A:\n    def run(self): pass",
      "if True:\n    def run(q): pass",
      "def run_all(q): pass",
      "# def run(q): pass",
    } do
      assert.same(
        { "reference must define a function 'run' at its top level" },
        messages(function(def) def.reference = source end),
        source
      )
    end
    local def = valid()
    def.reference = "import torch\n@torch.no_grad()\ndef run(q): pass"
    assert.is_true(definition.validate(def))
  end)

  it("wants constraints that are expressions", function()
    for _, constraint in ipairs { "a = 1", "a ==", "a; b", "import os", "a += 1", "# nothing" } do
      assert.same(
        { ("constraints[0] must be a Python expression, got %q"):format(constraint) },
        messages(function(def) def.constraints = { constraint } end)
      )
    end
    local def = valid()
    def.constraints = { " a == b", "len_indptr == batch_size + 1", "a, b", "f(x)[0].item() > 1 and not c" }
    assert.is_true(definition.validate(def))
  end)

  it("leaves the Python unread when asked to", function()
    local def = valid()
    def.reference = "def run("
    assert.is_true(definition.validate(def, { python = false }))
  end)

  it("accepts every definition of the public dataset", function()
    local root, absent = support.trace()
    if not root then return pending(absent) end
    local traceset = require "hone.dataset.traceset"
    local set = assert(traceset.open(root))
    assert.same({}, traceset.errors(set))
    for _, entry in ipairs(traceset.definitions(set)) do
      local ok, list = definition.validate(entry.definition)
      assert.is_true(ok, entry.path .. ": " .. table.concat(list or {}, "; "))
    end
  end)
end)

describe("definition.axis_value", function()
  it("is an integer for constant axes, nil for variable ones", function()
    assert.equal("integer", math.type(definition.axis_value { type = "const", value = 3.0 }))
    assert.equal(3, definition.axis_value { value = "3" })
    assert.equal(1, definition.axis_value { type = "const", value = true })
    assert.is_nil(definition.axis_value { type = "const", value = 1.5 })
    assert.is_nil(definition.axis_value { type = "var", value = 3 })
    assert.is_nil(definition.axis_value {})
  end)
end)
