--- Every operation against torch on the CPU: dtypes, layouts and awkward values (support/tensor_cases.py).
local fs = require "hone.fs"
local process = require "hone.process"
local parity = require "support.tensor_parity"

local PYTHON = "build/testenv/bin/python"
local MOST_SHOWN = 5

local function first_failures(group)
  return table.concat(group.failures, "\n", 1, math.min(#group.failures, MOST_SHOWN))
end

describe("a tensor's operations", function()
  it("give what torch gives, in every dtype and layout", function()
    if not fs.is_file(PYTHON) then return pending("no torch here (tools/deps.sh test installs it)") end
    local dir <close> = assert(fs.tempdir("hone-parity-"))
    local made = assert(process.run { PYTHON, "spec/support/tensor_cases.py", dir.path, timeout = 300 })
    assert.equal(0, made.status, made.stderr)
    local passed = 0
    for _, group in ipairs(parity.run(dir.path)) do
      assert.equal(0, #group.failures, group.name .. "\n" .. first_failures(group))
      passed = passed + group.passed
    end
    assert.is_true(passed > 20000, "only " .. passed .. " cases were written")
  end)
end)
