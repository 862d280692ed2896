local fs = require "hone.fs"
local http_server = require "support.http_server"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local tiny = require "support.tiny_sglang"

local CONFIG = tiny.CONFIG:gsub('"rms_norm_eps"', '"intermediate_size": 96, "rms_norm_eps"')

describe("extract-model-from-hf", function()
  local server, sandbox

  setup(function() server = http_server.start() end)
  teardown(function() server:stop() end)
  before_each(function()
    sandbox = new_sandbox()
    sandbox:write("org/Tiny-1B/config.json", CONFIG)
  end)
  after_each(function() sandbox:close() end)

  local function extract(words, env)
    local settings = { HF_ENDPOINT = server.url, HF_HOME = sandbox:at("hf"), no_proxy = "*" }
    for key, value in pairs(env or {}) do
      settings[key] = value
    end
    return sandbox:hone(table.move(words, 1, #words, 2, { "extract-model-from-hf" }), settings)
  end

  local function one_line(result, status, pattern)
    assert.equal(status, result.status, result.stderr)
    local first = result.stderr:match("^[^\n]*")
    assert.matches(pattern, first, 1, true)
    if status == 1 then assert.equal(first .. "\n", result.stderr) end
    assert.is_false(fs.exists(sandbox:at("model_architecture.json")))
  end

  it("copies the config byte for byte, and writes the architecture", function()
    local result = extract { "--config", "org/Tiny-1B/config.json", "--output", "analysis" }
    assert.equal(0, result.status, result.stderr)
    assert.equal(CONFIG, fs.read(sandbox:at("analysis/model_config.json")))
    local about = assert(json.read(sandbox:at("analysis/model_architecture.json")))
    assert.equal("org/Tiny-1B", about.model)
    assert.equal("Standard", about.architecture_pattern)
    assert.equal(8, about.derived.head_dim)
    -- embedding and head, norms; queries, keys, values, output and three matrices in each of two layers
    local layer = 64 * (64 + 16 + 16 + 64) + 3 * 64 * 96 + 2 * 64
    assert.equal(2 * 100 * 64 + 64 + 2 * layer, about.parameters.total)
    assert.equal(2, #about.layers)
    assert.matches("attention +GQA, 8 heads over 2", result.stdout)
  end)

  it("writes the copy to a path that ends in .json", function()
    assert.equal(0, extract({ "--config", "org/Tiny-1B/config.json", "--output", "here/config.json" }).status)
    assert.is_true(fs.exists(sandbox:at("here/config.json")))
    assert.is_true(fs.exists(sandbox:at("here/model_architecture.json")))
  end)

  it("downloads a config, and finds it again without a network", function()
    assert.equal(0, extract({ "org/tiny" }).status)
    local first = fs.read(sandbox:at("model_config.json"))
    os.remove(sandbox:at("model_config.json"))
    local result = extract({ "org/tiny", "--offline" }, { HF_ENDPOINT = "http://127.0.0.1:1" })
    assert.equal(0, result.status, result.stderr)
    assert.equal(first, fs.read(sandbox:at("model_config.json")))
  end)

  for name, how in pairs { ["tiny-flaky"] = "HTTP 503", ["tiny-closing"] = "closed" } do
    it(("tries %s again, saying why, until it answers"):format(name), function()
      local result = extract { "org/" .. name }
      assert.equal(0, result.status, result.stderr)
      local _, times = result.stdout:gsub("trying again in %d", "")
      assert.equal(2, times, how)
    end)
  end

  it("uses the cached copy with a warning when nobody answers", function()
    extract { "org/tiny" }
    local result = extract({ "org/tiny", "--retries", "0" }, { HF_ENDPOINT = "http://127.0.0.1:1" })
    assert.equal(0, result.status, result.stderr)
    assert.matches("using the cached copy, which may be out of date", result.stderr, 1, true)
  end)

  it("takes fields that the config lacks from --set, for the architecture only", function()
    local poor = CONFIG:gsub('"vocab_size": 100, ?', ""):gsub(',%s*"vocab_size": 100', "")
    assert.is_nil(poor:find("vocab_size", 1, true))
    sandbox:write("config.json", poor)
    one_line(extract { "--config", "config.json" }, 1, "--set vocab_size=VALUE gives it")
    local result = extract { "--config", "config.json", "--set", "vocab_size=100" }
    assert.equal(0, result.status, result.stderr)
    assert.equal(poor, fs.read(sandbox:at("model_config.json")))
    assert.equal(100, json.read(sandbox:at("model_architecture.json")).dimensions.vocab_size)
  end)

  describe("says in one line, and writes nothing, when", function()
    for name, says in pairs {
      ["error-401"] = "HF_TOKEN",
      ["error-404"] = "check the name on the hub",
      ["error-500"] = "give it with --config FILE",
      portal = "is HF_ENDPOINT right?",
      notjson = "config.json:2:7:",
    } do
      it(
        "the hub answers as " .. name .. " does",
        function() one_line(extract { "org/" .. name, "--retries", "0" }, 1, says) end
      )
    end

    it("the repository is not ORG/NAME", function()
      one_line(extract { "tiny" }, 2, "'tiny' is not ORG/NAME")
      one_line(extract { "org/tiny/more" }, 2, "is not ORG/NAME")
      one_line(extract { "../tiny" }, 2, "is not ORG/NAME")
    end)

    it("no model is given", function() one_line(extract {}, 2, "--model-id ORG/NAME or --config FILE") end)

    it(
      "the cache does not have the config and nobody may be asked",
      function() one_line(extract { "org/tiny", "--offline" }, 1, "--config FILE") end
    )

    it("the config is absurd", function()
      sandbox:write("config.json", (CONFIG:gsub('"hidden_size": 64', '"hidden_size": -64')))
      one_line(extract { "--config", "config.json" }, 1, "hidden_size is -64")
    end)
  end)
end)
