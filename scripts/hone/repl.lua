--- The prompt: read a chunk, run it, show what it returns.
local repl = {}

local SIGTERM = 15
local RED, DIM, RESET = "\27[31m", "\27[2m", "\27[0m"

-- In stock lua5.4 there is no host: no signals to rearm, and its own tracebacks.
local function host_functions()
  local ok, host = pcall(require, "hone.core.host")
  if ok then return host end
  return { traceback = debug.traceback, rearm = function() end, signal = function() end }
end

local function wants_colours(terminal)
  local no_colour, kind = os.getenv("NO_COLOR"), os.getenv("TERM")
  return terminal.isatty(1) and not (no_colour and no_colour ~= "") and kind ~= nil and kind ~= "dumb"
end

-- ---- reading -------------------------------------------------------------------------------------

-- Lines from a pipe or a terminal that cannot be edited on.
local function plain_reader()
  return function(prompt)
    io.stdout:write(prompt)
    io.stdout:flush()
    return io.stdin:read("L")
  end
end

local function editing_reader(terminal)
  local edit, history = require "hone.core.edit", require "hone.repl.history"
  local function complete(line)
    return require("hone.repl.complete").complete(line, _G, terminal.columns() or 80)
  end
  local editor = edit.open(complete)
  if not editor then return plain_reader() end
  local last
  for _, line in ipairs(history.load()) do
    editor:remember(line)
    last = line
  end
  return function(prompt)
    local line, why = editor:read(prompt)
    if not line then return nil, why end
    if line:find("%S") and line ~= last then
      editor:remember(line)
      history.append(line)
      last = line
    end
    return line .. "\n"
  end
end

local function make_reader(terminal)
  local is_terminal = terminal.isatty(0) and terminal.isatty(1)
  local can_edit = is_terminal and os.getenv("TERM") ~= nil and os.getenv("TERM") ~= "dumb"
  can_edit = can_edit and pcall(require, "hone.core.edit") -- libedit may not be installed
  return can_edit and editing_reader(terminal) or plain_reader()
end

local function is_incomplete(message) return message:find("near <eof>$") ~= nil end

-- The function that the source stands for, an expression or statements.
local function compile(source)
  local expression, why_expression = load("return " .. source:gsub("^%s*=", ""), "=stdin", "t")
  if expression then return expression end
  local statements, why = load(source, "=stdin", "t")
  if statements then return statements end
  return nil, why, is_incomplete(why) or is_incomplete(why_expression)
end

-- Reads lines until they make a chunk. Returns the function; nil at the end of input; or false and
-- what is wrong with the chunk.
local function read_chunk(session)
  local source, why_stopped = session.read("> ")
  if not source then return nil, why_stopped end
  while true do
    local chunk, why, incomplete = compile(source)
    if chunk then return chunk end
    if not incomplete then return false, why end
    local line, interrupted = session.read(">> ")
    if interrupted then return nil, interrupted end
    if not line then return false, why end
    source = source .. line
  end
end

-- ---- running and showing -------------------------------------------------------------------------

local function show_error(session, message)
  local text, trace = message:match("^(.-)\nstack traceback:(.*)$")
  text = text or message
  if trace and not trace:find("^\n\tstdin:%d+: in main chunk$") then text = text .. trace end
  io.stdout:flush()
  io.stderr:write(session.colours and RED .. text .. RESET or text, "\n")
end

local function show_results(session, results)
  local shown, is_long = {}, false
  local options = { width = session.terminal.columns() or 80, colours = session.colours }
  for i = 1, results.n do
    shown[i] = require("hone.inspect").render(results[i], options)
    is_long = is_long or shown[i]:find("\n", 1, true) ~= nil
  end
  print(table.concat(shown, is_long and "\n" or "\t"))
end

local function evaluate(session)
  local chunk, why = read_chunk(session)
  if chunk == nil then return why == "interrupted" end -- without a reason: the end of input
  if not chunk then
    show_error(session, why)
    return true
  end
  local results = table.pack(xpcall(chunk, session.host.traceback))
  if not results[1] then
    show_error(session, tostring(results[2]))
  elseif results.n > 1 then
    _G._ = results[2]
    show_results(session, table.pack(table.unpack(results, 2, results.n)))
  end
  return true
end

-- One turn of the loop; Ctrl-C may come anywhere in it. Returns whether to go on.
local function turn(session)
  local ok, go_on = pcall(evaluate, session)
  if session.host.signal() == SIGTERM then error("interrupted", 0) end
  session.host.rearm()
  if ok then return go_on end
  show_error(session, tostring(go_on))
  return true
end

local function set_globals()
  _G.hone = _G.hone or require "hone"
  _G.help = _G.help or function(...) print((require("hone.repl.help").text(...))) end
end

function repl.run()
  local terminal = require "hone.core.terminal"
  local session = { host = host_functions(), terminal = terminal, colours = wants_colours(terminal) }
  set_globals()
  if terminal.isatty(0) then
    local hint = "help() tells what there is; Ctrl-D leaves"
    print(session.colours and DIM .. hint .. RESET or hint)
  end
  session.read = make_reader(terminal)
  repeat
  until not turn(session)
  print()
  return 0
end

return repl
