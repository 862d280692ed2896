local process = require "hone.process"
local fs = require "hone.fs"

local ENGINE = fs.realpath("/proc/self/exe")

local function run(command) return assert(process.run(command)) end

local function sh(script, options)
  local command = options or {}
  command[1], command[2], command[3] = "sh", "-c", script
  return command
end

-- Is there a process of that number, other than one that only waits to be buried?
local function is_alive(pid)
  local stat = fs.read(("/proc/%d/stat"):format(pid))
  return stat ~= nil and not stat:match("^%d+ %b() Z")
end

-- A process that was just killed may take a moment to go.
local function assert_gone(pid)
  for _ = 1, 100 do
    if not is_alive(pid) then return end
    run { "sleep", "0.01" }
  end
  error(("process %d is still there"):format(pid), 2)
end

local function open_descriptors() return #assert(fs.list("/proc/self/fd")) end

local function children()
  local list = {}
  for pid in run(sh("cat /proc/$PPID/task/*/children")).stdout:gmatch("%d+") do
    list[#list + 1] = pid
  end
  return list
end

local function problem_of(f, ...)
  local ok, problem = pcall(f, ...)
  assert.is_false(ok)
  return problem
end

describe("process.run", function()
  it("gives status and outputs", function()
    local result = run(sh("printf out; printf err >&2; exit 3"))
    assert.equal(3, result.status)
    assert.is_nil(result.signal)
    assert.equal("out", result.stdout)
    assert.equal("err", result.stderr)
    assert.is_false(result.timed_out)
    assert.is_true(result.seconds > 0 and result.seconds < 5)
  end)
  it(
    "hands over words as they are, numbers too",
    function() assert.equal("$HOME *\n'\"\n1\n", run { "printf", "%s\n", "$HOME *", "'\"", 1 }.stdout) end
  )
  it("names the signal that ended a program", function()
    local result = run(sh("kill -KILL $$"))
    assert.is_nil(result.status)
    assert.equal("SIGKILL", result.signal)
  end)
  it("gives a program nothing to read unless told", function() assert.equal("", run { "cat" }.stdout) end)
  it("carries all bytes both ways", function()
    local data = "a\0b\r\n\255"
    assert.equal(data, run { "cat", input = data }.stdout)
  end)
  it("carries 100 MB out, and in, without getting stuck", function()
    assert.equal(100000000, #run { "head", "-c", "100000000", "/dev/zero" }.stdout)
    assert.equal("100000000\n", run { "wc", "-c", input = ("x"):rep(100000000) }.stdout)
  end)
  it("reads and writes at the same time", function()
    local data = ("0123456789abcdef"):rep(1 << 18)
    assert.is_true(data == run { "cat", input = data }.stdout)
  end)
  it("does not mind a program that stops reading early", function()
    local result = run { "head", "-c", "3", input = ("x"):rep(10000000) }
    assert.equal("xxx", result.stdout)
    assert.equal(0, result.status)
  end)
  it("leaves the handling of SIGPIPE to the host", function()
    run { "true", input = ("x"):rep(1000000) }
    local ignored = fs.read("/proc/self/status"):match("SigIgn:%s*(%x+)")
    assert.equal(0, tonumber(ignored, 16) & 1 << 12)
  end)
  it(
    "gives pipes that can be opened by name",
    function() assert.equal("in", run(sh("cat /dev/stdin > /dev/stdout", { input = "in" })).stdout) end
  )
  it("runs in another folder", function() assert.equal("/\n", run { "pwd", cwd = "/" }.stdout) end)
  it("adds, changes and removes variables", function()
    local result = run(sh("echo $A-$HOME-${PATH:+path}", { env = { A = 1, HOME = false } }))
    assert.equal("1--path\n", result.stdout)
  end)
  it(
    "can start from an empty environment",
    function() assert.equal("A=x\n", run { "/usr/bin/env", clear_env = true, env = { A = "x" } }.stdout) end
  )
  it("joins stderr to stdout in order", function()
    local result = run(sh("echo 1; echo 2 >&2; echo 3", { stderr = "stdout" }))
    assert.equal("1\n2\n3\n", result.stdout)
    assert.is_nil(result.stderr)
  end)
  it("throws outputs away", function()
    local result = run(sh("echo out; echo err >&2", { stdout = "discard" }))
    assert.is_nil(result.stdout)
    assert.equal("err\n", result.stderr)
  end)
  it("shares our outputs, after what we wrote", function()
    local code = [[io.write("first ") require("hone.process").run{"echo", "second", stdout = "inherit"}]]
    assert.equal("first second\n", run { ENGINE, "-e", code }.stdout)
  end)
  it("shares our input", function()
    local code = [[io.write(require("hone.process").run{"cat", stdin = "inherit"}.stdout)]]
    assert.equal("in", run { ENGINE, "-e", code, input = "in" }.stdout)
  end)
  it("gives output to a function as it comes", function()
    local chunks, dir <close> = {}, assert(fs.tempdir())
    local seen = fs.join(dir.path, "seen") -- what the program waits for between the two
    local result = run(sh("printf a; until [ -e $SEEN ]; do sleep 0.01; done; printf b", {
      env = { SEEN = seen },
      stdout = function(chunk)
        chunks[#chunks + 1] = chunk
        assert(fs.write(seen, ""))
      end,
    }))
    assert.same({ "a", "b" }, chunks)
    assert.is_nil(result.stdout)
  end)
  it("gives output by lines, the last one without its newline, and captures it too", function()
    local lines = {}
    local result = run(sh("echo one; printf 'tw'; sleep 0.1; printf 'o\\n\\nthree'; echo e >&2", {
      on_line = function(stream, line) lines[#lines + 1] = stream .. ":" .. line end,
    }))
    table.sort(lines)
    assert.same({ "stderr:e", "stdout:", "stdout:one", "stdout:three", "stdout:two" }, lines)
    assert.equal("one\ntwo\n\nthree", result.stdout)
  end)
  it("cuts one very long line in a time that grows with its length", function()
    local length
    run { "head", "-c", "30000000", "/dev/zero", on_line = function(_, line) length = #line end }
    assert.equal(30000000, length)
  end)
  it("may be called from a callback", function()
    local inner
    run(sh("echo x", { on_line = function() inner = run { "echo", "inner" }.stdout end }))
    assert.equal("inner\n", inner)
  end)
  it("ends the program when a callback raises, and passes on what was raised", function()
    local raised, pid = {}, nil
    local problem = problem_of(
      process.run,
      sh("echo $$; exec sleep 30", {
        on_line = function(_, line)
          pid = tonumber(line)
          error(raised)
        end,
      })
    )
    assert.equal(raised, problem)
    assert_gone(pid)
  end)
end)

describe("process.run with a time limit", function()
  it("ends the program", function()
    local result = run { "sleep", "30", timeout = 0.1 }
    assert.is_true(result.timed_out)
    assert.equal("SIGTERM", result.signal)
    assert.is_true(result.seconds < 5)
  end)
  it(
    "keeps what was written until then",
    function() assert.equal("early\n", run(sh("echo early; exec sleep 30", { timeout = 0.5 })).stdout) end
  )
  it("ends what the program started, and whoever ignores SIGTERM after the grace", function()
    local script = "trap '' TERM; sleep 30 & echo $!; sleep 30 & echo $!; wait"
    local result = run(sh(script, { timeout = 0.5, grace = 0.2 }))
    assert.equal("SIGKILL", result.signal)
    local first, second = result.stdout:match("(%d+)\n(%d+)")
    assert_gone(tonumber(first))
    assert_gone(tonumber(second))
  end)
  it("ends what is left when the program itself is gone", function()
    local result = run(sh("sleep 30 & echo $!", { timeout = 0.5, grace = 0.5 }))
    assert.is_true(result.timed_out)
    assert_gone(tonumber(result.stdout))
  end)
  it("does not wait for a process that left the group with the pipes", function()
    local result = run(sh("setsid sleep 3 & sleep 30", { timeout = 0.2, grace = 0.2 }))
    assert.is_true(result.timed_out)
    assert.is_true(result.seconds < 2)
  end)
  it(
    "lets a program finish that is quicker",
    function() assert.is_false(run { "true", timeout = 30 }.timed_out) end
  )
end)

describe("process.run refuses", function()
  local function refused(command)
    local result, message, code, fourth = process.run(command)
    assert.is_nil(result)
    return message, code, fourth
  end
  it(
    "a program that is not in PATH",
    function() assert.same({ "cannot run gti: not found in PATH", "ENOENT" }, { refused { "gti", "status" } }) end
  )
  it(
    "a program that is only in another PATH than the child's",
    function() assert.matches("not found in PATH", (refused { "ls", env = { PATH = "/nowhere" } })) end
  )
  it("a path that is missing or cannot be executed", function()
    assert.same({ "cannot run /no/gti: No such file or directory", "ENOENT" }, { refused { "/no/gti" } })
    assert.same({ "cannot run /etc/passwd: Permission denied", "EACCES" }, { refused { "/etc/passwd" } })
    assert.same({ "cannot run /tmp: Permission denied", "EACCES" }, { refused { "/tmp" } })
  end)
  it(
    "a folder that does not exist",
    function()
      assert.same(
        { "cannot run ls in /no/such: no such folder", "ENOENT" },
        { refused { "ls", cwd = "/no/such" } }
      )
    end
  )
  it("too long a command", function()
    local _, code = refused { "true", ("x"):rep(10000000) }
    assert.equal("E2BIG", code)
  end)
  it("a bad end when check is set, with the last line of what was said", function()
    local message, code, result = refused(sh("echo first >&2; echo last >&2; exit 4", { check = true }))
    assert.equal("sh: exit status 4: last", message)
    assert.equal("ESTATUS", code)
    assert.equal(4, result.status)
    message, code = refused(sh("kill -9 $$", { check = true }))
    assert.same({ "sh: ended by SIGKILL", "ESIGNAL" }, { message, code })
    message, code = refused { "sleep", "30", timeout = 0.1, check = true }
    assert.same({ "sleep: timed out after 0.1 s", "ETIMEDOUT" }, { message, code })
  end)
end)

describe("a wrong command", function()
  local function blamed(command)
    return (problem_of(function() process.run(command) end):gsub("^.*process_spec.lua:%d+: ", ""))
  end
  it("is blamed on the caller", function()
    local problem = problem_of(function() process.run {} end)
    assert.matches("process_spec.lua:%d+: bad argument #1 to 'run' %(no program is named%)", problem)
  end)
  it("may have a zero byte anywhere", function()
    assert.matches("word 2 of the command holds a zero byte", blamed { "echo", "a\0b" })
    assert.matches("'env' holds a zero byte in A", blamed { "echo", env = { A = "a\0b" } })
    assert.matches("'env' holds a name", blamed { "echo", env = { ["A\0"] = "b" } })
    assert.matches("'cwd' holds a zero byte", blamed { "echo", cwd = "/\0" })
  end)
  it("may be a shell line, or hold something else than words", function()
    assert.matches("table expected, got string", blamed("ls -l"))
    assert.matches("word 2 of the command is a table", blamed { "ls", {} })
    assert.matches("no program is named", blamed { "" })
  end)
  it("may have an option that does not exist or has the wrong type", function()
    assert.matches("unknown option 'tiemout'", blamed { "ls", tiemout = 3 })
    assert.matches("option 'timeout' is a string, not a number", blamed { "ls", timeout = "3" })
    assert.matches("option 'stdout' is not", blamed { "ls", stdout = "nowhere" })
    assert.matches("'env' holds a boolean for A", blamed { "ls", env = { A = true } })
    assert.matches("'env' holds a name", blamed { "ls", env = { ["A=B"] = "x" } })
    assert.matches("option 'stdin' can only be", blamed { "ls", stdin = "keyboard" })
  end)
end)

describe("process.start", function()
  it("goes on while the program runs, and waits for its end", function()
    local p <close> = assert(process.start { "sleep", "0.2" })
    assert.is_true(p:running())
    assert.equal("sleep", p.name)
    assert.is_true(is_alive(p.pid))
    assert.equal(0, p:wait().status)
    assert.is_false(p:running())
  end)
  it("gives the same result to everyone who waits", function()
    local p <close> = assert(process.start { "echo", "x" })
    assert.equal(p:wait(), p:wait())
    assert.equal("x\n", p:wait().stdout)
  end)
  it("waits no longer than asked, and the program goes on", function()
    local p <close> = assert(process.start { "sleep", "30" })
    local result, message, code = p:wait(0.1)
    assert.is_nil(result)
    assert.same({ "sleep is still running after 0.1 s", "ETIMEDOUT" }, { message, code })
    assert.is_true(p:running())
  end)
  it("talks both ways, line by line", function()
    local p <close> = assert(process.start { "cat" })
    local next_line = p:lines()
    for _, word in ipairs { "one", "", "two" } do
      assert.is_true(p:write(word .. "\n"))
      assert.equal(word, next_line())
    end
    p:close_input()
    assert.is_nil(next_line())
    assert.equal(0, p:wait().status)
  end)
  it("reads stderr by lines too, while stdout is full", function()
    local p <close> = assert(process.start(sh("head -c 5000000 /dev/zero; echo said >&2")))
    assert.equal("said", p:lines("stderr")())
    assert.equal(5000000, #p:wait().stdout)
  end)
  it("can leave a loop over lines and take it up again", function()
    local p <close> = assert(process.start(sh("echo 1; echo 2; printf 3")))
    for line in p:lines() do
      if line == "2" then break end
      assert.equal("1", line)
    end
    local rest = {}
    for line in p:lines() do
      rest[#rest + 1] = line
    end
    assert.same({ "3" }, rest)
  end)
  it("reads endless output no further than asked", function()
    local before = collectgarbage("count")
    local p <close> = assert(process.start { "yes" })
    local count = 0
    for line in p:lines() do
      assert.equal("y", line)
      count = count + 1
      if count == 1000 then break end
    end
    run { "sleep", "0.2" }
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 64 * 1024)
    p:stop()
    assert.equal("SIGTERM", p:wait().signal)
  end)
  it("writes more than a pipe holds to a program that answers as it reads", function()
    local p <close> = assert(process.start { "cat" })
    local block = ("x"):rep(1 << 20)
    for _ = 1, 8 do
      assert.is_true(p:write(block))
    end
    p:close_input()
    assert.equal(8 << 20, #p:wait().stdout)
  end)
  it("refuses to write where nobody reads any more", function()
    local p <close> = assert(process.start { "true" })
    p:wait()
    local ok, message, code = p:write("x")
    assert.is_nil(ok)
    assert.same({ "cannot write to true: Broken pipe", "EPIPE" }, { message, code })
  end)
  it("sends signals by name and number to the whole group", function()
    local p <close> = assert(process.start(sh("sleep 30 & echo $!; wait")))
    local grandchild = tonumber(p:lines()())
    assert.is_true(p:kill("INT"))
    assert.is_true(p:kill(15))
    assert.matches("^SIG", p:wait().signal)
    assert_gone(grandchild)
    assert.same({ nil, "cannot signal sh: No such process", "ESRCH" }, { p:kill() })
  end)
  it("blames the caller for a signal or stream that does not exist", function()
    local p <close> = assert(process.start { "sleep", "30" })
    assert.matches("no signal is called SIGFOO", problem_of(p.kill, p, "SIGFOO"))
    assert.matches("bad argument #1 to 'lines'", problem_of(p.lines, p, "stdlog"))
  end)
  it("ends the program when the variable goes out of scope", function()
    local pid
    do
      local p <close> = assert(process.start { "sleep", "30" })
      pid = p.pid
    end
    assert.is_false(is_alive(pid))
  end)
  it("ends the program when it is collected", function()
    local pid = process.start({ "sleep", "30" }).pid
    collectgarbage()
    collectgarbage()
    assert_gone(pid)
  end)
  it("keeps the time limit while waiting", function()
    local p <close> = assert(process.start { "sleep", "30", timeout = 0.1 })
    assert.is_true(p:wait().timed_out)
  end)
  it("ends soon, without being waited for, and is told to only once", function()
    local log <close> = assert(fs.tempdir())
    local path = fs.join(log.path, "told")
    local p =
      assert(process.start(sh(("trap 'echo x >> %s; exit 0' TERM; echo up; sleep 100 & wait"):format(path))))
    p:lines()()
    p:end_soon(5)
    p:end_soon(5)
    assert.equal(0, p:wait(10).status)
    assert.equal("x\n", fs.read(path))
  end)
end)

describe("process.run_all", function()
  it("gives results in order, whoever is done first", function()
    local order = {}
    local results = process.run_all({ sh("sleep 0.3; echo a"), { "echo", "b" } }, {
      max = 2,
      on_done = function(i) order[#order + 1] = i end,
    })
    assert.equal("a\n", results[1].stdout)
    assert.equal("b\n", results[2].stdout)
    assert.same({ 2, 1 }, order)
  end)
  it("runs no more than max at once, and that many", function()
    local list, running, most = {}, 0, 0
    for i = 1, 6 do
      list[i] = sh("echo up; sleep 0.3; echo down", {
        on_line = function(_, line)
          running = running + (line == "up" and 1 or -1)
          most = math.max(most, running)
        end,
      })
    end
    process.run_all(list, { max = 3 })
    assert.equal(3, most)
  end)
  it("reads what others say meanwhile, so that they need not wait", function()
    local said = 0
    local function count(chunk) said = said + #chunk end
    local talker <close> =
      assert(process.start { "sh", "-c", "head -c 5000000 /dev/zero; echo said >&2", stdout = count })
    local reader = sh "sleep 1"
    process.run_all({ reader }, { alongside = { talker } })
    assert.equal(5000000, said)
    assert.equal("said\n", talker:wait(5).stderr)
  end)
  it("goes on past what cannot be started, times out or fails its check", function()
    local results = process.run_all {
      { "gti" },
      { "sleep", "30", timeout = 0.1 },
      { "false", check = true },
      { "false" },
      { "true" },
    }
    assert.equal("cannot run gti: not found in PATH", results[1].error)
    assert.equal("ENOENT", results[1].code)
    assert.is_true(results[2].timed_out)
    assert.equal("false: exit status 1", results[3].error)
    assert.same({ 1, nil }, { results[4].status, results[4].error })
    assert.equal(0, results[5].status)
  end)
  it("ends all when a callback raises", function()
    local pids = {}
    local long = sh("echo $$; exec sleep 30", {
      on_line = function(_, line) pids[#pids + 1] = tonumber(line) end,
    })
    local problem = problem_of(process.run_all, { long, long, { "sleep", "0.3" } }, {
      max = 3,
      on_done = function() error("enough", 0) end,
    })
    assert.equal("enough", problem)
    assert.equal(2, #pids)
    for _, pid in ipairs(pids) do
      assert_gone(pid)
    end
  end)
  it("takes commands that a callback adds", function()
    local list = { { "echo", "1" } }
    local results = process.run_all(list, {
      on_done = function(i)
        if i < 3 then list[i + 1] = { "echo", i + 1 } end
      end,
    })
    assert.equal("3\n", results[3].stdout)
  end)
  it("starts nothing when one of the commands is wrong", function()
    local started = false
    local problem = problem_of(function()
      process.run_all { sh("echo", { on_line = function() started = true end }), {} }
    end)
    assert.matches("spec.lua:%d+: bad argument #1 to 'run_all' %(command 2: no program is named", problem)
    assert.is_false(started)
  end)
  it("has no results for no commands", function() assert.same({}, process.run_all {}) end)
end)

describe("process.which", function()
  it("finds a program in PATH", function() assert.matches("^/.*/sh$", process.which("sh")) end)
  it("checks a path", function()
    assert.equal("/bin/sh", process.which("/bin/sh"))
    assert.same(
      { nil, "cannot find /etc/passwd: not an executable file", "ENOENT" },
      { process.which("/etc/passwd") }
    )
  end)
  it(
    "refuses what is not there",
    function() assert.same({ nil, "cannot find gti: not found in PATH", "ENOENT" }, { process.which("gti") }) end
  )
end)

describe("what a run leaves behind", function()
  it("is no descriptor and no zombie", function()
    run { "true" } -- from the first one on the loop itself stays open
    local before = open_descriptors()
    for _ = 1, 5 do
      run { "cat", input = "x" }
      process.run { "/etc/passwd" }
      process.run { "gti" }
      run { "sleep", "30", timeout = 0.01 }
      pcall(process.run, { "echo", stdout = function() error("stop") end })
    end
    assert.equal(before, open_descriptors())
    assert.equal(1, #children()) -- the one that counts them
  end)
  it("is no open file in the child", function()
    local opened <close> = assert(io.open("/proc/self/status"))
    local listed = run(sh("ls -l /proc/$$/fd")).stdout
    assert.is_nil(listed:find("status", 1, true))
    assert.equal("status", opened:read("a"):match("Threads") and "status")
  end)
end)

describe("the end of the program", function()
  -- A script in a fresh engine that prints the number of the process it leaves, then does `rest`.
  local function leave(rest)
    return {
      ENGINE,
      "-e",
      [[
      process = require "hone.process"
      p = process.start { "sh", "-c", "trap '' TERM; sleep 30 & echo $!; wait" }
      print(p.pid, (p:lines()()))
      io.stdout:flush()
      ]] .. rest,
    }
  end
  local function assert_all_gone(printed)
    local child, grandchild = printed:match("(%d+)%s+(%d+)")
    assert_gone(tonumber(child))
    assert_gone(tonumber(grandchild))
  end
  it("ends what was started", function() assert_all_gone(run(leave("")).stdout) end)
  it("by an error does too", function() assert_all_gone(run(leave("error('stop')")).stdout) end)
  for _, signal in ipairs { "SIGINT", "SIGTERM" } do
    for where, rest in pairs { ["in a wait"] = "p:wait()", ["in Lua"] = "while true do end" } do
      it(("by %s %s does too, within a moment"):format(signal, where), function()
        local host <close> = assert(process.start(leave(rest)))
        local printed = host:lines()()
        host:wait(0.1)
        host:kill(signal)
        local result = assert(host:wait(5))
        assert.is_true(result.status ~= 0)
        assert_all_gone(printed)
      end)
    end
  end
  it('raises "interrupted" where the program waited', function()
    local code = [[
      local process = require "hone.process"
      print("up") io.stdout:flush()
      local ok, problem = pcall(process.run, { "sleep", "30" })
      print(ok, problem)]]
    local host <close> = assert(process.start { ENGINE, "-e", code })
    assert.equal("up", host:lines()())
    host:wait(0.1)
    host:kill("SIGINT")
    assert.equal("false\tinterrupted", host:lines()())
  end)
end)
