--- The command line and what becomes of a script, seen from outside.
local fs = require "hone.fs"
local process = require "hone.process"
local sandbox = require "support.sandbox"

local exe = require("hone.paths").exe
local under_sanitizer = exe:find("/asan/", 1, true) ~= nil

describe("hone", function()
  local box

  before_each(function() box = sandbox.new() end)
  after_each(function() box:close() end)

  -- Runs hone in the sandbox and compares what it printed, and its exit status.
  local function expect(words, stdout, stderr, status, env)
    local result = box:hone(words, env)
    assert.equal(stderr, result.stderr)
    assert.equal(stdout, result.stdout)
    assert.equal(status, result.status)
  end

  describe("runs a script as lua does:", function()
    it("arguments in ... and in arg, what came before at negative indices", function()
      box:write("show.lua", "print(..., #arg, arg[0], arg[1], arg[2], arg[-1], arg[-2] ~= nil)")
      expect({ "-W", "show.lua", "a", "-e" }, "a\t2\tshow.lua\ta\t-e\t-W\ttrue\n", "", 0)
    end)

    it("behind --, whatever it is called", function()
      box:write("-", "print 'a file'")
      expect({ "--", "-" }, "a file\n", "", 0)
    end)

    it("a #! line is skipped", function()
      box:write("tool", "#!/usr/bin/env hone\nprint 'ran'")
      expect({ "./tool" }, "ran\n", "", 0)
    end)

    it("the status is what os.exit says", function()
      for code, status in pairs { ["os.exit(7)"] = 7, ["os.exit(false)"] = 1, ["os.exit(true)"] = 0 } do
        expect({ "-e", code }, "", "", status)
      end
    end)

    it("from standard input, for - and without a script", function()
      for _, words in ipairs { { "-", "x" }, {} } do
        local options = box:options { exe, table.unpack(words) }
        options.input = "print('in', ...)"
        assert.equal(words[2] and "in\tx\n" or "in\n", process.run(options).stdout)
      end
    end)

    it(
      "-e, -l and -i come in their order, values attached or not",
      function()
        expect(
          { "-eprint(1)", "-e", "print(2)", "-l", "string", "-l", "s=string", "-e", "print(s == string)" },
          "1\n2\ntrue\n",
          "",
          0
        )
      end
    )

    it("-l gives module-version the global of the module", function()
      box:write("thing-v2.lua", "return { 'two' }")
      expect({ "-l", "thing-v2", "-e", "print(thing[1])" }, "two\n", "", 0)
    end)

    it("LUA_INIT is obeyed, with and without a version, and from a file; -E ignores it", function()
      box:write("init.lua", "print 'from file'")
      expect({ "-e", "" }, "init\n", "", 0, { LUA_INIT = "print 'init'" })
      expect({ "-e", "" }, "newer\n", "", 0, { LUA_INIT = "print 'init'", LUA_INIT_5_4 = "print 'newer'" })
      expect({ "-e", "" }, "from file\n", "", 0, { LUA_INIT = "@init.lua" })
      expect({ "-E", "-e", "" }, "", "", 0, { LUA_INIT = "print 'init'" })
    end)

    it("-W turns warnings on", function()
      expect({ "-e", "warn 'quiet'" }, "", "", 0)
      expect({ "-W", "-e", "warn 'loud'" }, "", "Lua warning: loud\n", 0)
    end)
  end)

  it("says its version and how it is used", function()
    assert.matches("^hone %d+%.%d+%.%d+ %(Lua 5%.4%.%d+%)\n$", box:hone({ "--version" }).stdout)
    assert.equal(box:hone({ "-v" }).stdout, box:hone({ "--version" }).stdout)
    assert.matches("^usage: hone ", box:hone({ "--help" }).stdout)
  end)

  it("refuses a wrong option in one line, with the usage", function()
    local usage = "\nusage: hone [options] [script | skill [arguments]] (--help tells more)\n"
    expect({ "-x" }, "", "hone: unknown option '-x'" .. usage, 2)
    expect({ "-ifoo" }, "", "hone: unknown option '-ifoo'" .. usage, 2)
    expect({ "--frob" }, "", "hone: unknown option '--frob'" .. usage, 2)
    expect({ "-e" }, "", "hone: option '-e' needs an argument" .. usage, 2)
  end)

  describe("takes its first word", function()
    before_each(
      function()
        box:write(
          "skills/hello.lua",
          "return { summary = 'x', run = function(_, ctx) ctx.say('skill') return {} end }"
        )
      end
    )

    it("for a skill, with or without a slash, although a file is called so", function()
      box:write("hello", "print 'script'")
      expect({ "hello" }, "skill\n", "", 0)
      expect({ "/hello" }, "skill\n", "", 0)
      expect({ "./hello" }, "script\n", "", 0)
    end)

    it("for a script when no skill is called so", function()
      box:write("plain", "print('script', arg[0])")
      expect({ "plain" }, "script\tplain\n", "", 0)
    end)

    it("and names the nearest skill when it is neither", function()
      local result = box:hone { "helo" }
      assert.equal(2, result.status)
      assert.matches(
        "^hone: unknown skill or script 'helo': no skill 'helo'; did you mean hello%?",
        result.stderr
      )
      assert.matches("clone%-repos", result.stderr)
      assert.matches("^[^\n]+\n$", result.stderr)
      result = box:hone { "/zzzzzzzz" }
      assert.equal(2, result.status)
      assert.matches(
        "^hone: unknown skill or script '/zzzzzzzz': no skill 'zzzzzzzz' %(there are: ",
        result.stderr
      )
    end)

    it("ending in .lua always for a script", function()
      local message = "hone: cannot open hello.lua: No such file or directory\n"
      expect({ "hello.lua" }, "", message, 1)
    end)

    it("and says what is missing when hone's library is", function()
      assert(process.run { "cp", exe, box:at("lonely") })
      local result = box:run({ box:at("lonely"), "hello" }, { HONE_HOME = false })
      assert.matches("^hone: cannot find hone's library near [^\n]+: set HONE_HOME[^\n]+\n$", result.stderr)
      assert.equal(1, result.status)
    end)
  end)

  describe("shows an error", function()
    it("with the file, the line and the frames of the user", function()
      box:write(
        "bad.lua",
        "local function inner() error 'broken' end\n"
          .. "function outer() inner() end\npcall(outer)\nouter()\n"
      )
      expect(
        { "bad.lua" },
        "",
        [[
hone: bad.lua:1: broken
stack traceback:
	bad.lua:1: in function 'inner'
	bad.lua:2: in function 'outer'
	bad.lua:4: in main chunk
]],
        1
      )
    end)

    it("of a library's caller without the library's frames", function()
      box:write("bad.lua", "local process = require 'hone.process'\nprocess.which(5)\n")
      expect(
        { "bad.lua" },
        "",
        [[
hone: bad.lua:2: bad argument #1 to 'which' (the name of a program expected)
stack traceback:
	bad.lua:2: in main chunk
]],
        1
      )
    end)

    it("of the syntax without a traceback", function()
      box:write("bad.lua", "x = = 1")
      expect({ "bad.lua" }, "", "hone: bad.lua:1: unexpected symbol near '='\n", 1)
    end)

    it("that is no string", function()
      local cases = {
        { "error(setmetatable({}, { __tostring = function() return 'an object' end }))", "an object" },
        { "error {}", "(error object is a table value)" },
        { "error()", "(error object is a nil value)" },
        {
          "error(setmetatable({}, { __tostring = function() error 'x' end }))",
          "(error object is a table value whose __tostring fails)",
        },
      }
      for _, case in ipairs(cases) do
        expect({ "-e", case[1] }, "", "hone: " .. case[2] .. "\n", 1)
      end
    end)

    it("behind what the script printed before", function()
      local result = box:run { "sh", "-c", exe .. " -e \"io.write('out ') error('err', 0)\" 2>&1" }
      assert.matches("^out hone: err\n", result.stdout)
    end)
  end)

  describe("does not die of", function()
    -- Runs code that must end with status 1 and one message.
    local function fails_with(code, pattern)
      local result = box:hone { "-e", code }
      assert.matches(pattern, result.stderr)
      assert.is_nil(result.signal)
      assert.equal(1, result.status)
      assert.is_true(#result.stderr < 4000)
    end

    it(
      "endless recursion",
      function()
        fails_with("local function f() return 1 + f() end f()", "^hone: %(command line%):1: stack overflow\n")
      end
    )

    it("endless recursion through C", function()
      fails_with(
        "t = setmetatable({}, { __index = function(t, k) return t[k] end }) return t.x",
        "^hone: %(command line%):1: C stack overflow\n"
      )
      fails_with("function f() return (string.gsub('x', 'x', f)) end f()", "^hone: .*C stack overflow\n")
    end)

    it("an error in the handling of errors", function()
      fails_with(
        "error(setmetatable({}, { __tostring = function(t) return tostring(t) end }))",
        "^hone: %(error object is a table value whose __tostring fails%)\n$"
      )
      local code = "print((select(2, xpcall(error, function(e) error(e) end, 1))))"
      assert.equal(0, box:hone({ "-e", code }).status)
    end)

    it("lack of memory", function()
      if under_sanitizer then return end -- it needs terabytes of address space for itself
      local code = "local t = {} for i = 1, 1e9 do t[i] = {} end"
      local result = box:run { "sh", "-c", ("ulimit -v 300000; exec %s -e '%s'"):format(exe, code) }
      assert.equal("hone: not enough memory\n", result.stderr)
      assert.equal(1, result.status)
    end)
  end)

  it("ends quietly when the reader of its output went away", function()
    local script = box:write("chatter.lua", "for i = 1, 1e6 do print(i) end io.stderr:write 'not reached'")
    local result = box:run { "sh", "-c", ("%s %s | head -n 1"):format(exe, script) }
    assert.equal("1\n", result.stdout)
    assert.equal("", result.stderr)
  end)

  it("does not take a full disk for success", function()
    local result = box:run { "sh", "-c", exe .. " -e 'print(1)' >/dev/full" }
    assert.matches("^hone: cannot write to standard output", result.stderr)
    assert.equal(1, result.status)
  end)

  describe("finds its files", function()
    local print_paths = "local p = require 'hone.paths' print(p.home) print(p.lib) print(p.exe)"

    local function paths_of(program)
      local result = box:run({ program, "-e", print_paths }, { HONE_HOME = false })
      return { result.stdout:match("^(.-)\n(.-)\n(.-)\n$") }
    end

    it("through a symbolic link, from another folder", function()
      assert(process.run { "ln", "-s", exe, box:at("link") })
      assert.same({ fs.cwd(), fs.dirname(exe) .. "/lib", exe }, paths_of(box:at("link")))
    end)

    it("where it was installed", function()
      local prefix = fs.join(assert(fs.absolute(box.path)), "prefix")
      assert(fs.mkdir(prefix .. "/bin"))
      assert(process.run { "cp", exe, prefix .. "/bin/hone" })
      box:write("prefix/share/hone/scripts/hone/greeting.lua", "return 'installed'")
      box:write("prefix/share/hone/lua/extra.lua", "return 'bundled'")
      assert.same(
        { prefix .. "/share/hone", prefix .. "/lib", prefix .. "/bin/hone" },
        paths_of(prefix .. "/bin/hone")
      )
      local code = "print((require 'hone.greeting'), (require 'extra'))"
      local result = box:run({ prefix .. "/bin/hone", "-e", code }, { HONE_HOME = false })
      assert.equal("installed\tbundled\n", result.stdout)
    end)

    it("where HONE_HOME says", function()
      box:write("elsewhere/scripts/hone/greeting.lua", "return 'chosen'")
      expect(
        { "-e", "print((require 'hone.greeting'))" },
        "chosen\n",
        "",
        0,
        { HONE_HOME = box:at("elsewhere") }
      )
    end)

    it("in stock lua5.4 too", function()
      local code = "local p = require 'hone.paths' print(p.home) print(p.lib)"
      local result = box:run({ "lua5.4", "-e", code }, {
        HONE_HOME = false,
        LUA_PATH = fs.cwd() .. "/scripts/?.lua",
        LUA_CPATH = fs.dirname(exe) .. "/lib/?.so",
      })
      assert.equal(("%s\n%s/lib\n"):format(fs.cwd(), fs.dirname(exe)), result.stdout)
    end)
  end)

  describe("interrupted", function()
    -- Starts code that prints "ready" and then works, sends signals, and returns the end.
    local function interrupt(code, signals)
      local running = box:start { "-e", "io.stdout:setvbuf 'no' " .. code }
      assert.equal("ready", running:lines()())
      for _, signal in ipairs(signals) do
        assert(running:kill(signal))
        running:wait(0.1)
      end
      return assert(running:wait(20))
    end

    it("by SIGINT or SIGTERM says so in one line and a status of its own", function()
      for signal, status in pairs { SIGINT = 130, SIGTERM = 143 } do
        local result = interrupt("print 'ready' while true do end", { signal })
        assert.equal("hone: interrupted\n", result.stderr)
        assert.equal(status, result.status)
      end
    end)

    it("lets the script clean up", function()
      local result = interrupt(
        [[
        local dir <close> = assert(require("hone.fs").tempdir())
        io.stderr:write(dir.path, "\n")
        collected = setmetatable({}, { __gc = function() io.stderr:write "collected\n" end })
        print "ready"
        while true do end
      ]],
        { "SIGINT" }
      )
      local path, rest = result.stderr:match("^(.-)\n(.*)$")
      assert.equal("hone: interrupted\ncollected\n", rest)
      assert.is_false(fs.exists(path))
    end)

    it("inside coroutines, resumed and wrapped", function()
      local endless = "function endless() print 'ready' while true do end end "
      local resumed = endless .. "print(coroutine.resume(coroutine.create(endless)))"
      assert.matches("false\tinterrupted\n$", interrupt(resumed, { "SIGINT" }).stdout)
      local wrapped = endless .. "coroutine.wrap(function() coroutine.wrap(endless)() end)()"
      local result = interrupt(wrapped, { "SIGINT" })
      assert.equal("hone: interrupted\n", result.stderr)
      assert.equal(130, result.status)
    end)

    it("may go on when it catches the error", function()
      local code = "print(pcall(function() print 'ready' while true do end end)) os.exit(5)"
      local result = interrupt(code, { "SIGINT" })
      assert.matches("false\tinterrupted\n$", result.stdout)
      assert.equal(5, result.status)
    end)

    it("twice is killed, whatever it catches", function()
      local code = "while true do pcall(function() print 'ready' while true do end end) end"
      assert.equal("SIGINT", interrupt(code, { "SIGINT", "SIGINT" }).signal)
    end)

    it("leaves a signal alone that was ignored from the start", function()
      local script = box:write("patient.lua", "print 'ready' io.stdout:flush() print(io.read())")
      local command = ("trap '' INT; exec %s %s"):format(exe, script)
      local running = assert(process.start(box:options { "sh", "-c", command }))
      local lines = running:lines()
      assert.equal("ready", lines())
      running:kill("SIGINT")
      running:write("done\n")
      assert.equal("done", lines())
      assert.equal(0, running:wait(20).status)
    end)
  end)

  describe("coroutines", function()
    it("work as lua's: values, errors, positions, wrong arguments", function()
      local code = [[
        local co = coroutine.create(function(...) return select("#", ...), coroutine.yield(1) end)
        print(coroutine.resume(co, 1, 2))
        print(coroutine.resume(co, 3), coroutine.resume(co))
        local f = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) error("e" .. b, 0) end)
        print(f(1), pcall(f, 2))
        print((pcall(coroutine.resume, 5))) -- its words differ from one Lua 5.4 to the next
        print(pcall(coroutine.wrap, 5))
        print(select(2, pcall(coroutine.wrap(function() error({}) end))) ~= nil)
        local closing = setmetatable({}, {
          __close = function(_, why) print("closed", why) error("other") end,
        })
        local failing = coroutine.wrap(function() local c <close> = closing error("inner") end)
        print(pcall(function() failing() end))
        local dead = coroutine.wrap(function() end)
        print(dead(), pcall(function() dead() end))
        print(coroutine.resume(coroutine.running()))
        for i in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do io.write(i, " ") end
      ]]
      local theirs = process.run { "lua5.4", "-e", code }.stdout
      assert.equal(theirs, box:hone({ "-e", code }).stdout)
    end)
  end)
end)
