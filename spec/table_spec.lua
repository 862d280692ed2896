local tables = require "hone.table"

describe("table.format", function()
  it("aligns columns, numbers to the right, and leaves no space at the end of a line", function()
    local text = tables.format({ { "short", 7 }, { "much longer", 12 } }, { headers = { "name", "count" } })
    assert.equal("name         count\nshort            7\nmuch longer     12", text)
  end)

  it("indents, leaves absent cells empty and keeps a cell in one line", function()
    local rows = { { "a", "b" }, { "c" }, { "d\ne", "f" } }
    assert.equal("  a    b\n  c\n  d e  f", tables.format(rows, { indent = 2 }))
  end)

  it(
    "counts characters, not bytes",
    function() assert.equal("é   x\nab  y", tables.format { { "é", "x" }, { "ab", "y" } }) end
  )

  it(
    "knows columns that only later rows have",
    function() assert.equal("a\nb  c", tables.format { { "a" }, { "b", "c" } }) end
  )

  it("is empty for no rows", function() assert.equal("", tables.format {}) end)
end)
