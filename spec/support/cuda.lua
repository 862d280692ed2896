--- What specs of hone.cuda share: programs on the fake driver, and NVRTC where there is one.
local fs = require "hone.fs"
local process = require "hone.process"

local support = {}

local folder -- holds the fake driver, once it is built

-- The fake driver's path; nil and why where there is no C compiler.
function support.fake_driver()
  if folder then return fs.join(folder.path, "libcuda.so") end
  folder = assert(fs.tempdir())
  local path = fs.join(folder.path, "libcuda.so")
  local result, why = process.run {
    "cc",
    "-std=c17",
    "-shared",
    "-fPIC",
    "-D_GNU_SOURCE",
    "-Iengine",
    "-o",
    path,
    "spec/support/fake_gpu.c",
  }
  if result and result.status == 0 then
    assert(fs.copy(path, fs.join(folder.path, "libnvidia-ml.so.1"))) -- it is both
    return path
  end
  folder = nil
  return nil, result and result.stderr or why
end

-- Runs Lua code in a hone of its own, on the fake driver; `cuda` is hone.cuda there. Returns what it
-- prints, and the lines that launches logged.
function support.on_fake(code, env)
  local driver = assert(support.fake_driver())
  local log = fs.join(folder.path, "log")
  fs.remove(log)
  local variables = { HONE_LIBCUDA = driver, FAKE_CUDA_LOG = log, LD_LIBRARY_PATH = folder.path }
  for name, value in pairs(env or {}) do
    variables[name] = value
  end
  local command = {
    os.getenv "HONE_BIN" or "build/hone",
    "-e",
    "local cuda = require 'hone.cuda'; " .. code,
    env = variables,
  }
  local result = assert(process.run(command))
  return result.stdout .. result.stderr, fs.is_file(log) and fs.read(log) or ""
end

-- Runs Lua code in a hone of its own on the real driver, for what costs the process its context.
function support.in_child(code)
  local result = assert(process.run {
    os.getenv "HONE_BIN" or "build/hone",
    "-e",
    "local cuda = require 'hone.cuda'; " .. code,
  })
  return result.stdout .. result.stderr
end

return support
