--- Products of tensors, against PyTorch in float64.
local process = require "hone.process"
local tensor = require "hone.tensor"
local torch_cases = require "support.torch_cases"

local cases, tensors = torch_cases.load("linalg")

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

local function describe_operands(a, b)
  return ("%s [%s] and [%s]"):format(a.dtype, table.concat(a:shape(), ", "), table.concat(b:shape(), ", "))
end

-- The same elements with their memory in another order, and with other memory between them.
local function layouts(t)
  local list = { t }
  if t:dim() >= 2 then list[2] = t:transpose(-1, -2):contiguous():transpose(-1, -2) end
  if t:dim() >= 1 then
    local pairs_of = t:shape()
    table.insert(pairs_of, 2)
    list[#list + 1] = t:unsqueeze(-1):expand(pairs_of):contiguous():select(-1, 1)
  end
  return list
end

local function check_product(case, of, product, what)
  if case.result then
    torch_cases.assert_same(of("result"), product, what)
  else
    torch_cases.assert_near(of("exact"), of("bound"), product, what)
  end
end

local function refusal(f, ...)
  local done, why = pcall(f, ...)
  assert.is_false(done)
  assert.is_nil(why:find("\n", 1, true))
  return why
end

describe("t:matmul", function()
  it("multiplies as torch does, every dtype, however the operands lie", function()
    each("matmul", function(case, of)
      local a, b = of("a"), of("b")
      for _, x in ipairs(layouts(a)) do
        for _, y in ipairs(layouts(b)) do
          local product = x:matmul(y)
          assert.equal(a.dtype, product.dtype)
          check_product(case, of, product, describe_operands(x, y))
        end
      end
    end)
  end)

  it("multiplies operands that repeat their memory", function()
    local row, column = tensor.ones(1, 5):expand(3, 5), tensor.ones(5, 1):expand(5, 4)
    assert.equal(tensor.full({ 3, 4 }, 5.0):bytes(), row:matmul(column):bytes())
  end)

  it("adds half types and float8 up in float32", function()
    for _, dtype in ipairs { "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2" } do
      local ones = tensor.ones(1, 4096, dtype)
      local small = tensor.full({ 4096, 1 }, 0.015625, { dtype = dtype })
      assert.equal(64, ones:matmul(small):item(), dtype)
    end
  end)

  it("wraps integers around", function()
    local t = tensor.full({ 1, 4 }, 100, { dtype = "int8" })
    assert.equal(40000 % 256, t:matmul(t:t()):item())
  end)

  it("gives the same without OpenBLAS", function()
    local script = [[
      local tensor = require "hone.tensor"
      local g = tensor.generator(3)
      local worst = 0
      for _, dtype in ipairs { "float32", "float64", "bfloat16" } do
        local a = tensor.randn(3, 70, 90, { dtype = dtype, generator = g })
        local b = tensor.randn(90, 50, { dtype = dtype, generator = g })
        io.write(a:matmul(b):to("float64"):bytes())
      end
    ]]
    local function run(blas)
      local result = assert(process.run {
        os.getenv("HONE_BIN") or "build/hone",
        "-e",
        script,
        env = { HONE_OPENBLAS = blas },
      })
      assert.equal(0, result.status, result.stderr)
      return tensor.from_bytes(result.stdout, "float64")
    end
    local plain, fast = run("none"), run("")
    assert.is_true(plain:allclose(fast, { rtol = 1e-2, atol = 1e-4 }))
  end)
end)

describe("t:addmm", function()
  it("adds to a product as torch does, every dtype", function()
    each("addmm", function(case, of)
      local sum = of("c"):addmm(of("a"), of("b"), { beta = case.beta, alpha = case.alpha })
      check_product(case, of, sum, "addmm of " .. describe_operands(of("a"), of("b")))
    end)
  end)

  it("does not look at what it multiplies by 0", function()
    local sum = tensor.full({ 2, 2 }, 0 / 0):addmm(tensor.ones(2, 3), tensor.ones(3, 2), { beta = 0 })
    assert.equal(12, sum:sum():item())
  end)

  it("wants whole factors for integers", function()
    local t = tensor.ones(2, 2, "int64")
    assert.matches("factors that are no integers", refusal(t.addmm, t, t, t, { alpha = 0.5 }))
  end)
end)

describe("the other products", function()
  local a = tensor.randn(4, 6, 5, { generator = tensor.generator(5) })
  local b = tensor.randn(4, 5, 3, { generator = tensor.generator(6) })

  it("are matmul's for their shapes", function()
    assert.equal(a:matmul(b):bytes(), a:bmm(b):bytes())
    local x, y = a:select(1, 1), b:select(1, 1)
    assert.equal(x:matmul(y):bytes(), x:mm(y):bytes())
    assert.equal(x:matmul(y:select(2, 1)):bytes(), x:mv(y:select(2, 1)):bytes())
    assert.equal(0, x:select(1, 1):dot(y:select(2, 1)):dim())
  end)

  it("baddbmm adds to each product of a batch", function()
    local c = tensor.ones(6, 3)
    local sum = c:baddbmm(a, b, { beta = 2, alpha = 3 })
    assert.is_true(sum:allclose(a:bmm(b):mul(3):add(2), { rtol = 1e-5, atol = 1e-5 }))
  end)

  it("outer multiplies each with each", function()
    local t = tensor.new({ 1, 2, 3 }):outer(tensor.new { 10, 20 })
    assert.same({ { 10, 20 }, { 20, 40 }, { 30, 60 } }, t:tolist())
  end)

  it("refuse what torch refuses, in one line", function()
    each("refused", function(case, of)
      local x, y = of("a"), of("b")
      assert.matches("^[^\n]*cannot multiply .*: .+", refusal(x[case.method], x, y))
    end)
  end)
end)

describe("tensor.einsum", function()
  it("sums as torch does, and refuses what torch refuses", function()
    each("einsum", function(case, of)
      local operands = {}
      for i, name in ipairs(case.operands) do
        operands[i] = tensors[name]
      end
      local done, result = pcall(tensor.einsum, case.equation, operands)
      assert.equal(
        case.why == nil,
        done,
        ("%s: %s, torch: %s"):format(case.equation, tostring(result), case.why)
      )
      if done then
        torch_cases.assert_near(of("exact"), of("bound"), result, case.equation)
      else
        assert.matches("cannot sum", result)
      end
    end)
  end)

  it("rearranges without copying", function()
    local t = tensor.zeros(2, 3)
    assert.equal(t:data_ptr(), tensor.einsum("ij->ji", t):data_ptr())
  end)

  it("refuses operands of different dtypes", function()
    local why = refusal(tensor.einsum, "i,i->", tensor.zeros(3), tensor.zeros(3, "float64"))
    assert.matches("the dtypes of the operands differ", why)
  end)
end)
