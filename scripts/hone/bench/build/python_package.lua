--- Solutions whose sources are imported or run as they are: Python, Triton, TileLang, and hone's own Lua. And C++ and
--- CUDA bound by torch, which a Python of its own compiles.
local command = require "hone.bench.build.command"
local fs = require "hone.fs"
local store = require "hone.bench.build.store"
local toolchain = require "hone.bench.build.toolchain"

local M = { sources = {}, torch = {} }

-- ---- sources as they are ------------------------------------------------------------------------------

local SUFFIX = { lua = ".lua" }

function M.sources.plan(plan)
  local suffix = SUFFIX[plan.language] or ".py"
  if fs.extension(plan.entry) ~= suffix then
    return nil, ("the entry file %q does not end in %s"):format(plan.entry, suffix), "COMPILE_ERROR"
  end
  return { plan.language }
end

function M.sources.make(plan, folder)
  local ok, why, code = store.write_sources(fs.join(folder, plan.package), plan.sources)
  if not ok then return nil, why, code end
  return {}, ""
end

-- hone's own worker looks for the entry file below the directory itself.
function M.sources.finish(plan, artefact)
  if plan.language == "lua" then artefact.directory = fs.join(plan.folder, plan.package) end
end

-- ---- torch --------------------------------------------------------------------------------------------

local COMPILED = { [".cu"] = true, [".cpp"] = true, [".cc"] = true, [".cxx"] = true, [".c"] = true }

-- Compiles the extension. Nothing of the solution is imported here, where no sandbox holds it: neither what was
-- compiled, nor a json.py among its sources.
local DRIVER = [==[
import sys
sys.path = [folder for folder in sys.path if folder]
import json
request = json.loads(sys.stdin.read())
try:
    from torch.utils import cpp_extension
except ImportError as problem:
    sys.exit("error: PyTorch cannot be imported: %s" % problem)
cpp_extension._import_module_from_library = lambda *ignored: None
try:
    cpp_extension.load(name=request["name"], sources=request["sources"], extra_include_paths=[request["include"]],
                       with_cuda=request["with_cuda"], build_directory=request["build"], verbose=True)
except (RuntimeError, ImportError, OSError) as problem:
    sys.exit("error: %s" % problem)
]==]

function M.torch.plan(plan, solution, options)
  if not COMPILED[fs.extension(plan.entry)] then
    return nil, ("the entry file %q is not a .cu, .cpp, .cc, .cxx or .c"):format(plan.entry), "COMPILE_ERROR"
  end
  local why, code, versions
  plan.python, why, code = toolchain.python()
  if not plan.python then return nil, why, code end
  versions, why, code = toolchain.torch(plan.python)
  if not versions then return nil, why, code end
  if solution.spec.language == "cuda" then
    plan.architectures, why, code = toolchain.architectures(options)
    if not plan.architectures then return nil, why, code end
  end
  local cxx = toolchain.cxx()
  return {
    "torch",
    versions,
    cxx and cxx.version or "",
    table.concat(plan.architectures or {}, " "),
  }
end

-- "90a" -> "9.0a", as torch wants them.
local function torch_architectures(list)
  local names = {}
  for i, code in ipairs(list) do
    names[i] = code:gsub("^(%d+)(%d)", "%1.%2")
  end
  return table.concat(names, ";")
end

local function environment(plan)
  local env = { MAX_JOBS = plan.jobs, PYTHONDONTWRITEBYTECODE = "1" }
  if not plan.architectures then return env end
  env.TORCH_CUDA_ARCH_LIST = os.getenv "TORCH_CUDA_ARCH_LIST" or torch_architectures(plan.architectures)
  local includes = toolchain.cuda_includes()
  if not os.getenv "CUDA_HOME" and includes[1] then env.CUDA_HOME = fs.dirname(includes[1]) end
  return env
end

local function request_of(plan, sources, scratch)
  local json = require "hone.json"
  local list = json.array {}
  for _, source in ipairs(plan.sources) do
    if COMPILED[fs.extension(source.path)] then
      list[#list + 1] = fs.join(sources, fs.normalize(source.path))
    end
  end
  local request = json.object()
  request.name, request.sources, request.include, request.build = plan.package, list, sources, scratch
  request.with_cuda = plan.language == "cuda"
  return json.encode(request)
end

function M.torch.make(plan, folder, deadline)
  local sources, scratch = fs.join(folder, "sources"), fs.join(folder, "objects")
  local ok, why, code = store.write_sources(sources, plan.sources)
  if ok then
    ok, why, code = fs.mkdir(scratch)
  end
  if not ok then return nil, why, code end
  local job = {
    words = { plan.python, "-c", DRIVER },
    input = request_of(plan, sources, scratch),
    cwd = scratch,
    tmp = scratch,
    env = environment(plan),
    unlimited_memory = true, -- torch maps more than it uses
  }
  local done, failure, log = command.run_all({ job }, deadline)
  if not done then return nil, failure, nil, log end
  local library = plan.package .. ".so"
  local names = require("hone.bench.build.elf").exports(fs.join(scratch, library))
  if not names or not names["PyInit_" .. plan.package] then
    return nil,
      "no source registers the extension (PYBIND11_MODULE(TORCH_EXTENSION_NAME, m))",
      "COMPILE_ERROR",
      log
  end
  ok, why, code = fs.rename(fs.join(scratch, library), fs.join(folder, library))
  if not ok then return nil, why, code, log end
  fs.remove(scratch)
  return { library = library }, log
end

return M
