local fs = require "hone.fs"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local tiny = require "support.tiny_sglang"

local sandbox

local function track(...)
  return sandbox:hone { "track-models", "--sglang-path", "tree", "--local", "trace", ... }
end

local function data(...)
  local result = track("--json", ...)
  assert.equal(0, result.status, result.stderr)
  return json.decode(result.stdout)
end

-- The definitions of the small model go into the dataset, but for one; one of them has two workloads.
local function make_dataset()
  local result = sandbox:hone {
    "extract-kernel-definitions",
    "--model-name",
    "tiny",
    "--config",
    "configs/org/Tiny-1B/config.json",
    "--sglang-path",
    "tree",
    "--local",
    "trace",
  }
  assert.equal(0, result.status, result.stderr)
  assert(fs.remove(sandbox:at("trace/definitions/rmsnorm/rmsnorm_h64.json")))
  sandbox:write("trace/workloads/gemm/gemm_n96_k64.jsonl", "{}\n{}\n")
end

local function entries(model)
  local by_name = {}
  for _, entry in ipairs(model.definitions) do
    by_name[entry.name] = entry
  end
  return by_name
end

describe("track-models", function()
  before_each(function()
    sandbox = new_sandbox()
    tiny.write(sandbox:at("tree"), {
      tiny = tiny.model(),
      other = tiny.model():gsub("TinyFor", "OtherFor"),
      broken = tiny.model({ init = "raise ValueError('no such size')" }):gsub("TinyFor", "BrokenFor"),
    })
    sandbox:write("configs/org/Tiny-1B/config.json", tiny.CONFIG)
    make_dataset()
  end)
  after_each(function() sandbox:close() end)

  it("tells of each definition whether it is there with workloads, there, or missing", function()
    local model = data().models[1]
    assert.equal("tiny-1b", model.model)
    assert.equal("partial", model.coverage)
    local found = entries(model)
    assert.equal("workloads", found.gemm_n96_k64.status)
    assert.equal(2, found.gemm_n96_k64.workloads)
    assert.equal("present", found.fused_add_rmsnorm_h64.status)
    assert.equal("missing", found.rmsnorm_h64.status)
    assert.equal(1, model.missing)
    assert.equal(#model.definitions, model.with_workloads + model.without_workloads + model.missing)
  end)

  it("writes the table as Markdown, and the same as JSON", function()
    local result = track("--output", "coverage.md", "--report", "coverage.json")
    assert.equal(0, result.status, result.stderr)
    local text = assert(fs.read(sandbox:at("coverage.md")))
    assert.matches("| Tiny 1B | — | TP 1 | 1 | %d+ | 1 | 🟡 partial |", text)
    assert.matches("| `gemm_n96_k64` | gemm | ✅ | 2 workloads |", text, 1, true)
    assert.matches("| `rmsnorm_h64` | rmsnorm | ❌ |", text, 1, true)
    assert.matches(
      "hone extract-kernel-definitions --model-name tiny --config configs/org/Tiny-1B/config.json",
      text,
      1,
      true
    )
    assert.equal("tiny-1b", assert(json.read(sandbox:at("coverage.json"))).models[1].model)
  end)

  it("is the same file when it is made again", function()
    track("--output", "a.md")
    track("--output", "b.md")
    assert.equal(fs.sha256_file(sandbox:at("a.md")), fs.sha256_file(sandbox:at("b.md")))
  end)

  it("knows of a model without a config what the dataset's tags say", function()
    local path = sandbox:at("trace/definitions/gemm/gemm_n96_k64.json")
    assert(fs.write(path, (fs.read(path):gsub('"model:tiny%-1b"', '"model:tiny-1b", "model:big-70b"'))))
    local models = data().models
    assert.equal("big-70b", models[1].model)
    assert.equal("unknown", models[1].coverage)
    assert.equal(1, #models[1].definitions)
    assert.is_false(models[1].definitions[1].found_in_source)
    assert.matches("No config is at hand", track().stdout, 1, true)
  end)

  it("keeps to the models that are asked for", function()
    sandbox:write("configs/org/Other-2B/config.json", (tiny.CONFIG:gsub("TinyFor", "OtherFor")))
    assert.equal(2, #data().models)
    assert.equal(1, #data("--model-name", "tiny-1b").models)
    assert.equal("other-2b", data("--model-name", "other").models[1].model)
  end)

  it("takes several repositories of one model for one", function()
    sandbox:write("configs/org/Tiny-1B-Instruct/config.json", tiny.CONFIG)
    local models = data().models
    assert.equal(1, #models)
    assert.same({ "org/Tiny-1B-Instruct", "org/Tiny-1B" }, { table.unpack(models[1].repositories) })
  end)

  it("goes on when a model cannot be read, and says why", function()
    sandbox:write("configs/org/Broken-9B/config.json", (tiny.CONFIG:gsub("TinyFor", "BrokenFor")))
    local result = track()
    assert.equal(0, result.status)
    assert.matches("broken%-9b: .-ValueError: no such size", result.stderr)
    assert.matches("The model could not be read: .-ValueError: no such size", result.stdout)
  end)

  it("lists the model files that nobody has a config for", function()
    local untracked = data("--discover").not_tracked
    assert.same({ "broken", "other" }, { untracked[1].model_file, untracked[2].model_file })
    assert.equal(0, #data().not_tracked)
  end)

  it("says in one line what is not there", function()
    local function refused(pattern, ...)
      local result = sandbox:hone { "track-models", ... }
      assert.equal(1, result.status)
      assert.matches(pattern, result.stderr, 1, true)
      assert.is_nil(result.stderr:find("\n.", 1))
    end
    refused("cannot open the dataset", "--sglang-path", "tree", "--local", "nowhere")
    refused("no SGLang sources", "--local", "trace")
    refused("no model of that name", "--sglang-path", "tree", "--local", "trace", "--model-name", "none-7b")
    refused("nowhere", "--sglang-path", "tree", "--local", "trace", "--configs", "nowhere")
  end)
end)
