--- How generated tests call FlashInfer, against stand-ins that use memory as its kernels do: there is no GPU here.
local fs, process = require "hone.fs", require "hone.process"
local generate = require "hone.reference_tests.generate"
local kernels = require "support.kernels"

local STAND_IN = "spec/reference_tests/flashinfer_stand_in.py"

-- A change of the source that makes another call of it, and how that one fails.
local CALLS = {
  {
    op_type = "gemm",
    variant = "fp8_block_scale",
    params = { N = 256, K = 512 },
    right = "block_after_block%(A_scale%)",
    wrong = "A_scale",
    fails = "out of bounds",
  },
  {
    op_type = "mamba_ssu",
    variant = "decode",
    params = { nheads = 8, head_dim = 16, dstate = 32, ngroups = 2 },
    right = "output%[state_batch_indices < 0%] = 0",
    wrong = "pass",
    fails = "output: .* of the norm",
  },
}

local function run(dir, text)
  local path = fs.join(dir, "test_generated.py")
  assert(fs.write(path, text))
  return assert(process.run { "python3", STAND_IN, path })
end

describe("FlashInfer's truth", function()
  for _, call in ipairs(CALLS) do
    it(("of %s, %s, is called as its kernel takes it"):format(call.op_type, call.variant), function()
      if process.run({ "python3", "-c", "import torch, pytest" }).status ~= 0 then
        return pending "no torch with pytest"
      end
      local dir <close> = assert(fs.tempdir())
      assert(fs.write(fs.join(dir.path, "conftest.py"), require "hone.reference_tests.conftest"))
      local text = assert(generate.test(kernels.build(call.op_type, call.variant, call.params)))
      local result = run(dir.path, text)
      assert.equal(0, result.status, result.stderr)

      local changed, count = text:gsub(call.right, call.wrong)
      assert.equal(1, count)
      assert.matches(call.fails, run(dir.path, changed).stderr)
    end)
  end
end)
