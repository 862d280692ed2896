local fs = require "hone.fs"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local sglang = require "support.sglang"
local tiny = require "support.tiny_sglang"

local COMPILER = "build/deps/typescript"
local CONFIG = tiny.CONFIG:gsub('"rms_norm_eps"', '"intermediate_size": 96, "rms_norm_eps"')

describe("generate-model-definition", function()
  local sandbox

  before_each(function()
    sandbox = new_sandbox()
    sandbox:write("config.json", CONFIG)
  end)
  after_each(function() sandbox:close() end)

  local function generate(...)
    local line = { "generate-model-definition", "--config", "config.json", "--output", "models.ts" }
    local more = { ... }
    local named = false
    for _, word in ipairs(more) do
      named = named or word == "--model-name"
    end
    if not named then table.move({ "--model-name", "tiny-1b" }, 1, 2, #line + 1, line) end
    return sandbox:hone(table.move(more, 1, #more, #line + 1, line))
  end

  local function models() return assert(fs.read(sandbox:at("models.ts"))) end

  local function one_line(result, status, pattern)
    assert.equal(status, result.status, result.stderr)
    assert.matches(pattern, result.stderr:match("^[^\n]*"), 1, true)
    if status == 1 then assert.equal(1, select(2, result.stderr:gsub("\n", ""))) end
  end

  it("makes a new file with the modules of the config's architecture, and says so", function()
    local result = generate()
    assert.equal(0, result.status, result.stderr)
    assert.matches(
      "the modules are those that models of this architecture commonly have",
      result.stdout,
      1,
      true
    )
    assert.matches('import type { Model } from "@/lib/schemas"', models(), 1, true)
    assert.matches('definitions: ["gemm_n96_k64"]', models(), 1, true)
    assert.matches('name: "Tiny 1B"', models(), 1, true)
  end)

  it("takes the modules that the implementation runs", function()
    tiny.write(sandbox:at("tree"), { tiny = tiny.model() })
    local find =
      { "find-sglang-baseline", "--model-name", "tiny", "--config", "config.json", "--sglang-path", "tree" }
    assert.equal(0, sandbox:hone(find).status)
    local result = generate("--sglang-impl", "sglang_implementation.json")
    assert.equal(0, result.status, result.stderr)
    assert.matches('Layer: {\n        count: 2,\n        parent: "TinyForCausalLM",', models(), 1, true)
    assert.is_nil(models():find("arguments", 1, true))
  end)

  it("changes nothing when it is run again, and an entry that differs only with --force", function()
    generate()
    local first = models()
    assert.matches("unchanged in models.ts", generate().stdout, 1, true)
    assert.equal(first, models())
    local result = generate("--display-name", "Other")
    assert.equal(0, result.status)
    assert.matches("--force replaces it", result.stderr, 1, true)
    assert.equal(first, models())
    generate("--display-name", "Other", "--force")
    assert.equal(first, (models():gsub('"Other"', '"Tiny 1B"')))
  end)

  it("keeps every other byte of a file", function()
    local before = 'const models: Model[] = [\n  {   id: "a",name:"A", modules:{} }, // so\n];;\n'
    sandbox:write("models.ts", before)
    assert.equal(0, generate().status)
    local text = models()
    assert.equal(before, text:sub(1, before:find(" // so") + 5) .. text:sub(#text - 4))
  end)

  it("spells definitions as the file does", function()
    sandbox:write("models.ts", 'const models = [\n  { id: "a", definitions: ["gemm_n_6144_k_4096"] },\n]\n')
    assert.equal(0, generate().status)
    assert.matches('"gemm_n_96_k_64"', models(), 1, true)
    assert.is_nil(models():find("gemm_n96_k64", 1, true))
  end)

  it("leaves a file that does not parse as it is, saves the entry beside it, and names the place", function()
    local broken = 'const models: Model[] = [\n  { id: "a", \n]\n'
    sandbox:write("models.ts", broken)
    one_line(generate(), 1, "models.ts:2:")
    assert.equal(broken, models())
    assert.matches('id: "tiny-1b"', fs.read(sandbox:at("models.ts.tiny-1b.new")), 1, true)
  end)

  it("leaves a file that would not compile as it is, and saves the result beside it", function()
    if not fs.is_dir(COMPILER) then return pending("no " .. COMPILER .. " (tools/deps.sh test makes it)") end
    local wrong = "const models: Model[] = [\n  { id: 1 },\n]\nexport default models\n"
    sandbox:write("models.ts", 'import type { Model } from "@/lib/schemas"\n' .. wrong)
    sandbox.env.HONE_TYPESCRIPT = fs.absolute(COMPILER)
    one_line(generate(), 1, "the TypeScript compiler refuses the result: models.ts:3:")
    assert.is_nil(models():find("tiny-1b", 1, true))
    assert.matches('id: "tiny-1b"', fs.read(sandbox:at("models.ts.tiny-1b.new")), 1, true)
  end)

  it("prints the entry and writes nothing on a dry run", function()
    local result = generate "--dry-run"
    assert.equal(0, result.status, result.stderr)
    assert.matches('id: "tiny-1b"', result.stdout, 1, true)
    assert.is_false(fs.exists(sandbox:at("models.ts")))
  end)

  describe("says in one line, and writes nothing, when", function()
    after_each(function() assert.is_false(fs.exists(sandbox:at("models.ts"))) end)

    it("the name is no id", function()
      for _, name in ipairs { "Tiny", "tiny_1b", "1tiny", "tiny-", "tiny 1b", "tiny--1b", "tiny/1b" } do
        one_line(generate("--model-name", name), 2, ("'%s' is not a model's id"):format(name))
      end
    end)

    it("config and implementation do not belong together", function()
      sandbox:write("impl.json", '{"model": "OtherForCausalLM", "modules": {}}')
      one_line(generate("--sglang-impl", "impl.json"), 1, "they do not belong together")
    end)

    it("the implementation is something else", function()
      sandbox:write("impl.json", "[1]")
      one_line(generate("--sglang-impl", "impl.json"), 1, "impl.json is not what find-sglang-baseline writes")
      for _, module in ipairs {
        '{"count": "many", "type": "block"}',
        '{"count": 1, "type": "brick"}',
        '{"count": 1, "type": "layer", "definitions": "gemm_n1_k1"}',
        '{"count": 1, "type": "layer", "definitions": [1]}',
        '{"count": 1, "type": "layer", "parent": 1}',
        "[]",
      } do
        sandbox:write("impl.json", ('{"model": "TinyForCausalLM", "modules": {"a": %s}}'):format(module))
        one_line(generate("--sglang-impl", "impl.json"), 1, "impl.json: a is no module")
      end
      local odd =
        '{"model": "TinyForCausalLM", "modules": {"a": {"count": 1, "type": "layer", "parent": "b"}}}'
      sandbox:write("impl.json", odd)
      one_line(generate("--sglang-impl", "impl.json"), 1, "module a is wrong (parents)")
    end)

    it("the architecture is not what was written", function()
      sandbox:write("config.json", '{"architecture_pattern": "Standard", "layers": []}')
      one_line(generate(), 1, "config.json is not what extract-model-from-hf writes")
      sandbox:write("whole.json", CONFIG)
      assert.equal(0, sandbox:hone({ "extract-model-from-hf", "--config", "whole.json" }).status)
      local whole = fs.read(sandbox:at("model_architecture.json"))
      for _, name in ipairs { "hidden_size", "num_attention_heads", "head_dim", "active_per_token", "mixer" } do
        sandbox:write("config.json", (whole:gsub('"' .. name .. '"', '"other"')))
        one_line(generate(), 1, "config.json is not what extract-model-from-hf writes")
      end
    end)

    it("the config lacks a field", function()
      sandbox:write("config.json", (CONFIG:gsub('"hidden_size": 64, ', "")))
      one_line(generate(), 1, "no field 'hidden_size'")
    end)
  end)
end)

describe("generate-model-definition on SGLang's own sources", function()
  local CONFIGS = os.getenv("HONE_CONFIGS") or "../shared/hf-configs"

  it("writes modules of real models that compile under --strict", function()
    if not sglang.folder() then return pending("no SGLang sources (HONE_SGLANG names them)") end
    if not fs.is_dir(COMPILER) then return pending("no " .. COMPILER .. " (tools/deps.sh test makes it)") end
    local sandbox = new_sandbox()
    sandbox.env.HONE_TYPESCRIPT = fs.absolute(COMPILER)
    local tried = 0
    for name, repo in pairs {
      ["llama-3.1-8b"] = "meta-llama/Llama-3.1-8B-Instruct",
      ["deepseek-v3"] = "deepseek-ai/DeepSeek-V3",
      ["gpt-oss-20b"] = "openai/gpt-oss-20b",
    } do
      local path = fs.absolute(fs.join(CONFIGS, repo, "config.json"))
      if fs.exists(path) then
        tried = tried + 1
        local found = sandbox:hone {
          "find-sglang-baseline",
          "--model-name",
          name,
          "--config",
          path,
          "--hf-repo-id",
          repo,
          "--sglang-path",
          fs.absolute(sglang.folder()),
        }
        assert.equal(0, found.status, found.stderr)
        local result = sandbox:hone {
          "generate-model-definition",
          "--config",
          path,
          "--sglang-impl",
          "sglang_implementation.json",
          "--model-name",
          name,
          "--output",
          "models.ts",
          "--json",
        }
        assert.equal(0, result.status, result.stderr)
        local made = json.decode(result.stdout)
        assert.equal("the TypeScript compiler", made.checked_by)
        assert.is_true(made.from_implementation)
        local roots = 0
        for _, module in pairs(made.modules) do
          if not module.parent then roots = roots + 1 end
        end
        assert.equal(1, roots)
      end
    end
    sandbox:close()
    if tried == 0 then return pending("no configs at " .. CONFIGS) end
  end)
end)
