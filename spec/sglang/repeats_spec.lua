-- Building layers of each kind once, and running those that stand for others until they settle, must not change what
-- is found: compared with building and running every layer, on SGLang's own sources.
local fs = require "hone.fs"
local repeats = require "hone.sglang.repeats"
local sglang = require "support.sglang"

local CONFIGS = os.getenv("HONE_CONFIGS") or "../shared/hf-configs"

-- The kernels of a model with the layers that run them, and the remarks on its other layers, as sorted lines.
local function found(options)
  local walked = assert(require("hone.sglang.walk").walk(options))
  local collected =
    require("hone.sglang.kernels").collect(walked, { page_sizes = { 1 }, gemm_dtype = "float16" })
  local lines = {}
  for _, kernel in ipairs(collected.kernels) do
    for _, module in ipairs(kernel.modules) do
      local params = {}
      for name, value in pairs(kernel.params) do
        params[#params + 1] = ("%s=%s"):format(name, value)
      end
      table.sort(params)
      local words = { kernel.op_type, kernel.variant, table.concat(params, ","), module.path, module.count }
      lines[#lines + 1] = table.concat(words, " ")
    end
  end
  for _, kind in ipairs { "noted", "review", "unused" } do
    for _, remark in ipairs(collected[kind]) do
      lines[#lines + 1] = table.concat({ kind, remark.path, remark.count, remark.why }, " ")
    end
  end
  table.sort(lines)
  return lines, walked
end

-- Build every layer, each an object of its own.
local function without_repeats(options)
  local new = repeats.new
  repeats.new = function()
    local all = new(setmetatable({}, { __index = function() return true end }))
    all.settle = function() end
    return all
  end
  local ok, lines, walked = pcall(found, options)
  repeats.new = new
  assert(ok, lines)
  return lines, walked
end

describe("hone.sglang.repeats", function()
  local MODELS = {
    { "llama", "meta-llama/Llama-3.2-3B-Instruct", "layers that are all alike" },
    { "gpt_oss", "openai/gpt-oss-20b", "layers of two kinds in turn" },
    { "deepseek_v2", "deepseek-ai/DeepSeek-V3", "a few layers of another kind at the start" },
    { "qwen3_next", "Qwen/Qwen3-Next-80B-A3B-Instruct", "one layer in four of another kind" },
    { "nemotron_h", "nvidia/Nemotron-H-56B-Base-8K", "layers that hand on objects" },
    { "granitemoehybrid", "ibm-granite/granite-4.0-h-small", "layers that read their index from their name" },
  }
  for _, model in ipairs(MODELS) do
    local name, repo, what = table.unpack(model)
    it("changes nothing for " .. what, function()
      local path = fs.join(CONFIGS, repo, "config.json")
      if not fs.exists(path) then path = fs.join("spec/support/configs", repo, "config.json") end
      if not sglang.folder() then return pending("no SGLang sources (HONE_SGLANG names them)") end
      if not fs.exists(path) then return pending("no config at " .. path) end
      local config = assert(require("hone.model.config").from_file(path))
      local options = {
        package = sglang.folder(),
        model = assert(require("hone.sglang.sources").find(sglang.folder(), name, config.architectures, {})),
        config = config,
        tp = 1,
        ep = 1,
        modes = { "prefill", "decode" },
      }
      local fast, walked = found(options)
      local whole, all = without_repeats(options)
      assert.same(whole, fast)
      assert.is_true(#walked.layers * 2 < #all.layers)
    end)
  end
end)
