--- What calls are made with: new values for each, by a seed that only the judge has.
local arena = require "hone.bench.arena"
local contents = require "hone.bench.contents"
local ops = require "hone.ops"
local slots = require "hone.bench.slots"

local function made_of(definition, axes, times)
  local secret = 0
  local pools = {}
  local named = {}
  for name in pairs(definition.inputs) do
    named[name] = { type = "random" }
  end
  return assert(contents.new(definition, { axes = axes, inputs = named, uuid = "one" }, {
    root = ".",
    device = "cpu",
    seed = 7,
    times = times,
    pools = pools,
    secret = function()
      secret = secret + 1
      return secret
    end,
  }))
end

describe("contents", function()
  local gemm = assert(ops.build("gemm", "gemm", { N = 64, K = 32 }))
  local paged = assert(ops.build("gqa_paged", "decode", {
    num_qo_heads = 8,
    num_kv_heads = 2,
    head_dim = 64,
    page_size = 16,
  }))
  local PAGED = { batch_size = 4, num_pages = 40, len_indptr = 5, num_kv_indices = 20 }

  it("are the same for the same seed", function()
    local made = made_of(gemm, { M = 8 })
    local one, again = made:make(1234567), made:make(1234567)
    for i in ipairs(made.inputs) do
      assert.is_true(slots.same_bytes(one[i], again[i]))
    end
  end)
  it("are alike in no two calls", function()
    local made, seen = made_of(gemm, { M = 8 }), {}
    for seed = 1, 60 do
      local key = table.concat(made:make(seed * 7919)[1]:to("float32"):view(-1):tolist(), " ")
      assert.is_nil(seen[key], "two calls have the same values")
      seen[key] = true
    end
  end)
  it("keep their structure, which the workload fixes", function()
    local made = made_of(paged, PAGED)
    local structure = made:structure()
    assert.truthy(structure.kv_indptr)
    assert.is_nil(structure.q)
    local one, other = made:make(1), made:make(2)
    for i, name in ipairs(made.inputs) do
      if name == "kv_indptr" or name == "kv_indices" then
        assert.is_true(slots.same_bytes(one[i], other[i]), name)
      elseif name == "q" then
        assert.is_false(slots.same_bytes(one[i], other[i]))
      end
    end
  end)
  it("say what each value is, the outputs after the inputs", function()
    local made = made_of(gemm, { M = 8 })
    assert.equal(#made.inputs + #made.outputs, #made.values)
    assert.same({ 8, 32 }, made.values[1].shape)
    assert.same({ 8, 64 }, made.values[3].shape)
    assert.is_true(made.values[3].is_output)
  end)
  it("fill the tensors of a slot and return what they hold", function()
    local made = made_of(gemm, { M = 8 })
    local memory <close> = assert(arena.new("cpu", 1 << 20))
    local slot = slots.make(memory, made.values, 1)[1]
    local list = made:fill(slot.views, 99)
    for i = 1, #made.inputs do
      assert.is_true(slots.same_bytes(slot.views[i], list[i]))
    end
  end)
  it("hold the workload's rows several times where draws are counted", function()
    local sampling = assert(ops.build("sampling", "top_k", { vocab_size = 30 }))
    local made = made_of(sampling, { batch_size = 3 }, 4)
    assert.equal(12, made.axes.batch_size)
    assert.equal(12, made.values[1].shape[1])
    local probs = made:make(1)[1]
    assert.is_true(slots.same_bytes(probs:narrow(1, 1, 3), probs:narrow(1, 10, 3)))
  end)
end)
