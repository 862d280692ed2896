local text = require "hone.text"

describe("text.trim", function()
  it(
    "takes white space off both ends and leaves the rest",
    function() assert.equal("a  b", text.trim(" \t a  b\n")) end
  )
  it("makes nothing of blank text", function()
    assert.equal("", text.trim(" \n\t "))
    assert.equal("", text.trim(""))
  end)
  it("is quick on a long run of inner spaces", function()
    local long = "x" .. (" "):rep(100000) .. "y"
    assert.equal(long, text.trim(long))
  end)
  it("blames the caller for something else than a string", function()
    local _, problem = pcall(function() text.trim(3) end)
    assert.matches("^[^\n]*text_spec.lua:%d+: bad argument #1 to 'trim' %(string expected", problem)
  end)
end)

describe("text.split", function()
  it("keeps empty pieces", function() assert.same({ "", "a", "", "b", "" }, text.split(",a,,b,", ",")) end)
  it("takes the separator as plain text", function() assert.same({ "a", "b" }, text.split("a.*b", ".*")) end)
  it(
    "leaves the rest in the last piece of a limit",
    function() assert.same({ "k", "v=w" }, text.split("k=v=w", "=", 2)) end
  )
  it("refuses an empty separator", function()
    assert.error_matches(function() text.split("ab", "") end, "empty separator")
  end)
end)

describe("text.lines", function()
  it(
    "takes LF and CR LF off the ends of lines and keeps empty lines",
    function() assert.same({ "a", "", "b" }, text.lines("a\r\n\nb\n")) end
  )
  it("finds the last line without a newline, and none in empty text", function()
    assert.same({ "a", "b" }, text.lines("a\nb"))
    assert.same({}, text.lines(""))
  end)
end)

describe("text.wrap", function()
  it(
    "breaks between words at the width",
    function() assert.equal("one two\nthree\nfour", text.wrap("one two three four", 8)) end
  )
  it(
    "gives a word wider than the width its own line",
    function() assert.equal("a\nincomprehensible\nb", text.wrap("a incomprehensible b", 5)) end
  )
  it(
    "counts the indentation, and keeps paragraphs",
    function() assert.equal("  one\n  two\n\n  three", text.wrap("one two\n\nthree", 7, "  ")) end
  )
  it(
    "counts characters, not bytes",
    function() assert.equal("éé éé\néé", text.wrap("éé éé éé", 5)) end
  )
end)

describe("text.pad", function()
  it("fills to the right, to the left and around", function()
    assert.equal("ab   ", text.pad("ab", 5))
    assert.equal("   ab", text.pad("ab", 5, "left"))
    assert.equal(" ab  ", text.pad("ab", 5, "center"))
  end)
  it("leaves a wider text alone", function() assert.equal("abc", text.pad("abc", 2)) end)
  it("counts characters, not bytes", function() assert.equal("µs  ", text.pad("µs", 4)) end)
end)

describe("text.plural", function()
  it("uses the singular for one only", function()
    assert.equal("1 file", text.plural(1, "file"))
    assert.equal("0 files", text.plural(0, "file"))
    assert.equal("2 entries", text.plural(2, "entry", "entries"))
  end)
end)

describe("text.bytes", function()
  it("counts small sizes exactly", function()
    assert.equal("0 B", text.bytes(0))
    assert.equal("999 B", text.bytes(999))
  end)
  it("rounds larger ones to one digit, never to 1000.0", function()
    assert.equal("1.0 kB", text.bytes(1000))
    assert.equal("1.2 MB", text.bytes(1234567))
    assert.equal("1.0 MB", text.bytes(999960))
    assert.equal("5000.0 PB", text.bytes(5e18))
  end)
end)

describe("text.nearest", function()
  local skills = { "run", "report", "validate", "serve", "extract-kernel-definitions" }
  it("finds a word with a letter wrong, missing, doubled or two swapped", function()
    assert.equal("report", text.nearest("repork", skills))
    assert.equal("report", text.nearest("repot", skills))
    assert.equal("validate", text.nearest("vallidate", skills))
    assert.equal("serve", text.nearest("sevre", skills))
  end)
  it(
    "does not mind case and underscores",
    function() assert.equal("extract-kernel-definitions", text.nearest("Extract_Kernel_Definition", skills)) end
  )
  it("finds nothing for another word", function()
    assert.is_nil(text.nearest("onboard", skills))
    assert.is_nil(text.nearest("x", { "y" }))
    assert.is_nil(text.nearest("", skills))
  end)
  it(
    "takes the first of equally near ones",
    function() assert.equal("bat", text.nearest("cat", { "bat", "rat" })) end
  )
end)
