local new_sandbox = require("support.sandbox").new
local tiny = require "support.tiny_sglang"

describe("examples", function()
  local box

  before_each(function() box = new_sandbox() end)
  after_each(function() box:close() end)

  local function example(name, ...) return box:hone { require("hone.fs").absolute("examples/" .. name), ... } end

  it("shared_kernels lists the definitions that several models run", function()
    tiny.write(box:at("tree"), { tiny = tiny.model() })
    box:write("config.json", tiny.CONFIG)
    for _, tag in ipairs { "one", "two" } do
      local result = box:hone {
        "extract-kernel-definitions",
        "--model-name",
        "tiny",
        "--config",
        "config.json",
        "--sglang-path",
        "tree",
        "--local",
        "trace",
        "--model-tag",
        tag,
      }
      assert.equal(0, result.status, result.stderr)
    end
    local result = example("shared_kernels.lua", "trace")
    assert.equal(0, result.status, result.stderr)
    assert.matches("gemm_n96_k64 +2 +one two", result.stdout)
  end)

  it("shared_kernels says what is wrong with its command line and with its dataset", function()
    assert.equal(2, example("shared_kernels.lua").status)
    local result = example("shared_kernels.lua", "nowhere")
    assert.equal(1, result.status)
    assert.matches("nowhere", result.stderr, 1, true)
  end)

  it("survey_models counts what can be read and constructed", function()
    tiny.write(box:at("tree"), { tiny = tiny.model(), broken = "EntryClass = Missing\n" })
    box:write("configs/org/Tiny/config.json", tiny.CONFIG)
    box:write("examples/configs/meta-llama/Llama-3.1-8B-Instruct/config.json", tiny.CONFIG)
    local result = example("survey_models.lua", "tree", "configs")
    assert.equal(0, result.status, result.stderr)
    assert.matches("2 model files, 2 imported", result.stdout, 1, true)
    assert.matches(
      "2 classes, 1 constructed; with a config of their own 1, constructed 1",
      result.stdout,
      1,
      true
    )
  end)

  -- Arguments that make each short, and what is printed.
  local ON_GPU = {
    { "vector_add", { "1000" }, "the last of 1000 sums is 2997, and should be 2997" },
    { "fused_rmsnorm", { "33", "520" }, "33 x 520: 100.0000 %% of the elements match" },
    { "gemm_sweep", { "bfloat16" }, "TFLOP/s +[%d.]+" },
    { "occupancy", {}, "outer_products.-%d+ registers.-1024 .-threads a block occupy most" },
  }

  for _, case in ipairs(ON_GPU) do
    local name, arguments, expected = table.unpack(case)
    it(name .. " runs on a GPU #gpu", function()
      if not require("hone.cuda").available() then return pending("no GPU") end
      local result = example(name .. ".lua", table.unpack(arguments))
      assert.equal(0, result.status, result.stderr)
      assert.matches(expected, result.stdout)
    end)

    it(name .. " says in one line that there is no GPU", function()
      local path = require("hone.fs").absolute("examples/" .. name .. ".lua")
      local result = box:hone({ path }, { HONE_LIBCUDA = "/nowhere/libcuda.so.1" })
      assert.equal(1, result.status)
      assert.equal("", result.stdout)
      assert.equal("no GPU: no NVIDIA driver is installed (/nowhere/libcuda.so.1 not found)\n", result.stderr)
    end)
  end
end)
