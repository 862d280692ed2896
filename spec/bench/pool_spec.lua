--- Workers started before anybody asks: which there are, what they have imported, who gets them.
local build = require "hone.bench.build"
local fs = require "hone.fs"
local pool = require "hone.bench.pool"
local solutions = require "support.solutions"
local step = require("hone.core.process").step

-- Loads where colorsys, which nobody needs, was imported before.
local NEEDS_IT = [[
import sys

if "colorsys" not in sys.modules:
    raise ImportError("nobody imported it")


def run(x, s):
    return x
]]

describe("a pool", function()
  local cache, workers

  before_each(function()
    cache = assert(fs.tempdir "hone-spec-pool-")
    workers = pool.new { device = "cpu", ahead = true }
  end)
  after_each(function()
    workers:close()
    cache:remove()
  end)

  local function artefact_of(language, file, content)
    local definition = solutions.definition "float32"
    local solution = solutions.solution(language, file, content, false)
    return assert(build.solution(definition, solution, { device = "cpu", cache = cache.path })), solution
  end

  it("knows what a solution's worker is started as", function()
    local artefact, solution = artefact_of("triton", "main.py", "def run(x, s):\n    return x\n")
    assert.equal("python triton", artefact.kit)
    assert.equal("python triton", build.kit_of(solution))
    artefact, solution = artefact_of("python", "main.py", "def run(x, s):\n    return x\n")
    assert.equal("python", artefact.kit)
    assert.equal("python", build.kit_of(solution))
  end)
  it("gives a solution a worker that has imported what its language needs", function()
    local artefact = artefact_of("python", "main.py", NEEDS_IT)
    artefact.kit = "python colorsys"
    workers:prepare("python", 1)
    workers:prepare("python colorsys", 1)
    local until_time = os.time() + 60
    while not workers:is_here "python colorsys" and os.time() < until_time do
      step(20)
    end
    local known = workers.spares["python colorsys"][1]
    local got, why = workers:get("one", artefact, 60)
    assert.is_nil(not got and why or nil)
    assert.equal(known, got)
    assert.equal(1, #workers.spares.python)
    assert.equal(0, #workers.spares["python colorsys"])
  end)
  it("ends the workers of all solutions that are done, and no other", function()
    local artefact = artefact_of("python", "main.py", "def run(x, s):\n    return x\n")
    local got = {}
    for i, name in ipairs { "one", "two", "three" } do
      got[i] = assert(workers:get(name, artefact, 60))
    end
    workers:drop { "one", "three", "nobody" }
    assert.is_false(workers:has "one")
    assert.is_false(workers:has "three")
    assert.equal(got[2], workers:get("two", artefact, 60))
    assert.is_true(got[1].dead and got[3].dead and not got[2].dead)
  end)
  it("starts one where none was started ahead", function()
    local artefact = artefact_of("python", "main.py", NEEDS_IT)
    local got, why, code = workers:get("one", artefact, 60)
    assert.is_nil(got)
    assert.equal("COMPILE_ERROR", code)
    assert.truthy(why:find("nobody imported it", 1, true))
    artefact.kit = "python colorsys"
    assert(workers:get("two", artefact, 60))
  end)
end)
