--- Where a measurement was made.
local environment = require "hone.bench.environment"
local json = require "hone.json"

describe("a trace's environment", function()
  it("names the processor for what runs on the CPU", function()
    local found = environment.of("cpu", "native")
    assert.is_true(#found.hardware > 0)
    assert.equal(environment.hardware "cpu", found.hardware)
    assert.is_nil(found.libs.cuda)
    assert.is_nil(found.libs.torch)
    assert.same({ "hardware", "libs" }, json.keys(found))
  end)
  it(
    "has torch's version beside solutions in Python, where Python has torch",
    function() assert.equal(environment.packages().torch, environment.of("cpu", "python").libs.torch) end
  )
  it("has a time with microseconds and without a zone, which goes on", function()
    local one = environment.timestamp()
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%d$", one)
    assert.is_true(one <= environment.timestamp())
  end)
end)
