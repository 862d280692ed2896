--- The compilers of this machine: where they are, which versions, what they are told.
local command = require "hone.bench.build.command"
local fs = require "hone.fs"
local process = require "hone.process"
local toolkit = require "hone.cuda.toolkit"

local toolchain = {}

-- What was found once: programs do not move while we run.
local known = {}

local function once(key, find)
  if not known[key] then known[key] = table.pack(find()) end
  return table.unpack(known[key], 1, known[key].n)
end

---What was found so far, for a child to take over: nothing is looked for twice.
function toolchain.export()
  local found = require("hone.json").object()
  for key, values in pairs(known) do
    if values[1] ~= nil then found[key] = values[1] end
  end
  return found
end

---Take over what another process found.
function toolchain.import(found)
  for key, value in pairs(found) do
    known[key] = table.pack(value)
  end
end

-- A compiler by its variable, as make reads it ("ccache g++"), or the first of some names.
local function find_compiler(variable, names, language, package)
  local told = require("hone.text").words(os.getenv(variable) or "")
  if #told > 0 then names = { told[1] } end
  for _, name in ipairs(names) do
    local path = process.which(name)
    if path then
      local words = #told > 0 and told or { name }
      words[1] = path
      local version = command.ask { table.unpack(words), "--version" }
      return { words = words, version = (version or ""):match "[^\n]*" or "" }
    end
  end
  return nil,
    #told > 0 and ("no %s compiler: %s=%s is not there"):format(language, variable, told[1])
      or ("no %s compiler is installed (on Debian and Ubuntu: apt install %s)"):format(language, package),
    "ENOENT"
end

---The C++ compiler: { words, version }; nil and why.
function toolchain.cxx()
  return once("cxx", function() return find_compiler("CXX", { "c++", "g++", "clang++" }, "C++", "g++") end)
end

---The C compiler, likewise.
function toolchain.cc()
  return once("cc", function() return find_compiler("CC", { "cc", "gcc", "clang" }, "C", "gcc") end)
end

---nvcc: { words, version, includes }; nil and why.
function toolchain.nvcc()
  return once("nvcc", function()
    local path, why = toolkit.nvcc()
    if not path then return nil, why, "ENOENT" end
    local version = command.ask { path, "--version" } or ""
    return { words = { path }, version = version:match "([^\n]+)%s*$" or "" }
  end)
end

---CUDA's headers, as folders; an empty list where there are none.
function toolchain.cuda_includes()
  return once("cuda_includes", function() return toolkit.include_folders() end)
end

-- The first file of some names in some folders; "libcublas.so.*" takes the newest.
local function first_file(folders, names)
  for _, name in ipairs(names) do
    for _, folder in ipairs(folders) do
      local found = fs.glob(fs.join(folder, name))
      if #found > 0 then return found[#found] end
    end
  end
end

local SYSTEM_FOLDERS = { "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib" }

---A library of CUDA's by its file names, in the toolkit, Python's packages or the system's folders; nil: nowhere.
function toolchain.cuda_library(...)
  local names = { ... }
  return once("library " .. names[1], function()
    return toolkit.find_library(function(folders) return first_file(folders, names) end)
      or first_file(SYSTEM_FOLDERS, names)
  end)
end

---The Python that solutions run in; nil and why.
function toolchain.python()
  local told = os.getenv "HONE_PYTHON"
  local name = told and told ~= "" and told or "python3"
  local path = process.which(name)
  if path then return path end
  if name == told then return nil, ("no Python: HONE_PYTHON=%s is not there"):format(told), "ENOENT" end
  return nil,
    "no Python is installed (name one in HONE_PYTHON, or on Debian and Ubuntu: apt install python3)",
    "ENOENT"
end

-- Versions of what makes a torch extension; torch itself is not imported, which takes seconds.
local TORCH_CODE = [[
import importlib.metadata, sys
print(sys.version.replace("\n", " "))
print(importlib.metadata.version("torch"))
]]

---Python's and torch's versions as text; nil and why.
function toolchain.torch(python)
  return once("torch " .. python, function()
    local text = command.ask { python, "-c", TORCH_CODE }
    if text then return text end
    return nil, ("%s has no PyTorch: `pip install torch`"):format(python), "ENOENT"
  end)
end

---apache-tvm-ffi: { includes, library, version }; nil and why where it would have to be fetched.
function toolchain.tvm_ffi()
  return once("tvm_ffi", function() return require("hone.bench.build.tvm_ffi").find((toolchain.python())) end)
end

-- ---- what to compile for --------------------------------------------------------------------------

-- "9.0" -> "90a": from Hopper on the instructions of one architecture alone are compiled in, as kernels that
-- are written for it need them.
local function specific(capability)
  local major, minor = capability:match "^(%d+)%.(%d)$"
  if not major then return nil end
  return major .. minor .. (tonumber(major) >= 9 and "a" or "")
end

local function parse(architecture)
  local major, minor, suffix = architecture:match "^(%d+)%.(%d)([af]?)$"
  if not major then
    return nil, ("architecture %q is not written as 9.0 or 9.0a"):format(architecture), "EINVAL"
  end
  return major .. minor .. suffix
end

local function ask_device(device)
  local index = require("hone.bench.device").ordinal(device or "cuda:0") or 0
  local devices, why = require("hone.cuda").devices()
  local found = devices and devices[index + 1]
  if found then return specific(found.capability) end
  return nil,
    ('cannot tell what to compile for: %s (say it by architecture="9.0a" or TVM_FFI_CUDA_ARCH_LIST)'):format(
      why or ("there is no device cuda:%d"):format(index)
    ),
    "ENOENT"
end

local function of_device(device)
  return once("architecture " .. (device or "cuda:0"), function() return ask_device(device) end)
end

---The architectures to compile for, as "90a": the one asked for, those of TVM_FFI_CUDA_ARCH_LIST, or the device's.
---@return string[]? architectures
---@return string? message
---@return string? code
function toolchain.architectures(options)
  local named = options.architecture or os.getenv "TVM_FFI_CUDA_ARCH_LIST"
  local list = {}
  for word in (named or ""):gsub("[;,]", " "):gmatch "%S+" do
    local code, why, kind = parse(word)
    if not code then return nil, why, kind end
    list[#list + 1] = code
  end
  if #list > 0 then return list end
  local code, why, kind = of_device(options.device)
  if not code then return nil, why, kind end
  return { code }
end

return toolchain
