--- Memory that a judge and its workers share.
local arena = require "hone.bench.arena"
local tensor = require "hone.tensor"

describe("an arena", function()
  it("has tensors that are views of one memory", function()
    local memory <close> = assert(arena.new("cpu", 4096))
    assert.equal(4096, memory.whole:numel())
    local t = memory:tensor(256, "float32", { 2, 3 })
    t:copy_(tensor.new { { 1.0, 2.0, 3.0 }, { 4.0, 5.0, 6.0 } })
    assert.same({ { 1.0, 2.0, 3.0 }, { 4.0, 5.0, 6.0 } }, memory:tensor(256, "float32", { 2, 3 }):tolist())
    assert.equal(4.0, memory:tensor(256 + 12, "float32", { 1 }):tolist()[1])
    assert.is_true(memory.whole:narrow(1, 1, 256):eq(0):all():item())
    assert.is_true(memory.whole:narrow(1, 256 + 25, 256):eq(0):all():item())
  end)
  it("counts the bytes of a tensor by its dtype", function()
    for dtype, bytes in pairs {
      int64 = 8,
      float32 = 4,
      float16 = 2,
      bfloat16 = 2,
      int8 = 1,
      bool = 1,
    } do
      assert.equal(6 * bytes, arena.bytes_of(dtype, { 2, 3 }), dtype)
    end
    assert.equal(0, arena.bytes_of("float32", { 4, 0 }))
    assert.equal(4, arena.bytes_of("float32", {}))
  end)
  it("says so where there is not so much memory", function()
    local memory, why = arena.new("cpu", 1 << 62)
    assert.is_nil(memory)
    assert.matches("memory", why)
    assert.is_nil(why:find("\n", 1, true))
  end)
end)
