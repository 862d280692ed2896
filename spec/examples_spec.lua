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

  it("dataset_coverage says which tagged definitions are found, and why the others are not", function()
    tiny.write(box:at("tree"), { tiny = tiny.model() })
    box:write("configs/org/Tiny-1B/config.json", tiny.CONFIG)
    local words =
      { "extract-kernel-definitions", "--model-name", "tiny", "--sglang-path", "tree", "--local", "trace" }
    table.move({ "--config", "configs/org/Tiny-1B/config.json", "--tp", "2" }, 1, 4, #words + 1, words)
    local extracted = box:hone(words)
    assert.equal(0, extracted.status, extracted.stderr)
    local result = example("dataset_coverage.lua", "tree", "configs", "trace")
    assert.equal(0, result.status, result.stdout)
    assert.matches("tiny%-1b %(org/Tiny%-1B%): (%d+) of %1\n", result.stdout)

    -- Another constant, another parallel size, and a kernel that the model does not run.
    local fs = require "hone.fs"
    local function change(path, from, to)
      path = box:at("trace/definitions", path)
      assert(fs.write(path, (assert(fs.read(path)):gsub(from, to))))
    end
    change("gemm/gemm_n96_k64.json", '"value": 64', '"value": 65')
    change("gqa_paged/gqa_paged_decode_h4_kv1_d8_ps1.json", "tp:2", "tp:4")
    result = example("dataset_coverage.lua", "tree", "configs", "trace", "tiny-1b")
    assert.equal(1, result.status)
    assert.matches("gemm_n96_k64: axes are .*K=65.*, here .*K=64", result.stdout)
    assert.matches(
      "gqa_paged_decode_h4_kv1_d8_ps1: its tags say tp:4, and it is found at tp:2",
      result.stdout,
      1,
      true
    )
  end)

  it("dataset_coverage says what is wrong with its command line", function()
    assert.equal(2, example("dataset_coverage.lua").status)
    local result = example("dataset_coverage.lua", "nowhere", "configs", "trace")
    assert.equal(1, result.status)
    assert.matches("nowhere", result.stderr, 1, true)
  end)

  describe("add-model.yml", function()
    local fs = require "hone.fs"
    local workflow = require("lyaml").load(assert(fs.read "examples/add-model.yml"))

    local function step(name)
      for _, one in ipairs(workflow.jobs["add-model"].steps) do
        if one.name == name then return one end
      end
    end

    it("keeps what is typed in out of its scripts", function()
      for _, one in ipairs(workflow.jobs["add-model"].steps) do
        assert.is_nil(one.run and one.run:find("${{", 1, true), one.run)
      end
      assert.equal("${{ inputs.model_name }}", step("Add model").env.MODEL_NAME)
    end)

    it("adds a model, and leaves the report where the pull request takes it from", function()
      local server = require("support.http_server").start()
      tiny.write(box:at("repos/sglang"), { tiny = tiny.model() })
      assert(fs.mkdir(box:at("bin")))
      local exe = package.loaded["hone.paths"].exe
      box:write("bin/hone", ('#!/bin/sh\nexec "%s" "$@"\n'):format(exe))
      box:run { "chmod", "+x", "bin/hone" }
      local result = box:run({ "bash", "-euc", step("Add model").run }, {
        PATH = box:at("bin") .. ":" .. os.getenv("PATH"),
        RUNNER_TEMP = box.path,
        MODEL_NAME = "tiny-1b",
        HF_REPO_ID = "org/tiny",
        HF_ENDPOINT = server.url,
        HF_HOME = box:at("hf"),
        no_proxy = "*",
      })
      server:stop()
      assert.equal(0, result.status, result.stderr)
      local pull_request = step("Create a pull request").with
      local report = pull_request["body-path"]:gsub("%${{ runner.temp }}", box.path)
      assert.matches("# Model addition summary: tiny-1b", fs.read(report), 1, true)
      assert.matches('id: "tiny-1b"', fs.read(box:at(pull_request["add-paths"])), 1, true)
    end)
  end)
end)
