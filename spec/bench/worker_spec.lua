--- A worker as its judge sees it.
local benchmarks = require "support.benchmarks"
local arena = require "hone.bench.arena"
local build = require "hone.bench.build"
local fs = require "hone.fs"
local json = require "hone.json"
local pool = require "hone.bench.pool"
local slots = require "hone.bench.slots"
local tensor = require "hone.tensor"
local worker = require "hone.bench.worker"

local DEFINITION = assert(json.decode(benchmarks.DEFINITION:format "double"))
local VALUES = {
  { name = "x", dtype = "float32", shape = { 3 } },
  { name = "y", dtype = "float32", shape = { 3 }, is_output = true },
}

describe("a worker", function()
  local folder, memory

  setup(function()
    folder = assert(fs.tempdir "hone-spec-worker-")
    memory = assert(arena.new("cpu", 1 << 16))
  end)
  teardown(function()
    memory:close()
    folder:remove()
  end)

  local function artefact_of(solution)
    solution.name, solution.definition = "case", "double"
    local artefact, why, log = build.solution(DEFINITION, solution, { cache = folder.path, device = "cpu" })
    return assert(artefact, ("%s %s"):format(why, log))
  end

  local function started(solution, options)
    local artefact = artefact_of(solution)
    local one = assert(
      worker.start { kind = artefact.worker, device = "cpu", file_limit = options and options.file_limit }
    )
    assert(one:load(artefact))
    assert(one:map(memory))
    return one
  end

  local function call(one, timeout)
    local list = slots.make(memory, VALUES, 3)
    for _, slot in ipairs(list) do
      slot.views[1]:copy_(tensor.new { 1.0, 2.0, 3.0 })
    end
    local reply, why, code =
      one:calls { values = VALUES, inputs = 1, slots = list, warmup = 1, timeout = timeout or 30 }
    return reply, why or list, code
  end

  for name, solution in pairs {
    native = benchmarks.cpp(benchmarks.RIGHT),
    lua = benchmarks.lua "return x * 2",
  } do
    it("makes calls in the judge's memory and says what they took: " .. name, function()
      local one <close> = started(solution)
      local reply, list = call(one)
      assert.truthy(reply, list)
      assert.equal(2, #reply.seconds)
      for _, slot in ipairs(list) do
        assert.same({ 2.0, 4.0, 6.0 }, slot.views[2]:tolist())
      end
      for _, seconds in ipairs(reply.seconds) do
        assert.is_true(seconds > 0)
      end
      assert.is_true(one:alive())
    end)
  end
  it("comes up beside us, and says whether it has", function()
    local one <close> = assert(worker.start { kind = "native", device = "cpu" })
    assert(one:ready())
    assert.is_true(one:is_here())
    assert.is_true(one:alive())
  end)
  it("calls nothing before something is loaded, or where no memory is", function()
    local one <close> = assert(worker.start { kind = "native", device = "cpu" })
    local reply, why, code = call(one)
    assert.is_nil(reply)
    assert.equal("RUNTIME_ERROR", code)
    assert.equal("nothing is loaded", why)
    local other <close> = started(benchmarks.cpp(benchmarks.RIGHT))
    assert(other:unmap())
    reply, why, code = call(other)
    assert.is_nil(reply)
    assert.equal("RUNTIME_ERROR", code)
    assert.is_true(#why > 0)
    assert(other:map(memory))
    assert.truthy((call(other)))
  end)
  it("refuses slots that lie outside of the memory", function()
    local one <close> = started(benchmarks.cpp(benchmarks.RIGHT))
    local far = { { offsets = { memory.bytes - 4, 0 } } }
    local reply, why = one:calls { values = VALUES, inputs = 1, slots = far, warmup = 0, timeout = 5 }
    assert.is_nil(reply)
    assert.is_true(#why > 0)
    assert.is_true(one:alive())
  end)
  it("is of no use after a crash or a hang, and says which it was", function()
    for body, expected in pairs {
      ["abort();"] = { "CRASH", "signal 6" },
      ["_exit(3);"] = { "CRASH", "exit status 3" },
      ["for (;;) ;"] = { "TIMEOUT", "nothing came within 1 s" },
    } do
      local one <close> = started(benchmarks.cpp(body))
      local reply, why, code = call(one, 1)
      assert.is_nil(reply)
      assert.equal(expected[1], code)
      assert.truthy(why:find(expected[2], 1, true), why)
      assert.is_false(one:alive())
      reply, why, code = call(one)
      assert.is_nil(reply)
      assert.equal("CRASH", code)
      assert.equal("the worker's process has ended", why)
    end
  end)
  it("is not believed when a solution writes to the judge itself", function()
    for _, size in ipairs { 16, 64, 4096 } do
      local forge =
        "char forged[%d]; memset(forged, 'A', sizeof forged); if (write(3, forged, %d) < 0) return;"
      local body = forge:format(size, size)
      local one <close> = started(benchmarks.cpp(body .. benchmarks.RIGHT))
      local reply, why, code = call(one)
      assert.is_nil(reply)
      assert.equal("CRASH", code)
      assert.truthy(why:find("it is not believed", 1, true), why)
      assert.is_false(one:alive())
    end
  end)
  it("keeps what is printed since it was last asked", function()
    local one <close> = started(benchmarks.cpp([[printf("a line\n");]] .. benchmarks.RIGHT))
    assert.truthy((call(one)))
    assert.equal("a line\na line\na line\n", one:log())
    assert.equal("", one:log())
  end)
  it("writes no larger files than it may", function()
    local path = folder.path .. "/large"
    local body = ([[FILE *f = fopen("%s", "w"); static char text[1 << 16];
      if (f) { for (int i = 0; i < 64; i++) fwrite(text, 1, sizeof text, f); fclose(f); }]]):format(path)
    local one <close> = started(benchmarks.cpp(body .. benchmarks.RIGHT), { file_limit = 1 << 20 })
    assert.truthy((call(one)))
    assert.equal(1 << 20, fs.size(path))
  end)

  describe("in a pool", function()
    local right, other

    setup(function()
      right = artefact_of(benchmarks.cpp(benchmarks.RIGHT))
      other = artefact_of(benchmarks.cpp "abort();")
    end)

    it("is kept over the workloads of its solution", function()
      local workers <close> = pool.new { device = "cpu" }
      local one = assert(workers:get("right", right, 30))
      workers:put "right"
      assert.is_true(workers:has "right")
      assert.equal(one, (workers:get("right", right, 30)))
      workers:drop { "right" }
      assert.is_false(workers:has "right")
      assert.is_false(one:alive())
    end)
    it("is replaced when it has ended, and isolated when that is asked for", function()
      local workers <close> = pool.new { device = "cpu" }
      local one = assert(workers:get("other", other, 30))
      assert(one:map(memory))
      assert.is_nil((call(one)))
      workers:put "other"
      assert.is_false(workers:has "other")
      local again = assert(workers:get("other", other, 30))
      assert.is_true(again:alive())
      local isolated <close> = pool.new { device = "cpu", isolated = true }
      local first = assert(isolated:get("right", right, 30))
      isolated:put "right"
      assert.is_false(first:alive())
      assert.is_false(isolated:has "right")
    end)
    it("makes room for others", function()
      local workers <close> = pool.new { device = "cpu" }
      local first = assert(workers:get("1", right, 30))
      for i = 2, 11 do
        assert(workers:get(tostring(i), right, 30))
        workers:put(tostring(i))
      end
      assert.is_false(first:alive())
      assert.is_false(workers:has "1")
      assert.is_true(workers:has "11")
    end)
    it("says why it cannot load, with what was printed", function()
      local workers <close> = pool.new { device = "cpu" }
      local missing = {}
      for key, value in pairs(right) do
        missing[key] = value
      end
      missing.library = folder.path .. "/nowhere.so"
      local one, why, code = workers:get("missing", missing, 30)
      assert.is_nil(one)
      assert.equal("COMPILE_ERROR", code)
      assert.truthy(why:find("nowhere.so", 1, true), why)
      assert.is_false(workers:has "missing")
    end)
  end)
end)
