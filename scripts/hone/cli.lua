--- The command line of a skill: its words in, an exit status out.
local cli = {}

local params = require "hone.params"
local skill = require "hone.skill"

local DONE, REFUSED, WRONG, INTERRUPTED = 0, 1, 2, 130

local function complain(fmt, ...) io.stderr:write("hone: ", fmt:format(...), "\n") end

local function wrong_command_line(entry, loaded, why)
  complain("%s: %s", entry.name, why)
  io.stderr:write(require("hone.manual").usage(entry.name, loaded), "\n")
  return WRONG
end

-- Keeps the traceback of our own bugs; an interrupt is none and passes as it is.
local function with_traceback(err)
  if err == "interrupted" then return err end
  return { traceback = debug.traceback(tostring(err), 2) }
end

local function report_bug(entry, traceback)
  local whose = entry.origin == "shipped" and "a bug in hone, please report it" or "a bug in " .. entry.path
  complain("%s: internal error (%s)", entry.name, whose)
  io.stderr:write(traceback, "\n")
  return REFUSED
end

-- A result that is no plain data is a bug of the skill, so this raises.
local function print_result(result)
  io.stdout:write(assert(require("hone.json").encode(result, { indent = 2 })), "\n")
end

-- Output that never arrived (a full disk behind `>`) is a failure, whatever the skill says.
local function flushed(entry, status)
  local ok, why = io.stdout:flush()
  if ok or status ~= DONE then return status end
  complain("%s: cannot write to standard output: %s", entry.name, why)
  return REFUSED
end

local function execute(entry, loaded, values, as_json)
  local settings = { output = as_json and "json" or "text" }
  local result, why, code, partial = skill.execute(entry, loaded, values, settings)
  local data = result == nil and partial or result
  if as_json and data ~= nil then print_result(data) end
  return result, why, code
end

local function run(entry, loaded, values, as_json)
  local ran, result, why, code = xpcall(execute, with_traceback, entry, loaded, values, as_json)
  if not ran then
    if result ~= "interrupted" then return report_bug(entry, result.traceback) end
    why = "interrupted"
  end
  if why == "interrupted" or code == "interrupted" then
    complain("%s: interrupted", entry.name)
    return INTERRUPTED
  end
  if why and code == "usage" then return wrong_command_line(entry, loaded, why) end
  if why then complain("%s: %s", entry.name, why) end
  return flushed(entry, why and REFUSED or DONE)
end

local function main(name, words)
  local entry, why, code = skill.find(name)
  if not entry then
    complain("%s", why)
    return code == "unknown" and WRONG or REFUSED
  end
  local loaded
  loaded, why = skill.load(entry)
  if not loaded then
    complain("%s", why)
    return REFUSED
  end
  local values, problem, asked = params.from_words(loaded.params, words)
  if asked.help then
    io.stdout:write(require("hone.manual").page(entry.name, loaded), "\n")
    return flushed(entry, DONE)
  end
  if not values then return wrong_command_line(entry, loaded, problem) end
  return run(entry, loaded, values, asked.json)
end

function cli.main(name, words)
  local ok, status = xpcall(main, with_traceback, name, words)
  if ok then return status end
  if status == "interrupted" then
    complain("%s: interrupted", name)
    return INTERRUPTED
  end
  complain("%s: internal error (a bug in hone, please report it)", name)
  io.stderr:write(status.traceback, "\n")
  return REFUSED
end

return cli
