local arena = require "hone.bench.arena"
local slots = require "hone.bench.slots"
local tensor = require "hone.tensor"

local VALUES = {
  { name = "x", dtype = "float32", shape = { 3, 5 } },
  { name = "scale", dtype = "float32", value = 0.5 },
  { name = "places", dtype = "int32", shape = { 7 } },
  { name = "y", dtype = "bfloat16", shape = { 3, 5 }, is_output = true },
  { name = "found", dtype = "int64", shape = { 2 }, is_output = true },
}

describe("hone.bench.slots", function()
  local memory
  before_each(function() memory = assert(arena.new("cpu", 1 << 17)) end)
  after_each(function() memory:close() end)

  -- Where all tensors of some slots begin and end, in order.
  local function spans(list)
    local all = {}
    for _, slot in ipairs(list) do
      for i, value in ipairs(VALUES) do
        local bytes = value.shape and arena.bytes_of(value.dtype, value.shape)
        for _, part in ipairs { "at", "own" } do
          local at = slot[part][i]
          if at then all[#all + 1] = { at, at + bytes } end
        end
      end
    end
    table.sort(all, function(a, b) return a[1] < b[1] end)
    return all
  end

  it("gives every tensor two places, none of which touch", function()
    local all = spans(slots.make(memory, VALUES, 4))
    assert.equal(4 * 4 * 2, #all)
    for i = 2, #all do
      assert.is_true(all[i][1] - all[i - 1][2] >= 256)
    end
    assert.is_true(all[1][1] >= 0 and all[#all][2] <= memory.bytes)
  end)

  it("needs no more room than it says", function()
    for _ = 1, 50 do
      local first, last = math.huge, 0
      for _, span in ipairs(spans(slots.make(memory, VALUES, 1))) do
        first, last = math.min(first, span[1]), math.max(last, span[2])
      end
      assert.is_true(last - first <= slots.bytes(VALUES))
    end
  end)

  it("tells the worker of both places, in the order of the values", function()
    local slot = slots.make(memory, VALUES, 1)[1]
    assert.same({ slot.at[1], slot.at[3], slot.at[4], slot.at[5] }, slot.offsets)
    assert.same({ slot.own[1], slot.own[3] }, slot.sources)
    assert.same({ slot.own[4], slot.own[5] }, slot.seen)
  end)

  it("puts them at other places each time", function()
    local seen, count = {}, 0
    for _ = 1, 30 do
      local at = slots.make(memory, VALUES, 1)[1].at[1]
      if not seen[at] then
        seen[at], count = true, count + 1
      end
    end
    assert.is_true(count > 10)
  end)

  it(
    "fills outputs with what no output holds, and nothing of the inputs is in the solution's place",
    function()
      local slot = slots.make(memory, VALUES, 1)[1]
      slot.views[1]:fill_(3)
      assert.is_true(slot.given[1]:isnan():all():item())
      assert.is_true(slot.given[4]:isnan():all():item())
      assert.is_true(slot.views[4]:isnan():all():item())
      assert.same({ 0x5A5A5A5A5A5A, 0x5A5A5A5A5A5A }, slot.given[5]:tolist())
    end
  )

  it("sees what is written before and behind a tensor of the solution's", function()
    local slot = slots.make(memory, VALUES, 1)[1]
    assert.is_nil(slots.broken_guard(memory, VALUES, slot))
    slot.given[4]:fill_(1)
    slot.given[5]:fill_(1)
    assert.is_nil(slots.broken_guard(memory, VALUES, slot))
    memory.whole:narrow(1, slot.at[4] + 30 + 1, 1):fill_(0)
    assert.equal("y", slots.broken_guard(memory, VALUES, slot))
    slot = slots.make(memory, VALUES, 1)[1]
    memory.whole:narrow(1, slot.at[3], 1):fill_(0)
    assert.equal("places", slots.broken_guard(memory, VALUES, slot))
  end)

  it("leaves nothing of the request before, wherever that was", function()
    local secret = tensor.new({ 0x12345678 }, "int32")
    for _ = 1, 20 do
      for _, slot in ipairs(slots.make(memory, VALUES, 2)) do
        for i, value in ipairs(VALUES) do
          if value.dtype == "int32" and value.shape then slot.given[i]:fill_(secret:item()) end
        end
      end
      slots.make(memory, VALUES, 1)
      assert.equal(0, memory.whole:view("int32"):eq(secret:item()):sum():item())
    end
  end)

  it("keeps inputs that are large at one place", function()
    local large = { { name = "x", dtype = "int8", shape = { 257 << 20 } }, VALUES[4] }
    assert.is_true(slots.bytes(large) < 300 << 20)
  end)

  it("compares tensors by their bytes", function()
    local nan = tensor.new { 0 / 0, 1.0 }
    assert.is_true(slots.same_bytes(nan, nan:clone()))
    assert.is_false(slots.same_bytes(tensor.new { 0.0 }, tensor.new { -0.0 }))
    assert.is_true(slots.same_bytes(tensor.new { true, false }, tensor.new { true, false }))
    assert.is_false(slots.same_bytes(tensor.new { true, false }, tensor.new { true, true }))
    assert.is_true(slots.same_bytes(tensor.zeros { 0 }, tensor.zeros { 0 }))
  end)
end)
