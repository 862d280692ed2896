--- Tensors as text, against PyTorch's.
local tensor = require "hone.tensor"
local torch_cases = require "support.torch_cases"

describe("tostring(t)", function()
  it("is what torch prints", function()
    local cases, tensors = torch_cases.load("print")
    if not cases then return pending(tensors) end
    assert.is_true(#cases > 500)
    for _, case in ipairs(cases) do
      local t = tensors[case.input]
      assert.equal(case.text, case.options and t:tostring(case.options) or tostring(t))
    end
  end)

  it("does not depend on strides", function()
    local t = tensor.randn(4, 6)
    assert.equal(tostring(t:t():contiguous()), tostring(t:t()))
  end)

  it("says of a closed tensor that it is closed", function()
    local t = tensor.zeros(2)
    t:close()
    assert.equal("tensor(closed)", tostring(t))
  end)
end)

describe("t:tostring", function()
  it("refuses options that are out of range", function()
    assert.error_matches(
      function() tensor.zeros(2):tostring { precision = 100 } end,
      "precision is out of range"
    )
    assert.error_matches(
      function() tensor.zeros(2):tostring { edge_items = 0 } end,
      "edge_items is out of range"
    )
  end)
end)
