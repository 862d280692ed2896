-- luacheck: no max string line length
local cuda = require "hone.cuda"
local core = require "hone.core.cuda"
local fs = require "hone.fs"
local support = require "support.cuda"

-- ---- without a device -----------------------------------------------------------------------------

-- Runs on every machine, once with the driver hidden.
local NO_DRIVER = { HONE_LIBCUDA = "/nowhere/libcuda.so.1" }

local function without_driver(code) return (support.on_fake(code, NO_DRIVER)) end

describe("hone.cuda without a driver", function()
  it("says so in one line, whatever is asked for", function()
    local expected = "no NVIDIA driver is installed (/nowhere/libcuda.so.1 not found)\n"
    for _, call in ipairs {
      "cuda.devices()",
      "cuda.alloc(8)",
      "cuda.stream()",
      "cuda.event()",
      "cuda.graph(print)",
      "cuda.synchronize()",
      "cuda.load('.version 7.0')",
      "cuda.time(print)",
      "cuda.memory()",
      "cuda.compile('')",
    } do
      local code = ("io.write((select(2, %s)), '\\n')"):format(call)
      if call == "cuda.compile('')" then code = "cuda.available = nil " .. code end
      local printed = without_driver(code)
      if not printed:find "^NVRTC is not" then assert.equal(expected, printed, call) end
    end
  end)

  it(
    "is not available",
    function()
      assert.equal(
        "false\tno NVIDIA driver is installed (/nowhere/libcuda.so.1 not found)\n",
        without_driver "print(cuda.available())"
      )
    end
  )
end)

local PTX = [[
.version 7.0
.target sm_70
.visible .entry add( .param .u64 x, .param .f32 s, .param .u32 n, .param .u8 flag, .param .align 2 .b8 h[2]) {}
.visible .entry wide( .param .f64 d, .param .u16 short, .param .align 64 .b8 map[128]) {}
.visible .entry spin( .param .u64 nanoseconds) {}
.visible .entry fault() {}
.visible .entry other() {}
.visible .entry hang() {}
]]

-- The kernels of PTX, and a buffer, in front of the code.
local SETUP = ([[
local m = assert(cuda.load %q)
local add, wide = assert(m:kernel "add"), assert(m:kernel "wide")
local spin, fault = assert(m:kernel "spin"), assert(m:kernel "fault")
local b = assert(cuda.alloc(100))
local function try(f, ...) local ok, why = pcall(f, ...) print((tostring(why):gsub("^.-:%%d+: ", ""):gsub("hone%%.[%%w.]*cuda%%.", ""))) end
]]):format(PTX)

local function on_fake(code, env) return support.on_fake(SETUP .. code, env) end

-- The bytes of the parameters of each logged launch, in hexadecimal.
local function logged_parameters(log)
  local all = {}
  for bytes in log:gmatch "launch %g+ %g+ %g+ %g+ (%x*)\n" do
    all[#all + 1] = bytes
  end
  return all
end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("a launch", function()
  if not support.fake_driver() then return pending "no C compiler for the fake driver" end

  it("packs each argument by its parameter's place, size and kind", function()
    local printed, log = on_fake [[
      print(b:address())
      assert(add:launch { grid = 3, block = { 32, 2 }, b, 2, -1, true, "hi" })
      assert(add:launch { grid = { 1, 2, 3 }, block = 64, smem = 16, 4096, 0.5, 4294967295, 255, "ab" })
      assert(wide:launch { grid = 1, block = 1, 3, -2, ("x"):rep(128) })
    ]]
    local address = math.tointeger(tonumber(printed))
    local parameters = logged_parameters(log)
    assert.equal(hex(string.pack("<i8fi4Bxc2", address, 2.0, -1, 1, "hi")), parameters[1])
    assert.equal(hex(string.pack("<i8fI4Bxc2", 4096, 0.5, 4294967295, 255, "ab")), parameters[2])
    assert.equal(hex(string.pack("<di2", 3.0, -2)), parameters[3]:sub(1, 20))
    assert.equal(hex(("x"):rep(128)), parameters[3]:sub(129))
    assert.truthy(log:find("launch add 3x1x1 32x2x1 0 ", 1, true))
    assert.truthy(log:find("launch add 1x2x3 64x1x1 16 ", 1, true))
  end)

  it("refuses wrong arguments before anything is launched, blaming the caller", function()
    local printed, log = on_fake [[
      local g = { grid = 1, block = 1 }
      local function with(...) return { grid = 1, block = 1, ... } end
      try(add.launch, add, with(b, 1, 2))
      try(add.launch, add, with(b, 1, 2.5, true, "hi"))
      try(add.launch, add, with(b, 1, 4294967296, true, "hi"))
      try(add.launch, add, with(b, 1, 2, 256, "hi"))
      try(add.launch, add, with(b, 1, 2, true, "three"))
      try(add.launch, add, with(b, 1, 2, true, 7))
      try(add.launch, add, with(b, b, 2, true, "hi"))
      try(add.launch, add, with({}, 1, 2, true, "hi"))
      try(add.launch, add, with(io.stdout, 1, 2, true, "hi"))
      try(wide.launch, wide, with(1, 2, b))
      b:free()
      try(add.launch, add, with(b, 1, 2, true, "hi"))
    ]]
    assert.equal(
      [[
kernel 'add' has 5 parameters, got 3 arguments
kernel 'add': argument 3 is a fraction, but the parameter is an integer (parameter of 4 bytes)
kernel 'add': argument 3 is an integer that does not fit the parameter (parameter of 4 bytes)
kernel 'add': argument 4 is an integer that does not fit the parameter (parameter of 1 bytes)
kernel 'add': argument 5 is a string of another size than the parameter (parameter of 2 bytes)
kernel 'add': argument 5 is a number, but the parameter is a struct: give its bytes as a string (parameter of 2 bytes)
kernel 'add': argument 2 is memory, but the parameter is no pointer (parameter of 4 bytes)
kernel 'add': argument 1 is of a type that no kernel takes (parameter of 8 bytes)
kernel 'add': argument 1 is an object without device memory (parameter of 8 bytes)
kernel 'wide': argument 3 is memory, but the parameter is no pointer (parameter of 128 bytes)
kernel 'add': argument 1 buffer was freed (parameter of 8 bytes)
]],
      printed
    )
    assert.equal("", log)
  end)

  it("refuses wrong options", function()
    local printed = on_fake [[
      try(fault.launch, fault, { block = 1 })
      try(fault.launch, fault, { grid = 1 })
      try(fault.launch, fault, { grid = 0, block = 1 })
      try(fault.launch, fault, { grid = { 1, 2, 3, 4 }, block = 1 })
      try(fault.launch, fault, { grid = 1.5, block = 1 })
      try(fault.launch, fault, { grid = 1, block = { 1024, 2 } })
      try(fault.launch, fault, { grid = { 1, 65536 }, block = 1 })
      try(fault.launch, fault, { grid = 1, block = 1, smem = -1 })
      try(fault.launch, fault, { grid = 1, block = 1, blocks = 1 })
      try(fault.launch, fault, { grid = 1, block = 1, stream = 1 })
      print(fault:launch { grid = 1, block = 1, smem = 300000 })
    ]]
    assert.equal(
      [[
launch: option 'grid' is missing
launch: option 'block' is missing
launch: option 'grid' is not a positive integer, or 1 to 3 of them
launch: option 'grid' has 1 to 3 integers
launch: option 'grid' is not a positive integer, or 1 to 3 of them
kernel 'fault' cannot have 2048 threads in a block: it has at most 1024
launch: a grid has at most 65535 blocks in y and z
launch: option 'smem' is not a count of bytes
launch: unknown option 'blocks'
option 'stream' is not a stream
nil	kernel 'fault' cannot have 300000 bytes of dynamic shared memory: a block has at most 232448, of which 0 are taken by the kernel itself	CUDA_ERROR
]],
      printed
    )
  end)

  it("that is bound takes its own arguments or others, and sees what was freed", function()
    local printed, log = on_fake [[
      local launch = add:bind { grid = 1, block = 1, b, 1, 2, false, "hi" }
      assert(launch() and launch(b, 3, 4, true, "ab") and launch())
      try(launch, b, 3)
      try(add:bind { grid = 1, block = 1 })
      b:free()
      try(launch)
    ]]
    local parameters = logged_parameters(log)
    assert.equal(3, #parameters)
    assert.equal(parameters[1], parameters[3])
    assert.equal(hex(string.pack("<fi4Bxc2", 3.0, 4, 1, "ab")), parameters[2]:sub(17))
    assert.equal(
      [[
kernel 'add' has 5 parameters, got 2 arguments
kernel 'add' has 5 parameters, got 0 arguments
kernel 'add': argument 1 buffer was freed (parameter of 8 bytes)
]],
      printed
    )
  end)

  it("raises the limit of shared memory by itself", function()
    local printed = on_fake [[
      print(fault:attributes().max_dynamic_shared_bytes)
      assert(m:kernel("other"):launch { grid = 1, block = 1, smem = 100000 })
      print(m:kernel("other"):attributes().max_dynamic_shared_bytes)
    ]]
    assert.equal("0\n100000\n", printed)
  end)

  it("that faults loses the device, by the kernel's name", function()
    local printed = on_fake [[
      assert(cuda.synchronize())
      assert(fault:launch { grid = 1, block = 1 })
      print((select(2, cuda.synchronize())))
      local first = select(2, cuda.alloc(8))
      for _, again in ipairs {
        table.pack(b:read()), table.pack(cuda.reset()), table.pack(fault:launch { grid = 1, block = 1 }),
      } do
        print(again[1], again[2] == first)
      end
      assert(cuda.device(1))
      print(#cuda.alloc(8))
    ]]
    assert.equal(
      [[
the context of cuda:0 is lost: an illegal memory access was encountered in kernel 'fault'; this process cannot use the device again
nil	true
nil	true
nil	true
8
]],
      printed
    )
  end)

  it("needs what belongs to the context at hand", function()
    local printed = on_fake [[
      local launch, stream = fault:bind { grid = 1, block = 1 }, assert(cuda.stream())
      assert(cuda.reset())
      try(b.read, b)
      try(fault.launch, fault, { grid = 1, block = 1 })
      try(launch)
      try(stream.synchronize, stream)
      print(#cuda.alloc(8), m:kernel "other")
    ]]
    assert.equal(
      [[
bad argument #1 to '?' (buffer was lost with its context)
bad argument #1 to '?' (kernel was lost with its context)
bad argument #1 to '?' (kernel was lost with its context)
bad argument #1 to '?' (stream was lost with its context)
8	cuda.Kernel (other, 0 parameters)
]],
      printed
    )
  end)

  it("that hangs can be waited for within a limit, and is timed no longer than that", function()
    local printed = on_fake [[
      local hang, s = assert(m:kernel "hang"), assert(cuda.stream())
      assert(hang:launch { grid = 1, block = 1 })
      print(s:synchronize(0.02))
      print(cuda.synchronize(0, 0.015))
      print(assert(cuda.event()):record(s):synchronize(0.01))
      print(cuda.device(1))
      print(cuda.time(assert(m:kernel "hang"):bind { grid = 1, block = 1 }, { timeout = 0.03 }))
    ]]
    assert.equal(
      [[
nil	cuda:0 is still busy after 0.02 s	REFUSED
nil	cuda:0 is still busy after 0.015 s	REFUSED
nil	cuda:0 is still busy after 0.01 s	REFUSED
1
nil	cuda:1 is still busy after 0.03 s	REFUSED
]],
      printed
    )
  end)

  it("that hangs does not keep Ctrl-C from ending the wait", function()
    local process = require "hone.process"
    local child <close> = assert(process.start {
      os.getenv "HONE_BIN" or "build/hone",
      "-e",
      "local cuda = require 'hone.cuda'; " .. SETUP .. [[
        assert(assert(m:kernel "hang"):launch { grid = 1, block = 1 })
        print("waiting") io.stdout:flush()
        cuda.synchronize()
      ]],
      env = { HONE_LIBCUDA = support.fake_driver() },
    })
    assert.equal("waiting", child:lines()())
    assert(child:kill "SIGINT")
    local result = assert(child:wait(5))
    assert.equal(130, result.status)
    assert.equal("hone: interrupted\n", result.stderr)
  end)

  it("names all that may have faulted, the last first", function()
    local printed = on_fake [[
      assert(cuda.synchronize())
      for _, name in ipairs { "other", "spin", "other", "fault" } do
        local arguments = name == "spin" and { 5 } or {}
        arguments.grid, arguments.block = 1, 1
        assert(m:kernel(name):launch(arguments))
      end
      print(select(2, cuda.synchronize()))
    ]]
    assert.truthy(
      printed:find("in one of the kernels 'fault', 'other', 'spin' (CUDA_LAUNCH_BLOCKING=1", 1, true)
    )
  end)
end)

describe("device memory", function()
  if not support.fake_driver() then return pending "no C compiler for the fake driver" end

  it("is written, filled, read and copied, within its bounds", function()
    local printed = on_fake [[
      b:fill(45):write("hello", 3)
      print(b:read(0, 10), #b, b:size(), b:device())
      local c = assert(cuda.alloc(8))
      c:fill(46):copy(b, 2, 3, 5)
      print(c:read(), #cuda.alloc(0):read())
      try(b.write, b, "xyz", 98)
      try(b.read, b, 101)
      try(b.read, b, 50, 51)
      try(c.copy, c, b)
      try(b.fill, b, 256)
      try(cuda.alloc, -1)
      b:free()
      try(b.read, b)
      print(b)
    ]]
    assert.equal(
      [[
---hello--	100	100	0
..hello.	0
bad argument #2 to '?' (data does not fit the buffer)
bad argument #2 to '?' (offset lies outside of the buffer)
bad argument #3 to '?' (range does not fit the buffer)
bad argument #4 to '?' (range does not fit the buffer)
bad argument #2 to '?' (not a byte)
bad argument #1 to 'alloc' (size is negative)
bad argument #1 to '?' (buffer was freed)
cuda.Buffer (buffer was freed)
]],
      printed
    )
  end)

  it("is counted, and is given back when a variable closes", function()
    local printed = on_fake [[
      local before = cuda.memory().used
      do local big <close> = cuda.alloc(5000) end
      local after = cuda.memory()
      print(after.used - before, after.peak - before)
      cuda.reset_peak()
      print(cuda.memory().peak == cuda.memory().used)
    ]]
    assert.equal("0\t5000\ntrue\n", printed)
  end)

  it("that is garbage makes room when there is none", function()
    local printed = on_fake(
      [[
      for _ = 1, 50 do assert(cuda.alloc(40000)) end
      collectgarbage("stop")
      for _ = 1, 50 do assert(cuda.alloc(40000)) end
      print(cuda.alloc(200000))
    ]],
      { FAKE_CUDA_MEMORY = "100000" }
    )
    assert.matches(
      "^nil\tcannot allocate 195.3 KiB on cuda:0: out of memory %(97.%d KiB of 97.7 KiB are free, 100 B are "
        .. "in use here%)\tCUDA_ERROR_OUT_OF_MEMORY\n$",
      printed
    )
  end)

  it("lies on the chosen device, and is copied between devices", function()
    local printed = on_fake [[
      b:fill(65)
      print(cuda.device(1), cuda.device())
      local c = assert(cuda.alloc(4))
      print(c:copy(b, 0, 0, 4):read(), c:device())
      try(add.launch, add, { grid = 1, block = 1, c, 1, 2, true, "hi" })
      print(m:kernel("add"):launch { grid = 1, block = 1, c, 1, 2, true, "hi" })
      print(cuda.device(7))
    ]]
    assert.equal(
      [[
1	1
AAAA	1
kernel 'add': argument 1 lies on another device than the kernel (parameter of 8 bytes)
true
nil	there is no cuda:7: this machine has 2 CUDA devices	REFUSED
]],
      printed
    )
  end)

  it("is described by tensor maps, outermost dimension first", function()
    local printed = on_fake [[
      local map = assert(cuda.tensor_map {
        data = b, type = "bfloat16", shape = { 4, 8 }, box = { 2, 4 }, swizzle = "128B" })
      local type, rank, address, inner, box, swizzle = string.unpack("<i8i8i8i8i8i8", map:bytes())
      print(type, rank, address == b:address(), inner, box, swizzle, #map:bytes())
      assert(wide:launch { grid = 1, block = 1, 1, 2, map })
      try(wide.launch, wide, { grid = 1, block = 1, map, 2, map })
      try(cuda.tensor_map, { data = b, type = "bfloat17", shape = { 4 }, box = { 2 } })
      try(cuda.tensor_map, { data = b, type = "float32", shape = { 4, 0 }, box = { 2, 1 } })
      try(cuda.tensor_map, { data = b, type = "float32", shape = { 4, 8 }, box = { 2 } })
    ]]
    assert.equal(
      [[
9	2	true	8	4	3	128
kernel 'wide': argument 1 is a tensor map, which the parameter is not (parameter of 8 bytes)
tensor_map: option 'type' is not a type of elements
tensor_map: option 'shape' holds what is not a positive integer
tensor_map: option 'box' does not have a number for each of 1 to 5 dimensions
]],
      printed
    )
  end)
end)

describe("streams and graphs", function()
  if not support.fake_driver() then return pending "no C compiler for the fake driver" end

  it("order and time work", function()
    local printed = on_fake [[
      local s = assert(cuda.stream())
      local start, stop = assert(cuda.event()), assert(cuda.event())
      start:record(s)
      assert(spin:launch { grid = 1, block = 1, stream = s, 2000 })
      stop:record(s)
      print(("%.3g"):format(start:elapsed(stop)), s:wait(stop) == s, s:wait(assert(cuda.stream())) == s)
      print(s:synchronize(), s:is_idle(), s:with(function(a) return a, cuda.priorities() end, "given"))
      s:close()
      try(s.synchronize, s)
      try(spin.launch, spin, { grid = 1, block = 1, stream = s, 1 })
    ]]
    assert.equal(
      [[
2e-06	true	true
true	true	given	0	-5
bad argument #1 to '?' (stream was closed)
the stream was closed
]],
      printed
    )
  end)

  it("replay what a function launched, and keep what it used", function()
    local printed, log = on_fake [[
      local launch = spin:bind { grid = 1, block = 1 }
      local graph
      do
        local buffer = assert(cuda.alloc(64))
        graph = assert(cuda.graph(function()
          launch(5)
          assert(add:launch { grid = 1, block = 1, buffer, 1, 2, true, "hi" })
        end))
      end
      collectgarbage() collectgarbage()
      print(graph:nodes(), cuda.memory().used, graph(), graph:launch(assert(cuda.stream())))
    ]]
    assert.equal("2\t164\ttrue\ttrue\n", printed)
    local _, launches = log:gsub("launch spin", "")
    assert.equal(2, launches)
  end)

  it("let an error in the captured function through, and go on", function()
    local printed = on_fake [[
      try(cuda.graph, function() error("mine", 0) end)
      try(cuda.graph, function() error(select(2, cuda.alloc(8)), 0) end)
      try(cuda.graph, function() error(select(2, cuda.graph(print)), 0) end)
      print(#cuda.alloc(8), cuda.graph(function() end):nodes())
    ]]
    assert.equal(
      [[
mine
cannot allocate on cuda:0 while a graph is captured
a graph is already being captured
8	0
]],
      printed
    )
  end)
end)

describe("cuda.time", function()
  if not support.fake_driver() then return pending "no C compiler for the fake driver" end

  it("measures what a function launches, and says why it stopped", function()
    local printed = on_fake [[
      local r = assert(cuda.time(spin:bind { grid = 1, block = 1, 2000 }, { bytes = 2000, flops = 4000 }))
      print(("%.4g %.4g %.4g"):format(r.median * 1e6, r.bytes_per_second / 1e9, r.flops_per_second / 1e9))
      print(r.blocked, r.outside, #r.samples == r.count, r.count >= 20, r.reason)
      print(("%.4g"):format(assert(cuda.time(function() spin:launch { grid = 1, block = 1, 3000 } end,
        { clock = "graph", cold = false, block = false })).median * 1e6))
    ]]
    assert.equal(
      [[
2 1 2
true	0	true	true	the noise, 0.00 %, is within 0.50 %
3
]],
      printed
    )
  end)

  it("knows to within half a step what a device shows that looks only now and then", function()
    local printed = on_fake(
      [[
      for _, nanoseconds in ipairs { 2000, 2070, 2140, 10100 } do
        local launch = spin:bind { grid = 1, block = 1, nanoseconds }
        for _, clock in ipairs { "events", "graph" } do
          local r = assert(cuda.time(launch, { clock = clock, body = true, max_time = 0.05 }))
          local error = math.abs(r.median * 1e9 - nanoseconds)
          print(error < 112 or error, r.resolution > 0.16e-6 and r.resolution < 0.214e-6, r.resolved)
        end
      end
      print(assert(cuda.time(spin:bind { grid = 1, block = 1, 500 }, { body = true })).resolved)
    ]],
      { FAKE_CUDA_STEP = "214" }
    )
    assert.equal(("true\ttrue\ttrue\n"):rep(8) .. "false\n", printed)
  end)

  it("passes on what the function refuses or raises, and can be used again", function()
    local printed = on_fake [[
      print(cuda.time(function() return nil, "no luck" end))
      try(cuda.time, function() error("mine", 0) end)
      try(cuda.time, 5)
      try(cuda.time, print, { colt = true })
      try(cuda.time, print, { clock = "sundial" })
      try(cuda.time, print, { min_samples = 0 })
      try(cuda.time, print, { noise = "low" })
      print(cuda.time(fault:bind { grid = 1, block = 1 }))
    ]]
    assert.equal(
      [[
nil	no luck	nil
mine
bad argument #1 to 'time' (function expected, got number)
time: unknown option 'colt'
time: option 'clock' is sundial, not one of auto, events, graph, cupti
time: option 'min_samples' is 0, not a positive integer
time: option 'noise' is a string, not a number
nil	the context of cuda:0 is lost: an illegal memory access was encountered in kernel 'fault'; this process cannot use the device again	CUDA_ERROR_ILLEGAL_ADDRESS
]],
      printed
    )
  end)

  it("drops samples at low clocks and counts them, but never most of them", function()
    local code = [[
      local r = assert(cuda.time(spin:bind { grid = 1, block = 1, 2000 }, { min_time = 0.05 }))
      print(r.throttled > 0, r.throttled == r.dropped, r.sm_clock, r.sm_clock_max, #r.samples == r.count)
    ]]
    assert.equal("true\ttrue\t1900\t2000\ttrue\n", on_fake(code))
    assert.equal("true\tfalse\t1000\t2000\ttrue\n", on_fake(code, { FAKE_NVML_LOW = "1" }))
  end)

  it("compares two in turn", function()
    local printed = on_fake [[
      local function spins(n) return spin:bind { grid = 1, block = 1, n } end
      for _, n in ipairs { 1000, 2000, 2001, 3000 } do
        local r = assert(cuda.compare(spins(n), spins(2000), { throttle = 0 }))
        print(r.verdict, ("%.2f"):format(r.ratio), r.confidence >= 0.99, r.pairs)
      end
    ]]
    assert.equal(
      [[
faster	0.50	true	16
same	1.00	true	16
same	1.00	true	16
slower	1.50	true	16
]],
      printed
    )
  end)
end)

describe("ranges", function()
  local CODE = [[
    print(cuda.range_push "outer")
    print(cuda.mark "here", cuda.range("inner", function(...) return "result", ... end, 1, nil))
    print(pcall(cuda.range, "failing", function() error("mine", 0) end))
    cuda.range_pop()
    print((select(2, pcall(cuda.range, 5, print)):gsub("^.-: ", "")))
  ]]

  it(
    "are nothing when no profiler listens",
    function()
      assert.equal(
        [[
false	no profiler listens (NVTX_INJECTION64_PATH is not set)
false	result	1	nil
false	mine
bad argument #1 to 'range' (string expected, got number)
]],
        (support.on_fake(CODE:gsub('cuda.mark "here"', "(cuda.mark 'here')"), { NVTX_INJECTION64_PATH = "" }))
      )
    end
  )

  it("are told to NVTX's library, and end when their function raises an error", function()
    local folder <close> = assert(fs.tempdir())
    local library = fs.join(folder.path, "libnvtx3interop.so.1")
    local built = require("hone.process").run {
      "cc",
      "-shared",
      "-fPIC",
      "-o",
      library,
      "spec/support/fake_nvtx.c",
    }
    if not built or built.status ~= 0 then return pending "no C compiler" end
    local environment = { NVTX_INJECTION64_PATH = "/a/profiler", LD_LIBRARY_PATH = folder.path }
    assert.equal(
      [[
push outer
true	nil
mark here
push inner
pop
true	result	1	nil
push failing
pop
false	mine
pop
bad argument #1 to 'range' (string expected, got number)
]],
      (
        support.on_fake(
          "io.stdout:setvbuf 'no' " .. CODE:gsub('cuda.mark "here"', "(cuda.mark 'here')"),
          environment
        )
      )
    )
  end)
end)

describe("statistics", function()
  local function close(expected, actual)
    assert.is_true(math.abs(expected - actual) < 1e-9 * math.max(1, math.abs(expected)), actual)
  end

  it("describe numbers", function()
    local s = core.summary({ 5, 1, 4, 2, 3 }, 0.9)
    assert.same({ 5, 3, 1, 5, 3 }, { s.count, s.median, s.min, s.max, s.mean })
    close(math.sqrt(2.5), s.stddev)
    close(1.4, s.p10)
    close(4.6, s.p90)
    close(2.5, core.summary({ 1, 2, 3, 4 }, 0.9).median)
    assert.has_error(function() core.summary({}, 0.9) end)
  end)

  it("bound the median by order statistics", function()
    local numbers = {}
    for i = 1, 10 do
      numbers[i] = i
    end
    local s = core.summary(numbers, 0.95) -- the book: ranks 2 and 9 of ten, 97.85 %
    assert.same({ 2, 9 }, { s.median_low, s.median_high })
    close(1 - 2 * (1 + 10) / 1024, s.confidence)
    local few = core.summary({ 1, 2, 3 }, 0.95)
    assert.same({ 1, 3 }, { few.median_low, few.median_high })
    close(0.75, few.confidence)
  end)

  local LIMITS =
    { stop = "noise", noise = 0.01, min_time = 0, max_time = 1e9, min_samples = 10, max_samples = 1000 }
  local function limits(changes) return setmetatable(changes, { __index = LIMITS }) end

  -- Times around 1 whose spread is `noise`, by a generator with a seed of its own.
  local function noisy(n, noise)
    local seed, times = 12345, {}
    for i = 1, n do
      local sum = 0
      for _ = 1, 12 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        sum = sum + seed / 2147483648
      end
      times[i] = 1 + noise * (sum - 6)
    end
    return times
  end

  it("stop at once when there is no noise, but not before the least number", function()
    local enough, why = core.stop_after(noisy(100, 0.001), limits {})
    assert.equal(10, enough)
    assert.truthy(why:find "^the noise, 0.%d+ %%, is within 1.00 %%$")
    assert.equal(50, (core.stop_after(noisy(100, 0.001), limits { min_time = 49.5 })))
  end)

  it("stop when the noise no longer changes", function()
    local enough, why = core.stop_after(noisy(1000, 0.05), limits {})
    assert.is_true(enough > 64 and enough < 500, enough)
    assert.truthy(why:find "no longer changes")
  end)

  it("stop when the entropy no longer grows", function()
    local enough, why = core.stop_after(noisy(1000, 0.002), limits { stop = "entropy" })
    assert.is_true(enough >= 128 and enough < 1000, enough)
    assert.truthy(why:find "entropy")
  end)

  it("stop at the limits", function()
    local _, why = core.stop_after(noisy(100, 0.5), limits { max_samples = 30, min_samples = 30 })
    assert.equal("max_samples, 30, was reached", why)
    _, why = core.stop_after(noisy(100, 0.5), limits { max_time = 40 })
    assert.equal("max_time, 40 s, was reached", why)
    assert.same({ nil, "there are not enough" }, { core.stop_after(noisy(20, 0.5), limits {}) })
  end)

  it("judge pairs, and do not judge few or noisy ones", function()
    local a, b = noisy(64, 0.01), noisy(64, 0.01)
    table.sort(b, function(x, y) return math.sin(x * 1e6) < math.sin(y * 1e6) end)
    local function scaled(list, by)
      local out = {}
      for i, x in ipairs(list) do
        out[i] = x * by
      end
      return out
    end
    assert.equal("faster", core.judge(scaled(a, 0.9), b, 0.99, 0.01).verdict)
    assert.equal("slower", core.judge(scaled(a, 1.1), b, 0.99, 0.01).verdict)
    assert.equal("same", core.judge(a, b, 0.99, 0.02).verdict)
    assert.equal("undecided", core.judge(a, b, 0.99, 0.00001).verdict)
    assert.equal("undecided", core.judge({ 1, 1 }, { 9, 9 }, 0.99, 0.01).verdict)
  end)
end)

describe("hone.cuda.ptx", function()
  local ptx = require "hone.cuda.ptx"

  it("reads the kinds of parameters", function()
    assert.same({
      { name = "add", kinds = "ifiib" },
      { name = "wide", kinds = "fib" },
      { name = "spin", kinds = "i" },
      { name = "fault", kinds = "" },
      { name = "other", kinds = "" },
      { name = "hang", kinds = "" },
    }, ptx.kernels(PTX))
    assert.same(
      { { name = "_Z1kPf", kinds = "i" } },
      ptx.kernels ".weak .entry _Z1kPf(\n\t.param .u64 .ptr .align 1 _Z1kPf_param_0\n)\n.maxntid 128\n{"
    )
  end)

  it("knows the plain name in a C++ name", function()
    assert.equal("scale", ptx.plain_name "_Z5scaleIfEvPT_")
    assert.is_nil(ptx.plain_name "scale")
  end)
end)

describe("hone.cuda.cache", function()
  local cache = require "hone.cuda.cache"

  it("has different keys for different parts", function()
    assert.equal(cache.key { "a", "b" }, cache.key { "a", "b" })
    assert.not_equal(cache.key { "ab", "" }, cache.key { "a", "b" })
    assert.not_equal(cache.key { "a" }, cache.key { "a", "" })
  end)

  it("keeps strings, and distrusts what was changed", function()
    local key = cache.key { "a spec's", os.time() }
    local parts = { "\0\1", "", ("x"):rep(1000) }
    assert.is_nil(cache.get(key))
    assert.is_true(cache.put(key, parts))
    assert.same(parts, cache.get(key))
    local path = fs.join(fs.cache_dir(), "kernels", key:sub(1, 2), key)
    local data = assert(fs.read(path))
    fs.write(path, data:sub(1, -2) .. "y")
    assert.is_nil(cache.get(key))
    fs.write(path, data:sub(1, 40))
    assert.is_nil(cache.get(key))
    fs.remove(path)
  end)
end)

describe("cuda.compile", function()
  local has_nvrtc = cuda.versions().nvrtc ~= nil

  it("refuses wrong arguments, blaming the caller", function()
    local numbers = { include = { 1 } }
    for mistake, call in pairs {
      ["bad argument #1 to 'compile' (string expected, got nil)"] = function() cuda.compile() end,
      ["bad argument #1 to 'compile' (source contains a zero byte)"] = function() cuda.compile "\0" end,
      ["bad argument #2 to 'compile' (table expected, got number)"] = function() cuda.compile("", 1) end,
      ["compile: unknown option 'opts'"] = function() cuda.compile("", { opts = {} }) end,
      ["compile: option 'std' is a number, not a string"] = function() cuda.compile("", { std = 17 }) end,
      ["compile: option 'include' holds a number at 1"] = function() cuda.compile("", numbers) end,
      ["compile: option 'arch' is '90', not something like sm_90a"] = function()
        cuda.compile("", { arch = "90" })
      end,
      ["compile: option 'headers' maps names to the text of headers"] = function()
        cuda.compile("", { headers = { "x" } })
      end,
    } do
      local ok, why = pcall(call)
      assert.is_false(ok)
      assert.equal(mistake, why:match "^[^ ]*cuda_spec.lua:%d+: (.*)$")
    end
  end)

  if not has_nvrtc then return pending "no NVRTC" end

  local cache_folder
  before_each(function() cache_folder = fs.join(fs.cache_dir(), "kernels") end)

  -- A source that no other spec and no other run has compiled.
  local function fresh(source) return ("// %d %s\n%s"):format(os.time(), tostring({}), source) end

  it("makes machine code and tells the kernels, without a device", function()
    local m =
      assert(cuda.compile('extern "C" __global__ void f(float *x, double d, bool b) {}', { arch = "sm_90a" }))
    assert.equal("\127ELF", m.image:sub(1, 4))
    assert.same({ "f" }, m:kernels())
    assert.same({ { name = "f", kinds = "ifi" } }, require("hone.cuda.ptx").kernels(m.ptx))
    assert.equal("sm_90a", m.arch)
  end)

  it("finds CUDA's own headers", function()
    if #cuda.versions().include == 0 then return pending "no CUDA headers" end
    assert(cuda.compile(
      [[
      #include <cuda_fp16.h>
      #include <cuda_bf16.h>
      #include <cuda/std/array>
      extern "C" __global__ void f(__half *x) { *x = __float2half(1); }
    ]],
      { arch = "sm_90" }
    ))
  end)

  it("tells errors by the caller's file and line, when the source is in it", function()
    local first_line = debug.getinfo(1, "l").currentline
    local source = [[
      __global__ void f() {
        int x = missing;
      }
    ]]
    local m, why, code, log = cuda.compile(source, { arch = "sm_90" })
    assert.is_nil(m)
    assert.equal("ECOMPILE", code)
    local line = ('cuda_spec.lua(%d): error: identifier "missing" is undefined'):format(first_line + 3)
    assert.truthy(why:find(line, 1, true), why)
    assert.truthy(log:find(line, 1, true))
  end)

  it("tells errors by the given name, and by that of the header", function()
    local _, why = cuda.compile(
      '#include "mine.h"\n',
      { arch = "sm_90", name = "a.cu", headers = { ["mine.h"] = "\nint x = missing;\n" } }
    )
    assert.truthy(why:find("cannot compile a.cu:\n", 1, true))
    assert.truthy(why:find("mine.h(2): error", 1, true), why)
  end)

  it("refuses options that NVRTC does not know", function()
    local _, why = cuda.compile("", { arch = "sm_90", options = { "--no-such-option" } })
    assert.truthy(why:find "no%-such%-option", why)
  end)

  it("instantiates templates by name", function()
    local m = assert(
      cuda.compile(
        "template <class T> __global__ void scale(T *x) { *x *= 2; }",
        { arch = "sm_90", kernels = { "scale<float>", "scale<double>" } }
      )
    )
    assert.equal(2, #m:kernels())
  end)

  it("keeps results on disk by content, options and architecture", function()
    local source = fresh 'extern "C" __global__ void f() {}'
    local function cached(options)
      options.arch = options.arch or "sm_90"
      return assert(cuda.compile(source, options)).cached
    end
    assert.is_false(cached {})
    assert.is_true(cached {})
    assert.is_false(cached { arch = "sm_80" })
    assert.is_false(cached { options = { "-lineinfo" } })
    assert.is_false(cached { std = "c++20" })
    assert.is_false(cached { cache = false })
    assert.is_true(fs.is_dir(cache_folder))
  end)

  it("can be asked by several processes at once", function()
    local code = ("print(#assert(require('hone.cuda').compile(%q, { arch = 'sm_90' })).image)"):format(
      fresh 'extern "C" __global__ void f(float *x) { *x = 1; }'
    )
    local commands = {}
    for i = 1, 4 do
      commands[i] = { os.getenv "HONE_BIN" or "build/hone", "-e", code }
    end
    local results = require("hone.process").run_all(commands, { max = 4 })
    for _, result in ipairs(results) do
      assert.equal("", result.stderr)
      assert.equal(results[1].stdout, result.stdout)
    end
  end)

  it("sees that a header on disk has changed, also one that is included by another", function()
    local folder <close> = assert(fs.tempdir())
    fs.write(fs.join(folder.path, "outer.h"), '#include "inner.h"\n')
    fs.write(fs.join(folder.path, "inner.h"), "#define VALUE 1\n")
    local source = fresh '#include <outer.h>\nextern "C" __global__ void f(int *x) { *x = VALUE; }'
    local options = { arch = "sm_90", include = { folder.path } }
    assert.is_false(assert(cuda.compile(source, options)).cached)
    assert.is_true(assert(cuda.compile(source, options)).cached)
    fs.write(fs.join(folder.path, "inner.h"), "#define VALUE 2\n")
    assert.is_false(assert(cuda.compile(source, options)).cached)
  end)

  it("compiles a file, which includes what lies beside it", function()
    local folder <close> = assert(fs.tempdir())
    local path = fs.join(folder.path, "k.cu")
    fs.write(fs.join(folder.path, "k.h"), "#define NAME f\n")
    fs.write(path, '#include "k.h"\nextern "C" __global__ void NAME() {}')
    assert.same({ "f" }, assert(cuda.compile_file(path, { arch = "sm_90" })):kernels())
    fs.write(path, "oops")
    local _, why = cuda.compile_file(path, { arch = "sm_90" })
    assert.truthy(why:find(path .. "(1): error", 1, true), why)
    assert.equal("ENOENT", select(3, cuda.compile_file(path .. ".none")))
  end)
end)

describe("cuda.nvcc", function()
  if not cuda.versions().nvcc_path then return pending "no nvcc" end

  it("compiles as compile does, and is cached", function()
    local source = ('// %d\nextern "C" __global__ void f(float *x, int n) {}'):format(os.time())
    local m = assert(cuda.nvcc(source, { arch = "sm_90a" }))
    assert.equal("\127ELF", m.image:sub(1, 4))
    assert.same({ { name = "f", kinds = "ii" } }, require("hone.cuda.ptx").kernels(m.ptx))
    assert.is_false(m.cached)
    assert.is_true(assert(cuda.nvcc(source, { arch = "sm_90a" })).cached)
  end)

  it("tells errors by the caller's file and line", function()
    local first_line = debug.getinfo(1, "l").currentline
    local source = [[
      int x = missing;
    ]]
    local _, why, code = cuda.nvcc(source, { arch = "sm_90" })
    assert.equal("ECOMPILE", code)
    assert.truthy(why:find(("cuda_spec.lua(%d): error"):format(first_line + 2), 1, true), why)
  end)
end)

describe("cuda.load", function()
  it("refuses what is no module", function()
    assert.has_error(function() cuda.load() end)
    local _, why, code = cuda.load "neither"
    assert.equal("cannot load a module: it is neither a cubin, a fatbin nor PTX", why)
    assert.equal("EINVAL", code)
  end)
end)
