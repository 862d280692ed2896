--- How generated tests call FlashInfer, against stand-ins that use memory as its kernels do: there is no GPU here.
local fs, process = require "hone.fs", require "hone.process"
local generate = require "hone.reference_tests.generate"
local kernels = require "support.kernels"
local ops = require "hone.ops"
local template = require "hone.solutions.template"

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
  {
    op_type = "gqa_ragged",
    variant = "prefill_causal",
    params = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 16 },
    right = "causal=True",
    wrong = "causal=False",
    fails = "output: .* of the norm",
  },
}

local function run(dir, text, ...)
  local path = fs.join(dir, "test_generated.py")
  assert(fs.write(path, text))
  return assert(process.run { "python3", STAND_IN, path, ... })
end

-- With what the template for FlashInfer begins a solution with in the place of the test's call.
local function run_solution(dir, text, definition)
  local path, may_change = fs.join(dir, "solution.py"), {}
  local made = assert(template.make("library", definition, { name = "by_flashinfer", author = "me" }))
  assert.equal(1, #made.sources)
  assert(fs.write(path, made.sources[1].content))
  for name in pairs(definition.inputs) do
    if ops.may_change(definition, name) then may_change[#may_change + 1] = name end
  end
  return run(dir, text, path, table.unpack(may_change))
end

describe("FlashInfer's truth", function()
  for _, call in ipairs(CALLS) do
    it(("of %s, %s, is called as its kernel takes it"):format(call.op_type, call.variant), function()
      if process.run({ "python3", "-c", "import torch, pytest" }).status ~= 0 then
        return pending "no torch with pytest"
      end
      local dir <close> = assert(fs.tempdir())
      assert(fs.write(fs.join(dir.path, "conftest.py"), require "hone.reference_tests.conftest"))
      local definition = kernels.build(call.op_type, call.variant, call.params)
      local text = assert(generate.test(definition))
      local result = run(dir.path, text)
      assert.equal(0, result.status, result.stderr)
      result = run_solution(dir.path, text, definition)
      assert.equal(0, result.status, result.stderr)

      local changed, count = text:gsub(call.right, call.wrong)
      assert.equal(1, count)
      assert.matches(call.fails, run(dir.path, changed).stderr)
    end)
  end
end)
