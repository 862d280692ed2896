--- The evaluator against CPython: the same programs, the same output.
local fs = require "hone.fs"
local process = require "hone.process"
local python = require "hone.python"

local function ours(path)
  local out = {}
  local world = python.abstract { packages = {}, print = function(text) out[#out + 1] = text end }
  local module, message = world:run(assert(fs.read(path)), fs.basename(path))
  assert.is_nil(message)
  assert.is_truthy(module)
  return table.concat(out), world
end

local function cpython(path)
  local result = assert(process.run { "python3", path })
  assert.equal(0, result.status, result.stderr)
  return result.stdout
end

describe("hone.python runs programs as CPython does:", function()
  for _, path in ipairs(fs.glob("spec/python/programs/*.py")) do
    it(fs.stem(path), function()
      local out, world = ours(path)
      assert.equal(cpython(path), out)
      assert.same({}, world.report.unknown)
    end)
  end
end)

describe("hone.python.parse", function()
  it("names file, line and column of a syntax error", function()
    local dir <close> = fs.tempdir()
    local path = fs.join(dir.path, "broken.py")
    assert(fs.write(path, "x = 1\ndef f(:\n  pass\n"))
    local tree, message = python.parse(path)
    assert.is_nil(tree)
    assert.matches("^.*broken%.py:2:%d+: syntax error", message)
    assert.is_nil(message:find("\n", 1, true))
  end)

  it("refuses a file that is not there in one line", function()
    local tree, message = python.parse("/nowhere/at/all.py")
    assert.is_nil(tree)
    assert.matches("^cannot read /nowhere/at/all.py", message)
  end)
end)
