--- Tensors on a GPU: where they lie, how they come and go, and what a device adds that the CPU has not.
local cuda = require "hone.cuda"
local fs = require "hone.fs"
local npy = require "hone.npy"
local safetensors = require "hone.safetensors"
local tensor = require "hone.tensor"

local GPU = { device = "cuda:0" }

local function on_gpu(body)
  return function()
    if not cuda.available() then return pending "no GPU here" end
    body()
  end
end

describe("a tensor on a GPU #gpu", function()
  it(
    "comes and goes with its bits, in every dtype and from strided views",
    on_gpu(function()
      local bytes = {}
      for i = 0, 255 do
        bytes[i + 1] = string.char(i)
      end
      local all = table.concat(bytes):rep(8)
      for _, dtype in ipairs {
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "float8_e4m3fn",
        "float4_e2m1",
        "int8",
      } do
        local t = tensor.from_bytes(all, dtype)
        assert.equal(all, t:to(GPU):bytes(), dtype)
        local view = t:view(-1, 8):t()[{ { 2, 7, 2 } }]
        assert.equal(view:bytes(), view:to(GPU):bytes(), dtype)
        local there = t:to(GPU):view(-1, 8):t()[{ { 2, 7, 2 } }]
        assert.equal(view:bytes(), there:bytes(), dtype)
      end
    end)
  )

  it(
    "moves between two GPUs, strided too, and computes on either",
    on_gpu(function()
      if #cuda.devices() < 2 then return pending "one GPU" end
      local first = tensor.arange(1000, GPU):view(10, 100):t()
      local second = first:to "cuda:1"
      assert.equal("cuda:1", second.device)
      assert.is_true(second:cpu():equal(first:cpu()))
      assert.equal(499500 + 1000, (second + 1):sum():item())
      local back = tensor.zeros(100, 10, { device = "cuda:0", dtype = "float32" })
      assert.equal(499500, back:copy_(second):sum():item())
      assert.has_error(
        function() return first + second end,
        "cannot add tensors of two devices: int64 [100, 10] lies on cuda:1, not on cuda:0; move it with to()"
      )
      local seeded = { device = "cuda:1", generator = tensor.generator(7) }
      local other = { device = "cuda:0", generator = tensor.generator(7) }
      assert.is_true(tensor.randn(1000, seeded):cpu():equal(tensor.randn(1000, other):cpu()))
    end)
  )

  it(
    "is made where it is asked for",
    on_gpu(function()
      assert.equal("cuda:0", tensor.zeros(3, { device = "cuda" }).device)
      assert.same({ 7, 7 }, tensor.full({ 2 }, 7, GPU):tolist())
      assert.same({ { 1, 0 }, { 0, 1 } }, tensor.eye(2, GPU):tolist())
      assert.same({ 0, 2, 4 }, tensor.arange(0, 6, 2, GPU):tolist())
      assert.same({ true, false }, tensor.new({ true, false }, GPU):tolist())
      assert.equal("cuda:0", tensor.ones_like(tensor.zeros(2, GPU)).device)
      local pairs_of_values = tensor.new({ 0.5, -6 }, GPU):pack_float4()
      assert.equal("cuda:0", pairs_of_values.device)
      assert.same({ 0.5, -6 }, pairs_of_values:unpack_float4():tolist())
    end)
  )

  it(
    "prints as torch prints it",
    on_gpu(function()
      local t = tensor.new({ { 1, 2 }, { 3, 4 } }, { device = "cuda:0", dtype = "float16" })
      assert.equal("tensor([[1., 2.],\n        [3., 4.]], device='cuda:0', dtype=float16)", tostring(t))
    end)
  )

  it(
    "computes with numbers, with tensors beside it and with numbers from the CPU, and with nothing else",
    on_gpu(function()
      local t = tensor.arange(3, GPU)
      assert.same({ 1, 2, 3 }, (t + 1):tolist())
      assert.same({ 5, 6, 7 }, (t + tensor.new(5)):tolist())
      assert.has_error(
        function() return t + tensor.arange(3) end,
        "cannot add tensors of two devices: int64 [3] lies on the CPU, not on cuda:0; move it with to()"
      )
      assert.has_error(function() tensor.zeros(3):add_(t) end)
      assert.has_error(function() return t:to("float32"):matmul(tensor.ones(3)) end)
    end)
  )

  it(
    "is written through views",
    on_gpu(function()
      local t = tensor.zeros(3, 4, GPU)
      t[2]:fill_(5)
      t:t()[1]:add_(1)
      t:narrow(2, 3, 2):copy_(tensor.full({ 3, 2 }, 9))
      assert.same({ { 1, 0, 9, 9 }, { 6, 5, 9, 9 }, { 1, 0, 9, 9 } }, t:tolist())
    end)
  )

  it(
    "counts among the memory in use, and is let go of",
    on_gpu(function()
      collectgarbage()
      local before = assert(cuda.memory()).used
      local t = tensor.empty(1 << 20, GPU)
      assert.equal(before + (4 << 20), cuda.memory().used)
      t:close()
      assert.equal(before, cuda.memory().used)
    end)
  )

  it(
    "collects garbage when memory runs out, and says so when that is not enough",
    on_gpu(function()
      local free = assert(cuda.memory()).free
      local elements = free * 2 // 5
      local last
      for _ = 1, 6 do
        last = tensor.empty(elements, { device = "cuda:0", dtype = "uint8" })
      end
      last:close()
      collectgarbage()
      local kept = tensor.empty(elements * 2, { device = "cuda:0", dtype = "uint8" })
      local ok, why = pcall(tensor.empty, elements, { device = "cuda:0", dtype = "uint8" })
      kept:close()
      assert.is_false(ok)
      assert.matches("cannot allocate .* on cuda:0: out of memory", why)
      assert.same({ 1, 1 }, tensor.ones(2, GPU):tolist())
    end)
  )

  it(
    "may have more than 2^31 elements",
    on_gpu(function()
      local n = (1 << 31) + 4096
      local t = tensor.zeros(n, { device = "cuda:0", dtype = "int8" })
      t:narrow(1, n - 3, 4):fill_(3)
      local doubled = t + t
      assert.same({ 0, 6, 6, 6, 6 }, doubled:narrow(1, n - 4, 5):tolist())
      local crooked = doubled:view(2, -1):t() + tensor.ones(2, { device = "cuda:0", dtype = "int8" })
      assert.same({ 1, 7 }, crooked[-1]:tolist())
      for _, big in ipairs { t, doubled, crooked } do
        big:close()
      end
    end)
  )

  it(
    "is an argument of a kernel, and a CPU's tensor is none",
    on_gpu(function()
      local source =
        'extern "C" __global__ void twice(float *x, int n) { if (threadIdx.x < n) x[threadIdx.x] *= 2; }'
      local kernel = assert(assert(cuda.compile(source)):kernel "twice")
      local t = tensor.new({ 1.5, 2.5, 3.5 }, GPU)
      assert(kernel:launch { grid = 1, block = 32, t:narrow(1, 2, 2), 2 })
      assert.same({ 1.5, 5, 7 }, t:tolist())
      local ok, why = pcall(kernel.launch, kernel, { grid = 1, block = 32, tensor.ones(3), 3 })
      assert.is_false(ok)
      assert.matches("the tensor lies on the CPU", why)
    end)
  )

  it(
    "is read from a file and written to one",
    on_gpu(function()
      local dir <close> = assert(fs.tempdir())
      local path = fs.join(dir.path, "t.safetensors")
      local t = tensor.arange(24, GPU):view(4, 6)
      assert(safetensors.write(path, { whole = t, turned = t:t() }))
      local back = assert(safetensors.read(path, "cuda:0"))
      assert.equal("cuda:0", back.turned.device)
      assert.same(t:tolist(), back.turned:t():tolist())
      assert(npy.write(fs.join(dir.path, "t.npy"), t))
      assert.same(t:tolist(), assert(npy.read(fs.join(dir.path, "t.npy"))):tolist())
    end)
  )

  it(
    "multiplies as on the CPU, in every dtype and layout",
    on_gpu(function()
      tensor.manual_seed(3)
      local a, b = tensor.randn(5, 33, 48), tensor.randn(5, 48, 17)
      local most = { float64 = 1e-12, float32 = 1e-4, float16 = 0.05, bfloat16 = 0.3, float8_e4m3fn = 4 }
      for dtype, bound in pairs(most) do
        local x, y = a:to(dtype), b:to(dtype)
        local gx, gy = x:to(GPU), y:to(GPU)
        local function check(ours, expected)
          assert.equal(dtype, ours.dtype)
          local far = (ours:cpu():to "float64" - expected:to "float64"):abs():max():item()
          assert.is_true(far <= bound, ("%s: %g"):format(dtype, far))
        end
        check(gx:bmm(gy), x:bmm(y))
        check(gx:matmul(gy[1]), x:matmul(y[1]))
        check(gy:transpose(2, 3):bmm(gx:transpose(2, 3)), y:transpose(2, 3):bmm(x:transpose(2, 3)))
        check(
          gx[{ 1, tensor.all, { 1, -1, 2 } }]:matmul(gy[{ 1, { 1, -1, 2 } }]),
          x[{ 1, tensor.all, { 1, -1, 2 } }]:matmul(y[{ 1, { 1, -1, 2 } }])
        )
        check(tensor.einsum("bij,bjk->ik", gx, gy), tensor.einsum("bij,bjk->ik", x, y))
      end
      local i, j = tensor.randint(-9, 9, { 3, 40, 70 }), tensor.randint(-9, 9, { 3, 70, 33 })
      assert.equal(i:bmm(j):bytes(), i:to(GPU):bmm(j:to(GPU)):bytes())
      assert.same({ { 0, 0 } }, tensor.zeros(1, 0, GPU):matmul(tensor.zeros(0, 2, GPU)):tolist())
      local c = tensor.ones(33, 17)
      local ours = c:to(GPU):addmm(a[1]:to(GPU), b[1]:to(GPU), { beta = 2, alpha = 0.5 })
      assert.is_true(
        ours:cpu():allclose(c:addmm(a[1], b[1], { beta = 2, alpha = 0.5 }), { rtol = 1e-4, atol = 1e-4 })
      )
    end)
  )
end)
