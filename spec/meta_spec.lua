--- The stubs against the live libraries: a stub kept by hand drifts.
local apidoc = require "hone.apidoc"
local lfs = require "lfs"

-- The names of a table that are for everybody: strings that do not start with an underscore.
local function public_names(value)
  local names = {}
  for key in pairs(value) do
    if type(key) == "string" and key:sub(1, 1) ~= "_" then names[key] = true end
  end
  return names
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do
    table.insert(list, name)
  end
  table.sort(list)
  return list
end

-- The names at a table's top level that a list of entries has: "f" for f and for f.inner.
local function documented_names(...)
  local names = {}
  for _, entries in ipairs { ... } do
    for _, entry in ipairs(entries) do
      names[entry.key:match("^[^.]+")] = true
    end
  end
  return names
end

local function at(value, key)
  for part in key:gmatch("[^.]+") do
    value = type(value) == "table" and value[part] or nil
  end
  return value
end

-- A Lua function's parameters; nil for a C function, which does not tell.
local function live_parameters(f)
  local info = debug.getinfo(f, "Su")
  if info.what == "C" then return nil end
  local names = {}
  for i = 1, info.nparams do
    names[i] = debug.getlocal(f, i)
  end
  if info.isvararg then table.insert(names, "...") end
  return names
end

local function check_parameters(entry, f)
  local live = live_parameters(f)
  if not live then return end
  local documented = {}
  for i, param in ipairs(entry.params) do
    documented[i] = param.name
  end
  -- A method of a stub has its self in the colon.
  if entry.name:find(":", 1, true) then table.insert(documented, 1, live[1]) end
  assert.same(live, documented, entry.name)
end

-- The table of a class's methods: a metatable of that name in the registry (C), or the library's own.
local function live_class(library, class)
  local metatable = debug.getregistry()[class.name]
  if type(metatable) == "table" and type(metatable.__index) == "table" then return metatable.__index end
  return type(library) == "table" and rawget(library, class.name:match("[^.]+$")) or nil
end

describe("the stub of", function()
  for _, stub in ipairs(assert(apidoc.libraries())) do
    it(stub.name .. " has the public names of the library, and no other", function()
      local live = require(stub.name)
      assert.same(sorted(public_names(live)), sorted(documented_names(stub.functions, stub.values)))
      for _, entry in ipairs(stub.values) do
        assert.is_not_nil(at(live, entry.key), entry.name)
      end
      for _, entry in ipairs(stub.functions) do
        assert.equal("function", type(at(live, entry.key)), entry.name)
        check_parameters(entry, at(live, entry.key))
      end
    end)

    it(stub.name .. " has the methods of the library's classes, and no other", function()
      local live = require(stub.name)
      for _, class in ipairs(stub.classes) do
        local methods = #class.methods > 0 and live_class(live, class)
        if methods then
          assert.same(sorted(public_names(methods)), sorted(documented_names(class.methods)), class.name)
          for _, entry in ipairs(class.methods) do
            check_parameters(entry, methods[entry.key])
          end
        end
      end
    end)

    it(stub.name .. " says something about every name", function()
      assert.not_equal("", stub.text)
      for _, entries in ipairs { stub.functions, stub.values, stub.classes } do
        for _, entry in ipairs(entries) do
          assert.not_equal("", entry.text, entry.name)
        end
      end
    end)
  end
end)

describe("docs/api", function()
  it("is what the stubs say, page for page (write it with: hone docs)", function()
    if lfs.attributes("docs/api", "mode") ~= "directory" then return pending("no docs/api here") end
    local expected = {}
    for _, page in ipairs(apidoc.pages("docs/api")) do
      local file = io.open(page.path, "rb")
      local text = file and file:read("a")
      if file then file:close() end
      assert.is_true(text == page.text, page.path .. " is not up to date")
      expected[page.path] = true
    end
    for name in lfs.dir("docs/api") do
      if name:sub(-3) == ".md" then assert.is_true(expected["docs/api/" .. name], name .. " has no stub") end
    end
  end)
end)
