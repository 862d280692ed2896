--- Syntax trees of Python and TypeScript sources. Documented in scripts/meta/syntax.lua.
local core = require "hone.core.syntax"

local syntax = {}

syntax.languages = { "python", "typescript", "tsx" }

local DEFAULT_TIMEOUT = 10 -- seconds

local loaded = {}

-- A grammar is a shared object beside the C libraries: where package.cpath has <dir>/?.so it is
-- <dir>/hone/grammar/<name>.so.
local function find_grammar(name)
  for entry in package.cpath:gmatch("[^;]+") do
    local dir = entry:match("^(.*)/%?%.so$")
    local path = dir and ("%s/hone/grammar/%s.so"):format(dir, name)
    local file = path and io.open(path, "rb")
    if file then
      file:close()
      return path
    end
  end
  return nil,
    ("cannot load the %s grammar: no hone/grammar/%s.so beside the libraries of package.cpath"):format(
      name,
      name
    )
end

local function grammar(name)
  if loaded[name] then return loaded[name] end
  local path, why = find_grammar(name)
  if not path then return nil, why end
  loaded[name], why = core.load(name, path)
  return loaded[name], why
end

local function contains(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then return true end
  end
  return false
end

function syntax.parse(source, language, options)
  if type(source) ~= "string" then
    error(("bad argument #1 to 'parse' (string expected, got %s)"):format(type(source)), 2)
  end
  if not contains(syntax.languages, language) then
    error(
      ("bad argument #2 to 'parse' (one of %s expected, got %s)"):format(
        table.concat(syntax.languages, ", "),
        tostring(language)
      ),
      2
    )
  end
  local timeout = options and options.timeout or DEFAULT_TIMEOUT
  if type(timeout) ~= "number" then
    error(("bad option 'timeout' (seconds expected, got %s)"):format(type(timeout)), 2)
  end
  local rules, why = grammar(language)
  if not rules then return nil, why, "no_grammar" end
  return core.parse(rules, source, timeout)
end

-- ---- queries ----------------------------------------------------------------------------------

-- What a predicate's argument stands for in one match: its own text, or the texts of a capture's nodes.
local function texts(argument, captures)
  if type(argument) == "string" then return { argument } end
  local captured = captures[argument.capture]
  if captured == nil then return {} end
  if type(captured) == "userdata" then return { captured:text() } end
  local list = {}
  for i, node in ipairs(captured) do
    list[i] = node:text()
  end
  return list
end

-- True when `test` holds for each text of the capture (for none, when the capture is empty).
local function all(list, test)
  for _, text in ipairs(list) do
    if not test(text) then return false end
  end
  return true
end

-- Each maker gets a predicate's arguments and returns a test of the captures of a match.
local predicates = {}

predicates["eq?"] = function(left, right)
  return function(captures)
    local expected = texts(right, captures)[1]
    return all(texts(left, captures), function(text) return text == expected end)
  end
end

predicates["any-of?"] = function(left, ...)
  local words = { ... }
  return function(captures)
    return all(texts(left, captures), function(text) return contains(words, text) end)
  end
end

predicates["match?"] = function(left, pattern)
  local regex, why = core.regex(pattern)
  if not regex then return nil, why end
  return function(captures)
    return all(texts(left, captures), function(text) return regex:matches(text) end)
  end
end

predicates["lua-match?"] = function(left, pattern)
  return function(captures)
    return all(texts(left, captures), function(text) return text:find(pattern) ~= nil end)
  end
end

local ARGUMENTS = { ["eq?"] = 2, ["match?"] = 2, ["lua-match?"] = 2 } -- any-of? takes two or more

local function negate(test)
  return function(captures) return not test(captures) end
end

-- The test for one predicate, { "eq?", {capture=}, "text" }; nil, message where it cannot be made.
local function compile(predicate)
  local name = predicate[1]
  local plain = name:gsub("^not%-", "")
  local maker = predicates[plain]
  if not maker then return nil, ("bad query: unknown predicate #%s"):format(name) end
  local n = #predicate - 1
  if n < 2 or n ~= (ARGUMENTS[plain] or n) or type(predicate[2]) ~= "table" then
    return nil,
      ("bad query: #%s takes a capture and %s"):format(name, ARGUMENTS[plain] and "one value" or "values")
  end
  if plain ~= "eq?" and type(predicate[3]) ~= "string" then
    return nil, ("bad query: #%s takes a capture and text"):format(name)
  end
  local test, why = maker(table.unpack(predicate, 2))
  if not test then return nil, "bad query: " .. why end
  return plain == name and test or negate(test)
end

-- The tests of each pattern. Directives (#set! and the like) are for editors and mean nothing here.
local function compile_all(patterns)
  local tests = {}
  for i, list in ipairs(patterns) do
    tests[i] = {}
    for _, predicate in ipairs(list) do
      if predicate[1]:sub(-1) ~= "!" then
        local test, why = compile(predicate)
        if not test then return nil, why end
        table.insert(tests[i], test)
      end
    end
  end
  return tests
end

local function passes(tests, captures)
  for _, test in ipairs(tests) do
    if not test(captures) then return false end
  end
  return true
end

function core.tree_methods.query(tree, text, node)
  local matches, patterns, offset = core.matches(tree, text, node)
  if not matches then return nil, patterns, offset end
  local tests, why = compile_all(patterns)
  if not tests then return nil, why end
  return function()
    while true do
      local captures, pattern = matches:next()
      if not captures then return nil end
      if passes(tests[pattern], captures) then return captures, pattern end
    end
  end
end

return syntax
