--- hone.cuda on a device; without one, nothing of this runs.
-- luacheck: no max string line length
local cuda = require "hone.cuda"
local support = require "support.cuda"

local has_device = cuda.available()
-- Under compute-sanitizer times mean nothing, and a planted fault is counted as one.
local is_sanitized = os.getenv "HONE_SANITIZED" == "1"

local function on_gpu(name, f)
  it(name .. " #gpu", function()
    if not has_device then return pending "no GPU" end
    f()
  end)
end

local function on_bare_gpu(name, f)
  on_gpu(name, function()
    if is_sanitized then return pending "not under compute-sanitizer" end
    f()
  end)
end

local function floats(list) return string.pack(("<" .. ("f"):rep(#list)), table.unpack(list)) end

local function read_floats(buffer, n)
  local values = { string.unpack("<" .. ("f"):rep(n), buffer:read(0, n * 4)) }
  values[n + 1] = nil
  return values
end

local function upload(data) return assert(assert(cuda.alloc(#data)):write(data)) end

-- Spins for some nanoseconds of the device's own clock and stores how long it really was.
local SPIN = [[
extern "C" __global__ void spin(unsigned long long nanoseconds, unsigned long long *took) {
  unsigned long long start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); while (now - start < nanoseconds);
  if (took) *took = now - start;
}
]]

local function spin_kernel() return assert(assert(cuda.compile(SPIN)):kernel "spin") end

describe("hone.cuda", function()
  on_gpu("adds vectors of sizes that do not divide the block", function()
    local add = assert(assert(cuda.compile [[
      extern "C" __global__ void add(const float *x, const float *y, float *out, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) out[i] = x[i] + y[i];
      }
    ]]):kernel "add")
    for _, n in ipairs { 1, 31, 33, 129 } do
      local x, y, expected = {}, {}, {}
      for i = 1, n do
        x[i], y[i] = i / 4, (i * 7919 % 1000) / 8
        expected[i] = x[i] + y[i]
      end
      local out <close> = assert(cuda.alloc(n * 4))
      out:fill(255)
      assert(add:launch { grid = (n + 31) // 32, block = 32, upload(floats(x)), upload(floats(y)), out, n })
      assert.same(expected, read_floats(out, n))
    end
  end)

  on_gpu("passes every kind of argument as C++ sees it", function()
    local source = [[
      #include <cuda_fp16.h>
      struct pair { int a; float b; };
      extern "C" __global__ void take(double *out, bool flag, char c, short s, unsigned u, long long l, float f,
                                      double d, __half h, pair p, unsigned long long ull) {
        double v[] = {double(flag), double(c), double(s), double(u), double(l), f, d, __half2float(h), double(p.a), p.b,
                      double(ull)};
        for (int i = 0; i < 11; i++) out[i] = v[i];
      }
    ]]
    local out <close> = assert(cuda.alloc(88))
    local m = assert(cuda.compile(source))
    local arguments =
      { out, true, -3, -300, 4000000000, -(1 << 40), 1, 2, "\0\x3e", string.pack("<if", 7, 0.25), 1 << 50 }
    arguments.grid, arguments.block = 1, 1
    local expected = { 1, -3, -300, 4000000000, -(1 << 40), 1, 2, 1.5, 7, 0.25, 1 << 50 }
    for _, module in ipairs { m, assert(cuda.load(m.image)) } do
      out:fill(0)
      if module ~= m then
        arguments[7], arguments[8] = 1.0, 2.0
      end -- machine code does not tell a float
      assert(assert(module:kernel "take"):launch(arguments))
      assert.same(expected, { table.unpack({ string.unpack("<" .. ("d"):rep(11), out:read()) }, 1, 11) })
    end
    assert.has_error(function() m:kernel("take"):launch { grid = 1, block = 1, out } end)
  end)

  on_gpu("gives more than 48 KiB of shared memory", function()
    local k = assert(assert(cuda.compile [[
      extern "C" __global__ void reverse(int *out, int n) {
        extern __shared__ int shared[];
        for (int i = threadIdx.x; i < n; i += blockDim.x) shared[i] = i;
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = shared[n - 1 - i];
      }
    ]]):kernel "reverse")
    local n = 25000
    local out <close> = assert(cuda.alloc(n * 4))
    assert(k:launch { grid = 1, block = 256, smem = n * 4, out, n })
    assert.equal(n - 1, (string.unpack("<i4", out:read(0, 4))))
    assert.equal(0, (string.unpack("<i4", out:read(n * 4 - 4, 4))))
    local ok, why = k:launch { grid = 1, block = 256, smem = 1 << 20, out, n }
    assert.is_nil(ok)
    assert.truthy(
      why:find("kernel 'reverse' cannot have 1048576 bytes of dynamic shared memory", 1, true),
      why
    )
    local attributes = k:attributes()
    assert.is_true(attributes.registers > 0 and attributes.max_threads == 1024)
    local blocks, share = assert(k:occupancy(256, n * 4))
    assert.is_true(blocks >= 1 and blocks <= 2 and share == blocks * 256 / 2048)
    assert.is_true(assert(k:best_block()) >= 32)
  end)

  on_gpu("launches cooperatively and in clusters", function()
    local m = assert(cuda.compile [[
      #include <cooperative_groups.h>
      namespace cg = cooperative_groups;
      extern "C" __global__ void meet(int *count, int *seen) {
        if (threadIdx.x == 0) atomicAdd(count, 1);
        cg::this_grid().sync();
        if (threadIdx.x == 0) seen[blockIdx.x] = *(volatile int *)count;
      }
      extern "C" __global__ void rank(unsigned *out) {
        unsigned r, n;
        asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
        asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(n));
        if (threadIdx.x == 0) out[blockIdx.x] = r * 100 + n;
      }
    ]])
    local count <close> = assert(cuda.alloc(4)):fill(0)
    local seen <close> = assert(cuda.alloc(64))
    assert(assert(m:kernel "meet"):launch { grid = 16, block = 64, cooperative = true, count, seen })
    assert.equal(string.rep(string.pack("<i4", 16), 16), seen:read())
    assert(assert(m:kernel "rank"):launch { grid = 16, block = 64, cluster = 4, seen })
    assert.same(
      { 4, 104, 204, 304, 4 },
      { table.unpack({ string.unpack("<I4I4I4I4I4", seen:read()) }, 1, 5) }
    )
  end)

  on_gpu("copies tiles by a tensor map", function()
    if tonumber(cuda.devices()[1].capability) < 9 then return pending "needs compute capability 9.0" end
    local k = assert(assert(cuda.compile [[
      struct alignas(64) map { char bytes[128]; };
      extern "C" __global__ void tile(const __grid_constant__ map m, int x, int y, float *out) {
        __shared__ alignas(128) float tile[8 * 16];
        __shared__ alignas(8) unsigned long long barrier;
        unsigned to = __cvta_generic_to_shared(tile), bar = __cvta_generic_to_shared(&barrier);
        if (threadIdx.x == 0) {
          asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(bar));
          asm volatile("fence.proxy.async.shared::cta;");
          asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(bar), "r"(8 * 16 * 4));
          asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                       ::"r"(to), "l"(&m), "r"(x), "r"(y), "r"(bar) : "memory");
        }
        __syncthreads();
        unsigned done = 0;
        while (!done)
          asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                       : "=r"(done) : "r"(bar) : "memory");
        for (int i = threadIdx.x; i < 8 * 16; i += blockDim.x) out[i] = tile[i];
      }
    ]]):kernel "tile")
    local values = {}
    for i = 1, 32 * 64 do
      values[i] = i - 1
    end
    local data <close> = upload(floats(values))
    local map = assert(cuda.tensor_map { data = data, type = "float32", shape = { 32, 64 }, box = { 8, 16 } })
    local out <close> = assert(cuda.alloc(8 * 16 * 4))
    assert(k:launch { grid = 1, block = 32, map, 32, 4, out })
    local tile = read_floats(out, 128)
    assert.same(
      { 4 * 64 + 32, 4 * 64 + 33, 5 * 64 + 32, 11 * 64 + 47 },
      { tile[1], tile[2], tile[17], tile[128] }
    )
  end)

  on_bare_gpu("orders streams by events, and times them", function()
    local spin = spin_kernel()
    local first, second = assert(cuda.stream()), assert(cuda.stream(-1))
    local start, stop = assert(cuda.event()), assert(cuda.event())
    assert(spin:launch { grid = 1, block = 1, stream = first, 0, 0 }) -- loads it
    assert(first:synchronize())
    start:record(first)
    assert(spin:launch { grid = 1, block = 1, stream = first, 500000, 0 })
    stop:record(first)
    assert.is_false(first:is_idle())
    second:wait(stop)
    assert(spin:launch { grid = 1, block = 1, stream = second, 1000, 0 })
    assert(second:synchronize())
    assert.is_true(first:is_idle())
    local seconds = start:elapsed(stop)
    assert.is_true(seconds > 499e-6 and seconds < 600e-6, seconds)
    assert(spin:launch { grid = 1, block = 1, stream = first, 30000000, 0 })
    local ok, why = first:synchronize(0.005)
    assert.is_nil(ok)
    assert.equal("cuda:0 is still busy after 0.005 s", why)
    ok, why = cuda.synchronize(0, 0.002)
    assert.is_nil(ok)
    assert.equal("cuda:0 is still busy after 0.002 s", why)
    assert(cuda.synchronize())
  end)

  on_gpu("replays graphs", function()
    local inc =
      assert(assert(cuda.compile 'extern "C" __global__ void inc(int *x, int by) { *x += by; }'):kernel "inc")
    local x <close> = assert(cuda.alloc(4)):fill(0)
    local launch = inc:bind { grid = 1, block = 1, x, 1 }
    local graph = assert(cuda.graph(function()
      for _ = 1, 10 do
        launch()
      end
      launch(x, 90)
    end))
    assert.equal(11, graph:nodes())
    assert.equal("\0\0\0\0", x:read())
    for _ = 1, 3 do
      assert(graph())
    end
    assert.equal(300, (string.unpack("<i4", x:read())))
  end)

  on_bare_gpu("captures a graph on a stream of its own, and goes on with the one chosen before", function()
    local spin, s = spin_kernel(), assert(cuda.stream())
    s:with(function()
      assert(cuda.graph(function() assert(spin:launch { grid = 1, block = 1, 0, 0 }) end))
      assert(spin:launch { grid = 1, block = 1, 20000000, 0 })
    end)
    assert.is_false(s:is_idle())
    assert(s:synchronize())
  end)

  on_bare_gpu("makes room by collecting garbage, and says how much was wanted when there is none", function()
    local total = cuda.memory().total
    for _ = 1, 4 do
      assert(cuda.alloc(total * 6 // 10))
    end
    local none, why, code = cuda.alloc(total * 2)
    assert.is_nil(none)
    assert.equal("CUDA_ERROR_OUT_OF_MEMORY", code)
    assert.truthy(why:find "^cannot allocate [%d.]+ GiB on cuda:0: out of memory %([%d.]+ GiB of", why)
    assert.equal(8, #assert(cuda.alloc(8)))
  end)

  on_bare_gpu("tells an illegal access by the kernel's name, and that the device is lost", function()
    local printed = support.in_child [[
      local m = assert(cuda.compile "extern \"C\" __global__ void bad(int *x) { *x = 1; }")
      local held = assert(cuda.alloc(64))
      assert(m:kernel("bad"):launch { grid = 1, block = 1, 16 })
      for _, result in ipairs {
        table.pack(cuda.synchronize()), table.pack(cuda.alloc(8)), table.pack(held:read()), table.pack(cuda.reset()),
        table.pack(m:kernel("bad"):launch { grid = 1, block = 1, held }), table.pack(cuda.time(print)),
      } do
        print(result[1], result[2])
      end
    ]]
    local lost = "nil\tthe context of cuda:0 is lost: an illegal memory access was encountered in kernel "
      .. "'bad'; this process cannot use the device again\n"
    assert.equal(lost:rep(6), printed)
  end)

  on_bare_gpu("goes on after a reset, without what was before", function()
    local printed = support.in_child [[
      local inc = "extern \"C\" __global__ void inc(int *x) { *x += 1; }"
      local held, m = assert(cuda.alloc(64)), assert(cuda.compile(inc))
      local kernel = assert(m:kernel "inc")
      assert(cuda.reset())
      print(pcall(held.read, held))
      print(pcall(kernel.launch, kernel, { grid = 1, block = 1, held }))
      local x = assert(cuda.alloc(4)):fill(1)
      assert(assert(m:kernel "inc"):launch { grid = 1, block = 1, x })
      print(x:read():byte(1, 4))
    ]]
    assert.equal(
      "false\tbad argument #1 to '?' (buffer was lost with its context)\n"
        .. "false\tbad argument #1 to '?' (kernel was lost with its context)\n2\t1\t1\t1\n",
      printed
    )
  end)

  on_gpu("copies between devices", function()
    if #cuda.devices() < 2 then return pending "one device" end
    local a <close> = upload "on the first"
    assert.equal(1, cuda.device(1))
    local b <close> = assert(cuda.alloc(#a))
    assert.equal("on the first", b:copy(a):read())
    cuda.device(0)
  end)
end)

describe("cuda.time", function()
  on_bare_gpu("agrees with the kernel's own clock", function()
    local spin = spin_kernel()
    local took <close> = assert(cuda.alloc(8))
    for _, microseconds in ipairs { 2, 10, 100 } do
      local launch = spin:bind { grid = 1, block = 1, microseconds * 1000, took }
      for _, cold in ipairs { true, false } do
        local errors, own = {}, nil -- its own clock tells of the last run alone, which may be an odd one
        for i = 1, 3 do
          local r = assert(cuda.time(launch, { cold = cold, body = true }))
          own = string.unpack("<i8", took:read()) * 1e-9
          assert.is_true(r.blocked and r.resolved ~= false)
          assert.is_true(r.outside <= r.count // 50, r.outside) -- now and then the device ends late
          assert.is_true(r.median_low <= r.median and r.median <= r.median_high)
          errors[i] = math.abs(r.median - own)
        end
        table.sort(errors)
        local share = microseconds == 2 and 0.03 or 0.01
        assert.is_true(errors[2] < share * own + 32e-9, ("%g of %g"):format(errors[2], own))
      end
    end
  end)

  on_bare_gpu("asks CUPTI about work that is short", function()
    local launch = spin_kernel():bind { grid = 1, block = 1, 2000, 0 }
    local cupti, why = cuda.time(launch, { clock = "cupti" })
    if not cupti then return pending(why) end
    local r = assert(cuda.time(launch))
    assert.equal("cupti", r.clock)
    assert.is_true(
      math.abs(r.median / cupti.median - 1) < 0.03,
      ("%g against %g"):format(r.median, cupti.median)
    )
    assert.is_true(math.abs(r.by_events / cupti.median - 1) < 0.25, r.by_events)
    assert.equal("events", assert(cuda.time(spin_kernel():bind { grid = 1, block = 1, 60000, 0 })).clock)
  end)

  on_bare_gpu("says of a time by events that it is too short to be known well", function()
    local nothing = assert(assert(cuda.compile 'extern "C" __global__ void nothing() {}'):kernel "nothing")
    local r = assert(cuda.time(nothing:bind { grid = 1, block = 1 }, { clock = "events" }))
    assert.is_false(r.resolved)
    assert.is_true(r.median < 1.5e-6 and r.resolution < 1e-6, r.median)
  end)

  on_bare_gpu("finds the cache cold or warm, as it is told", function()
    local k = assert(assert(cuda.compile [[
      extern "C" __global__ void sum(const float4 *x, float *out, int n) {
        float s = 0;
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i].x + x[i].y;
        if (s == 12345) *out = s;
      }
    ]]):kernel "sum")
    local bytes = 16 << 20
    local x <close> = assert(cuda.alloc(bytes)):fill(1)
    local out <close> = assert(cuda.alloc(4))
    local launch = k:bind { grid = 264, block = 512, x, out, bytes // 16 }
    local cold = assert(cuda.time(launch, { bytes = bytes }))
    local warm = assert(cuda.time(launch, { bytes = bytes, cold = false }))
    assert.is_true(cold.median > 1.2 * warm.median, ("%g against %g"):format(cold.median, warm.median))
    assert.is_true(cold.bytes_per_second < 6e12)
  end)

  on_bare_gpu("counts work on other streams", function()
    local spin = spin_kernel()
    local other = assert(cuda.stream())
    local r = assert(cuda.time(function()
      assert(spin:launch { grid = 1, block = 1, 5000, 0 })
      assert(spin:launch { grid = 1, block = 1, stream = other, 3000000, 0 })
    end, { cold = false, max_samples = 30 }))
    assert.is_true(r.outside > r.count // 2, r.outside)
    assert.is_true(r.wall > 2.9e-3, r.wall)
  end)

  on_bare_gpu("lets go of work that waits for the device", function()
    local spin = spin_kernel()
    local r = assert(cuda.time(function()
      assert(spin:launch { grid = 1, block = 1, 20000, 0 })
      assert(cuda.synchronize())
    end, { max_samples = 20 }))
    assert.is_false(r.blocked)
    assert.is_true(r.median > 20e-6)
  end)

  on_bare_gpu("measures a graph of the work", function()
    local launch = spin_kernel():bind { grid = 1, block = 1, 20000, 0 }
    local r = assert(cuda.time(function()
      launch()
      launch()
    end, { clock = "graph", cold = false }))
    assert.is_true(r.median > 40e-6 and r.median < 50e-6, r.median)
  end)

  on_bare_gpu("measures by CUPTI, where there is one", function()
    local launch = spin_kernel():bind { grid = 1, block = 1, 20000, 0 }
    local r, why = cuda.time(launch, { clock = "cupti", max_samples = 50 })
    if not r then return pending(why) end
    assert.is_true(r.median > 20e-6 and r.median < 23e-6, r.median)
  end)

  on_bare_gpu("compares in turn", function()
    local spin = spin_kernel()
    local function spins(n) return spin:bind { grid = 1, block = 1, n, 0 } end
    assert.equal("faster", assert(cuda.compare(spins(20000), spins(22000))).verdict)
    assert.equal("slower", assert(cuda.compare(spins(22000), spins(20000))).verdict)
    assert.equal("same", assert(cuda.compare(spins(20000), spins(20000), { margin = 0.02 })).verdict)
  end)
end)
