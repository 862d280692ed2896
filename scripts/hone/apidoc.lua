--- The documentation of the Lua API, read from its annotated stubs. Documented in scripts/meta/apidoc.lua.
local render = require "hone.apidoc.render"
local stub = require "hone.apidoc.stub"

local apidoc = {}

-- ---- where the stubs are ----------------------------------------------------------------------

local function is_folder(path) return require("lfs").attributes(path, "mode") == "directory" end

local function stub_folder()
  local folder = require("hone.paths").home .. "/scripts/meta"
  if is_folder(folder) then return folder end
  return nil, ("cannot find the API's documentation: no folder %s"):format(folder)
end

-- Paths of all stubs below a folder, sorted.
local function stub_files(folder, found)
  local lfs = require "lfs"
  found = found or {}
  for name in lfs.dir(folder) do
    local path = folder .. "/" .. name
    if name:sub(1, 1) == "." then
      goto continue
    elseif is_folder(path) then
      stub_files(path, found)
    elseif name:sub(-4) == ".lua" then
      table.insert(found, path)
    end
    ::continue::
  end
  table.sort(found)
  return found
end

local function read_stub(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, "cannot read " .. why end
  local text = file:read("a")
  file:close()
  return stub.read(text, path)
end

-- ---- libraries --------------------------------------------------------------------------------

local cache

function apidoc.read(text, path) return stub.read(text, path or "stub") end

function apidoc.libraries()
  if cache then return cache end
  local folder, why = stub_folder()
  if not folder then return nil, why end
  local libraries = {}
  for i, path in ipairs(stub_files(folder)) do
    libraries[i], why = read_stub(path)
    if not libraries[i] then return nil, why end
  end
  table.sort(libraries, function(a, b) return a.name < b.name end)
  cache = libraries
  return libraries
end

-- Each entry that can be looked up, in the order of the libraries.
local function each_entry(libraries)
  return coroutine.wrap(function()
    for _, library in ipairs(libraries) do
      coroutine.yield(library)
      for _, entry in ipairs(library.functions) do
        coroutine.yield(entry)
      end
      for _, entry in ipairs(library.values) do
        coroutine.yield(entry)
      end
      for _, class in ipairs(library.classes) do
        coroutine.yield(class)
        for _, method in ipairs(class.methods) do
          coroutine.yield(method)
        end
      end
    end
  end)
end

-- How well a name fits an entry: 1 its full name, 2 its name, 3 its last part; nil not at all.
local function fit(entry, name)
  local full = entry.key and entry.library .. "." .. entry.key or entry.name
  if entry.class then full = ("%s:%s"):format(entry.class, entry.key) end
  if name == full then return 1 end
  if name == entry.name or name == entry.name:gsub(":", ".") then return 2 end
  if name == full:match("[%w_]+$") or name == full:gsub("^hone%.", "") then return 3 end
  return nil
end

function apidoc.find(name)
  if type(name) ~= "string" then
    error(("bad argument #1 to 'find' (string expected, got %s)"):format(type(name)), 2)
  end
  local libraries, why = apidoc.libraries()
  if not libraries then return nil, why end
  local by_fit = { {}, {}, {} }
  for entry in each_entry(libraries) do
    local rank = fit(entry, name)
    if rank then table.insert(by_fit[rank], entry) end
  end
  local found = by_fit[1]
  for rank = 2, 3 do
    table.move(by_fit[rank], 1, #by_fit[rank], #found + 1, found)
  end
  return found
end

-- ---- from a value to its documentation ----------------------------------------------------------

-- The value at a dotted key; nil where it does not exist. Reading loads nothing that is not loaded.
local function at(value, key)
  for part in key:gmatch("[^.]+") do
    if type(value) ~= "table" then return nil end
    value = rawget(value, part)
  end
  return value
end

-- The table of a class's methods: C libraries keep metatables under the classes' names.
local function methods_of(class)
  local metatable = debug.getregistry()[class.name]
  local index = type(metatable) == "table" and rawget(metatable, "__index")
  return type(index) == "table" and index or nil
end

local function class_entry(library, value)
  local metatable = debug.getmetatable(value)
  local name = type(metatable) == "table" and rawget(metatable, "__name")
  for _, class in ipairs(library.classes) do
    if class.name == name then return class end
    local methods = type(value) == "function" and methods_of(class) or {}
    for _, method in ipairs(class.methods) do
      if rawequal(methods[method.key], value) then return method end
    end
  end
end

local function entry_of(library, value)
  local live = package.loaded[library.name]
  if live == nil then return nil end
  if rawequal(live, value) then return library end
  for _, list in ipairs { library.functions, library.values } do
    for _, entry in ipairs(list) do
      if rawequal(at(live, entry.key), value) then return entry end
    end
  end
  return class_entry(library, value)
end

-- Values that many tables hold say nothing about where they come from.
local DESCRIBED = { ["function"] = true, table = true, userdata = true, thread = true }

function apidoc.describe(value)
  if not DESCRIBED[type(value)] then return nil end
  local libraries, why = apidoc.libraries()
  if not libraries then return nil, why end
  for _, library in ipairs(libraries) do
    local entry = entry_of(library, value)
    if entry then return entry end
  end
  return nil
end

-- ---- pages ------------------------------------------------------------------------------------

apidoc.signature = render.signature
apidoc.render_text = render.text
apidoc.render_markdown = render.markdown

local function page_name(library) return (library.name:gsub("^hone%.", "")) .. ".md" end

local function index_page(libraries)
  local lines = { "# The Lua API", "", "| library | what it does |", "|---|---|" }
  for _, library in ipairs(libraries) do
    local summary = render.summary(library.text):gsub("|", "\\|")
    table.insert(lines, ("| [%s](%s) | %s |"):format(library.name, page_name(library), summary))
  end
  return table.concat(lines, "\n") .. "\n"
end

function apidoc.pages(folder)
  local libraries, why = apidoc.libraries()
  if not libraries then return nil, why end
  local pages = { { path = folder .. "/README.md", text = index_page(libraries) } }
  for _, library in ipairs(libraries) do
    table.insert(pages, { path = folder .. "/" .. page_name(library), text = render.markdown(library) })
  end
  return pages
end

function apidoc.write(folder)
  local fs = require "hone.fs"
  local pages, why = apidoc.pages(folder)
  if not pages then return nil, why end
  local ok, refusal, code = fs.mkdir(folder)
  if not ok then return nil, refusal, code end
  local written = {}
  for _, page in ipairs(pages) do
    if fs.read(page.path) ~= page.text then
      ok, refusal, code = fs.write(page.path, page.text)
      if not ok then return nil, refusal, code end
      table.insert(written, page.path)
    end
  end
  return written
end

return apidoc
