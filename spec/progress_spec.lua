local progress = require "hone.progress"

-- A stream that keeps what is written, and a clock that stands still until it is moved.
local function recorder()
  local written, time = {}, 0
  local stream = { flush = function() end }
  function stream.write(_, ...)
    for _, piece in ipairs { ... } do
      written[#written + 1] = piece
    end
  end
  local self = { stream = stream }
  function self.now() return time end
  function self.pass(seconds) time = time + seconds end
  function self.take()
    local text = table.concat(written)
    written = {}
    return text
  end
  return self
end

local function group(record, live, columns)
  return progress.group {
    stream = record.stream,
    live = live,
    now = record.now,
    columns = function() return columns or 80 end,
  }
end

describe("progress away from a terminal", function()
  local record, lines

  before_each(function()
    record = recorder()
    lines = group(record, false)
  end)

  it("writes plain lines: at the start, at each tenth, at the end", function()
    local bar = lines:bar { label = "model.bin", total = 1000, unit = "B" }
    for n = 0, 1000, 10 do
      record.pass(1)
      bar:update(n)
    end
    bar:done()
    local text = record.take()
    assert.matches("^model.bin: started\nmodel.bin: 10 %%  100 B of 1.0 kB\nmodel.bin: 20 %%", text)
    assert.matches("model.bin: done %(1:41%)\n$", text)
    assert.equal(12, select(2, text:gsub("\n", "\n")))
    assert.is_nil(text:find("[\r\27]"))
  end)

  it("writes at most a line a second for each bar", function()
    local bar = lines:bar { label = "fast", total = 100, unit = "%" }
    for n = 0, 100 do
      record.pass(1 / 64)
      bar:update(n)
    end
    bar:done("cloned")
    assert.equal("fast: started\nfast: 63 %\nfast: cloned (0:02)\n", record.take())
  end)

  it("says what the work has moved on to", function()
    local bar = lines:bar { label = "sglang", total = 100, unit = "%" }
    record.pass(1)
    bar:update(100, "receiving objects")
    record.pass(1)
    bar:update(5, "resolving deltas")
    record.pass(1)
    bar:update(6, "resolving deltas")
    assert.equal(
      "sglang: started\nsglang: receiving objects  100 %\nsglang: resolving deltas  5 %\n",
      record.take()
    )
  end)

  it("breaks a long silence", function()
    local bar = lines:bar { label = "slow" }
    record.pass(20)
    bar:update(3)
    assert.equal("slow: started\nslow: 3\n", record.take())
  end)

  it("writes nothing when plain lines are not wanted", function()
    lines = progress.group { stream = record.stream, live = false, now = record.now, plain = false }
    local bar = lines:bar { label = "x" }
    record.pass(60)
    bar:update(1)
    bar:done()
    assert.equal("", record.take())
  end)

  it("says nothing more once it is done", function()
    local bar = lines:bar { label = "x" }
    bar:done()
    record.take()
    record.pass(60)
    bar:update(1)
    bar:done()
    assert.equal("", record.take())
  end)
end)

describe("progress on a terminal", function()
  local record, lines

  before_each(function()
    record = recorder()
    lines = group(record, true)
  end)

  it("draws a line for each bar and redraws them in place", function()
    lines:bar { label = "a", total = 10 }
    local bar = lines:bar { label = "longer", total = 100, unit = "%" }
    record.take()
    record.pass(1)
    bar:update(50, "half")
    assert.equal(
      "\27[2A\r\27[J"
        .. "a       [....................]    0 %  0 of 10\n"
        .. "longer  [##########..........]   50 %  half\n",
      record.take()
    )
  end)

  it("redraws at most ten times a second", function()
    local bar = lines:bar { label = "a", total = 1000 }
    record.take()
    for n = 1, 1000 do
      record.pass(0.001)
      bar:update(n)
    end
    local drawn = select(2, record.take():gsub("\27%[1A", ""))
    assert.is_true(drawn >= 8 and drawn <= 10, drawn .. " redraws in a second")
  end)

  it("cuts lines to the terminal's width, counting characters", function()
    lines = group(record, true, 20)
    lines:bar { label = ("é"):rep(50), total = 10 }
    local line = record.take():match("([^\n]*)\n$")
    assert.equal(19, utf8.len(line))
  end)

  it("lets other lines appear above and leaves what is done there", function()
    local bar = lines:bar { label = "a" }
    lines:bar { label = "b" }
    record.take()
    lines:above(function() record.stream:write("a note\n") end)
    assert.equal("\27[2A\r\27[Ja note\na\nb\n", record.take())
    bar:done("cloned")
    assert.equal("\27[2A\r\27[Ja: cloned (0:00)\nb\n", record.take())
  end)

  it("takes its lines away when it is closed", function()
    do
      local closed <close> = lines
      closed:bar { label = "a" }
      record.take()
    end
    assert.equal("\27[1A\r\27[J", record.take())
  end)
end)
