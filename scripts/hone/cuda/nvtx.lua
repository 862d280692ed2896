--- Ranges and marks that profilers show (NVTX). Without a profiler nothing is opened, and nothing happens.
local core = require "hone.core.cuda"

local nvtx = {}

local is_open, why -- once it was tried

-- NVTX's library is there for the profiler that this process runs under.
local function open()
  if is_open ~= nil then return is_open, why end
  is_open = false
  if not core.nvtx_is_heard() then
    why = "no profiler listens (NVTX_INJECTION64_PATH is not set)"
    return is_open, why
  end
  require("hone.cuda.toolkit").find_library(function(folders)
    is_open, why = core.nvtx_open(folders)
    return is_open
  end)
  return is_open, why
end

local function check_name(name, of)
  if type(name) == "string" then return end
  error(("bad argument #1 to '%s' (string expected, got %s)"):format(of, type(name)), 3)
end

function nvtx.range_push(name)
  check_name(name, "range_push")
  local ok, problem = open()
  core.nvtx_push(name)
  return ok, problem
end

function nvtx.range_pop() core.nvtx_pop() end

function nvtx.mark(name)
  check_name(name, "mark")
  local ok, problem = open()
  core.nvtx_mark(name)
  return ok, problem
end

function nvtx.range(name, f, ...)
  check_name(name, "range")
  if not open() then return f(...) end
  core.nvtx_push(name)
  local results = table.pack(pcall(f, ...))
  core.nvtx_pop()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

return nvtx
