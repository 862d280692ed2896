--- Where CUDA's own libraries, headers and compiler are: the toolkit, or Python's packages.
local fs = require "hone.fs"

local toolkit = {}

local function folder_of(name)
  local value = os.getenv(name)
  return value and value ~= "" and fs.absolute(value) or nil
end

local function add(list, seen, path)
  if path and not seen[path] and fs.is_dir(path) then
    seen[path] = true
    list[#list + 1] = path
  end
end

-- Newest first: /usr/local/cuda-13.0 before /usr/local/cuda-12.8.
local function versioned_roots()
  local roots = fs.glob("/usr/local/cuda-*") or {}
  table.sort(
    roots,
    function(a, b) return (tonumber(a:match("([%d.]+)$")) or 0) > (tonumber(b:match("([%d.]+)$")) or 0) end
  )
  return roots
end

-- Folders of installed toolkits, in the order in which they are tried.
local function roots()
  local list, seen = {}, {}
  add(list, seen, folder_of "CUDA_HOME")
  add(list, seen, folder_of "CUDA_PATH")
  local nvcc = require("hone.process").which("nvcc")
  add(list, seen, nvcc and fs.dirname(fs.dirname(nvcc)))
  add(list, seen, "/usr/local/cuda")
  for _, root in ipairs(versioned_roots()) do
    add(list, seen, root)
  end
  return list
end

local PYTHON_CODE = [[
import glob, os, sys
for folder in sys.path:
    for found in sorted(glob.glob(os.path.join(folder, "nvidia", "*")), reverse=True): print(found)
]]
local PYTHON_TIMEOUT = 10 -- seconds

local python_roots -- once asked for: { folder, ... }

-- The folders of NVIDIA's packages of the python on PATH, such as site-packages/nvidia/cu13.
local function packages()
  if python_roots then return python_roots end
  local command = { "python3", "-c", PYTHON_CODE, timeout = PYTHON_TIMEOUT }
  local result = require("hone.process").run(command)
  local list, seen = {}, {}
  for line in (result and result.status == 0 and result.stdout or ""):gmatch("[^\n]+") do
    add(list, seen, line)
  end
  python_roots = list
  return list
end

local LIBRARY_FOLDERS = { "lib64", "lib", "extras/CUPTI/lib64" }

local function library_folders(from)
  local list, seen = {}, {}
  for _, root in ipairs(from) do
    for _, folder in ipairs(LIBRARY_FOLDERS) do
      add(list, seen, fs.join(root, folder))
    end
  end
  return list
end

--- Library folders of the toolkits that are installed.
function toolkit.library_folders() return library_folders(roots()) end

--- Folders to look for a library in, after the loader's own; Python's packages are asked for only when
--- `is_enough(folders)` is not true of the toolkits'.
function toolkit.find_library(is_enough)
  return is_enough(library_folders(roots())) or is_enough(library_folders(packages()))
end

local function has_headers(folder) return fs.is_file(fs.join(folder, "cuda_fp16.h")) end

-- The headers' folder of a root, and with it that of CCCL, which CUDA 13 keeps apart.
local function include_folders(root)
  local folder = fs.join(root, "include")
  if not has_headers(folder) then return nil end
  local list, seen = {}, {}
  add(list, seen, folder)
  add(list, seen, fs.join(folder, "cccl"))
  add(list, seen, fs.join(fs.dirname(root), "cuda_cccl", "include"))
  return list
end

local function first_with_headers(candidates)
  for _, root in ipairs(candidates) do
    local list = include_folders(root)
    if list then return list end
  end
end

--- CUDA's own headers; those beside the compiler at `library` come first, being of its version. An
--- empty list where there are none.
function toolkit.include_folders(library)
  local beside = library and { fs.dirname(fs.dirname(library)) } or {}
  return first_with_headers(beside) or first_with_headers(roots()) or first_with_headers(packages()) or {}
end

local function nvcc_of(candidates)
  for _, root in ipairs(candidates) do
    local path = fs.join(root, "bin", "nvcc")
    if fs.is_file(path) then return path end
  end
end

--- The path of nvcc; nil and why.
function toolkit.nvcc()
  local path = nvcc_of(roots()) or nvcc_of(packages())
  if path then return path end
  return nil,
    "nvcc is not installed (not on PATH, in CUDA_HOME, /usr/local/cuda or Python's packages): "
      .. "it comes with the CUDA toolkit, or `pip install nvidia-cuda-nvcc`"
end

return toolkit
