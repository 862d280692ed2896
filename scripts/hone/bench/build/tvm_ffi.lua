--- Where apache-tvm-ffi's headers and library are: the C ABI of solutions in C++ and CUDA.
local fs = require "hone.fs"

local tvm_ffi = {}

local VERSION = "0.1.15.post2" -- what is downloaded where there is none
local DLPACK = { "include", "3rdparty/dlpack/include" }
local HOW = "unpack the wheel of apache-tvm-ffi somewhere and name the folder in HONE_TVM_FFI, "
  .. "or `pip install apache-tvm-ffi`"

local function version_in(folder)
  local text = fs.read(fs.join(folder, "_version.py"))
  return text and text:match "version%s*=%s*['\"]([^'\"]+)['\"]"
end

-- The package in a folder | nil, the file that is missing.
local function package_at(folder)
  local library = fs.join(folder, "lib", "libtvm_ffi.so")
  local header = fs.join(folder, "include", "tvm", "ffi", "c_api.h")
  for _, file in ipairs { header, library } do
    if not fs.is_file(file) then return nil, file end
  end
  local includes = { fs.join(folder, "include") }
  for _, below in ipairs(DLPACK) do
    if fs.is_file(fs.join(folder, below, "dlpack", "dlpack.h")) then
      if below ~= "include" then includes[2] = fs.join(folder, below) end
      return {
        includes = includes,
        library = fs.realpath(library),
        version = version_in(folder) or fs.sha256_file(library),
      }
    end
  end
  return nil, fs.join(folder, "include", "dlpack", "dlpack.h")
end

-- HONE_TVM_FFI: the package itself, or the folder in which its wheel was unpacked.
local function told(folder)
  folder = fs.absolute(folder)
  local inside = fs.join(folder, "tvm_ffi")
  local found, missing = package_at(fs.is_dir(inside) and inside or folder)
  if found then return found end
  return nil, ("HONE_TVM_FFI=%s holds no apache-tvm-ffi: %s is not there"):format(folder, missing), "ENOENT"
end

-- Asked without importing it.
local PYTHON_CODE = [[
import importlib.util
spec = importlib.util.find_spec("tvm_ffi")
for folder in (spec and spec.submodule_search_locations) or (): print(folder)
]]

local function of_python(python)
  if not python then return nil end
  local text = require("hone.bench.build.command").ask { python, "-c", PYTHON_CODE }
  for folder in (text or ""):gmatch "[^\n]+" do
    local found = package_at(folder)
    if found then return found end
  end
end

local function cache_folder()
  local folder, why, code = fs.cache_dir()
  if not folder then return nil, why, code end
  return fs.join(folder, "tvm-ffi", VERSION)
end

---Where the package is, without fetching anything; nil, why. `python`: the interpreter to ask, or nil.
function tvm_ffi.find(python)
  local folder = os.getenv "HONE_TVM_FFI"
  if folder and folder ~= "" then return told(folder) end
  local found = of_python(python)
  if found then return found end
  local cached = cache_folder()
  found = cached and package_at(fs.join(cached, "tvm_ffi"))
  if found then return found end
  return nil, "apache-tvm-ffi is not installed: " .. HOW, "ENOENT"
end

local FETCHING = 120 -- seconds that another process may take over it

local function bring(folder)
  local function nothing() end
  local brought, why = require("hone.pypi").bring {
    name = "tvm-ffi",
    package = "apache-tvm-ffi",
    version = VERSION,
    path = folder,
    inside = "",
    await = require("hone.process").run,
    progress = nothing,
    warn = nothing,
  }
  if brought then return package_at(fs.join(folder, "tvm_ffi")) end
  return nil, ("apache-tvm-ffi is not installed and could not be fetched (%s): %s"):format(why, HOW), "ENOENT"
end

---Fetch the package into hone's cache by pip; where it is then, or nil and why.
function tvm_ffi.fetch()
  local folder, why, code = cache_folder()
  if not folder then return nil, why, code end
  local made
  made, why, code = fs.mkdir(fs.dirname(folder))
  if not made then return nil, why, code end
  local store = require "hone.bench.build.store"
  local held <close>, refused, kind =
    store.lock(folder .. ".lock", require("hone.bench.build.command").now() + FETCHING)
  if not held then return nil, refused, kind end
  local found = package_at(fs.join(folder, "tvm_ffi"))
  if found then return found end
  return bring(folder)
end

return tvm_ffi
