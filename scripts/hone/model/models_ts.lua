--- The web application's data/models.ts: writing a model's entry, and putting it into a file whose other bytes stay.
local fs = require "hone.fs"
local json = require "hone.json"
local syntax = require "hone.syntax"

local M = {}

local WIDTH = 100 -- columns that a list of definitions may take before it is broken

-- ---- writing an entry --------------------------------------------------------------------------------------

-- How a file is written: { indent, quote, newline }.
local DEFAULT_STYLE = { indent = "  ", quote = '"', newline = "\n" }

local function quoted(text, style)
  local escaped = text
    :gsub("[\\" .. style.quote .. "]", "\\%0")
    :gsub("%c", function(c) return ("\\u%04x"):format(c:byte()) end)
  return style.quote .. escaped .. style.quote
end

local RESERVED = { ["__proto__"] = true }

local function key(name, style)
  if name:find("^[%a_$][%w_$]*$") and not RESERVED[name] then return name end
  return quoted(name, style)
end

local Writer = {}
Writer.__index = Writer

function Writer:line(depth, text) self.lines[#self.lines + 1] = self.style.indent:rep(depth) .. text end

function Writer:definitions(depth, names)
  local words = {}
  for i, name in ipairs(names) do
    words[i] = quoted(name, self.style)
  end
  local whole = ("definitions: [%s],"):format(table.concat(words, ", "))
  if #self.style.indent * depth + #whole <= WIDTH then return self:line(depth, whole) end
  self:line(depth, "definitions: [")
  for _, word in ipairs(words) do
    self:line(depth + 1, word .. ",")
  end
  self:line(depth, "],")
end

function Writer:module(depth, name, module)
  self:line(depth, key(name, self.style) .. ": {")
  self:line(depth + 1, ("count: %d,"):format(module.count))
  if module.parent then self:line(depth + 1, ("parent: %s,"):format(quoted(module.parent, self.style))) end
  self:line(depth + 1, ("type: %s,"):format(quoted(module.type, self.style)))
  self:definitions(depth + 1, module.definitions or {})
  self:line(depth, "},")
end

---@class hone.model.Entry
---@field id string
---@field name string
---@field description string?
---@field modules table<string, { count: integer, parent: string?, type: "block"|"layer", definitions: string[]? }> # in order

---A model's entry as TypeScript, without a comma behind it.
---@param entry hone.model.Entry
---@param style { indent: string, quote: string, newline: string }?
---@param depth integer? # levels of indentation around it; 1 unless given
---@return string
function M.write(entry, style, depth)
  local writer = setmetatable({ lines = {}, style = style or DEFAULT_STYLE }, Writer)
  depth = depth or 1
  writer.lines[1] = "{"
  for _, name in ipairs { "id", "name", "description" } do
    local value = entry[name]
    if value then writer:line(depth + 1, ("%s: %s,"):format(name, quoted(value, writer.style))) end
  end
  writer:line(depth + 1, "modules: {")
  for name, module in pairs(entry.modules) do
    writer:module(depth + 2, name, module)
  end
  writer:line(depth + 1, "},")
  writer:line(depth, "}")
  return table.concat(writer.lines, writer.style.newline)
end

-- ---- what is wrong with an entry -----------------------------------------------------------------------------

-- The modules above one, ending where a name comes back.
local function has_cycle(modules, name)
  local seen = {}
  while name do
    if seen[name] then return true end
    seen[name] = true
    name = modules[name] and modules[name].parent
  end
  return false
end

---What is wrong with an entry's modules: parents that are not there, circles, counts below 1, names of definitions
---that no op type writes.
---@param entry hone.model.Entry
---@return { parents: string[], cycles: string[], counts: string[], definitions: string[] } problems
function M.problems(entry)
  local problems = { parents = {}, cycles = {}, counts = {}, definitions = {} }
  local ops = require "hone.ops"
  for name, module in pairs(entry.modules) do
    if module.parent and not entry.modules[module.parent] then table.insert(problems.parents, name) end
    if has_cycle(entry.modules, name) then table.insert(problems.cycles, name) end
    if math.type(module.count) ~= "integer" or module.count < 1 then table.insert(problems.counts, name) end
    for _, definition in ipairs(module.definitions or {}) do
      if not ops.parse(definition) then table.insert(problems.definitions, definition) end
    end
  end
  return problems
end

-- ---- finding the place -----------------------------------------------------------------------------------------

local ARRAYS = [[(variable_declarator name: (identifier) @name value: (_) @value) @declaration]]

-- The array behind a value: `[...] satisfies Model[]` and the like hold one.
local function array_in(node)
  local wrappers = { satisfies_expression = true, as_expression = true, parenthesized_expression = true }
  while node and wrappers[node:type()] do
    node = node:named_children()[1]
  end
  return node and node:type() == "array" and node or nil
end

local function is_typed_model(declaration)
  local annotation = declaration:child_by_field("type")
  return annotation ~= nil and annotation:text():find("%f[%w]Model%f[%W]") ~= nil
end

-- The array of models: the one of that type, else the one of that name, else the one that is exported.
local function find_array(tree)
  local named
  for found in assert(tree:query(ARRAYS)) do
    local array = array_in(found.value)
    if
      array and (is_typed_model(found.declaration) or found.value:text():find("satisfies%s+Model%[%]%s*$"))
    then
      return array
    end
    if array and found.name:text() == "models" then named = array end
  end
  if named then return named end
  for found in assert(tree:query("(export_statement value: (_) @value)")) do
    local array = array_in(found.value)
    if array then return array end
  end
end

-- The text of a string, nil for anything else.
local function string_of(node)
  if not node or node:type() ~= "string" then return nil end
  local inner = node:text():sub(2, -2)
  return (inner:gsub("\\(.)", "%1"))
end

local function id_of(object)
  for _, pair in ipairs(object:named_children()) do
    if pair:type() == "pair" then
      local name = pair:child_by_field("key")
      local text = name and (string_of(name) or name:text())
      if text == "id" then return string_of(pair:child_by_field("value")) end
    end
  end
end

-- How the file is written, told from its models.
local function style_of(source, elements)
  local style = { indent = "  ", quote = '"', newline = source:find("\r\n", 1, true) and "\r\n" or "\n" }
  local first = elements[1]
  if not first then return style end
  local from = first:range()
  local line = source:sub(1, from - 1):match("[^\n]*$")
  local inner = first:text():match("^{\r?\n([ \t]+)")
  if line:find("^[ \t]*$") and inner and #inner > #line then style.indent = inner:sub(#line + 1) end
  local id = first:text():match("id:%s*(['\"])")
  style.quote = id or style.quote
  return style
end

local function elements_of(array)
  local objects, last = {}, nil
  for _, node in ipairs(array:named_children()) do
    if node:type() ~= "comment" then last = node end
    if node:type() == "object" then objects[#objects + 1] = node end
  end
  return objects, last
end

---@class hone.model.ModelsFile
---@field path string
---@field source string
---@field style { indent: string, quote: string, newline: string }
---@field ids string[] # of the models that it has
---@field array hone.syntax.Node
---@field objects hone.syntax.Node[]
---@field last hone.syntax.Node?

---Where and what a text's first mistake is, nil when it has none.
---@param source string
---@param path string
---@return string?
function M.syntax_error(source, path)
  local tree, message = syntax.parse(source, "typescript")
  if not tree then return message end
  local problem = tree:errors(1)[1]
  return problem and ("%s:%d:%d: %s"):format(path, problem.row, problem.col, problem.message)
end

---Read a models.ts.
---@param source string
---@param path string # for messages
---@return hone.model.ModelsFile? file
---@return string? message # with the place of the mistake
function M.read(source, path)
  local tree, message = syntax.parse(source, "typescript")
  if not tree then return nil, ("cannot read %s: %s"):format(path, message) end
  local problem = tree:errors(1)[1]
  if problem then
    return nil, ("%s:%d:%d: syntax error: %s"):format(path, problem.row, problem.col, problem.message)
  end
  local array = find_array(tree)
  if not array then
    return nil, ("cannot read %s: it has no list of models (const models: Model[] = [...])"):format(path)
  end
  local objects, last = elements_of(array)
  local ids = {}
  for i, object in ipairs(objects) do
    ids[i] = id_of(object) or ""
  end
  return {
    path = path,
    source = source,
    style = style_of(source, objects),
    ids = ids,
    array = array,
    objects = objects,
    last = last,
  }
end

---Whether the file spells definitions in the older style: `gemm_n_6144_k_4096`.
---@param source string
---@return boolean
function M.is_older(source)
  return source:find("[\"']gemm_n_%d+_k_%d+[\"']") ~= nil and source:find("[\"']gemm_n%d+_k%d+[\"']") == nil
end

-- ---- putting an entry in ---------------------------------------------------------------------------------------

local function replace(source, from, to, text) return source:sub(1, from - 1) .. text .. source:sub(to + 1) end

-- Where an element goes that is added behind the last one: the byte after it and its comma, and what to write first.
local function end_of_list(file)
  local open, close = file.array:range()
  if not file.last then return open + 1, "" end
  local _, to = file.last:range()
  local comma
  for _, node in ipairs(file.array:children()) do
    local from = node:range()
    if node:type() == "," and from > to then comma = from end
  end
  if comma then return comma + 1, "" end
  return to + 1, ",", close
end

-- A comment that stands behind the last element on its line belongs to it.
local function after_comment(source, at)
  local rest = source:sub(at):match("^[ \t]*//[^\r\n]*") or source:sub(at):match("^[ \t]*/%*[^\r\n]-%*/")
  return at + (rest and #rest or 0)
end

local function append(file, entry)
  local style, source = file.style, file.source
  local text = style.indent .. M.write(entry, style) .. ","
  local at, comma = end_of_list(file)
  if comma ~= "" then
    source = replace(source, at, at - 1, comma)
    at = at + 1
  end
  at = after_comment(source, at)
  -- An array on one line is opened up.
  local closes_here = source:sub(at):match("^[ \t]*%]")
  return replace(source, at, at - 1, style.newline .. text .. (closes_here and style.newline or ""))
end

---A new file with one model.
---@param entry hone.model.Entry
---@return string
function M.new(entry)
  return table.concat({
    'import type { Model } from "@/lib/schemas"',
    "",
    "const models: Model[] = [",
    "  " .. M.write(entry) .. ",",
    "]",
    "",
    "export default models",
    "",
  }, "\n")
end

---Put an entry into a file's text. A model of the same id stays as it is unless `force` is given.
---@param file hone.model.ModelsFile
---@param entry hone.model.Entry
---@param force boolean?
---@return string source
---@return "added"|"unchanged"|"updated"|"kept" action
function M.put(file, entry, force)
  for i, id in ipairs(file.ids) do
    if id == entry.id then
      local from, to = file.objects[i]:range()
      local text = M.write(entry, file.style)
      if file.source:sub(from, to) == text then return file.source, "unchanged" end
      if not force then return file.source, "kept" end
      return replace(file.source, from, to, text), "updated"
    end
  end
  return append(file, entry), "added"
end

-- ---- the TypeScript compiler -------------------------------------------------------------------------------------

-- The type that an entry must have, as the web application's schema has it.
local TYPES = [[
export type Module = { count: number; parent?: string; type: "block" | "layer"; definitions?: string[] };
export type Model = { id: string; name: string; description?: string; modules: Record<string, Module> };
]]

-- Compiles one text under --strict. What it imports is the types above; the compiler's own libraries are read from
-- its folder. Prints a list of { line, column, message }.
local COMPILE = [[
const [compiler, name] = process.argv.slice(1);
const ts = require(compiler);
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const files = { "/models.ts": input.source, "/types.d.ts": input.types };
const options = { strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext, types: [] };
const host = ts.createCompilerHost(options);
const read = host.getSourceFile.bind(host);
host.getSourceFile = (file, language) => file in files
  ? ts.createSourceFile(file, files[file], language, true) : read(file, language);
host.fileExists = (file) => file in files || ts.sys.fileExists(file);
host.resolveModuleNames = (names) => names.map(() => ({ resolvedFileName: "/types.d.ts" }));
const program = ts.createProgram(["/models.ts"], options, host);
const found = ts.getPreEmitDiagnostics(program).map((one) => {
  const at = one.file ? one.file.getLineAndCharacterOfPosition(one.start) : { line: 0, character: 0 };
  const message = ts.flattenDiagnosticMessageText(one.messageText, " ");
  return { line: at.line + 1, column: at.character + 1, message };
});
process.stdout.write(JSON.stringify(found));
]]

-- The folder of npm's typescript that belongs to a file: its project's, or the one that HONE_TYPESCRIPT names.
local function find_compiler(path)
  local named = os.getenv("HONE_TYPESCRIPT")
  if named and named ~= "" then return fs.absolute(named) end
  local folder = fs.dirname(fs.absolute(path))
  while true do
    local candidate = fs.join(folder, "node_modules/typescript")
    if fs.is_dir(candidate) then return candidate end
    local above = fs.dirname(folder)
    if above == folder then return nil end
    folder = above
  end
end

---Check a text with the TypeScript compiler, under --strict, against the web application's type of a model.
---@param source string
---@param path string # where the text is or will be: the compiler is looked for in node_modules from there up
---@return boolean? ok # nil when there is no compiler to ask
---@return string? message # the first mistake with its place, or what is missing
function M.compile(source, path)
  local process = require "hone.process"
  if not process.which("node") then return nil, "node is not installed" end
  local compiler = find_compiler(path)
  if not compiler then return nil, "no node_modules/typescript beside or above the file" end
  local input = json.encode(json.object { { "source", source }, { "types", TYPES } })
  local result, why = process.run { "node", "-e", COMPILE, compiler, path, input = input, timeout = 60 }
  if not result then return nil, why end
  local found = result.status == 0 and json.decode(result.stdout)
  if not found then
    return nil, ("the TypeScript compiler in %s failed: %s"):format(compiler, result.stderr:match("[^\n]*"))
  end
  local first = found[1]
  if not first then return true end
  return false, ("%s:%d:%d: %s"):format(path, first.line, first.column, first.message)
end

return M
