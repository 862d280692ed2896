-- Several serving settings of a model, walked in processes of their own, must come out as one after the other.
local fs = require "hone.fs"
local json = require "hone.json"
local tiny = require "support.tiny_sglang"

local extraction = require "hone.sglang.extraction"

local SETTINGS = { { tp = 1, ep = 1 }, { tp = 2, ep = 1 }, { tp = 4, ep = 1 } }

local MODEL = (tiny.model())
-- A model that two ranks cannot serve.
local PICKY = (
  tiny.model {
    init = "from sglang.srt.distributed import get_tensor_model_parallel_world_size as size\n"
      .. "        assert size() != 2",
  }
)

local folder

local function find(model, more)
  tiny.write(fs.join(folder.path, "tree"), { tiny = model })
  local path = fs.join(folder.path, "configs/org/tiny/config.json")
  assert(fs.mkdir(fs.dirname(path)))
  assert(fs.write(path, tiny.CONFIG))
  local config = assert(require("hone.model.config").from_file(path))
  local package = fs.join(folder.path, "tree/sglang")
  local sources = assert(extraction.sources { package = package, model_name = "tiny", config = config })
  local options = { page_sizes = { 1 }, modes = { "prefill", "decode" }, gemm_dtype = "float16" }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  local found, message = extraction.find(sources, SETTINGS, options)
  if not found then return nil, message end
  return json.encode(require("hone.sglang.report").of(found, sources, "as asked for"), { nan = "allow" })
end

describe("hone.sglang.apart", function()
  before_each(function() folder = assert(fs.tempdir "hone-spec-") end)
  after_each(function() folder:remove() end)

  it("finds what is found one after the other", function()
    local one_by_one = assert(find(MODEL))
    assert.matches("tp:4", one_by_one)
    assert.equal(one_by_one, find(MODEL, { apart = true }))
  end)

  it("does the walks of a process that fails itself", function()
    local one_by_one = assert(find(MODEL))
    local process = require "hone.process"
    local start = process.start
    process.start = function(command)
      command[3] = "error 'no memory'"
      return start(command)
    end
    local ok, apart = pcall(find, MODEL, { apart = true })
    process.start = start
    assert.equal(one_by_one, ok and apart)
  end)

  it("says why a setting is refused, and leaves it out where nobody asked for it", function()
    local _, alone = find(PICKY)
    local _, apart = find(PICKY, { apart = true })
    assert.matches("with TP 2: its source asserts size%(%) != 2", alone)
    assert.equal(alone, apart)
    assert.equal(find(PICKY, { usual = true }), find(PICKY, { usual = true, apart = true }))
  end)
end)
