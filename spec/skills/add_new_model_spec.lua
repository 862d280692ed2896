local fs = require "hone.fs"
local http_server = require "support.http_server"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local process = require "hone.process"
local tiny = require "support.tiny_sglang"

local FILES = {
  "model_config.json",
  "model_architecture.json",
  "sglang_implementation.json",
  "kernel_calls.json",
  "module_mapping.json",
  "model_addition_summary.md",
}

local CONFIG = tiny.CONFIG:gsub('"rms_norm_eps"', '"intermediate_size": 96, "rms_norm_eps"')

describe("add-new-model", function()
  local server, sandbox

  setup(function() server = http_server.start() end)
  teardown(function() server:stop() end)
  before_each(function()
    sandbox = new_sandbox()
    tiny.write(sandbox:at("tree"), { tiny = tiny.model() })
  end)
  after_each(function() sandbox:close() end)

  local function settings(env)
    local all = { HF_ENDPOINT = server.url, HF_HOME = sandbox:at("hf"), no_proxy = "*" }
    for key, value in pairs(env or {}) do
      all[key] = value
    end
    return all
  end

  -- Runs the skill; SGLang's sources are the small tree unless the words say something else.
  local function add(words, env)
    local line = { "add-new-model", "--output", "models.ts", "--no-clone" }
    if not table.concat(words, " "):find("sglang", 1, true) then
      table.move({ "--sglang-path", "tree" }, 1, 2, #line + 1, line)
    end
    return sandbox:hone(table.move(words, 1, #words, #line + 1, line), settings(env))
  end

  local TINY = { "--model-name", "tiny-1b", "--hf-repo-id", "org/tiny" }
  local function with(...)
    local words, more = table.move(TINY, 1, #TINY, 1, {}), { ... }
    return table.move(more, 1, #more, #words + 1, words)
  end

  local function at(name) return sandbox:at("model_analysis_tiny-1b", name) end
  local function summary() return assert(fs.read(at "model_addition_summary.md")) end
  local function models() return fs.read(sandbox:at("models.ts")) end

  local function one_line(result, status, pattern)
    assert.equal(status, result.status, result.stderr)
    assert.matches(pattern, result.stderr, 1, true)
    assert.is_nil(result.stderr:find("traceback", 1, true))
  end

  it("goes from a repository on the hub to the web application's models, and reports", function()
    local result = add(TINY)
    assert.equal(0, result.status, result.stderr)
    for _, name in ipairs(FILES) do
      assert.is_true(fs.exists(at(name)), name)
    end
    for phase = 1, 4 do
      assert.matches(("[%d/4] tiny-1b:"):format(phase), result.stdout, 1, true)
    end
    assert.matches('id: "tiny-1b"', models(), 1, true)
    assert.matches("Layer: {\n        count: 2,", models(), 1, true)
    for _, line in ipairs {
      "# Model addition summary: tiny-1b",
      "- **HuggingFace repository**: org/tiny",
      "- **Attention type**: GQA",
      "    - qkv_proj x 2: `gemm_n96_k64`",
      "✓ All parents exist",
      "## Definitions that the dataset lacks",
      "## Next steps",
    } do
      assert.matches(line, summary(), 1, true)
    end
  end)

  it("looks every definition up in the dataset", function()
    sandbox:hone {
      "extract-kernel-definitions",
      "--model-name",
      "tiny",
      "--config",
      sandbox:write("config.json", CONFIG),
      "--sglang-path",
      "tree",
      "--local",
      "trace",
    }
    os.remove(sandbox:at("trace/definitions/gemm/gemm_n96_k64.json"))
    assert.equal(0, add(with("--local", "trace")).status)
    local mapping = assert(json.read(at "module_mapping.json"))
    assert.same({ "gemm_n96_k64" }, { table.unpack(mapping.missing_in_dataset) })
    assert.is_true(mapping.modules.norm.definitions[1].in_dataset)
    assert.equal("rmsnorm", mapping.modules.norm.definitions[1].op_type)
    assert.matches("- `gemm_n96_k64`\n", summary(), 1, true)
  end)

  it("changes nothing in the models when it is run again", function()
    add(TINY)
    local first = models()
    local result = add(with "--json")
    assert.equal(0, result.status, result.stderr)
    assert.equal("unchanged", json.decode(result.stdout).models[1].action)
    assert.equal(first, models())
  end)

  it("uses the name and the description that it is given", function()
    assert.equal(0, add(with("--display-name", "Tiny!", "--description", "So small.")).status)
    assert.matches('name: "Tiny!",\n    description: "So small."', models(), 1, true)
  end)

  it("adds several models, each with a folder of its own, and says which were not", function()
    local result = add { "tiny-a:org/tiny", "tiny-b:org/error-404", "tiny-c:org/tiny", "--retries", "0" }
    one_line(result, 1, "1 of 3 models were not added: tiny-b: ")
    assert.matches('id: "tiny%-a".*id: "tiny%-c"', models())
    assert.is_nil(models():find("tiny-b", 1, true))
    assert.is_true(fs.exists(sandbox:at("model_analysis_tiny-c/model_addition_summary.md")))
  end)

  describe("goes on", function()
    for _, repo in ipairs { "tiny-flaky", "tiny-closing" } do
      it("when the hub fails at first, as " .. repo .. " does", function()
        local result = add { "--model-name", "tiny-1b", "--hf-repo-id", "org/" .. repo }
        assert.equal(0, result.status, result.stderr)
      end)
    end

    it("with the cached config when nobody answers", function()
      add(TINY)
      local result = add(with("--retries", "0"), { HF_ENDPOINT = "http://127.0.0.1:1" })
      assert.equal(0, result.status, result.stderr)
      assert.matches("using the cached copy", result.stderr, 1, true)
    end)

    it("with the config of an earlier run when there is no cached one either", function()
      add(TINY)
      local env = { HF_ENDPOINT = "http://127.0.0.1:1", HF_HOME = sandbox:at("empty") }
      local result = add(with("--retries", "0"), env)
      assert.equal(0, result.status, result.stderr)
      assert.matches("the config is the one of an earlier run", summary(), 1, true)
    end)

    it("without an implementation in SGLang, and says so", function()
      tiny.write(sandbox:at("other"), { other = tiny.model():gsub("TinyFor", "OtherFor") })
      local result = add(with("--sglang-path", "other"))
      assert.equal(0, result.status, result.stderr)
      assert.matches("no implementation in SGLang", result.stderr, 1, true)
      assert.matches("no implementation in SGLang", summary(), 1, true)
      assert.matches("TinyDecoderLayer: {", models(), 1, true)
      assert.is_false(fs.exists(at "kernel_calls.json"))
    end)

    it("without SGLang's sources, and when it is told to", function()
      for _, words in ipairs { { "--sglang-path", "gone" }, { "--skip-sglang" }, { "--skip-sglang", "true" } } do
        local result = add(with(table.unpack(words)))
        assert.equal(0, result.status, result.stderr)
        assert.matches("the modules are those that such models commonly have", summary(), 1, true)
      end
    end)

    it("when forward cannot be followed", function()
      tiny.write(sandbox:at("tree"), { tiny = tiny.model { init = "raise ValueError('no')" } })
      assert.equal(0, add(TINY).status)
      assert.matches("its kernel calls are not known: cannot construct", summary(), 1, true)
      assert.matches("TinyDecoderLayer: {", models(), 1, true)
    end)

    it("with a number of layers that the config has in another form", function()
      local poor =
        CONFIG:gsub('"num_hidden_layers": 2', '"layer_types": ["full_attention", "full_attention"]')
      sandbox:write("config.json", poor)
      local result = add(with("--config", "config.json"))
      assert.equal(0, result.status, result.stderr)
      assert.matches("num_hidden_layers is not in the config; it is taken to be 2", summary(), 1, true)
      assert.matches("Layer: {\n        count: 2,", models(), 1, true)
    end)

    it("with what is typed when a field is missing", function()
      sandbox:write("config.json", (CONFIG:gsub('"num_attention_heads": 8,', "")))
      local command =
        { package.loaded["hone.paths"].exe, "add-new-model", "--output", "models.ts", "--no-clone" }
      local words = with("--config", "config.json", "--sglang-path", "tree")
      table.move(words, 1, #words, #command + 1, command)
      local env = settings(sandbox.env)
      local request = {
        command = command,
        cwd = sandbox.path,
        env = env,
        steps = { { "see", "no num_attention_heads; its value" }, { "type", "8\r" } },
      }
      local ran = assert(process.run {
        "python3",
        "spec/support/on_terminal.py",
        input = require("cjson").encode(request),
        timeout = 60,
      })
      local session = require("cjson").decode(ran.stdout)
      assert.equal(0, session.status, session.seen)
      assert.matches("num_attention_heads is not in the config; it was given as 8", summary(), 1, true)
    end)
  end)

  describe("says what is wrong when", function()
    for name, says in pairs {
      ["error-401"] = "HF_TOKEN",
      ["error-404"] = "no such repository",
      ["error-500"] = "HTTP 500",
      portal = "is HF_ENDPOINT right?",
      notjson = "config.json:2:7:",
    } do
      it("the hub answers as " .. name .. " does", function()
        local words = { "--model-name", "tiny-1b", "--hf-repo-id", "org/" .. name, "--retries", "0" }
        one_line(add(words), 1, says)
        assert.is_nil(models())
      end)
    end

    it("a field is missing and nobody is there to be asked", function()
      sandbox:write("config.json", (CONFIG:gsub('"vocab_size": 100,', "")))
      one_line(add(with("--config", "config.json")), 1, "--set vocab_size=VALUE gives it")
      assert.equal(0, add(with("--config", "config.json", "--set", "vocab_size=100")).status)
    end)

    it("the models do not parse: they stay, the entry is beside them, the report says it", function()
      local broken = 'const models: Model[] = [\n  { id: "a", \n]\n'
      sandbox:write("models.ts", broken)
      one_line(add(TINY), 1, "models.ts:2:")
      assert.equal(broken, models())
      assert.is_true(fs.exists(sandbox:at("models.ts.tiny-1b.new")))
      assert.matches("✗ models.ts:2:", summary(), 1, true)
    end)

    it("config and source are of different models", function()
      tiny.write(sandbox:at("tree"), { tiny = tiny.model():gsub("TinyFor", "OtherFor") })
      local result = add { "--model-name", "tiny", "--hf-repo-id", "org/tiny" }
      one_line(result, 1, "model 'tiny' does not implement the config's TinyForCausalLM")
      assert.is_nil(models())
    end)

    it("the heads cannot be divided", function()
      one_line(add(with("--tp", "3")), 1, "TP 3 does not divide the 8 attention heads")
      one_line(add(with("--tp", "3", "--skip-sglang")), 1, "TP 3 does not divide the 8 attention heads")
      assert.is_nil(models())
    end)

    it("a name is no id, or a repository no ORG/NAME", function()
      for _, words in ipairs {
        { "--model-name", "Tiny_1B", "--hf-repo-id", "org/tiny" },
        { "--model-name", "tiny-1b", "--hf-repo-id", "tiny" },
        { "--model-name", "tiny-1b", "--hf-repo-id", "org/tiny/x" },
        { "--model-name", "tiny-1b" },
        { "Tiny:org/tiny" },
        { "tiny:tiny" },
        { "tiny" },
        { "tiny:org/tiny", "tiny:org/other" },
        { "a:org/a", "b:org/b", "--display-name", "Both" },
        {},
      } do
        local result = add(words)
        assert.equal(2, result.status, table.concat(words, " ") .. ": " .. result.stderr)
        assert.is_nil(models())
      end
    end)
  end)
end)
