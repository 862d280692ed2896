--- Of the definitions that the public dataset tags with a model: all are found in SGLang's source, but for those
--- that are listed here with the reason.
local dataset = require "support.dataset"
local fs = require "hone.fs"
local new_sandbox = require("support.sandbox").new
local sglang = require "support.sglang"

local CONFIGS = os.getenv "HONE_CONFIGS" or "../shared/hf-configs"

-- Definition to the reason why it is not found at the sizes that its tags state.
local EXCEPTIONS = {
  moe_fp8_block_scale_renorm_topk10_e128_h2048_i512 = "tagged ep:1, and its 128 experts are those of one rank of EP 4 "
    .. "(num_experts is 512); it is found at EP 4",
}

describe("the dataset's definitions that are tagged with a model", function()
  it("are found in SGLang's source with the same signature", function()
    local trace, why = dataset.trace()
    if not trace then return pending(why) end
    if not sglang.folder() then return pending "no SGLang sources (HONE_SGLANG names them)" end
    local has_transformers = (require("hone.sglang.config_classes").transformers())
    if not has_transformers then return pending "no transformers sources (HONE_TRANSFORMERS names them)" end
    if not fs.is_dir(CONFIGS) then return pending("no configs at " .. CONFIGS) end
    local sandbox = new_sandbox()
    finally(function() sandbox:close() end)
    local result = sandbox:hone {
      fs.absolute "examples/dataset_coverage.lua",
      fs.absolute(sglang.folder()),
      fs.absolute(CONFIGS) .. ":" .. fs.absolute "spec/support/configs",
      fs.absolute(trace),
    }
    assert.equal("", result.stderr)
    local missing, expected = {}, {}
    for name, reason in result.stdout:gmatch "\n  ([%w_]+): ([^\n]*)" do
      if not EXCEPTIONS[name] then missing[#missing + 1] = name .. ": " .. reason end
    end
    assert.same(expected, missing)
    assert.is_nil(result.stdout:match "\n  cannot [^\n]*")
    assert.is_nil(result.stdout:match "\n  forward [^\n]*")
    local found, total = result.stdout:match "(%d+) of (%d+) found"
    assert.is_true(tonumber(total) > 100)
    assert.is_true(tonumber(total) - tonumber(found) <= 2)
  end)
end)
