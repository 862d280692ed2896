--- Where a measurement was made, as traces tell it.
local fs = require "hone.fs"
local json = require "hone.json"

local environment = {}

local function processor_name()
  local text = fs.read "/proc/cpuinfo" or ""
  return text:match "model name%s*:%s*([^\n]+)" or text:match "Model%s*:%s*([^\n]+)" or "CPU"
end

local names = {}

---The name of a device: CUDA's, or the processor's.
function environment.hardware(device)
  if not names[device] then
    if device == "cpu" then
      names[device] = processor_name()
    else
      names[device] = require("hone.bench.device").properties(device).name
    end
  end
  return names[device]
end

local PACKAGES = { "torch", "triton", "tilelang" }

local python_packages

---Versions of the packages that Python solutions stand on: looked up without importing them.
function environment.packages()
  if python_packages then return python_packages end
  python_packages = {}
  local code = "import importlib.metadata as m\n"
  for _, name in ipairs(PACKAGES) do
    code = code .. ("try: print(%q, m.version(%q))\nexcept Exception: pass\n"):format(name, name)
  end
  local python = os.getenv "HONE_PYTHON" or "python3"
  local result = require("hone.process").run { python, "-c", code, timeout = 30 }
  for name, version in (result and result.stdout or ""):gmatch "(%S+) (%S+)" do
    python_packages[name] = version
  end
  return python_packages
end

local IN_PACKAGE = { triton = true, tilelang = true } -- languages that are a package of Python

---The package that a solution stands on and that Python lacks here; nil where there is none.
function environment.missing_package(solution)
  if require("hone.bench.build").worker_of(solution) ~= "python" then return nil end
  local packages, language = environment.packages(), solution.spec.language
  if not packages.torch then return "torch" end
  return IN_PACKAGE[language] and not packages[language] and language or nil
end

---What a trace's `environment` says. kind: of the worker, "native", "python" or "lua".
function environment.of(device, kind)
  local libs = json.object()
  local in_host, host = pcall(require, "hone.core.host")
  libs.hone = in_host and host.version or nil
  if device ~= "cpu" then libs.cuda = require("hone.cuda").versions().driver end
  if kind == "python" then
    for _, name in ipairs(PACKAGES) do
      libs[name] = environment.packages()[name]
    end
  end
  return json.object { { "hardware", environment.hardware(device) }, { "libs", libs } }
end

---The local time, with microseconds and without a zone: "2026-01-31T12:34:56.789012".
function environment.timestamp()
  local seconds, microseconds = require("hone.core.process").wall()
  return os.date("%Y-%m-%dT%H:%M:%S", seconds) .. (".%06d"):format(microseconds)
end

return environment
