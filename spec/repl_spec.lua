--- The prompt, driven through a terminal of its own.
local complete = require("hone.repl.complete").complete
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local sandbox = require "support.sandbox"

local exe = require("hone.paths").exe
local CTRL_C, CTRL_D, CTRL_U, UP = "\3", "\4", "\21", "\27[A"

describe("the prompt", function()
  local box

  before_each(function() box = sandbox.new() end)
  after_each(function() box:close() end)

  -- Runs a session. A step is { see = text } or { type = text }; returns what was seen and the status.
  local function session(steps, env, command)
    local list = json.array {}
    for i, step in ipairs(steps) do
      list[i] = { step.see and "see" or "type", step.see or step.type }
    end
    local settings = { XDG_STATE_HOME = box:at("state"), TERM = "xterm", NO_COLOR = "1" }
    for name, value in pairs(box.env) do
      settings[name] = value
    end
    for name, value in pairs(env or {}) do
      settings[name] = value
    end
    local request = { command = json.array(command or { exe }), env = settings, cwd = box.path, steps = list }
    local options = { "python3", "spec/support/on_terminal.py", input = json.encode(request), timeout = 60 }
    local result = assert(process.run(options))
    local told = assert(json.decode(result.stdout), result.stderr)
    assert.equal(json.null, told.missing, "after: " .. told.seen)
    return told.seen, told.status
  end

  -- The steps that type lines, each at a prompt, and leave.
  local function typing(...)
    local steps = {}
    for _, line in ipairs { ... } do
      steps[#steps + 1] = { see = "> " }
      steps[#steps + 1] = { type = line .. "\r" }
    end
    steps[#steps + 1] = { see = "> " }
    steps[#steps + 1] = { type = CTRL_D }
    return steps
  end

  it("evaluates expressions, with and without =, and statements; _ is the last result", function()
    local seen, status = session {
      { see = "> " },
      { type = "6 * 7\r" },
      { see = "\r\n42\r\n" },
      { see = "> " },
      { type = "=_ + 1, 'two'\r" },
      { see = '\r\n43\t"two"\r\n' },
      { see = "> " },
      { type = "x = { 1, { a = 2 } }\r" },
      { see = "> " },
      { type = "x\r" },
      { see = "\r\n{ 1, { a = 2 } }\r\n" },
      { see = "> " },
      { type = CTRL_D },
    }
    assert.matches("^hone %d", seen)
    assert.equal(0, status)
  end)

  it(
    "reads on while a chunk is incomplete",
    function()
      session {
        { see = "> " },
        { type = "for i = 1, 2 do\r" },
        { see = ">> " },
        { type = "print('line', i)\r" },
        { see = ">> " },
        { type = "end\r" },
        { see = "line\t1\r\nline\t2\r\n" },
        { see = "> " },
        { type = "{ 1,\r" },
        { see = ">> " },
        { type = "2 }\r" },
        { see = "{ 1, 2 }\r\n" },
        { see = "> " },
        { type = CTRL_D },
      }
    end
  )

  it(
    "shows errors with the frames of what was typed, and goes on",
    function()
      session {
        { see = "> " },
        { type = "error 'one'\r" },
        { see = "stdin:1: one\r\n> " },
        { type = "(function() error 'two' end)()\r" },
        { see = "stdin:1: two\r\n\tstdin:1: in function <stdin:1>" },
        { see = "> " },
        { type = "x y\r" },
        { see = "stdin:1: syntax error near 'y'" },
        { see = "> " },
        { type = "error(setmetatable({}, {}))\r" },
        { see = "(error object is a table value)" },
        { see = "> " },
        { type = CTRL_D },
      }
    end
  )

  it(
    "interrupts a running chunk by Ctrl-C, in Lua and in C, and keeps the session",
    function()
      session {
        { see = "> " },
        { type = "kept = 5; print 'busy' while true do end\r" },
        { see = "\nbusy\r\n" },
        { type = CTRL_C },
        { see = "interrupted" },
        { see = "> " },
        { type = "sleep = { 'sleep', '30' }\r" },
        { see = "> " },
        { type = "print 'busy' hone.process.run(sleep)\r" },
        { see = "\nbusy\r\n" },
        { type = CTRL_C },
        { see = "interrupted" },
        { see = "> " },
        { type = "f = coroutine.wrap(function() print 'busy' while true do end end)\r" },
        { see = "> " },
        { type = "f()\r" },
        { see = "\nbusy\r\n" },
        { type = CTRL_C },
        { see = "interrupted" },
        { see = "> " },
        { type = "kept\r" },
        { see = "\r\n5\r\n" },
        { see = "> " },
        { type = CTRL_D },
      }
    end
  )

  it(
    "clears a line half typed, and a chunk half typed, by Ctrl-C",
    function()
      session {
        { see = "> " },
        { type = "not finished" },
        { see = "finished" },
        { type = CTRL_C },
        { see = "^C\r\n> " },
        { type = "do\r" },
        { see = ">> " },
        { type = CTRL_C },
        { see = "^C\r\n> " },
        { type = "1 + 1\r" },
        { see = "\r\n2\r\n" },
        { see = "> " },
        { type = CTRL_D },
      }
    end
  )

  it("ends by SIGTERM with its status", function()
    local _, status = session {
      { see = "> " },
      { type = "kill = { 'sh', '-c', 'kill $PPID' }\r" },
      { see = "> " },
      { type = "hone.process.run(kill) while true do end\r" },
      { see = "hone: interrupted" },
    }
    assert.equal(143, status)
  end)

  it("keeps the history from one session to the next, for the user's eyes only", function()
    session(typing("first = 'remembered'", "first", "first", "  "))
    local file = box:at("state", "hone", "history")
    assert.equal("first = 'remembered'\nfirst\n", fs.read(file))
    assert.equal("600", process.run({ "stat", "-c", "%a", file }).stdout:sub(1, 3))
    session {
      { see = "> " },
      { type = UP .. UP .. "\r" },
      { see = "> " },
      { type = UP .. UP .. "\r" },
      { see = '"remembered"' },
      { see = "> " },
      { type = CTRL_D },
    }
  end)

  it("keeps the history of a session that crashed, and bounds its length", function()
    local lines = {}
    for i = 1, 2500 do
      lines[i] = "line" .. i
    end
    local file = box:write("state/hone/history", table.concat(lines, "\n") .. "\n")
    session { { see = "> " }, { type = "os.exit(9)\r" } }
    local text = fs.read(file)
    local _, count = text:gsub("\n", "")
    assert.equal(1001, count)
    assert.matches("line2500\nos%.exit%(9%)\n$", text)
    assert.matches("^line1501\n", text)
  end)

  it("works although the history cannot be kept", function()
    local seen = session(typing("1 + 1"), { XDG_STATE_HOME = "/proc/nowhere" })
    assert.matches("\r\n2\r\n", seen)
  end)

  it(
    "completes on Tab",
    function()
      session {
        { see = "> " },
        { type = "string.for\t('%d!', 7)\r" },
        { see = '"7!"' },
        { see = "> " },
        { type = "io.\t" },
        { see = "tmpfile" },
        { type = CTRL_U },
        { type = "2 + 2\r" },
        { see = "\r\n4\r\n" },
        { see = "> " },
        { type = CTRL_D },
      }
    end
  )

  it("takes characters outside of ASCII, whatever the locale", function()
    for _, locale in ipairs { "C", "C.UTF-8" } do
      local steps = typing("#'é', 'né'")
      table.insert(steps, 3, { see = '\r\n2\t"né"\r\n' })
      session(steps, { LC_ALL = locale })
    end
  end)

  it(
    "has hone and help() at hand",
    function()
      session {
        { see = "> " },
        { type = "hone.json.encode { 1 }\r" },
        { see = '"[1]"' },
        { see = "> " },
        { type = "help()\r" },
        { see = "hone.json" },
        { see = "> " },
        { type = "help 'hone.inspect.quote'\r" },
        { see = "A string in double quotes" },
        { see = "> " },
        { type = "help(hone.inspect.quote)\r" },
        { see = "A string in double quotes" },
        { see = "> " },
        { type = "help 'doctor'\r" },
        { see = "doctor" },
        { see = "> " },
        { type = "help(function(a, b) end)\r" },
        { see = "function (a, b), defined at stdin:1" },
        { see = "> " },
        { type = "help 'qqq'\r" },
        { see = "nothing is known of 'qqq'" },
        { see = "> " },
        { type = CTRL_D },
      }
    end
  )

  it("uses colours on a terminal only, and not against NO_COLOR or on a dumb one", function()
    local steps = typing("1", "error 'x'")
    local seen = session(steps, { NO_COLOR = "" })
    assert.matches("\27%[36m1\27%[0m", seen)
    assert.matches("\27%[31mstdin:1: x\27%[0m", seen)
    assert.is_nil(session(steps):find("\27%[%d+m"))
    assert.is_nil(session(steps, { NO_COLOR = "", TERM = "dumb" }):find("\27", 1, true))
  end)

  it("reads a pipe with -i, without a history", function()
    local options = box:options { exe, "-i" }
    options.input = "1 + 1\nfor i = 1, 2 do\nprint(i)\nend\nerror 'x'\n_"
    options.env.XDG_STATE_HOME = box:at("state")
    local result = process.run(options)
    assert.matches("> 2\n> >> >> 1\n2\n> > 2\n> \n$", result.stdout)
    assert.equal("stdin:1: x\n", result.stderr)
    assert.equal(0, result.status)
    assert.is_false(fs.exists(box:at("state")))
  end)

  it("comes after the script with -i, in the script's globals", function()
    box:write("set.lua", "from_script = ...")
    local steps = typing("from_script")
    table.insert(steps, 3, { see = '"word"' })
    session(steps, nil, { exe, "-i", "set.lua", "word" })
  end)
end)

describe("completion", function()
  local globals = {
    string = string,
    value = { alpha = 1, alphabet = 2, method = print },
    object = setmetatable({ own = 1 }, { __index = { inherited = print } }),
    text = "x",
  }

  local function completes(line, insert, show)
    local inserted, shown = complete(line, globals, 80)
    assert.same({ insert, show }, { inserted, shown })
  end

  it("inserts what the candidates have in common, then lists them", function()
    completes("value.al", "pha")
    completes("value.alpha", nil, "alpha     alphabet")
    completes("value.alphab", "et")
    completes("print(va", "lue")
    completes("value.none", nil, nil)
  end)

  it("offers methods behind a colon, fields inherited too", function()
    completes("value:", "method")
    completes("object.i", "nherited")
    completes("object:inh", "erited")
    completes("text:for", "mat")
  end)

  it("offers nothing behind a value that it cannot know, and a name behind ..", function()
    completes("f():re", nil, nil)
    completes("'a' .. te", "xt")
    completes("x..te", "xt")
  end)

  it("knows keywords, and indents an empty line", function()
    completes("func", "tion")
    completes("", "  ")
  end)

  it("offers modules in require, files in other strings", function()
    completes('require "hone.repl.comp', "lete")
    completes("require 'hone.inspe", "ct")
    completes('io.open("spec/support/on_term', "inal.py")
    completes('io.open("spec/suppo', "rt/")
  end)

  it("offers the libraries of hone that are not loaded yet", function()
    local hone = require "hone"
    assert.equal("r", (complete("hone.docto", { hone = hone }, 80)))
  end)

  it("survives values that do not let themselves be looked at", function()
    local hostile = setmetatable({}, { __index = function() error "no" end })
    assert.is_nil(complete("hostile.a.b", { hostile = hostile }, 80))
  end)
end)
