--- A model's implementation as its source files have it: classes, what they inherit from, the layers that they
--- build, and where their key functions stand. Read from the syntax alone, without a config.
local fs = require "hone.fs"
local syntax = require "hone.syntax"
local text = require "hone.text"

local M = {}

-- Lines of a function that are quoted at most.
local SNIPPET_LINES = 120

-- ---- files and names -----------------------------------------------------------------------------------

local Reader = {}
Reader.__index = Reader

-- The file of a dotted module inside the package, nil for one from elsewhere.
function Reader:path_of(module)
  local inside = module:match("^sglang%.(.+)$")
  if not inside then return nil end
  local base = fs.join(self.package, (inside:gsub("%.", "/")))
  if fs.is_file(base .. ".py") then return base .. ".py" end
  if fs.is_file(fs.join(base, "__init__.py")) then return fs.join(base, "__init__.py") end
end

-- A path as messages show it: from the folder that holds srt.
function Reader:shown(path) return fs.relative(path, self.package) end

-- The dotted name that a relative import means, seen from a module: ".b" in "p.a" is "p.b".
local function absolute(module, from, is_package)
  local dots, rest = module:match("^(%.+)(.*)$")
  if not dots then return module end
  local package = is_package and from or from:match("^(.*)%.[^.]+$") or ""
  for _ = 2, #dots do
    package = package:match("^(.*)%.[^.]+$") or ""
  end
  return rest == "" and package or package .. "." .. rest
end

-- Names that a source imports: name to { module, name }.
local function imports_of(source, from, is_package)
  local imports = {}
  local function note(module, names)
    for piece in names:gsub("#[^\n]*", ""):gmatch("[^,()]+") do
      local name, alias = piece:match("^%s*([%w_]+)%s+as%s+([%w_]+)%s*$")
      name = name or piece:match("^%s*([%w_]+)%s*$")
      if name then imports[alias or name] = { module = absolute(module, from, is_package), name = name } end
    end
  end
  for module, names in source:gmatch("from%s+([%w_.]+)%s+import%s*(%b())") do
    note(module, names)
  end
  for module, names in source:gmatch("from%s+([%w_.]+)%s+import%s+([^(\n]+)") do
    note(module, names)
  end
  return imports
end

-- A source file of the package: its text, imports, and where its lines start. nil for one from elsewhere.
function Reader:file(module)
  if self.files[module] ~= nil then return self.files[module] or nil end
  local path = self:path_of(module)
  local source = path and fs.read(path)
  local file = source and { module = module, path = path, source = source }
  if file then file.imports = imports_of(source, module, fs.basename(path) == "__init__.py") end
  self.files[module] = file or false
  return file or nil
end

-- The line of a top-level class or function, nil when the file has none of that name.
local function line_of(source, name)
  local at = ("\n" .. source):find("\nclass%s+" .. name .. "%f[%W]")
    or ("\n" .. source):find("\ndef%s+" .. name .. "%f[%W]")
  if not at then return nil end
  local _, newlines = source:sub(1, at - 1):gsub("\n", "")
  return newlines + 1
end

local DEEPEST_REEXPORT = 6

-- Where a name of a module is defined: { module, name, path, line }; only { module, name } outside the package.
function Reader:locate(module, name, depth)
  local file = self:file(module)
  if not file or (depth or 0) > DEEPEST_REEXPORT then return { module = module, name = name } end
  local line = line_of(file.source, name)
  if line then return { module = module, name = name, path = file.path, line = line } end
  local import = file.imports[name]
  if import then return self:locate(import.module, import.name, (depth or 0) + 1) end
  return { module = module, name = name }
end

-- ---- classes -------------------------------------------------------------------------------------------

local CLASSES = [[(class_definition name: (identifier) @name) @class]]
local ASSIGNMENTS = [[(assignment left: (_) @left right: (_) @right) @assignment]]

-- Parses a file once: its tree, its classes by name, its lines.
local function parse(file)
  if file.tree then return end
  file.tree = assert(syntax.parse(file.source, "python"))
  file.nodes, file.lines = {}, text.lines(file.source)
  for found in file.tree:query(CLASSES) do
    local name = found.name:text()
    file.nodes[name] = file.nodes[name] or found.class
  end
end

-- Every call in a syntax node, the outermost first: visit(callee, arguments, call).
local function each_call(node, visit)
  if node:type() == "call" then
    local arguments = node:child_by_field("arguments")
    if arguments:type() == "argument_list" then visit(node:child_by_field("function"), arguments, node) end
  end
  for _, child in ipairs(node:named_children()) do
    each_call(child, visit)
  end
end

local function methods_of(body)
  local methods = {}
  for _, node in ipairs(body:named_children()) do
    if node:type() == "decorated_definition" then node = node:child_by_field("definition") or node end
    if node:type() == "function_definition" then
      methods[#methods + 1] = { name = node:child_by_field("name"):text(), node = node }
    end
  end
  return methods
end

-- The attributes that an assignment's left side sets: { "layers", "start_layer" } of "self.layers, self.start_layer".
local function attributes_of(left)
  local names = {}
  for name in left:gmatch("self%.([%a_][%w_]*)%f[^%w_]%s*%f[,%z]") do
    names[#names + 1] = name
  end
  return names
end

-- Whether a callee is a class by its spelling, or makes layers: "RMSNorm", "nn.ModuleList", "get_rope".
local function makes_layer(callee)
  local name = callee:match("[%w_]+$")
  return name ~= nil and (name:find("^%u") ~= nil or name == "get_rope")
end

local function arguments_of(node)
  local list = {}
  for i, argument in ipairs(node:named_children()) do
    if argument:type() ~= "comment" then list[#list + 1] = (argument:text():gsub("%s+", " ")) end
    if i > 100 then break end
  end
  return list
end

-- Spelled like layers, and none: containers of layers, what stands for a missing one, tensors, streams.
local NO_LAYERS = {
  ModuleList = true,
  ModuleDict = true,
  Sequential = true,
  PPMissingLayer = true,
  Parameter = true,
  Stream = true,
  Event = true,
  LazyValue = true,
}

function Reader:layer(file, attribute, callee, arguments, call)
  local name = callee:match("[%w_]+$")
  local place = callee:find(".", 1, true) and { module = callee:match("^(.*)%."), name = name }
    or self:locate(file.module, name)
  return {
    attribute = attribute,
    class = name,
    module = place.module,
    defined = place.path and ("%s:%d"):format(self:shown(place.path), place.line) or nil,
    place = place,
    arguments = arguments_of(arguments),
    line = (call:start()),
  }
end

-- Layers that a class's own functions assign to attributes.
function Reader:layers(file, methods)
  local layers = {}
  for _, method in ipairs(methods) do
    for found in file.tree:query(ASSIGNMENTS, method.node) do
      local attribute = attributes_of(found.left:text())[1]
      if attribute then
        each_call(found.right, function(callee, arguments, call)
          local name = callee:text()
          if makes_layer(name) and not NO_LAYERS[name:match("[%w_]+$")] then
            layers[#layers + 1] = self:layer(file, attribute, name, arguments, call)
          end
        end)
      end
    end
  end
  return layers
end

local function superclasses(node)
  local list, arguments = {}, node:child_by_field("superclasses")
  for _, base in ipairs(arguments and arguments:named_children() or {}) do
    if base:type() ~= "keyword_argument" then list[#list + 1] = base:text() end
  end
  return list
end

function Reader:class(place)
  local file = self:file(place.module)
  if not file then return nil end
  parse(file)
  local node = file.nodes[place.name]
  if not node then return nil end
  local methods = methods_of(node:child_by_field("body"))
  local from, to = node:start(), node:finish()
  local class = {
    name = place.name,
    module = place.module,
    file = self:shown(file.path),
    from = from,
    to = to,
    bases = {},
    methods = methods,
    layers = self:layers(file, methods),
    lines = file.lines,
  }
  for i, base in ipairs(superclasses(node)) do
    class.bases[i] = base:find(".", 1, true)
        and { module = base:match("^(.*)%."), name = base:match("[%w_]+$") }
      or self:locate(place.module, base)
  end
  return class
end

local function is_model_file(module) return module:find("^sglang%.srt%.models%.") ~= nil end

-- Classes of model files that a class's functions name, and those in tables of the file that they look classes up
-- in: a class may be handed over as an argument, or chosen by the config.
function Reader:names_in(class)
  local names, file = {}, self:file(class.module)
  local function note(code)
    for name in code:gmatch("%f[%w_]%u[%w_]*%l[%w_]*") do
      local import = file.imports[name]
      if file.nodes[name] or import and is_model_file(import.module) then names[#names + 1] = name end
    end
  end
  for _, method in ipairs(class.methods) do
    local body = method.node:text()
    note(body)
    for constant in body:gmatch("%f[%w_](%u[%u%d_]*)%[") do
      note(file.source:match("\n" .. constant .. "%s*:?[^=\n]*=%s*(%b{})") or "")
    end
  end
  return names
end

-- A class, the classes that it inherits from and those of the layers that it builds, as far as model files go.
-- `named` is set for a class that is only named in a function, such as in a factory of the inner model.
function Reader:collect(place, named)
  local key = place.module .. "." .. place.name
  if self.seen[key] or not is_model_file(place.module) then return end
  self.seen[key] = true
  local class = self:class(place)
  if not class then return end
  class.named = named
  self.classes[#self.classes + 1] = class
  for _, base in ipairs(class.bases) do
    self:collect(base, named)
  end
  for _, layer in ipairs(class.layers) do
    self:collect(layer.place)
  end
  for _, name in ipairs(self:names_in(class)) do
    self:collect(self:locate(class.module, name), true)
  end
end

-- The order in which attributes are looked up: depth first, each class once (a stand-in for Python's own where
-- inheritance forms no diamond).
local function lineage(class, by_name, list, seen)
  for _, base in ipairs(class.bases) do
    local name = base.module .. "." .. base.name
    if not seen[name] then
      seen[name] = true
      list[#list + 1] = name
      if by_name[name] then lineage(by_name[name], by_name, list, seen) end
    end
  end
  return list
end

-- Whether a class is a layer: what is only named in a function may be anything.
local function is_module(ancestors)
  for _, name in ipairs(ancestors) do
    if name:find("%f[%w]nn%.Module$") then return true end
  end
  return false
end

-- ---- snippets ------------------------------------------------------------------------------------------

local function is_key(name) return name == "__init__" or name:find("^forward") ~= nil end

local function snippets(class)
  local list = {}
  for _, method in ipairs(class.methods) do
    if is_key(method.name) then
      local from, to = method.node:start(), method.node:finish()
      local last = math.min(to, from + SNIPPET_LINES - 1)
      list[#list + 1] = {
        name = method.name,
        from = from,
        to = to,
        text = table.concat(class.lines, "\n", from, last),
        shortened = last < to,
      }
    end
  end
  return list
end

-- ---- the whole -----------------------------------------------------------------------------------------

-- The files that classes stand in, each once.
local function files_of(classes)
  local files, listed = {}, {}
  for _, class in ipairs(classes) do
    if not listed[class.module] then
      listed[class.module] = true
      files[#files + 1] = { path = class.file, module = class.module, lines = #class.lines }
    end
  end
  return files
end

---@class hone.sglang.ImplementedLayer
---@field attribute string
---@field class string
---@field module string # dotted, as far as it is known
---@field defined string? # "file:line" inside the package
---@field arguments string[] # as the source has them
---@field line integer # where it is built

---@class hone.sglang.ImplementedClass
---@field name string
---@field module string
---@field file string # from the package folder
---@field from integer # first line
---@field to integer # last line
---@field bases { module: string, name: string }[]
---@field lineage string[] # qualified names of all that it inherits from
---@field layers hone.sglang.ImplementedLayer[]
---@field snippets { name: string, from: integer, to: integer, text: string, shortened: boolean }[]

---Read a model's implementation.
---@param package string # SGLang's package folder
---@param model { module: string, class: string }
---@return { files: { path: string, module: string, lines: integer }[], classes: hone.sglang.ImplementedClass[] }? implementation
---@return string? message
function M.of(package, model)
  local reader = setmetatable({ package = package, files = {}, classes = {}, seen = {} }, Reader)
  reader:collect(reader:locate(model.module, model.class))
  if #reader.classes == 0 then
    return nil, ("cannot read %s in %s: there is no such class"):format(model.class, model.module)
  end
  local by_name, classes = {}, {}
  for _, class in ipairs(reader.classes) do
    by_name[class.module .. "." .. class.name] = class
  end
  for _, class in ipairs(reader.classes) do
    class.lineage = lineage(class, by_name, {}, {})
    if not class.named or is_module(class.lineage) then
      class.snippets = snippets(class)
      classes[#classes + 1] = class
    end
  end
  return { files = files_of(classes), classes = classes }
end

return M
