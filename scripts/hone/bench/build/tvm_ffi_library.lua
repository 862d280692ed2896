--- Solutions in C++ and CUDA that are called through tvm-ffi's C ABI: compiled and linked as tvm_ffi.cpp.build does it,
--- without ninja and without Python.
local command = require "hone.bench.build.command"
local elf = require "hone.bench.build.elf"
local fs = require "hone.fs"
local store = require "hone.bench.build.store"
local toolchain = require "hone.bench.build.toolchain"

local M = {}

local KIND_OF = { [".cu"] = "nvcc", [".cpp"] = "cxx", [".cc"] = "cxx", [".cxx"] = "cxx", [".c"] = "cc" }
local PREFIX = "__tvm_ffi_"

local function kind_of(path) return KIND_OF[fs.extension(path):lower()] end

-- ---- planning: what is needed, found ------------------------------------------------------------------

local function uses(sources, kind)
  for _, source in ipairs(sources) do
    if kind_of(source.path) == kind then return true end
  end
  return false
end

-- Upstream links CUDA's libraries for a .cu or when the hardware says so.
local function is_for_cuda(solution)
  if uses(solution.sources, "nvcc") then return true end
  for _, hardware in ipairs(solution.spec.target_hardware) do
    if hardware:lower() == "cuda" then return true end
  end
  return false
end

local function find_compilers(plan, sources)
  for _, kind in ipairs { "cxx", "cc", "nvcc" } do
    if kind == "cxx" or uses(sources, kind) then -- the C++ compiler links
      local found, why, code = toolchain[kind]()
      if not found then return nil, why, code end
      plan[kind] = found
    end
  end
  return true
end

local RUNTIME = { "libcudart_static.a", "libcudart.so", "libcudart.so.*" }
local LIBRARIES = { { "libcublas.so", "libcublas.so.*" }, { "libcuda.so", "libcuda.so.1" } }

-- The CUDA runtime goes in statically, so that the library needs no toolkit where it runs; cuBLAS and the driver are
-- linked where they are installed and used.
local function cuda_link_words()
  local words = { "-Wl,--as-needed" }
  local runtime = toolchain.cuda_library(table.unpack(RUNTIME))
  if not runtime then return nil, "the CUDA runtime (libcudart) is not installed", "ENOENT" end
  words[#words + 1] = runtime
  if fs.extension(runtime) == ".a" then
    for _, word in ipairs { "-Wl,--exclude-libs,libcudart_static.a", "-ldl", "-lrt", "-lpthread" } do
      words[#words + 1] = word
    end
  end
  for i, names in ipairs(LIBRARIES) do
    local path = toolchain.cuda_library(table.unpack(names))
    words[#words + 1] = path
    if path and i == 1 then words[#words + 1] = "-Wl,-rpath," .. fs.dirname(path) end
  end
  return words
end

local function plan_cuda(plan, sources, options)
  local words, why, code = cuda_link_words()
  if words then plan.link = words end
  -- C++ for a GPU without any kernel of its own may do without the runtime.
  if not words and uses(sources, "nvcc") then return nil, why, code end
  plan.cuda_includes = toolchain.cuda_includes()
  if not uses(sources, "nvcc") then return true end
  plan.architectures, why, code = toolchain.architectures(options)
  if not plan.architectures then return nil, why, code end
  return true
end

---Fill in what compiling needs. Returns the parts of the build's key, or nil, message, code.
function M.plan(plan, solution, options)
  plan.link = {}
  if
    not (uses(solution.sources, "nvcc") or uses(solution.sources, "cxx") or uses(solution.sources, "cc"))
  then
    return nil, "none of the sources is a .cu, .cpp, .cc, .cxx or .c", "COMPILE_ERROR"
  end
  local ok, why, code = find_compilers(plan, solution.sources)
  if ok and is_for_cuda(solution) then
    ok, why, code = plan_cuda(plan, solution.sources, options)
  end
  if not ok then return nil, why, code end
  plan.tvm_ffi, why, code = toolchain.tvm_ffi()
  if not plan.tvm_ffi then
    if options.download == false or os.getenv "HONE_TVM_FFI" then return nil, why, code end
    plan.tvm_ffi, why, code = require("hone.bench.build.tvm_ffi").fetch()
    if not plan.tvm_ffi then return nil, why, code end
  end
  local parts = { "tvm-ffi", plan.tvm_ffi.version, plan.tvm_ffi.library, table.concat(plan.link, "\n") }
  for _, kind in ipairs { "cxx", "cc", "nvcc" } do
    local compiler = plan[kind]
    parts[#parts + 1] = compiler and table.concat(compiler.words, " ") .. "\n" .. compiler.version or ""
  end
  parts[#parts + 1] = table.concat(plan.architectures or {}, " ")
  return parts
end

-- ---- compiling ----------------------------------------------------------------------------------------

local function append(words, more) return table.move(more, 1, #more, #words + 1, words) end

local FLAGS = {
  cxx = { "-std=c++17", "-fPIC", "-O2" },
  cc = { "-fPIC", "-O2" },
  nvcc = { "-Xcompiler", "-fPIC", "-std=c++17", "-O2" },
}

local function gencode(architecture)
  return ("-gencode=arch=compute_%s,code=sm_%s"):format(architecture, architecture)
end

-- The words that compile one source, in the folder of the sources.
local function compile_words(plan, path, object)
  local kind = kind_of(path)
  local words = append({}, plan[kind].words)
  append(words, FLAGS[kind])
  for _, architecture in ipairs(kind == "nvcc" and plan.architectures or {}) do
    words[#words + 1] = gencode(architecture)
  end
  words[#words + 1] = "-I."
  for _, folder in ipairs(plan.tvm_ffi.includes) do
    append(words, { "-isystem", folder })
  end
  for _, folder in ipairs(kind ~= "nvcc" and plan.cuda_includes or {}) do
    append(words, { "-isystem", folder })
  end
  path = fs.normalize(path)
  return append(words, { "-c", path:find "^-" and "./" .. path or path, "-o", object })
end

local function link_words(plan, objects, library)
  local words = append({}, plan.cxx.words)
  append(append(words, { "-shared", "-o", library }), objects)
  local folder = fs.dirname(plan.tvm_ffi.library)
  append(words, { "-L" .. folder, "-ltvm_ffi" })
  return append(words, plan.link)
end

local function list_exports(names)
  local list = {}
  for name in pairs(names) do
    local symbol = name:match("^" .. PREFIX .. "(.+)$")
    if symbol and symbol:sub(1, 1) ~= "_" then list[#list + 1] = symbol end
  end
  table.sort(list)
  return #list > 0 and "it exports " .. table.concat(list, ", ") or "it exports none"
end

-- Is the function there? true | nil, message, code
local function check_symbol(plan, library)
  local names, why = elf.exports(library)
  if not names then return nil, why, "COMPILE_ERROR" end
  if names[PREFIX .. plan.symbol] then return true end
  return nil,
    ("the library exports no tvm-ffi function '%s' (TVM_FFI_DLL_EXPORT_TYPED_FUNC(%s, ...)); %s"):format(
      plan.symbol,
      plan.symbol,
      list_exports(names)
    ),
    "COMPILE_ERROR"
end

-- Compile every source, then link: log | nil, failure, log
local function compile(plan, folder, deadline)
  local sources, objects, jobs = fs.join(folder, "sources"), {}, {}
  local scratch = fs.join(folder, "objects")
  assert(fs.mkdir(scratch))
  for _, source in ipairs(plan.sources) do
    if kind_of(source.path) then
      local object = fs.join(scratch, #objects + 1 .. ".o")
      objects[#objects + 1] = object
      jobs[#jobs + 1] = { words = compile_words(plan, source.path, object), cwd = sources, tmp = scratch }
    end
  end
  local ok, failure, log = command.run_all(jobs, deadline, plan.jobs)
  if not ok then return nil, failure, log end
  local link = link_words(plan, objects, fs.join(folder, plan.package .. ".so"))
  local said
  ok, failure, said = command.run_all({ { words = link, cwd = sources, tmp = scratch } }, deadline)
  fs.remove(scratch)
  log = log .. said
  if not ok then return nil, failure, log end
  return log
end

---Build in an empty folder: what was made and the log | nil, message, code, log.
function M.make(plan, folder, deadline)
  local ok, why, code = store.write_sources(fs.join(folder, "sources"), plan.sources)
  if not ok then return nil, why, code end
  local log, failure, said = compile(plan, folder, deadline)
  if not log then return nil, failure, nil, said end
  local library = plan.package .. ".so"
  ok, why, code = check_symbol(plan, fs.join(folder, library))
  if not ok then return nil, why, code, log end
  return { library = library }, log
end

---What the artefact says besides.
function M.finish(plan, artefact) artefact.runtime = plan.tvm_ffi.library end

return M
