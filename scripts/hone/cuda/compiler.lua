--- CUDA C++ to machine code: options, NVRTC or nvcc, the cache, and errors in the user's own lines.
local core = require "hone.core.cuda"
local cache = require "hone.cuda.cache"
local ptx = require "hone.cuda.ptx"

local compiler = {}

local FORMAT = "1" -- of what is kept in the cache

-- ---- options --------------------------------------------------------------------------------------

local OPTIONS = {
  options = "table",
  name = "string",
  arch = "string",
  include = "table",
  headers = "table",
  std = "string",
  kernels = "table",
  cache = "boolean",
}

-- What is wrong with the options, nil when nothing is.
local function option_mistake(options)
  for key, value in pairs(options) do
    local expected = OPTIONS[key]
    if not expected then return ("unknown option '%s'"):format(tostring(key)) end
    if type(value) ~= expected then
      return ("option '%s' is a %s, not a %s"):format(key, type(value), expected)
    end
  end
  for _, key in ipairs { "options", "include", "kernels" } do
    for i, item in ipairs(options[key] or {}) do
      if type(item) ~= "string" then return ("option '%s' holds a %s at %d"):format(key, type(item), i) end
    end
  end
  for name, text in pairs(options.headers or {}) do
    if type(name) ~= "string" or type(text) ~= "string" then
      return "option 'headers' maps names to the text of headers"
    end
  end
  local arch = options.arch
  if arch and not arch:match("^sm_%d+[af]?$") and not arch:match("^compute_%d+[af]?$") then
    return ("option 'arch' is '%s', not something like sm_90a"):format(arch)
  end
end

--- Raise what is wrong with a call compile(source, options); `level` as in error.
function compiler.check(source, options, name, level)
  if type(source) ~= "string" then
    error(("bad argument #1 to '%s' (string expected, got %s)"):format(name, type(source)), level + 1)
  elseif source:find("\0", 1, true) then
    error(("bad argument #1 to '%s' (source contains a zero byte)"):format(name), level + 1)
  elseif options ~= nil and type(options) ~= "table" then
    error(("bad argument #2 to '%s' (table expected, got %s)"):format(name, type(options)), level + 1)
  end
  local mistake = option_mistake(options or {})
  if mistake then error(("%s: %s"):format(name, mistake), level + 1) end
end

-- ---- NVRTC ----------------------------------------------------------------------------------------

local nvrtc -- once found: { path =, version =, archs = { [90] = true }, newest = 120 }

local function open_nvrtc()
  if nvrtc then return nvrtc end
  local why
  require("hone.cuda.toolkit").find_library(function(folders)
    local path, major, minor, archs = core.nvrtc(folders)
    if not path then
      why = major
      return false
    end
    nvrtc = { path = path, version = ("%d.%d"):format(major, minor), archs = {}, newest = 0 }
    for _, arch in ipairs(archs) do
      nvrtc.archs[arch] = true
      nvrtc.newest = math.max(nvrtc.newest, arch)
    end
    return true
  end)
  return nvrtc, why
end

--- NVRTC's version and path; nil and why.
function compiler.nvrtc()
  local found, why = open_nvrtc()
  if not found then return nil, why, "ENOENT" end
  return found.version, found.path
end

local FIRST_WITH_FEATURES = 90 -- from here on there is code for one architecture alone: sm_90a

-- The architecture of the device at hand, or the newest that NVRTC knows, as PTX for the driver to compile.
local function device_arch(known)
  local index, why, code = core.device()
  if not index then return nil, why, code end
  local devices
  devices, why, code = core.devices()
  if not devices then return nil, why, code end
  local device = devices[index + 1]
  if not device then
    return nil, "this machine has no CUDA device: say which arch, such as sm_90a", "ENODEV"
  end
  local number = tonumber((device.capability:gsub("%.", "")))
  if known and not known.archs[number] then return ("compute_%d"):format(known.newest) end
  return ("sm_%d%s"):format(number, number >= FIRST_WITH_FEATURES and "a" or "")
end

--- "-I" options: the user's folders, then CUDA's own.
local function include_options(options, library)
  local list = {}
  for _, folder in ipairs(options.include or {}) do
    list[#list + 1] = "-I" .. folder
  end
  for _, folder in ipairs(require("hone.cuda.toolkit").include_folders(library)) do
    list[#list + 1] = "-I" .. folder
  end
  return list
end

-- ---- what a compilation depends on ----------------------------------------------------------------

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

-- Adds to `parts` the headers in the user's folders that the text includes, and what they include. A name
-- made by a macro is not seen; CUDA's own headers are known by the compiler's version.
local function add_included(parts, text, folders, seen)
  local fs = require "hone.fs"
  for name in text:gmatch('#%s*include%s*[<"]([^>"\n]+)[>"]') do
    for _, folder in ipairs(folders) do
      local path = fs.join(folder, name)
      local content = not seen[path] and fs.is_file(path) and fs.read(path)
      if content then
        seen[path] = true
        parts[#parts + 1] = path
        parts[#parts + 1] = content
        add_included(parts, content, folders, seen)
      end
    end
  end
end

-- Everything that decides what comes out.
local function key_of(tool, source, options, words)
  local parts = { FORMAT, tool, source, options.name or "" }
  for _, word in ipairs(words) do
    parts[#parts + 1] = word
  end
  parts[#parts + 1] = "" -- ends the words
  for _, name in ipairs(options.kernels or {}) do
    parts[#parts + 1] = name
  end
  parts[#parts + 1] = ""
  local headers = options.headers or {}
  for _, name in ipairs(sorted_keys(headers)) do
    parts[#parts + 1] = name
    parts[#parts + 1] = headers[name]
    add_included(parts, headers[name], options.include or {}, {})
  end
  add_included(parts, source, options.include or {}, {})
  return cache.key(parts)
end

-- ---- errors in the user's lines -------------------------------------------------------------------

local DEFAULT_NAME = "kernel.cu"

local function count_lines(text, last)
  local _, lines = text:sub(1, last):gsub("\n", "")
  return lines
end

-- The lines before the source in the caller's script, when it stands there as it is: at the place nearest
-- to the call. `caller` is what debug.getinfo tells of it.
local function lines_before(source, caller)
  local path = caller.source:match("^@(.*)$")
  local text = path and source ~= "" and require("hone.fs").read(path)
  local best, distance
  local start = text and text:find(source, 1, true)
  while start do
    local lines = count_lines(text, start - 1)
    local away = math.abs(lines + 1 - caller.currentline)
    if not best or away < distance then
      best, distance = lines, away
    end
    start = text:find(source, start + 1, true)
  end
  return best
end

-- "kernel.cu(3): error" -> "script.lua(12): error", where the source is a string in script.lua.
local function in_script(log, source, caller)
  local before = lines_before(source, caller)
  if not before then return log end
  local name = DEFAULT_NAME:gsub("%p", "%%%0")
  return (
    log:gsub(
      name .. "%((%d+)%)",
      function(line) return ("%s(%d)"):format(caller.short_src, tonumber(line) + before) end
    )
  )
end

-- nil, message, code, log
local function refuse_source(log, source, options, caller)
  log = require("hone.text").trim(log)
  if not options.name then log = in_script(log, source, caller) end
  return nil, "cannot compile " .. (options.name or "the source") .. ":\n" .. log, "ECOMPILE", log
end

-- ---- compiling ------------------------------------------------------------------------------------

-- What the cache keeps of a compilation, and back.
local function pack(result)
  local parts = { result.image, result.ptx, result.log }
  for _, expression in ipairs(sorted_keys(result.lowered)) do
    parts[#parts + 1] = expression
    parts[#parts + 1] = result.lowered[expression]
  end
  return parts
end

local function unpack(parts)
  local result = { image = parts[1], ptx = parts[2], log = parts[3], lowered = {} }
  for i = 4, #parts, 2 do
    result.lowered[parts[i]] = parts[i + 1]
  end
  return result
end

-- Takes from the cache, or makes and keeps.
local function cached(key, options, make)
  local parts = options.cache ~= false and cache.get(key)
  if parts then
    local result = unpack(parts)
    result.cached = true
    return result
  end
  local result, why, code, log = make()
  if not result then return nil, why, code, log end
  if options.cache ~= false then cache.put(key, pack(result)) end
  return result
end

local function with_kernels(result, arch, why, code, log)
  if not result then return nil, why, code, log end
  result.arch = arch
  result.kernels = ptx.kernels(result.ptx)
  return result
end

local function nvrtc_words(options, arch, library)
  local words = { "--gpu-architecture=" .. arch, "--std=" .. (options.std or "c++17") }
  table.move(options.options or {}, 1, #(options.options or {}), #words + 1, words)
  local includes = include_options(options, library)
  return table.move(includes, 1, #includes, #words + 1, words)
end

local function run_nvrtc(source, options, words, caller)
  local headers = options.headers or {}
  local names, texts = sorted_keys(headers), {}
  for i, name in ipairs(names) do
    texts[i] = headers[name]
  end
  local made, why, log =
    core.nvrtc_compile(source, options.name or DEFAULT_NAME, words, names, texts, options.kernels or {})
  if not made then
    if log and log:find("%S") then return refuse_source(log, source, options, caller) end
    return nil, why, "ECOMPILE"
  end
  made.image = made.cubin ~= "" and made.cubin or made.ptx
  return made
end

--- Compile by NVRTC; `caller` is what debug.getinfo tells of the user's function:
-- { image =, ptx =, log =, lowered =, kernels =, arch =, cached = } | nil, message, code, log.
function compiler.compile(source, options, caller)
  local found, why = open_nvrtc()
  if not found then return nil, why, "ENOENT" end
  local arch, code = options.arch, nil
  if not arch then
    arch, why, code = device_arch(found)
  end
  if not arch then return nil, why, code end
  local words = nvrtc_words(options, arch, found.path)
  local key = key_of("nvrtc " .. found.version .. " " .. found.path, source, options, words)
  local result, log
  result, why, code, log = cached(
    key,
    options,
    function() return run_nvrtc(source, options, words, caller) end
  )
  return with_kernels(result, arch, why, code, log)
end

-- ---- nvcc -----------------------------------------------------------------------------------------

local function nvcc_words(nvcc, options, arch)
  local words = { nvcc, "-arch=" .. arch, "-std=" .. (options.std or "c++17") }
  for _, folder in ipairs(options.include or {}) do
    words[#words + 1] = "-I" .. folder
  end
  return table.move(options.options or {}, 1, #(options.options or {}), #words + 1, words)
end

local function nvcc_version(nvcc)
  local result, why = require("hone.process").run { nvcc, "--version", timeout = 30, check = true }
  if not result then return nil, why end
  return result.stdout:match("release [%d.]+, V[%d.]+") or result.stdout
end

-- Headers given as text become files beside the source.
local function write_sources(folder, source, options)
  local fs = require "hone.fs"
  local path = fs.join(folder, "kernel.cu")
  local written, why = fs.write(path, ('#line 1 "%s"\n'):format(options.name or DEFAULT_NAME) .. source)
  for name, text in pairs(options.headers or {}) do
    if written then
      local at = fs.join(folder, name)
      fs.mkdir(fs.dirname(at))
      written, why = fs.write(at, text)
    end
  end
  return written and path, why
end

local function run_once(words, kind, folder)
  local fs = require "hone.fs"
  local output = fs.join(folder, "kernel." .. kind)
  local command = table.move(words, 1, #words, 1, {})
  for _, word in ipairs { "-I" .. folder, "-" .. kind, "-o", output, fs.join(folder, "kernel.cu") } do
    command[#command + 1] = word
  end
  local result, why = require("hone.process").run(command)
  if not result then return nil, why end
  if result.status ~= 0 then return nil, nil, result.stderr .. result.stdout end
  return fs.read(output), nil, result.stderr
end

local function run_nvcc(source, options, words, caller)
  local fs = require "hone.fs"
  local folder <close> = assert(fs.tempdir())
  local path, why = write_sources(folder.path, source, options)
  if not path then return nil, why end
  local made = { lowered = {} }
  for _, kind in ipairs { "ptx", "cubin" } do
    local output, problem, log = run_once(words, kind, folder.path)
    if not output and problem then return nil, problem, "ECOMPILE" end
    if not output then return refuse_source(log, source, options, caller) end
    made[kind], made.log = output, log
  end
  made.image = made.cubin
  return made
end

--- Compile by nvcc; otherwise as compiler.compile.
function compiler.nvcc(source, options, caller)
  local nvcc, why, code = require("hone.cuda.toolkit").nvcc()
  if not nvcc then return nil, why, "ENOENT" end
  local arch = options.arch
  if not arch then
    arch, why, code = device_arch()
  end
  if not arch then return nil, why, code end
  local version
  version, why = nvcc_version(nvcc)
  if not version then return nil, why, "ENOENT" end
  local words = nvcc_words(nvcc, options, arch)
  local result, log
  result, why, code, log = cached(
    key_of("nvcc " .. version, source, options, words),
    options,
    function() return run_nvcc(source, options, words, caller) end
  )
  return with_kernels(result, arch, why, code, log)
end

return compiler
