--- What this machine has of what hone can use, and what each thing is for.
local doctor = {}

local fs = require "hone.fs"

local PROGRAM_TIMEOUT = 10 -- seconds

-- Each check is a table { name, found, version, detail, enables, install }; `install` says what to do
-- when it is missing, `detail` where it is or why it cannot be used.

local function first_of(...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if value and value ~= "" then return value end
  end
end

local function env(name) return first_of(os.getenv(name)) end

-- ---- programs ------------------------------------------------------------------------------------

local PROGRAMS = {
  {
    name = "nvcc",
    words = { "nvcc", "--version" },
    pattern = "release ([%d.]+)",
    enables = "CUDA solutions that bring host code",
    install = "the CUDA toolkit, from NVIDIA",
  },
  {
    name = "C compiler",
    words = { "cc", "--version" },
    enables = "C++ solutions",
    install = "apt-get install build-essential",
  },
  {
    name = "C++ compiler",
    words = { "c++", "--version" },
    enables = "C++ solutions",
    install = "apt-get install build-essential",
  },
  {
    name = "ninja",
    words = { "ninja", "--version" },
    enables = "C++ and CUDA solutions that torch binds",
    install = "pip install ninja",
  },
  { name = "git", words = { "git", "--version" }, enables = "clone-repos", install = "apt-get install git" },
  {
    name = "git-lfs",
    words = { "git-lfs", "--version" },
    enables = "workload tensors of the dataset",
    install = "apt-get install git-lfs",
  },
  {
    name = "node",
    words = { "node", "--version" },
    enables = "checking the web entries",
    install = "apt-get install nodejs",
  },
  {
    name = "tsc",
    words = { "tsc", "--version" },
    enables = "type checks of the web entries",
    install = "npm install -g typescript",
  },
}

-- Reads versions from packages' metadata: importing torch would take seconds.
local PYTHON_CODE = [[
import glob, importlib.metadata as m, importlib.util as u, json, os, platform, re, site, sys
def version(*names):
    for name in names:
        try: return m.version(name)
        except m.PackageNotFoundError: pass
def torch_cuda():
    spec = u.find_spec("torch")
    path = spec and spec.origin and os.path.join(os.path.dirname(spec.origin), "version.py")
    if path and os.path.exists(path):
        found = re.search(r"^cuda\b[^=]*=\s*['\"]([^'\"]+)", open(path).read(), re.M)
        return found and found.group(1)
print(json.dumps({
    "version": platform.python_version(), "path": sys.executable,
    "torch": version("torch"), "torch_cuda": torch_cuda(), "triton": version("triton"),
    "flashinfer": version("flashinfer-python", "flashinfer"),
    "folders": [f for p in sys.path for f in glob.glob(os.path.join(p, "nvidia", "*", "lib"))],
}))
]]

-- nvcc is often installed outside of PATH.
local function command_of(program)
  local nvcc = program.name == "nvcc" and require("hone.cuda.toolkit").nvcc()
  if nvcc then return { nvcc, "--version", timeout = PROGRAM_TIMEOUT } end
  return table.move(program.words, 1, #program.words, 1, { timeout = PROGRAM_TIMEOUT })
end

-- What the programs and Python print; all of them run at the same time.
local function run_programs()
  local commands = {}
  for i, program in ipairs(PROGRAMS) do
    commands[i] = command_of(program)
  end
  commands[#commands + 1] = { "python3", "-c", PYTHON_CODE, timeout = PROGRAM_TIMEOUT }
  return require("hone.process").run_all(commands, { max = #commands })
end

local function problem_of(result)
  if result.error then return nil end -- it is not there, which needs no more words
  if result.timed_out then return ("no answer within %d s"):format(PROGRAM_TIMEOUT) end
  return require("hone.text").trim(result.stderr):match("^[^\n]*")
end

local function program_check(program, result)
  local check = { name = program.name, enables = program.enables, install = program.install }
  check.found = result.status == 0
  if check.found then
    check.version = result.stdout:match(program.pattern or "(%d+%.[%d.]*%d)")
  else
    check.detail = problem_of(result)
  end
  return check
end

local function package_check(name, version, enables, install)
  return { name = name, found = version ~= nil, version = version, enables = enables, install = install }
end

-- The checks of Python and its packages, and the folders of CUDA libraries among them.
local function python_checks(result)
  local json = require "hone.json"
  local told = result.status == 0 and json.decode(result.stdout) or nil
  local python = {
    name = "Python",
    found = told ~= nil,
    version = told and told.version,
    detail = told and told.path or problem_of(result),
    enables = "Python and Triton solutions, references that hone cannot run itself",
    install = "apt-get install python3",
  }
  local function version(key)
    local value = told and told[key]
    return value ~= json.null and value or nil
  end
  local torch, cuda = version "torch", version "torch_cuda"
  if torch then torch = ("%s, %s"):format(torch, cuda and "CUDA " .. cuda or "without CUDA") end
  return {
    python,
    package_check("torch", torch, "PyTorch solutions, references in Python", "pip install torch"),
    package_check("triton", version "triton", "Triton solutions", "pip install triton"),
    package_check(
      "flashinfer",
      version "flashinfer",
      "FlashInfer baselines and ground truth",
      "pip install flashinfer-python"
    ),
  },
    told and told.folders or {}
end

-- The headers and the library of solutions in C++ and CUDA.
local function tvm_ffi_check()
  local tvm_ffi = require "hone.bench.build.tvm_ffi"
  local found, why = tvm_ffi.find((require("hone.bench.build.toolchain").python()))
  return {
    name = "apache-tvm-ffi",
    found = found ~= nil,
    version = found and found.version,
    detail = found and fs.dirname(fs.dirname(found.library)) or why:match "^HONE_TVM_FFI.*",
    enables = "C++ and CUDA solutions; fetched by pip when the first one is built",
    install = "pip install apache-tvm-ffi",
  }
end

-- ---- the GPU -------------------------------------------------------------------------------------

local CUDA_LIBRARIES = {
  { key = "cudart", name = "CUDA runtime", enables = "CUDA solutions that link it" },
  { key = "nvrtc", name = "NVRTC", enables = "compiling CUDA sources" },
  { key = "cublasLt", name = "cuBLASLt", enables = "matrix products on the GPU" },
  { key = "cupti", name = "CUPTI", enables = "checking the timer" },
  { key = "nccl", name = "NCCL", enables = "work over several GPUs" },
}

local function device_line(device)
  return ("%s, sm_%s, %.1f GiB, %d SMs, %d MiB L2, %d MHz"):format(
    device.name,
    device.capability:gsub("%.", ""),
    device.memory / 2 ^ 30,
    device.processors,
    device.l2_bytes // 2 ^ 20,
    device.clock_mhz
  )
end

-- The checks of the driver and the devices, and the devices as the driver tells of them.
local function driver_checks()
  local driver, why = require("hone.core.gpu").driver()
  local checks = {
    {
      name = "NVIDIA driver",
      found = driver ~= nil,
      version = driver and "CUDA " .. driver.version,
      detail = driver and driver.problem or why,
      enables = "everything on the GPU",
      install = "NVIDIA's driver",
    },
  }
  local devices = driver and driver.devices or {}
  for i, device in ipairs(devices) do
    checks[#checks + 1] = {
      name = "GPU " .. i - 1,
      found = true,
      version = device_line(device),
      enables = "kernels, benchmarks",
    }
  end
  if #devices == 0 then
    checks[#checks + 1] = {
      name = "GPU",
      found = false,
      detail = driver and driver.problem,
      enables = "kernels, benchmarks",
      install = "an NVIDIA GPU; everything else works without",
    }
  end
  return checks, devices
end

-- A library where the loader finds it, in the toolkit, or among Python's packages.
local function find_library(key, folders)
  local gpu = require "hone.core.gpu"
  local library, why
  for _, folder in ipairs(folders) do
    library, why = gpu.library(key, folder)
    if library then return library end
  end
  return nil, why
end

local function library_checks(python_folders)
  local folders = require("hone.cuda.toolkit").library_folders()
  table.move(python_folders, 1, #python_folders, #folders + 1, folders)
  local checks = {}
  for i, wanted in ipairs(CUDA_LIBRARIES) do
    local library, why = find_library(wanted.key, folders)
    checks[i] = {
      name = wanted.name,
      found = library ~= nil,
      version = library and library.version,
      detail = library and library.path or (why ~= "not found" and why or nil),
      enables = wanted.enables,
      install = wanted.key == "nccl" and "libnccl2, from NVIDIA" or "the CUDA toolkit, from NVIDIA",
    }
  end
  return checks
end

-- ---- libraries of this process -------------------------------------------------------------------

-- `probe` returns a version or true, or raises.
local function probed(name, enables, install, probe)
  local ok, version, why = pcall(probe)
  local found = ok and version ~= nil and version ~= false
  return {
    name = name,
    found = found,
    version = found and type(version) == "string" and version or nil,
    detail = not found and tostring(why or version):match("^[^\n]*") or nil,
    enables = enables,
    install = install,
  }
end

local function probe_grammars()
  local syntax = require "hone.syntax"
  for _, language in ipairs(syntax.languages) do
    local tree, why = syntax.parse("", language)
    if not tree then return nil, why end
  end
  return table.concat(syntax.languages, ", ")
end

local function module_check(name, enables, install)
  return probed(name, enables, install, function()
    local version = require(name)._VERSION
    return type(version) == "string" and version:match("([%d.]*%d)%D*$") or true
  end)
end

local function process_checks()
  return {
    probed("libcurl", "downloads", "apt-get install libcurl4", function()
      local version, why = require("hone.core.http").version()
      return version and (version:match("libcurl/([%d.]+)") or version), why
    end),
    probed(
      "libuv",
      "running other programs",
      "apt-get install libuv1",
      function() return require "hone.core.process" ~= nil end
    ),
    probed(
      "OpenBLAS",
      "fast matrix products on the CPU",
      "apt-get install libopenblas0-pthread",
      function() return require("hone.core.tensor")._has_blas() end
    ),
    probed("grammars", "reading Python and TypeScript", "make deps build", probe_grammars),
    module_check("lfs", "files and folders", "apt-get install lua-filesystem"),
    module_check("cjson", "JSON for scripts that ask for it", "apt-get install lua-cjson"),
    module_check("lyaml", "YAML", "apt-get install lua-yaml"),
  }
end

-- ---- files ---------------------------------------------------------------------------------------

local function huggingface_folder()
  local cache = first_of(env("XDG_CACHE_HOME"), fs.join(fs.home() or "", ".cache"))
  return first_of(env("HF_HOME"), fs.join(cache, "huggingface"))
end

local function huggingface_checks()
  local folder = huggingface_folder()
  local cache = first_of(env("HF_HUB_CACHE"), fs.join(folder, "hub"))
  local token_file = first_of(env("HF_TOKEN_PATH"), fs.join(folder, "token"))
  return {
    {
      name = "HuggingFace cache",
      found = fs.is_dir(cache),
      detail = cache,
      enables = "model configs without a download",
      install = "made by the first download",
    },
    {
      name = "HuggingFace token",
      found = env("HF_TOKEN") ~= nil or fs.is_file(token_file),
      enables = "gated models",
      install = "huggingface-cli login, or HF_TOKEN",
    },
  }
end

local function dataset_check(chosen)
  local path = first_of(chosen, env("FIB_DATASET_PATH"), "./flashinfer-trace")
  local is_dataset = fs.is_dir(fs.join(path, "definitions"))
  return {
    name = "dataset",
    found = is_dataset,
    detail = is_dataset and path or "no definitions/ in " .. path,
    enables = "benchmarks, deduplication of definitions",
    install = "hone clone-repos",
  }
end

local function try_writing(folder)
  local made, why = fs.mkdir(folder)
  if not made then return nil, why end
  local probe = fs.join(folder, ".doctor")
  local written
  written, why = fs.write(probe, "")
  if written then fs.remove(probe) end
  return written, why
end

local function cache_check()
  local folder, why = fs.cache_dir()
  local writable
  if folder then
    writable, why = try_writing(folder)
  end
  return {
    name = "cache folder",
    found = writable and true or false,
    detail = writable and folder or why,
    enables = "keeping compiled kernels and downloads",
    install = "write access, or XDG_CACHE_HOME",
  }
end

-- ---- all of it -----------------------------------------------------------------------------------

local function append(list, more) table.move(more, 1, #more, #list + 1, list) end

function doctor.examine(options)
  local results = run_programs()
  local python, folders = python_checks(results[#results])
  local checks, devices = driver_checks()
  append(checks, library_checks(folders))
  for i, program in ipairs(PROGRAMS) do
    checks[#checks + 1] = program_check(program, results[i])
    if program.name == "nvcc" then append(checks, python) end
    if program.name == "C++ compiler" then checks[#checks + 1] = tvm_ffi_check() end
  end
  append(checks, process_checks())
  append(checks, huggingface_checks())
  append(checks, { dataset_check(options and options.dataset), cache_check() })
  return checks, devices
end

return doctor
