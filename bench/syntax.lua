--- Reading Python: parsing and converting, against CPython's ast.parse of the same files in one thread.
local syntax = require "hone.syntax"

-- Prints the least of three times, in seconds of processor time, that ast.parse takes for all files.
local PYTHON = [==[
import ast, sys, time
texts = [open(path, encoding="utf-8").read() for path in sys.argv[1:]]
def run():
    start = time.process_time()
    for text in texts:
        ast.parse(text)
    return time.process_time() - start
print(min(run() for _ in range(3)))
]==]

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function cpython_seconds(paths)
  local words = { "python3", "-c", quoted(PYTHON) }
  for _, path in ipairs(paths) do
    table.insert(words, quoted(path))
  end
  local pipe = assert(io.popen(table.concat(words, " ")))
  local seconds = tonumber(pipe:read("a"))
  pipe:close()
  return seconds
end

-- The least of three times, in seconds of processor time, for `each` of all texts.
local function seconds_of(texts, each)
  local best = math.huge
  for _ = 1, 3 do
    collectgarbage()
    local start = os.clock()
    for _, text in ipairs(texts) do
      each(text)
    end
    best = math.min(best, os.clock() - start)
  end
  return best
end

local ways = {
  { "parse", function(text) assert(syntax.parse(text, "python")):close() end },
  {
    "parse, tables with blocks left lazy",
    function(text)
      local tree <close> = assert(syntax.parse(text, "python"))
      assert(tree:to_table(nil, { lazy = { "block" } }))
    end,
  },
  {
    "parse, tables of everything",
    function(text)
      local tree <close> = assert(syntax.parse(text, "python"))
      assert(tree:to_table())
    end,
  },
}

local function compare(report, what, paths)
  local texts, bytes = {}, 0
  for i, path in ipairs(paths) do
    texts[i] = read(path)
    bytes = bytes + #texts[i]
  end
  local python = cpython_seconds(paths)
  if not python then return report("CPython's ast", nil, "python3 is not installed") end
  for _, way in ipairs(ways) do
    local ours = seconds_of(texts, way[2])
    report(
      ("%s: %s"):format(what, way[1]),
      ours / python,
      ("%.1f ms; ast.parse %.1f ms; %d KiB"):format(ours * 1e3, python * 1e3, bytes // 1024)
    )
  end
end

-- The files named by HONE_SGLANG; without it there is nothing real to read.
local function model_files()
  local root = os.getenv("HONE_SGLANG")
  if not root then return {} end
  local paths = {}
  for _, below in ipairs { "", "/sglang", "/python/sglang" } do
    local pipe = assert(io.popen(("ls %s/srt/models/*.py 2>/dev/null"):format(quoted(root .. below))))
    for path in pipe:lines() do
      table.insert(paths, path)
    end
    pipe:close()
  end
  return paths
end

return {
  name = "syntax",
  run = function(report)
    local paths = model_files()
    if #paths == 0 then return report("parse", nil, "set HONE_SGLANG to SGLang's sources") end
    for _, path in ipairs(paths) do
      if path:find("/llama.py", 1, true) then compare(report, "llama.py", { path }) end
    end
    compare(report, ("%d models"):format(#paths), paths)
  end,
}
