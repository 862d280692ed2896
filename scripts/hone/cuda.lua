--- Kernels and time on NVIDIA GPUs: devices, memory, compiling, launching, streams, graphs, timing.
local core = require "hone.core.cuda"

local cuda = {
  available = core.available,
  devices = core.devices,
  device = core.device,
  synchronize = core.synchronize,
  reset = core.reset,
  memory = core.memory,
  reset_peak = core.reset_peak,
  clock = core.clock,
  alloc = core.alloc,
  tensor_map = core.tensor_map,
  stream = core.stream,
  priorities = core.priorities,
  event = core.event,
  graph = core.graph,
}

-- ---- modules --------------------------------------------------------------------------------------

local Module = { __name = "hone.cuda.Module" }
Module.__index = Module

local function new_module(result)
  return setmetatable({
    image = result.image,
    ptx = result.ptx,
    log = result.log,
    arch = result.arch,
    cached = result.cached or false,
    _lowered = result.lowered or {},
    _kernels = result.kernels or {},
    _loaded = {},
    _found = {},
  }, Module)
end

-- The module in the context of the chosen device, loaded when it is first wanted there.
local function loaded(module)
  local index = core.device()
  local known = module._loaded[index]
  if known and known:is_alive() then return known, index end
  local why, code
  known, why, code = core.load_image(module.image)
  if not known then return nil, why, code end
  module._loaded[index], module._found[index] = known, {}
  return known, index
end

-- The name in machine code of a kernel's name, expression or plain C++ name; and its parameters' kinds.
local function resolve(module, name)
  local wanted = module._lowered[name] or name
  local plain_name = require("hone.cuda.ptx").plain_name
  local plain
  for _, kernel in ipairs(module._kernels) do
    if kernel.name == wanted then return wanted, kernel.kinds end
    if plain_name(kernel.name) == wanted then plain = plain and false or kernel end
  end
  if plain then return plain.name, plain.kinds end
  return wanted, nil
end

function Module:kernel(name)
  if type(name) ~= "string" then
    error(("bad argument #1 to 'kernel' (string expected, got %s)"):format(type(name)), 2)
  end
  local module, index, code = loaded(self)
  if not module then return nil, index, code end
  local found = self._found[index]
  if found[name] then return found[name] end
  local symbol, kinds = resolve(self, name)
  local kernel, why
  kernel, why, code = module:kernel(symbol, kinds)
  if not kernel then
    local names = self:kernels()
    if names and #names > 0 then why = ("%s; it has %s"):format(why, table.concat(names, ", ")) end
    return nil, why, code
  end
  found[name] = kernel
  return kernel
end

function Module:kernels()
  local names = {}
  for i, kernel in ipairs(self._kernels) do
    names[i] = kernel.name
  end
  if #names > 0 then return names end
  local module, why, code = loaded(self)
  if not module then return nil, why, code end
  return module:names() or {}
end

function Module:global(name)
  local module, why, code = loaded(self)
  if not module then return nil, why, code end
  return module:global(name)
end

function Module:__tostring()
  local arch = self.arch or "loaded"
  return ("cuda.Module (%s, %d bytes)"):format(arch, #self.image)
end

-- ---- compiling and loading ------------------------------------------------------------------------

local function compiled(result, why, code, log)
  if not result then return nil, why, code, log end
  return new_module(result)
end

function cuda.compile(source, options)
  local compiler = require "hone.cuda.compiler"
  compiler.check(source, options, "compile", 2)
  return compiled(compiler.compile(source, options or {}, debug.getinfo(2, "Sl")))
end

function cuda.compile_file(path, options)
  local fs, compiler = require "hone.fs", require "hone.cuda.compiler"
  local source, why, code = fs.read(path)
  if not source then return nil, why, code end
  compiler.check(source, options, "compile_file", 2)
  local chosen = { name = path }
  for key, value in pairs(options or {}) do
    chosen[key] = value
  end
  chosen.include = { table.unpack(chosen.include or {}) }
  table.insert(chosen.include, fs.dirname(path))
  return compiled(compiler.compile(source, chosen, debug.getinfo(2, "Sl")))
end

function cuda.nvcc(source, options)
  local compiler = require "hone.cuda.compiler"
  compiler.check(source, options, "nvcc", 2)
  return compiled(compiler.nvcc(source, options or {}, debug.getinfo(2, "Sl")))
end

local ELF = "\127ELF"
local FATBIN = "\x50\xed\x55\xba"

function cuda.load(image)
  if type(image) ~= "string" then
    error(("bad argument #1 to 'load' (string expected, got %s)"):format(type(image)), 2)
  end
  local is_machine_code = image:sub(1, 4) == ELF or image:sub(1, 4) == FATBIN
  if not is_machine_code and not image:find(".version", 1, true) then
    return nil, "cannot load a module: it is neither a cubin, a fatbin nor PTX", "EINVAL"
  end
  local text = not is_machine_code and image or nil
  local module =
    new_module { image = image, ptx = text, kernels = text and require("hone.cuda.ptx").kernels(text) }
  local ok, why, code = loaded(module)
  if not ok then return nil, why, code end
  return module
end

function cuda.versions()
  local versions = {}
  local driver = core.driver_version()
  versions.driver = driver and ("%d.%d"):format(driver // 1000, driver % 1000 // 10)
  local compiler = require "hone.cuda.compiler"
  local version, path = compiler.nvrtc()
  if version then
    versions.nvrtc, versions.nvrtc_path = version, path
  end
  versions.include = require("hone.cuda.toolkit").include_folders(version and path)
  versions.nvcc_path = require("hone.cuda.toolkit").nvcc()
  return versions
end

-- ---- time -----------------------------------------------------------------------------------------

function cuda.time(f, options) return require("hone.cuda.timing").time(f, options) end

function cuda.compare(f, g, options) return require("hone.cuda.timing").compare(f, g, options) end

-- ---- ranges for profilers -------------------------------------------------------------------------

function cuda.range(name, f, ...) return require("hone.cuda.nvtx").range(name, f, ...) end

function cuda.range_push(name) return require("hone.cuda.nvtx").range_push(name) end

function cuda.range_pop() require("hone.cuda.nvtx").range_pop() end

function cuda.mark(name) return require("hone.cuda.nvtx").mark(name) end

return cuda
