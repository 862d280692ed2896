local fs = require "hone.fs"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local sglang = require "support.sglang"
local tiny = require "support.tiny_sglang"

describe("find-sglang-baseline", function()
  local sandbox

  before_each(function()
    sandbox = new_sandbox()
    local draft = tiny.model():gsub("TinyForCausalLM", "TinyForCausalLMEagle")
    tiny.write(sandbox:at("tree"), { tiny = tiny.model(), tiny_eagle = draft })
    sandbox:write("org/Tiny-1B/config.json", tiny.CONFIG)
  end)
  after_each(function() sandbox:close() end)

  local function find(...)
    local line = { "find-sglang-baseline", "--sglang-path", "tree", "--output", "out", "--model-name", ... }
    return sandbox:hone(line)
  end

  local function read(name) return assert(json.read(sandbox:at("out", name))) end

  local function one_line(result, pattern)
    assert.equal(1, result.status, result.stderr)
    assert.matches(pattern, result.stderr, 1, true)
    assert.equal(1, select(2, result.stderr:gsub("\n", "")))
    assert.is_false(fs.exists(sandbox:at("out")))
  end

  local function paths(calls)
    local list = {}
    for i, call in ipairs(calls) do
      list[i] = call.module
    end
    return list
  end

  for _, name in ipairs { "tiny", "TINY", "TinyForCausalLM", "tin", "Layer", "tiny-1b-instruct" } do
    it(("finds the model as '%s'"):format(name), function()
      local result = find(name)
      assert.equal(0, result.status, result.stderr)
      assert.equal("srt/models/tiny.py", read("sglang_implementation.json").file)
    end)
  end

  it("writes classes with what they inherit, the layers they build and their functions' lines", function()
    assert.equal(0, find("tiny").status)
    local implementation = read "sglang_implementation.json"
    assert.same({ "TinyForCausalLM" }, { table.unpack(implementation.entry_classes) })
    assert.equal(1, #implementation.files)
    local layer = implementation.classes[2]
    assert.equal("Layer", layer.name)
    assert.same({ "nn.Module" }, { table.unpack(layer.inherits) })
    local norm = layer.layers[1]
    assert.same({ "norm", "RMSNorm" }, { norm.attribute, norm.class })
    assert.same({ "config.hidden_size", "eps=config.rms_norm_eps" }, { table.unpack(norm.arguments) })
    assert.matches("^srt/layers/layernorm.py:%d+$", norm.defined)
    local source = {}
    for line in (fs.read(sandbox:at("tree/sglang/srt/models/tiny.py")) .. "\n"):gmatch("(.-)\n") do
      source[#source + 1] = line
    end
    assert.matches("self.norm = RMSNorm", source[norm.line], 1, true)
    for _, snippet in ipairs(layer.functions) do
      assert.equal(table.concat(source, "\n", snippet.from, snippet.to), snippet.text)
    end
  end)

  it("follows what a class inherits into other files", function()
    local child = [[
from sglang.srt.models.tiny import Layer, TinyForCausalLM as Base


class ChildLayer(Layer):
    pass


class ChildForCausalLM(Base):
    def __init__(self, config, layer_type=ChildLayer):
        super().__init__(config)


EntryClass = ChildForCausalLM
]]
    tiny.write(sandbox:at("tree"), { tiny = tiny.model(), child = child })
    sandbox:write("config.json", (tiny.CONFIG:gsub("TinyForCausalLM", "ChildForCausalLM")))
    local result = find("child", "--config", "config.json")
    assert.equal(0, result.status, result.stderr)
    local implementation = read "sglang_implementation.json"
    local class = implementation.classes[1]
    assert.equal("ChildForCausalLM", class.name)
    assert.same({ "sglang.srt.models.tiny.TinyForCausalLM", "nn.Module" }, { table.unpack(class.inherits) })
    assert.equal(2, #implementation.files)
    assert.equal("ChildForCausalLM", implementation.modules.Layer.parent)
    local named = {}
    for _, one in ipairs(implementation.classes) do
      named[one.name] = one.file
    end
    assert.equal("srt/models/child.py", named.ChildLayer)
    assert.equal("srt/models/tiny.py", named.Layer)
  end)

  it("writes the calls of each forward pass in their order, with the definitions of the config", function()
    local result = find("tiny", "--config", "org/Tiny-1B/config.json")
    assert.equal(0, result.status, result.stderr)
    local calls = read "kernel_calls.json"
    assert.is_true(calls.sizes_known)
    assert.same({
      "layers.*.norm",
      "layers.*.qkv_proj",
      "layers.*.attn",
      "layers.*.norm",
      "logits_processor",
    }, paths(calls.modes.decode))
    local first, attention, second = calls.modes.decode[1], calls.modes.decode[3], calls.modes.decode[4]
    assert.same({ "rmsnorm_h64" }, { table.unpack(first.definitions) })
    assert.same({ "fused_add_rmsnorm_h64" }, { table.unpack(second.definitions) })
    assert.same({ "flashinfer.norm.rmsnorm" }, { table.unpack(first.flashinfer) })
    assert.equal(2, attention.count)
    assert.matches("^srt/models/tiny.py:%d+$", attention.called)
    for _, name in ipairs(attention.definitions) do
      assert.matches("^gqa_paged_decode", name)
    end
    for _, name in ipairs(calls.modes.prefill[3].definitions) do
      assert.matches("prefill", name)
    end
  end)

  it("writes the tree of modules that run, and leaves out what does not", function()
    find("tiny", "--config", "org/Tiny-1B/config.json")
    local modules = read("sglang_implementation.json").modules
    assert.equal(2, modules.Layer.count)
    assert.equal("TinyForCausalLM", modules.Layer.parent)
    assert.equal("Layer", modules.attn.parent)
    assert.same({ "rmsnorm_h64", "fused_add_rmsnorm_h64" }, { table.unpack(modules.norm.definitions) })
    assert.is_nil(modules.unused)
    local names = {}
    for name in pairs(modules) do
      names[#names + 1] = name
    end
    assert.equal("TinyForCausalLM Layer norm qkv_proj attn logits_processor", table.concat(names, " "))
  end)

  it("follows the calls without a config, and claims no sizes", function()
    assert.equal(0, find("tiny").status)
    local calls = read "kernel_calls.json"
    assert.is_false(calls.sizes_known)
    assert.is_true(#calls.modes.prefill >= 4)
    assert.is_nil(calls.modes.prefill[1].definitions)
    assert.is_nil(calls.modes.prefill[1].count)
    assert.is_nil(read("sglang_implementation.json").modules)
  end)

  it("writes the implementation also when its calls cannot be followed, and says why", function()
    tiny.write(sandbox:at("tree"), { tiny = tiny.model { init = "raise ValueError('no')" } })
    local result = find("tiny", "--config", "org/Tiny-1B/config.json")
    assert.equal(0, result.status, result.stderr)
    assert.matches("no kernel calls: cannot construct TinyForCausalLM", result.stderr, 1, true)
    assert.equal(0, #read("kernel_calls.json").modes.decode)
    assert.equal(2, #read("sglang_implementation.json").classes)
  end)

  it("takes the config's architecture where no file has the model's name", function()
    local result = find("other", "--config", "org/Tiny-1B/config.json")
    assert.equal(0, result.status, result.stderr)
    assert.matches("TinyForCausalLM is in tiny.py", result.stderr, 1, true)
  end)

  it("notices a config that belongs to another model", function()
    sandbox:write("config.json", (tiny.CONFIG:gsub("TinyForCausalLM", "OtherForCausalLM")))
    one_line(find("tiny", "--config", "config.json"), "does not implement the config's OtherForCausalLM")
  end)

  it("says in one line that nothing answers to a name", function()
    one_line(find "xyzzy", "no file and no class of SGLang's models folder answers to 'xyzzy'")
    one_line(find "...", "'...' names no model")
  end)

  it(
    "says in one line that there are no sources",
    function()
      one_line(
        sandbox:hone { "find-sglang-baseline", "--model-name", "tiny", "--sglang-path", "gone" },
        "cannot read SGLang's sources in gone"
      )
    end
  )

  it("finds SGLang's own models by names that are not exact", function()
    if not sglang.folder() then return pending("no SGLang sources (HONE_SGLANG names them)") end
    local search = require "hone.sglang.search"
    for name, file in pairs {
      llama = "llama",
      ["deepseek-v3"] = "deepseek_v2",
      DeepseekV2AttentionMLA = "deepseek_v2",
      ["Qwen3-Next"] = "qwen3_next",
      gptoss = "gpt_oss",
      NemotronH = "nemotron_h",
    } do
      assert.equal(file, assert(search.find(sglang.folder(), name)).name, name)
    end
  end)
end)
