local parallel = require "hone.parallel"
local process = require "hone.process"

describe("parallel.run", function()
  it("returns what each piece of work returned", function()
    local results = parallel.run {
      function(await) return await({ "printf", "a" }).stdout, await({ "printf", "b" }).stdout end,
      function() return nil, "no command at all" end,
      function(await) return await({ "sh", "-c", "exit 3" }).status end,
    }
    assert.same({ "a", "b", n = 2 }, results[1])
    assert.same({ nil, "no command at all", n = 2 }, results[2])
    assert.same({ 3, n = 1 }, results[3])
    assert.same({}, parallel.run {})
  end)

  it("lets the others go on while one waits", function()
    local order = {}
    local function work(name, ...)
      local pauses = { ... }
      return function(await)
        for i, seconds in ipairs(pauses) do
          await { "sleep", seconds }
          order[#order + 1] = name .. i
        end
      end
    end
    parallel.run { work("slow", 0.6), work("quick", 0.1, 0.1) }
    assert.same({ "quick1", "quick2", "slow1" }, order)
  end)

  it("says in the piece of work why a command could not be run", function()
    local results = parallel.run { function(await) return await { "no-such-program-at-all" } end }
    assert.is_nil(results[1][1])
    assert.equal("cannot run no-such-program-at-all: not found in PATH", results[1][2])
  end)

  it("ends and closes all of them when one raises", function()
    local closed = {}
    local function work(name, seconds)
      return function(await)
        local _ <close> = setmetatable({}, { __close = function() closed[name] = true end })
        await { "sleep", seconds }
        error("no luck")
      end
    end
    local started = os.time()
    local ok, why = pcall(parallel.run, { work("a", 30), work("b", 0.05) })
    assert.is_false(ok)
    assert.matches("parallel_spec%.lua:%d+: no luck\nstack traceback:", why)
    assert.same({ a = true, b = true }, closed)
    assert.is_true(os.time() - started < 10)
  end)

  it("passes an interrupt as it is", function()
    local ok, why = pcall(parallel.run, {
      function(await)
        await { "true" }
        error("interrupted", 0)
      end,
    })
    assert.is_false(ok)
    assert.equal("interrupted", why)
    assert.equal(0, process.run({ "true" }).status)
  end)
end)
