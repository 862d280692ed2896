local sglang = require "support.sglang"
local syntax = require "hone.syntax"

local function parse(source, language) return assert(syntax.parse(source, language or "python")) end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

-- The table of the first statement's expression.
local function expression(source, options)
  local tree = parse(source)
  local module = assert(tree:to_table(nil, options))
  assert.equal("expression_statement", module[1].type)
  return module[1][1], tree
end

-- The types of a converted tree in brackets: "call(identifier argument_list(integer))".
local function outline(node)
  local inner = {}
  for i, child in ipairs(node) do
    inner[i] = outline(child)
  end
  return #inner > 0 and ("%s(%s)"):format(node.type, table.concat(inner, " ")) or node.type
end

local function first(tree, query) return assert(tree:query(query))() end

describe("syntax.parse", function()
  it("reads Python, TypeScript and TSX", function()
    assert.equal("module", parse("x = 1"):root():type())
    assert.equal("program", parse("const x: number = 1;", "typescript"):root():type())
    local tree = parse("const x = <b>{1}</b>;", "tsx")
    assert.same({}, tree:errors())
    assert.equal("jsx_element", first(tree, "(jsx_element) @element").element:type())
  end)

  it("blames the caller for a language that it does not know", function()
    local ok, why = pcall(syntax.parse, "x", "cobol")
    assert.is_false(ok)
    assert.matches("bad argument #2 to 'parse' %(one of python, typescript, tsx expected, got cobol%)", why)
    assert.has_error(
      function() syntax.parse(nil, "python") end,
      "bad argument #1 to 'parse' (string expected, got nil)"
    )
    assert.has_error(
      function() syntax.parse("x", "python", { timeout = "long" }) end,
      "bad option 'timeout' (seconds expected, got string)"
    )
  end)

  it("says that a grammar is missing", function()
    local cpath, loaded = package.cpath, package.loaded["hone.syntax"]
    package.loaded["hone.syntax"], package.cpath = nil, "/nonexistent/?.so"
    local fresh = dofile(package.searchpath("hone.syntax", package.path))
    local tree, why, code = fresh.parse("x", "python")
    package.loaded["hone.syntax"], package.cpath = loaded, cpath
    assert.is_nil(tree)
    assert.matches("^cannot load the python grammar: no hone/grammar/python%.so", why)
    assert.equal("no_grammar", code)
  end)

  it("stops when its time is up, and parses the next source from its start", function()
    local tree, why, code =
      syntax.parse(("def f(a):\n    return a + 1\n"):rep(100000), "python", { timeout = 0.05 })
    assert.is_nil(tree)
    assert.equal("cannot parse the source: not done after 0.05 seconds", why)
    assert.equal("timeout", code)
    assert.equal("module(expression_statement(identifier))", outline(parse("y"):to_table()))
  end)

  it("is interrupted by Ctrl-C", function()
    local hone = os.getenv("HONE_BIN")
    if not hone then return pending("HONE_BIN is not set") end
    local script = [[require("hone.syntax").parse(("f(a)\n"):rep(10000000), "python", { timeout = 60 })]]
    local pipe = assert(io.popen(("timeout --foreground -s INT 2 %s -e '%s' 2>&1"):format(hone, script)))
    local output = pipe:read("a")
    pipe:close()
    assert.equal("hone: interrupted\n", output)
  end)

  it("reads an empty source", function()
    local tree = parse("")
    assert.same({ type = "module", line = 1, text = "" }, tree:to_table())
    assert.same({}, tree:errors())
    assert.same({}, tree:root():children())
  end)

  it("reads lines that end in CR LF", function()
    local tree = parse("if x:\r\n    y = 1\r\nz = 2\r\n")
    assert.same({}, tree:errors())
    local module = tree:to_table()
    assert.equal(
      "if_statement(identifier block(expression_statement(assignment(identifier integer))))",
      outline(module[1])
    )
    assert.equal(3, module[2].line)
  end)

  it("keeps zero bytes in the source; they are errors, as they are to Python", function()
    local tree = parse("b = 2\na = 'x\0y'\n")
    assert.equal("b = 2\na = 'x\0y'\n", tree:source())
    assert.equal("b = 2", first(tree, "(expression_statement) @s").s:text())
    assert.is_true(tree:root():has_error())
    assert.equal("a\0b\n", parse("a\0b\n"):root():text())
  end)

  it("reads identifiers and text outside ASCII, and counts columns in bytes", function()
    local tree = parse("größe = 'ß' + x")
    assert.same({}, tree:errors())
    local left = first(tree, "(assignment left: (identifier) @left)").left
    assert.equal("größe", left:text())
    assert.same(
      { 1, #"größe = 'ß' + x" },
      { select(1, first(tree, "(binary_operator right: (_) @r)").r:finish()), #"größe = 'ß' + x" }
    )
    assert.same({ 1, #"größe = 'ß' + " + 1 }, { first(tree, "(binary_operator right: (_) @r)").r:start() })
  end)

  it("makes errors of bytes that are not UTF-8, and goes on", function()
    local tree = parse("a = \xff\xfe\nb = 2\n")
    assert.is_true(tree:root():has_error())
    assert.equal("b", first(tree, '((identifier) @b (#eq? @b "b"))').b:text())
  end)

  it("survives any bytes", function()
    math.randomseed(7)
    for _ = 1, 20 do
      local bytes = {}
      for i = 1, 2000 do
        bytes[i] = string.char(math.random(0, 255))
      end
      for _, language in ipairs(syntax.languages) do
        local tree = parse(table.concat(bytes), language)
        assert.is_true(tree:root():has_error())
        assert.is_table(tree:to_table())
        assert.is_true(#tree:errors() > 0)
      end
    end
  end)

  it("reads every model of SGLang without an error", function()
    if not sglang.folder() then return pending("HONE_SGLANG is not set") end
    for _, path in ipairs(sglang.models()) do
      local tree <close> = parse(read(path))
      assert.same({}, tree:errors(), path)
      assert.equal("module", tree:to_table().type)
    end
  end)
end)

describe("deep nesting", function()
  local deep = {
    parentheses = ("("):rep(100000) .. "1" .. (")"):rep(100000),
    ["unclosed parentheses"] = ("("):rep(100000),
    ["unclosed brackets"] = "x = " .. ("["):rep(100000),
    signs = "x = " .. ("-"):rep(100000) .. "1",
    attributes = "x = a" .. (".b"):rep(100000),
    lambdas = "x = " .. ("lambda: "):rep(30000) .. "1",
  }
  for name, source in pairs(deep) do
    it(("of 100000 %s overflows no stack"):format(name), function()
      local tree = parse(source)
      assert.equal(#source, #tree:root():text())
      local converted, why, code = tree:to_table()
      if converted then -- what was not understood is flat
        assert.is_true(#tree:errors() > 0)
      else
        assert.equal("cannot convert the source: line 1 is nested more than 5000 levels deep", why)
        assert.equal("too_deep", code)
      end
    end)
  end

  it("is searched without recursion", function()
    local found = first(parse(("("):rep(60000) .. "1" .. (")"):rep(60000)), "(integer) @n")
    assert.equal("1", found.n:text())
  end)

  it("is converted as deep as the caller allows", function()
    local source = ("("):rep(20000) .. "1" .. (")"):rep(20000)
    local node = assert(parse(source):to_table(nil, { max_depth = 30000 }))
    local depth = 0
    while node[1] do
      node, depth = node[1], depth + 1
    end
    assert.equal("1", node.text)
    assert.equal(20002, depth)
    assert.has_error(
      function() parse("x"):to_table(nil, { max_depth = 0 }) end,
      "bad option 'max_depth' (1 to 200000 expected)"
    )
  end)
end)

describe("a node", function()
  local source = "def f(a, b=2):\n    # why\n    return a + b\n"

  it("tells its type, text and place", function()
    local node = first(parse(source), "(binary_operator) @sum").sum
    assert.equal("binary_operator", node:type())
    assert.equal("a + b", node:text())
    assert.same({ 3, 12 }, { node:start() })
    assert.same({ 3, 17 }, { node:finish() })
    assert.equal("a + b", source:sub(node:range()))
    assert.equal("node: binary_operator at 3:12", tostring(node))
  end)

  it("lists its children, those the grammar names, and those of a field", function()
    local tree = parse("if a: pass\nelif b: pass\nelse: pass\n")
    local statement = tree:root():children()[1]
    local types = {}
    for i, child in ipairs(statement:children()) do
      types[i] = child:type()
    end
    assert.same({ "if", "identifier", ":", "block", "elif_clause", "else_clause" }, types)
    assert.equal(4, #statement:named_children())
    assert.equal(2, #statement:children_by_field("alternative"))
    assert.equal("elif_clause", statement:child_by_field("alternative"):type())
    assert.is_nil(statement:child_by_field("no_such_field"))
    assert.same({}, statement:children_by_field("no_such_field"))
  end)

  it("equals the same node found another way, and no other", function()
    local tree = parse(source)
    local definition = tree:root():children()[1]
    assert.is_true(definition == tree:root():named_children()[1])
    assert.is_true(definition == definition:child_by_field("name"):parent())
    assert.is_false(definition == tree:root())
    assert.is_false(definition == parse(source):root():children()[1])
    assert.is_nil(tree:root():parent())
    assert.equal(tree, definition:tree())
  end)

  it("keeps its tree and its source alive", function()
    local node = first(parse(("x = 1\n"):rep(100) .. "last"), '((identifier) @l (#eq? @l "last"))').l
    collectgarbage()
    collectgarbage()
    assert.equal("last", node:text())
    assert.equal(101, node:start())
  end)

  it("cannot be used once its tree was closed", function()
    local tree = parse(source)
    local node, converted = tree:root(), tree:to_table()
    tree:close()
    tree:close()
    assert.has_error(function() node:text() end, "calling 'text' on bad self (tree was closed)")
    assert.has_error(function() tree:root() end, "calling 'root' on bad self (tree was closed)")
    assert.equal("node of a closed tree", tostring(node))
    assert.equal("module", converted.type)
  end)

  it("of another type is an argument error", function()
    local tree = parse("x")
    assert.has_error(
      function() tree:to_table(parse("y"):root()) end,
      "bad argument #1 to 'to_table' (node of another tree)"
    )
    assert.has_error(function() tree.root(io.stdout) end)
  end)
end)

describe("tree:errors", function()
  it("says what is unexpected and what is missing, with the place", function()
    local missing = parse("let x = (1;", "typescript"):errors()
    assert.equal("missing ')'", missing[1].message)
    assert.same({ 1, 11 }, { missing[1].row, missing[1].col })
    assert.is_true(missing[1].missing)
    assert.is_true(missing[1].node:is_missing())
    local unexpected = parse("y = 1\nx = {1: }\n"):errors()
    assert.equal("unexpected ':'", unexpected[1].message)
    assert.same({ 2, 7 }, { unexpected[1].row, unexpected[1].col })
    assert.is_false(unexpected[1].missing)
  end)

  it("lists at most as many as asked for, and cuts long texts", function()
    local tree = parse(("$ = = 1\nx = 1\n"):rep(50))
    assert.equal(3, #tree:errors(3))
    local message = parse("$" .. ("ü"):rep(100)):errors()[1].message
    assert.is_true(#message < 70)
    assert.is_truthy(utf8.len(message))
  end)
end)

describe("tree:query", function()
  local source = [[
import torch
class A(nn.Module):
    def forward(self, x): return torch.relu(x)
    def _hidden(self): pass
class B(object): pass
]]

  local function names(query, language_source)
    local list = {}
    for found in assert(parse(language_source or source):query(query)) do
      table.insert(list, found.name:text())
    end
    return list
  end

  it(
    "gives the captures of each match, in the order of the source",
    function() assert.same({ "A", "B" }, names("(class_definition name: (identifier) @name)")) end
  )

  it("tells which pattern matched", function()
    local seen = {}
    for found, pattern in
      parse(source):query("(class_definition name: (_) @name) (import_statement name: (_) @name)")
    do
      table.insert(seen, pattern .. found.name:text())
    end
    assert.same({ "2torch", "1A", "1B" }, seen)
  end)

  it("searches below a node", function()
    local tree = parse(source)
    local class = tree:root():named_children()[2]
    local count = 0
    for found in tree:query("(function_definition) @f", class) do
      assert.equal("function_definition", found.f:type())
      count = count + 1
    end
    assert.equal(2, count)
  end)

  it("gathers repeated captures in a list", function()
    local found = first(parse("if x:\n  a\n  b\n  c\n"), "(block (expression_statement)+ @lines)")
    assert.equal(3, #found.lines)
    assert.equal("c", found.lines[3]:text())
  end)

  it("evaluates predicates", function()
    local functions = "(function_definition name: (identifier) @name %s)"
    assert.same({ "forward" }, names(functions:format('(#eq? @name "forward")')))
    assert.same({ "_hidden" }, names(functions:format('(#not-eq? @name "forward")')))
    assert.same({ "_hidden" }, names(functions:format('(#match? @name "^_[a-z]+$")')))
    assert.same({ "forward" }, names(functions:format('(#not-match? @name "^_")')))
    assert.same({ "_hidden" }, names(functions:format('(#lua-match? @name "^_%l+$")')))
    assert.same({ "forward" }, names(functions:format('(#any-of? @name "x" "forward")')))
    assert.same({ "_hidden" }, names(functions:format('(#not-any-of? @name "x" "forward")')))
    assert.same({ "forward", "_hidden" }, names(functions:format("(#set! role function)")))
    local same = "((assignment left: (_) @name right: (_) @right) (#eq? @name @right))"
    assert.same({ "b" }, names(same, "a = b\nb = b\n"))
  end)

  it("refuses a query that is wrong, and says where", function()
    local tree = parse("x")
    local function refused(query)
      local matches, why, offset = tree:query(query)
      assert.is_nil(matches)
      return why, offset
    end
    assert.same({ "bad query: syntax error at byte 12", 12 }, { refused("(identifier") })
    assert.same({ "bad query: unknown node type at byte 2", 2 }, { refused("(nonsense) @x") })
    assert.same({ "bad query: unknown field at byte 9", 9 }, { refused("(module nonsense: (_))") })
    assert.equal("bad query: unknown predicate #is?", (refused('((identifier) @x (#is? @x "y"))')))
    assert.equal("bad query: #eq? takes a capture and one value", (refused("((identifier) @x (#eq? @x))")))
    assert.matches(
      "^bad query: bad regular expression '%(': ",
      (refused('((identifier) @x (#match? @x "("))'))
    )
    assert.equal("bad query: nested too deep at byte 1", (refused(("("):rep(100000))))
  end)

  it("works on TypeScript", function()
    local list = {}
    local tree = parse("export const models: Model[] = [{ id: 'a' }, { id: 'b' }];", "typescript")
    for found in
      tree:query('(pair key: (property_identifier) @k value: (string (string_fragment) @v) (#eq? @k "id"))')
    do
      table.insert(list, found.v:text())
    end
    assert.same({ "a", "b" }, list)
  end)
end)

describe("tree:to_table", function()
  it("has named children in order and under their fields' names", function()
    local call = expression("f(1, key=2)")
    assert.equal(
      "call(identifier argument_list(integer keyword_argument(identifier integer)))",
      outline(call)
    )
    assert.equal(call[1], call["function"])
    assert.equal(call[2], call.arguments)
    assert.equal("key", call.arguments[2].name.text)
    assert.is_nil(call.text)
    assert.is_nil(call.from)
  end)

  it("counts lines from 1", function()
    local module = parse("a\n\nb\n"):to_table()
    assert.same({ 1, 3 }, { module[1].line, module[2].line })
  end)

  it("tells operators", function()
    assert.equal("//", expression("a // b").operator)
    assert.equal("-", expression("-a").operator)
    assert.equal("and", expression("a and b").operator)
    assert.equal(">>=", expression("a >>= b").operator)
    assert.same({ "<", "not in", "is not" }, expression("a < b not in c is not d").operators)
  end)

  it("tells the parts of a slice by their places", function()
    local function parts(source)
      local slice = expression(source).subscript
      return {
        slice.start and slice.start.text or "",
        slice.stop and slice.stop.text or "",
        slice.step and slice.step.text or "",
      }
    end
    assert.same({ "1", "2", "3" }, parts("x[1:2:3]"))
    assert.same({ "1", "", "" }, parts("x[1:]"))
    assert.same({ "", "1", "" }, parts("x[:1]"))
    assert.same({ "", "", "2" }, parts("x[::2]"))
    assert.same({ "", "", "" }, parts("x[:]"))
  end)

  it("calls the field `type` annotation", function()
    local assignment = expression("x: int = 3")
    assert.equal("assignment", assignment.type)
    assert.equal("int", assignment.annotation[1].text)
  end)

  it("stores the first of several children under their field, and all in order", function()
    local statement = parse("if a: pass\nelif b: pass\nelse: pass\n"):to_table()[1]
    assert.equal("elif_clause", statement.alternative.type)
    assert.equal("else_clause", statement[4].type)
  end)

  it(
    "leaves comments and line continuations out",
    function()
      assert.equal(
        "call(identifier argument_list(integer integer))",
        outline(expression("f(1, # one\n  2) \\\n# end"))
      )
    end
  )

  it("has the texts of strings, escapes and what is put in", function()
    local text = expression([[f"a\n{b!r:>4}c"]])
    assert.equal("string_start", text[1].type)
    assert.equal('f"', text[1].text)
    assert.equal("a\\n", text[2].text)
    assert.equal("\\n", text[2][1].text)
    assert.equal("b", text[3].expression.text)
    assert.equal("!r", text[3].type_conversion.text)
    assert.equal(":>4", text[3].format_specifier.text)
  end)

  it("has the text of dotted names and of types asked for", function()
    local module = parse("import a.b\n@x.y\ndef f(): pass\n"):to_table(nil, { text = { "decorator" } })
    assert.equal("a.b", module[1].name.text)
    assert.equal("@x.y", module[2][1].text)
  end)

  it("has tokens where asked for, and offsets", function()
    local node, tree = expression("await x", { tokens = { "await" }, offsets = true })
    assert.same({ type = "await" }, node[1])
    assert.equal("x", node[2].text)
    assert.equal("x", tree:source():sub(node[2].from, node[2].to))
    assert.equal(1, node.from)
  end)

  it("numbers the lines of a piece from its place in a larger source", function()
    local tree = parse("x = 1\nif x:\n  y = 2\n")
    local options = { line = 40, lazy = { "block" } }
    local root = assert(tree:to_table(nil, options))
    assert.same({ 40, 40, 41, 42 }, { root.line, root[1].line, root[2].line, root[2].consequence.line })
    assert.equal(42, tree:expand(root[2].consequence, options)[1].line)
    assert.has_error(
      function() tree:to_table(nil, { line = 0 }) end,
      "bad option 'line' (1 or more expected)"
    )
  end)

  it("converts below a node", function()
    local tree = parse("x = 1\ny = f(2)\n")
    local call = first(tree, "(call) @c").c
    assert.equal("call(identifier argument_list(integer))", outline(tree:to_table(call)))
  end)

  it("marks errors and what is missing", function()
    local statement = parse("for i in :\n  pass\n"):to_table()[1]
    assert.same({ type = "identifier", line = 1, text = "", missing = true }, statement.right)
    assert.equal("module(ERROR(identifier integer))", outline(parse("x = (1\n"):to_table()))
  end)

  it("blames the caller for bad options", function()
    assert.has_error(
      function() parse("x"):to_table(nil, { lazy = "block" }) end,
      "bad option 'lazy' (list of node types expected, got string)"
    )
  end)
end)

describe("lazy nodes", function()
  local source = "class A:\n    def f(self):\n        if x:\n            y()\n    def g(self): pass\n"
  local lazily = { lazy = { "block" } }

  it("are filled in later, with the same result as at once", function()
    local tree = parse(source)
    local whole = tree:to_table()
    local module = tree:to_table(nil, lazily)
    local body = module[1].body
    assert.same({ type = "block", line = 2, from = 14, to = #source - 1, lazy = true }, body)
    assert.equal(body, tree:expand(body))
    assert.is_nil(body.lazy)
    body.from, body.to = nil, nil
    assert.same(whole, module)
  end)

  it("stay lazy inside when asked for", function()
    local tree = parse(source)
    local body = tree:expand(tree:to_table(nil, lazily)[1].body, lazily)
    assert.is_true(body[1].body.lazy)
    local inner = tree:expand(body[1].body, lazily)
    assert.equal("if_statement", inner[1].type)
    assert.is_true(inner[1].consequence.lazy)
    assert.equal("call(identifier argument_list)", outline(tree:expand(inner[1].consequence)[1][1]))
  end)

  it("are returned as they are when they were filled in", function()
    local tree = parse("def f(): pass")
    local body = tree:expand(tree:to_table(nil, lazily)[1].body)
    local child = body[1]
    assert.equal(body, tree:expand(body))
    assert.equal(child, body[1])
  end)

  it("are not the node that was asked for", function()
    local tree = parse(source)
    local body = first(tree, "(class_definition body: (block) @b)").b
    local converted = tree:to_table(body, lazily)
    assert.is_nil(converted.lazy)
    assert.is_true(converted[1].body.lazy)
  end)

  it("of another tree are refused", function()
    local body = parse(source):to_table(nil, lazily)[1].body
    assert.has_error(
      function() parse("x = 1"):expand(body) end,
      "bad argument #1 to 'expand' (not a lazy node of this tree)"
    )
    assert.has_error(
      function() parse("x = 1"):expand { lazy = true } end,
      "bad argument #1 to 'expand' (not a lazy node of to_table)"
    )
  end)

  it("make every block of SGLang's Llama the same as at once", function()
    if not sglang.folder() then return pending("HONE_SGLANG is not set") end
    local tree = parse(read(sglang.folder() .. "/srt/models/llama.py"))
    local module = tree:to_table(nil, lazily)
    local function expand(node)
      if node.lazy then
        tree:expand(node, lazily)
        node.from, node.to = nil, nil
      end
      for _, child in ipairs(node) do
        expand(child)
      end
    end
    expand(module)
    assert.same(tree:to_table(), module)
  end)
end)
