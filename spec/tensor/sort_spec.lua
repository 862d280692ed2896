--- Sorting, selecting and searching, against PyTorch's order.
local tensor = require "hone.tensor"
local torch_cases = require "support.torch_cases"

local cases, tensors = torch_cases.load("sort")

local function each(kind, check)
  if not cases then return pending(tensors) end
  local count = 0
  for _, case in ipairs(cases) do
    if case.kind == kind then
      count = count + 1
      check(case, function(name) return tensors[case[name]] end)
    end
  end
  assert.is_true(count > 0)
end

-- torch_cases.py keeps the bits of floats.
local function with_dtype(t, dtype) return t.dtype == dtype and t or t:view(dtype) end

-- Of -0 and 0, which are equal, and of NaNs torch may choose any.
local function comparable(t)
  if not t:is_floating_point() then return t end
  local wide = t:to("float64")
  return wide:masked_fill(wide:isnan(), 1e300):add(0)
end

describe("t:sort", function()
  it("orders as torch's stable sort, every dtype along every dimension", function()
    each("sort", function(case, of)
      local input = of("input")
      local what = ("sort %s along %d, descending=%s"):format(tostring(input), case.dim, case.descending)
      local values, indices = input:sort(case.dim, case.descending)
      torch_cases.assert_same(of("indices"), indices, what)
      torch_cases.assert_same(with_dtype(of("values"), input.dtype), values, what)
      torch_cases.assert_same(of("indices"), input:argsort(case.dim, case.descending), what)
    end)
  end)

  it("takes views as they lie", function()
    local t = tensor.randn(7, 300, { generator = tensor.generator(1) })
    local values, indices = t:transpose(1, 2):sort(1)
    local expected_values, expected_indices = t:sort(2)
    torch_cases.assert_same(expected_values, values:transpose(1, 2):contiguous(), "values")
    torch_cases.assert_same(expected_indices, indices:transpose(1, 2):contiguous(), "indices")
  end)

  it("keeps equal elements in their order, of many and of few", function()
    for _, n in ipairs { 10, 48, 49, 5000 } do
      local _, indices = tensor.zeros(n):sort()
      assert.equal(tensor.arange(n):bytes(), indices:bytes())
    end
  end)

  it("refuses what it cannot order, in one line", function()
    assert.has_error(function() tensor.from_bytes("\1\2", "float4_e2m1"):sort() end, nil)
    assert.error_matches(function() tensor.zeros(2, 3):sort(3) end, "dimension 3")
  end)
end)

describe("t:topk", function()
  it("gives torch's values, and of equal ones the first", function()
    each("topk", function(case, of)
      local input = of("input")
      local what = ("top %d of %s along %d"):format(case.k, tostring(input), case.dim)
      local values, indices = input:topk(case.k, case.dim, case.largest)
      local sorted = tensors[case.sorted.indices]:narrow(case.dim, 1, case.k):contiguous()
      torch_cases.assert_same(sorted, indices, what)
      torch_cases.assert_same(
        with_dtype(tensors[case.sorted.values], input.dtype):narrow(case.dim, 1, case.k):contiguous(),
        values,
        what
      )
      torch_cases.assert_same(comparable(of("values")), comparable(values), what)
    end)
  end)

  it("refuses more than there are", function()
    assert.error_matches(function() tensor.zeros(3):topk(4) end, "cannot take 4 of 3 elements")
    assert.error_matches(function() tensor.zeros(3):topk(-1) end, "cannot take %-1 of 3 elements")
  end)

  it("is right on rows that defeat simple pivots", function()
    for _, n in ipairs { 1000, 4097 } do
      local ramp = tensor.arange(n, { dtype = "float32" })
      local saw = ramp:remainder(7)
      local mountain = ramp:sub(n / 2):abs()
      for _, t in ipairs { ramp, saw, mountain, ramp:neg() } do
        local sorted = t:sort(1, true)
        for _, k in ipairs { 1, 2, n // 2, n - 1, n } do
          assert.equal(sorted:narrow(1, 1, k):bytes(), (t:topk(k)):bytes())
        end
      end
    end
  end)
end)

describe("t:unique", function()
  it("gives torch's values, places and counts", function()
    each("unique", function(_, of)
      local input = of("input")
      local values, inverse, counts = input:unique()
      if values:is_floating_point() then values = values:add(0) end -- -0 stands for 0 too
      torch_cases.assert_same(of("values"), values, "values of " .. tostring(input))
      torch_cases.assert_same(of("inverse"), inverse, "places in " .. tostring(input))
      torch_cases.assert_same(of("counts"), counts, "counts of " .. tostring(input))
    end)
  end)
end)

describe("t:searchsorted", function()
  it("finds torch's places", function()
    each("search", function(case, of)
      local places = of("input"):searchsorted(of("wanted"), case.right)
      torch_cases.assert_same(of("places"), places, tostring(of("input")))
    end)
  end)

  it("refuses other dtypes and shapes", function()
    local sorted = tensor.zeros(3, 4)
    assert.error_matches(
      function() sorted:searchsorted(tensor.zeros(3, 4, "float64")) end,
      "the dtypes differ"
    )
    assert.error_matches(function() sorted:searchsorted(tensor.zeros(2, 4)) end, "the leading sizes differ")
  end)
end)
