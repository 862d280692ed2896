local every = require "hone.sglang.every"
local fs = require "hone.fs"
local tiny = require "support.tiny_sglang"

local OPTIONS = {
  page_sizes = { 1 },
  modes = { "prefill", "decode" },
  gemm_dtype = "float16",
  include_quantized = true,
  tp = { 1 },
}

local folder

local function write(path, text)
  local full = fs.join(folder.path, path)
  assert(fs.mkdir(fs.dirname(full)))
  assert(fs.write(full, text))
  return full
end

local function config(name, class)
  return write("configs/org/" .. name .. "/config.json", (tiny.CONFIG:gsub("TinyForCausalLM", class)))
end

local function options(more)
  local all = { package = fs.join(folder.path, "tree/sglang") }
  for _, from in ipairs { OPTIONS, more or {} } do
    for name, value in pairs(from) do
      all[name] = value
    end
  end
  return all
end

local function jobs(configs)
  return every.jobs(
    fs.join(folder.path, "tree/sglang"),
    { configs = configs or { fs.join(folder.path, "configs") } }
  )
end

local function renamed(class, changes) return (tiny.model(changes):gsub("TinyForCausalLM", class)) end

describe("every", function()
  before_each(function()
    folder = assert(fs.tempdir "hone-spec-")
    tiny.write(fs.join(folder.path, "tree"), {
      tiny = tiny.model(),
      broken = renamed("BrokenForCausalLM", { init = "raise ValueError('no such size')" }),
      endless = renamed("EndlessForCausalLM", { init = "while True: pass" }),
    })
  end)
  after_each(function() folder:remove() end)

  it("finds a model file for each config at hand, in the order of their paths", function()
    config("b", "BrokenForCausalLM")
    config("a", "TinyForCausalLM")
    local found = assert(jobs())
    assert.same({ "org/a", "org/b" }, { found[1].name, found[2].name })
    assert.same({ "tiny", "broken" }, { found[1].model_name, found[2].model_name })
  end)

  it("takes each repository once, and single files as well as folders", function()
    local path = config("a", "TinyForCausalLM")
    assert.equal(1, #assert(jobs { path, fs.join(folder.path, "configs") }))
  end)

  it("says which configs go with no model, and why", function()
    config("strange", "StrangeForCausalLM")
    write("configs/org/torn/config.json", "{")
    local found, skipped = jobs()
    assert.equal(0, #found)
    assert.matches("StrangeForCausalLM", skipped[1].why)
    assert.matches("config.json:1:", skipped[2].why, 1, true)
  end)

  it("refuses a folder that is not there", function()
    local found, why = jobs { "/nowhere/configs" }
    assert.is_nil(found)
    assert.matches("/nowhere/configs", why, 1, true)
  end)

  it("reads models in processes of their own; one that fails leaves the others alone", function()
    config("a", "TinyForCausalLM")
    config("b", "BrokenForCausalLM")
    config("c", "EndlessForCausalLM")
    config("d", "TinyForCausalLM")
    local told = 0
    local outcomes, seconds =
      every.run(assert(jobs()), options(), { processes = 2, on_done = function() told = told + 1 end })
    assert.equal(4, told)
    assert.is_true(seconds > 0)
    assert.equal("a", outcomes[1].report.model)
    assert.is_true(outcomes[1].peak_bytes == nil or outcomes[1].peak_bytes > 1e6)
    assert.matches("ValueError: no such size", outcomes[2].message, 1, true)
    assert.matches("stopped after", outcomes[3].message, 1, true)
    assert.equal(#outcomes[1].report.definitions, #outcomes[4].report.definitions)
    assert.equal("gemm_n96_k64", outcomes[1].report.definitions[2].name)
    assert.equal(#outcomes[1].report.definitions, #outcomes[1].report.kernels)
  end)

  it("gives the same definitions, byte for byte, as reading a model here", function()
    local encode = require("hone.json").encode
    config("a", "TinyForCausalLM")
    local list = assert(jobs())
    local here = assert(every.one(list[1], options()))
    local there = every.run(list, options())[1].report
    assert.equal(encode(here.definitions), encode(there.definitions))
    assert.equal(encode(here.review), encode(there.review))
  end)

  it("ends a model that takes too long", function()
    config("c", "EndlessForCausalLM")
    local outcome = every.run(assert(jobs()), options(), { timeout = 0.05 })[1]
    assert.is_nil(outcome.report)
    assert.matches("its process failed: took too long", outcome.message, 1, true)
  end)

  it("takes sizes that a job brings along", function()
    config("a", "TinyForCausalLM")
    local list = assert(jobs())
    list[1].tp = { 2 }
    local report = every.run(list, options())[1].report
    assert.same({ { tp = 2, ep = 1 } }, { { tp = report.settings[1].tp, ep = report.settings[1].ep } })
  end)
end)
