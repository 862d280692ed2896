local fs = require "hone.fs"
local lfs = require "lfs"
local process = require "hone.process"

-- Everything happens in here; a path under `file` can never be made, whoever runs this.
local dir, file

before_each(function()
  dir = assert(fs.tempdir("fs-spec-"))
  file = fs.join(dir.path, "file")
  assert(fs.write(file, "contents"))
end)

after_each(function() dir:remove() end)

local function inside(...) return fs.join(dir.path, ...) end

local ENGINE = fs.realpath("/proc/self/exe")

-- Run a script in a fresh engine. -> the result of process.run
local function in_engine(code, env) return assert(process.run { ENGINE, "-e", code, env = env }) end

local function assert_refused(code, pattern, ...)
  local value, message, got = ...
  assert.is_nil(value)
  assert.matches(pattern, message)
  assert.equal(code, got)
end

describe("fs.join", function()
  it("puts one slash between parts", function()
    assert.equal("a/b/c", fs.join("a", "b/", "c"))
    assert.equal("/a", fs.join("/", "a"))
  end)
  it("starts anew at an absolute part and skips empty ones", function()
    assert.equal("/b/c", fs.join("a", "/b", "", "c"))
    assert.equal("", fs.join())
  end)
  it("blames the caller for a part that is no string", function()
    local _, problem = pcall(function() fs.join("a", nil) end)
    assert.matches("fs_spec.lua:%d+: bad argument #2 to 'join' %(path expected, got nil%)", problem)
  end)
end)

describe("names in a path", function()
  it("are what is before and after the last slash", function()
    assert.same({ "a/b", "c" }, { fs.dirname("a/b/c"), fs.basename("a/b/c") })
    assert.same({ ".", "c" }, { fs.dirname("c"), fs.basename("c") })
    assert.same({ "/", "c" }, { fs.dirname("/c"), fs.basename("/c") })
  end)
  it("do not depend on slashes at the end", function()
    assert.same({ "a", "b" }, { fs.dirname("a//b//"), fs.basename("a//b//") })
    assert.same({ "/", "" }, { fs.dirname("//"), fs.basename("//") })
    assert.same({ ".", "" }, { fs.dirname(""), fs.basename("") })
  end)
  it("have an extension from their last dot", function()
    assert.same({ "b.tar", ".gz" }, { fs.stem("a.x/b.tar.gz"), fs.extension("a.x/b.tar.gz") })
    assert.same({ "b", "" }, { fs.stem("a.x/b"), fs.extension("a.x/b") })
  end)
  it(
    "may begin with a dot that is no extension",
    function() assert.same({ ".bashrc", "" }, { fs.stem(".bashrc"), fs.extension(".bashrc") }) end
  )
end)

describe("fs.is_inside", function()
  it("is so for plain relative paths", function()
    for _, path in ipairs { "a", "a/b.c", "..a", "a/..b", "a b", "a/.hidden" } do
      assert.is_true(fs.is_inside(path), path)
    end
  end)
  it("is not so for any other", function()
    for _, path in ipairs {
      "",
      "/a",
      "..",
      "../a",
      "a/../b",
      "a/..",
      "./a",
      "a//b",
      "a/",
      "a\\b",
      "a\0b",
      "a\n",
    } do
      assert.is_false(fs.is_inside(path), path)
    end
    assert.is_false(fs.is_inside(nil))
    assert.is_false(fs.is_inside { "a" })
  end)
end)

describe("fs.normalize", function()
  it(
    "takes out dots, double slashes and what .. undoes",
    function() assert.equal("a/c", fs.normalize("./a//b/../c/.")) end
  )
  it("keeps .. that leads out, except above the root", function()
    assert.equal("../../a", fs.normalize("../x/../../a"))
    assert.equal("/a", fs.normalize("/../../a"))
  end)
  it("leaves a dot of nothing", function()
    assert.equal(".", fs.normalize("a/.."))
    assert.equal("/", fs.normalize("/"))
  end)
end)

describe("fs.absolute and fs.relative", function()
  it("count from the current folder", function()
    assert.equal(fs.cwd() .. "/a", fs.absolute("x/../a"))
    assert.equal("a/b", fs.relative(fs.cwd() .. "/a/b"))
  end)
  it("find the way between folders", function()
    assert.equal("../c/d", fs.relative("/a/c/d", "/a/b"))
    assert.equal("..", fs.relative("/a", "/a/b"))
    assert.equal(".", fs.relative("/a/b/", "/a/b"))
    assert.equal("a", fs.relative("/a", "/"))
  end)
end)

describe("well-known folders", function()
  local function ask(what, env)
    local code = 'io.write(tostring((require("hone.fs").%s)))'
    return in_engine(code:format(what), env).stdout
  end
  it("follow HOME and the XDG variables", function()
    local env = { HOME = "/h", XDG_CACHE_HOME = "/c", XDG_CONFIG_HOME = false }
    assert.equal("/h", ask("home()", env))
    assert.equal("/c/hone", ask("cache_dir()", env))
    assert.equal("/h/.config/hone", ask("config_dir()", env))
  end)
  it("ignore empty and relative XDG variables", function()
    local env = { HOME = "/h", XDG_CACHE_HOME = "relative", XDG_CONFIG_HOME = "" }
    assert.equal("/h/.cache/hone", ask("cache_dir()", env))
    assert.equal("/h/.config/hone", ask("config_dir()", env))
  end)
  it(
    "come from the user database where HOME is not set",
    function() assert.matches("^/", ask("home()", { HOME = false })) end
  )
  it("are what a leading ~ stands for", function()
    assert.equal("/h/x", ask('expand("~/x")', { HOME = "/h" }))
    assert.equal("/h", ask('expand("~")', { HOME = "/h" }))
    assert.equal("a/~/x", fs.expand("a/~/x"))
    assert.equal("~other/x", fs.expand("~other/x"))
  end)
end)

describe("questions about a path", function()
  it("tell files, folders and nothing apart", function()
    assert.same({ true, true, false }, { fs.exists(file), fs.is_file(file), fs.is_dir(file) })
    assert.same({ true, false, true }, { fs.exists(dir.path), fs.is_file(dir.path), fs.is_dir(dir.path) })
    assert.same({ false, false, false }, { fs.exists("/no"), fs.is_file("/no"), fs.is_dir("/no") })
  end)
  it("look through links, and know them", function()
    assert(lfs.link(file, inside("link"), true))
    assert(lfs.link("/no/such", inside("dangling"), true))
    assert.same({ true, true }, { fs.is_file(inside("link")), fs.is_link(inside("link")) })
    assert.same({ false, true }, { fs.exists(inside("dangling")), fs.is_link(inside("dangling")) })
    assert.is_false(fs.is_link(file))
  end)
  it("give size and time of change", function()
    assert.equal(8, fs.size(file))
    lfs.touch(file, 1000, 2000)
    assert.equal(2000, fs.mtime(file))
    assert_refused("ENOENT", "^cannot look at /no: No such file", fs.size("/no"))
  end)
  it("give the space that is left", function()
    local free = fs.free_space(dir.path)
    assert.is_true(math.type(free) == "integer" and free > 0)
    assert.equal(0, fs.free_space "/proc")
    assert_refused("ENOENT", "^cannot ask for the space of /no: No such file", fs.free_space("/no"))
  end)
  it("resolve links to the real path", function()
    assert(lfs.link(file, inside("link"), true))
    assert.equal(fs.realpath(file), fs.realpath(inside("link")))
    assert_refused("ENOENT", "^cannot resolve /no/x: No such file", fs.realpath("/no/x"))
  end)
end)

describe("fs.read", function()
  it("gives all bytes, zeros and line ends too", function()
    local data = "a\0b\r\n\255"
    assert(fs.write(file, data))
    assert.equal(data, fs.read(file))
  end)
  it("refuses what is missing, a folder, and a path through a file", function()
    assert_refused("ENOENT", "^cannot read /no: No such file or directory$", fs.read("/no"))
    assert_refused("EISDIR", "^cannot read .*: Is a directory$", fs.read(dir.path))
    assert_refused("ENOTDIR", "Not a directory$", fs.read(file .. "/x"))
  end)
  it("raises for a path with a zero byte, which would name another file", function()
    local _, problem = pcall(function() fs.read(file .. "\0.txt") end)
    assert.matches("fs_spec.lua:%d+: bad argument #1 to 'read' %(path contains a zero byte%)", problem)
  end)
end)

describe("fs.write", function()
  it("replaces a file and makes missing folders", function()
    assert.is_true(fs.write(inside("a/b/c"), "one"))
    assert.is_true(fs.write(inside("a/b/c"), "two"))
    assert.equal("two", fs.read(inside("a/b/c")))
  end)
  it("leaves nothing else behind", function()
    assert.is_true(fs.write(inside("a/c"), "one", { sync = false }))
    assert.same({ "c" }, fs.list(inside("a")))
  end)
  it("gives a new file the permissions that the umask leaves", function()
    local code = ('require("hone.fs").write(%q, "")'):format(inside("new"))
    assert(process.run { "sh", "-c", 'umask 027; exec "$0" -e "$1"', ENGINE, code, check = true })
    assert.equal("rw-r-----", lfs.attributes(inside("new"), "permissions"))
  end)
  it("keeps the permissions of an old file", function()
    assert(process.run { "chmod", "750", file, check = true })
    assert(fs.write(file, "new"))
    assert.equal("rwxr-x---", lfs.attributes(file, "permissions"))
  end)
  it("writes through a link, which stays one", function()
    assert(lfs.link("file", inside("link"), true))
    assert(fs.write(inside("link"), "new"))
    assert.is_true(fs.is_link(inside("link")))
    assert.equal("new", fs.read(file))
  end)
  it("does not change a reader's open file", function()
    local reader <close> = assert(io.open(file))
    assert(fs.write(file, "a longer text than before"))
    assert.equal("contents", reader:read("a"))
  end)
  it("refuses a folder, and a path through a file", function()
    assert_refused("EISDIR", "^cannot write .*: Is a directory$", fs.write(dir.path, ""))
    assert_refused(
      "EEXIST",
      "^cannot write .*/x: cannot make the directory .*: File exists",
      fs.write(file .. "/x", "")
    )
    assert.same({ "file" }, fs.list(dir.path))
  end)
  it(
    "refuses where nobody may create files",
    function() assert_refused("ENOENT", "^cannot write /proc/hone: ", fs.write("/proc/hone", "")) end
  )
  it("refuses a name that is too long, and copes with one that just fits", function()
    assert_refused("ENAMETOOLONG", "File name too long", fs.write(inside(("n"):rep(256)), ""))
    assert.is_true(fs.write(inside(("n"):rep(255)), ""))
    assert.same({ "file", ("n"):rep(255) }, fs.list(dir.path))
  end)
  it("writes to a device in place", function()
    assert.is_true(fs.write("/dev/null", "x"))
    assert.equal("char device", lfs.attributes("/dev/null", "mode"))
  end)
  it("leaves the old file and no rest when the disk is full", function()
    -- A file size limit stands in for a full disk.
    local code = ([[
      local fs = require "hone.fs"
      local ok, message, name = fs.write(%q, ("x"):rep(1 << 20))
      io.write(tostring(ok), " ", name, " ", message)]]):format(file)
    local script = 'trap "" XFSZ; ulimit -f 64; "$0" -e "$1"'
    local result = assert(process.run { "sh", "-c", script, ENGINE, code })
    assert.matches("^nil EFBIG cannot write .*/file: File too large", result.stdout)
    assert.equal("contents", fs.read(file))
    assert.same({ "file" }, fs.list(dir.path))
  end)
  it("raises for data that is no string", function()
    local _, problem = pcall(function() fs.write(file, {}) end)
    assert.matches("fs_spec.lua:%d+: bad argument #2 to 'write' %(string expected, got table%)", problem)
  end)
end)

describe("fs.writer", function()
  it("shows nothing before commit and everything after", function()
    local out <close> = assert(fs.writer(file))
    assert.equal(out, out:write("one ", "two"))
    assert.equal("contents", fs.read(file))
    assert.is_true(out:commit())
    assert.equal("one two", fs.read(file))
  end)
  it("is discarded when its variable goes out of scope by an error", function()
    local function fail()
      local out <close> = assert(fs.writer(file))
      out:write("half")
      error("stop", 0)
    end
    assert.is_false((pcall(fail)))
    assert.equal("contents", fs.read(file))
    assert.same({ "file" }, fs.list(dir.path))
  end)
  it("is discarded when it is collected", function()
    fs.writer(file):write("half")
    collectgarbage()
    assert.same({ "file" }, fs.list(dir.path))
  end)
  it("leaves nothing when its process is killed, where files need no name", function()
    local code = [[
      local fs = require "hone.fs"
      local out = assert(fs.writer(%q)):write(("x"):rep(100000))
      print(#fs.list(%q))
      io.stdout:flush()
      out:write("more")
      require("hone.core.process").step(60000)]]
    local said
    local child = assert(process.start {
      ENGINE,
      "-e",
      code:format(inside "new", dir.path),
      on_line = function(_, line) said = line end,
    })
    while not said and not child:wait(0.02) do -- luacheck: ignore 542
    end
    child:kill "SIGKILL"
    child:wait(10)
    if said ~= "1" then pending "this file system wants a name for every file" end
    local names = {}
    for _, entry in ipairs(fs.list(dir.path)) do
      names[#names + 1] = type(entry) == "table" and entry.name or entry
    end
    assert.same({ "file" }, names)
  end)
  it("cannot be used after commit or discard, and may be discarded twice", function()
    local out = assert(fs.writer(file))
    out:discard()
    out:discard()
    assert.error_matches(function() out:write("x") end, "committed or discarded")
    assert.error_matches(function() out:commit() end, "committed or discarded")
  end)
  it("leaves nothing when the target became a folder meanwhile", function()
    local out <close> = assert(fs.writer(inside("late")))
    assert(fs.mkdir(inside("late")))
    assert_refused("EISDIR", "^cannot write .*late: Is a directory$", out:commit())
    assert.same({ "file", "late" }, fs.list(dir.path))
  end)
  it("takes over another file's contents and permissions", function()
    local out <close> = assert(fs.writer(inside("copy")))
    assert.equal(out, out:copy(file))
    assert_refused("ENOENT", "^cannot read /no: ", out:copy("/no"))
    assert.is_true(out:commit(false))
    assert.equal("contents", fs.read(inside("copy")))
  end)
end)

describe("fs.lock", function()
  it("is held by one at a time, tells the others by whom, and is given back by closing", function()
    local path = inside "gpu.lock"
    do
      local held <close> = assert(fs.lock(path, { note = "process 7" })) -- luacheck: ignore held
      assert_refused("EWOULDBLOCK", "process 7", fs.lock(path))
    end
    local again <close> = assert(fs.lock(path)) -- luacheck: ignore again
  end)

  it("is the lock of the program flock too", function()
    local path = inside "gpu.lock"
    local held = assert(fs.lock(path))
    local other = assert(process.run { "flock", "--nonblock", path, "true" })
    assert.equal(1, other.status)
    getmetatable(held).__close(held)
    assert.equal(0, assert(process.run { "flock", "--nonblock", path, "true" }).status)
  end)

  it("is waited for", function()
    local path, waited = inside "gpu.lock", 0
    local child <close> = assert(process.start { "flock", path, "sh", "-c", "echo held; sleep 0.3" })
    assert.equal("held", child:lines()())
    local held <close> = assert(fs.lock(path, { wait = 10, on_wait = function() waited = waited + 1 end })) -- luacheck: ignore held
    assert.equal(1, waited)
  end)

  it("makes the folders above, and says where that cannot be", function()
    local held <close> = assert(fs.lock(inside("locks", "of", "gpus", "0.lock"))) -- luacheck: ignore held
    assert_refused("EEXIST", "^cannot lock .*file/0%.lock", fs.lock(fs.join(file, "0.lock")))
  end)
end)

describe("fs.append_line", function()
  it("adds whole lines and makes the file and its folder", function()
    assert.is_true(fs.append_line(inside("log/t.jsonl"), "one"))
    assert.is_true(fs.append_line(inside("log/t.jsonl"), ""))
    assert.is_true(fs.append_line(inside("log/t.jsonl"), "two\0"))
    assert.equal("one\n\ntwo\0\n", fs.read(inside("log/t.jsonl")))
  end)
  it("first ends a line that was left open", function()
    assert.is_true(fs.append_line(file, "next"))
    assert.equal("contents\nnext\n", fs.read(file))
  end)
  it("keeps lines of several processes whole", function()
    local code = [[
      local fs = require "hone.fs"
      for i = 1, 200 do assert(fs.append_line(%q, %q .. i .. (" x"):rep(3000))) end]]
    local commands, log = {}, inside("log")
    for _, name in ipairs { "a", "b", "c", "d" } do
      commands[#commands + 1] = { ENGINE, "-e", code:format(log, name), check = true }
    end
    for _, result in ipairs(process.run_all(commands)) do
      assert.is_nil(result.error)
    end
    local seen = {}
    for line in io.lines(log) do
      local name, i, rest = line:match("^(%a)(%d+)( x.*)$")
      assert.equal((" x"):rep(3000), rest)
      assert.equal((seen[name] or 0) + 1, tonumber(i))
      seen[name] = tonumber(i)
    end
    assert.same({ a = 200, b = 200, c = 200, d = 200 }, seen)
  end)
  it("waits for another process's lock", function()
    local holder <close> = assert(process.start { "flock", file, "sh", "-c", "echo locked; sleep 0.3" })
    assert.equal("locked", holder:lines()())
    assert.is_true(fs.append_line(file, "mine"))
    assert.is_false(holder:running())
  end)
  it("stops waiting for a lock at Ctrl-C", function()
    local holder <close> = assert(process.start { "flock", file, "sh", "-c", "echo locked; sleep 30" })
    assert.equal("locked", holder:lines()())
    local code = ('print("go") io.stdout:flush() require("hone.fs").append_line(%q, "mine")'):format(file)
    local waiting <close> = assert(process.start { ENGINE, "-e", code })
    assert.equal("go", waiting:lines()())
    waiting:wait(0.2)
    assert.is_true(waiting:running())
    waiting:kill("SIGINT")
    assert(waiting:wait(5))
    assert.equal("contents", fs.read(file))
  end)
  it("refuses a folder and a path through a file", function()
    assert_refused("EISDIR", "^cannot append to .*: Is a directory$", fs.append_line(dir.path, "x"))
    assert_refused("EEXIST", "^cannot append to .*/x: ", fs.append_line(file .. "/x", "x"))
  end)
  it("takes back half a line when the disk is full", function()
    assert(fs.write(file, ("x"):rep(65000) .. "\n"))
    local code = ([[io.write(select(3, require("hone.fs").append_line(%q, ("y"):rep(4096))))]]):format(file)
    local script = 'trap "" XFSZ; ulimit -f 128; "$0" -e "$1"'
    local result = assert(process.run { "sh", "-c", script, ENGINE, code })
    assert.matches("^E", result.stdout)
    assert.equal(65001, fs.size(file))
  end)
  it("raises for more than one line", function()
    local _, problem = pcall(function() fs.append_line(file, "a\nb") end)
    assert.matches("fs_spec.lua:%d+: bad argument #2 to 'append_line'", problem)
  end)
end)

describe("fs.chunks", function()
  it("gives all of a file in pieces of the size asked for", function()
    local pieces = {}
    for piece in assert(fs.chunks(file, 3)) do
      pieces[#pieces + 1] = piece
    end
    assert.same({ "con", "ten", "ts" }, pieces)
  end)
  it("gives nothing of an empty file", function()
    assert(fs.write(file, ""))
    for _ in assert(fs.chunks(file)) do
      error("a piece of nothing")
    end
    assert.equal(0, fs.size(file))
  end)
  it("closes the file when the loop is left early", function()
    local before = #fs.list("/proc/self/fd")
    for piece in assert(fs.chunks(file, 1)) do
      if piece == "o" then break end
    end
    assert.equal(before, #fs.list("/proc/self/fd"))
  end)
  it("refuses what is missing and a folder", function()
    assert_refused("ENOENT", "^cannot read /no: ", fs.chunks("/no"))
    assert_refused("EISDIR", "^cannot read .*: Is a directory", fs.chunks(dir.path))
  end)
end)

describe("fs.sha256", function()
  it("agrees with the standard's examples", function()
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", fs.sha256(""))
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", fs.sha256("abc"))
  end)
  it("hashes a file as its contents, across blocks", function()
    local data = ("0123456789abcdef"):rep(40000) .. "x"
    assert(fs.write(file, data))
    assert.equal(fs.sha256(data), fs.sha256_file(file))
  end)
  it("refuses what is missing and a folder", function()
    assert_refused("ENOENT", "^cannot read /no: ", fs.sha256_file("/no"))
    assert_refused("EISDIR", "^cannot read .*: Is a directory", fs.sha256_file(dir.path))
  end)
end)

describe("fs.mkdir", function()
  it("makes folders above too, and does not mind one that is there", function()
    assert.is_true(fs.mkdir(inside("a/b/c")))
    assert.is_true(fs.mkdir(inside("a/b/c/")))
    assert.is_true(fs.is_dir(inside("a/b/c")))
  end)
  it("refuses where a file is in the way", function()
    assert_refused("EEXIST", "^cannot make the directory .*/file: File exists", fs.mkdir(file))
    assert_refused("ENOTDIR", "/file/a: Not a directory", fs.mkdir(file .. "/a"))
  end)
  it(
    "refuses an empty path",
    function() assert_refused("ENOENT", "^cannot make the directory : No such file", fs.mkdir("")) end
  )
end)

describe("fs.list", function()
  it("gives sorted names", function()
    for _, name in ipairs { "b", "B", "a b", ".h" } do
      assert(fs.write(inside(name), ""))
    end
    assert.same({ ".h", "B", "a b", "b", "file" }, fs.list(dir.path))
  end)
  it("refuses what is missing and a file", function()
    assert_refused("ENOENT", "^cannot list /no: ", fs.list("/no"))
    assert_refused("ENOTDIR", "^cannot list .*: Not a directory", fs.list(file))
  end)
end)

describe("fs.remove", function()
  it("removes a tree", function()
    assert(fs.write(inside("t/a/b/c"), ""))
    assert(fs.mkdir(inside("t/empty")))
    assert.is_true(fs.remove(inside("t")))
    assert.is_false(fs.exists(inside("t")))
  end)
  it("never follows links", function()
    assert(fs.write(inside("kept/x"), ""))
    assert(fs.mkdir(inside("t")))
    assert(lfs.link(inside("kept"), inside("t/link"), true))
    assert.is_true(fs.remove(inside("t")))
    assert(lfs.link(inside("kept"), inside("link"), true))
    assert.is_true(fs.remove(inside("link")))
    assert.same({ "x" }, fs.list(inside("kept")))
  end)
  it("refuses what is missing, and names what would not go", function()
    assert_refused("ENOENT", "^cannot remove /no/x: No such file", fs.remove("/no/x"))
    assert_refused("ENOTDIR", "^cannot remove .*/file/x: Not a directory", fs.remove(file .. "/x"))
  end)
end)

describe("fs.tempdir", function()
  it("is removed with its contents when the variable goes out of scope", function()
    local path
    do
      local temporary <close> = assert(fs.tempdir())
      path = temporary.path
      assert(fs.write(fs.join(path, "a/b"), ""))
      assert.equal(path, tostring(temporary))
    end
    assert.is_false(fs.exists(path))
  end)
  it("is removed when it is collected", function()
    local path = fs.tempdir("mine-").path
    assert.matches("/mine%-", path)
    collectgarbage()
    assert.is_false(fs.exists(path))
  end)
  it("is removed at the end of the program", function()
    local code = 'd = require("hone.fs").tempdir() io.write(d.path)'
    local path = in_engine(code).stdout
    assert.matches("^/", path)
    assert.is_false(fs.exists(path))
  end)
  it("is removed after an error and after Ctrl-C", function()
    local path = in_engine('d = require("hone.fs").tempdir() io.write(d.path) error("stop")').stdout
    assert.is_false(fs.exists(path))
    local code = 'd = require("hone.fs").tempdir() print(d.path) io.stdout:flush() while true do end'
    local running <close> = assert(process.start { ENGINE, "-e", code })
    path = running:lines()()
    assert.is_true(fs.is_dir(path))
    running:kill("SIGINT")
    assert(running:wait(5))
    assert.is_false(fs.exists(path))
  end)
  it("is made in TMPDIR, and refused where that does not exist", function()
    local code = 'io.write(tostring(select(2, require("hone.fs").tempdir())))'
    local message = in_engine(code, { TMPDIR = "/no/such" }).stdout
    assert.matches("^cannot make a directory /no/such/hone%-XXXXXX: No such file", message)
  end)
end)

describe("fs.walk", function()
  local function collect(options)
    local seen = {}
    for path, kind in assert(fs.walk(dir.path, options)) do
      seen[#seen + 1] = path:sub(#dir.path + 2) .. " " .. kind
    end
    return seen
  end
  before_each(function()
    assert(fs.write(inside("b/two"), ""))
    assert(fs.write(inside("b/c/three"), ""))
    assert(fs.write(inside("a"), ""))
  end)
  it(
    "visits all in sorted order, a folder before what is in it",
    function()
      assert.same(
        { "a file", "b directory", "b/c directory", "b/c/three file", "b/two file", "file file" },
        collect()
      )
    end
  )
  it(
    "can leave out folders",
    function()
      assert.same({ "a file", "b/c/three file", "b/two file", "file file" }, collect { files_only = true })
    end
  )
  it("leaves out what the filter refuses, and all below", function()
    local function filter(path, kind) return not (kind == "directory" and path:match("/c$")) end
    assert.same({ "a file", "b directory", "b/two file", "file file" }, collect { filter = filter })
  end)
  it("takes links for what they lead to, without entering folders", function()
    assert(lfs.link("c", inside("b/d"), true))
    assert(lfs.link("a", inside("link"), true))
    assert(lfs.link("nothing", inside("lost"), true))
    assert.same({
      "a file",
      "b directory",
      "b/c directory",
      "b/c/three file",
      "b/d directory",
      "b/two file",
      "file file",
      "link file",
      "lost link",
    }, collect())
  end)
  it("enters folders behind links when told to, but none twice in a row", function()
    assert(lfs.link("..", inside("b/up"), true))
    assert(lfs.link("b", inside("z"), true))
    assert.same({
      "a file",
      "b/c/three file",
      "b/two file",
      "file file",
      "z/c/three file",
      "z/two file",
    }, collect { files_only = true, follow = true })
  end)
  it("does not mind that a folder goes away meanwhile", function()
    local seen = {}
    for path in assert(fs.walk(dir.path)) do
      seen[#seen + 1] = fs.basename(path)
      if fs.basename(path) == "b" then assert(fs.remove(path)) end
    end
    assert.same({ "a", "b", "file" }, seen)
  end)
  it("passes on what the filter raises as it is", function()
    local problem = {}
    local ok, raised = pcall(function()
      collect { filter = function() error(problem) end }
    end)
    assert.is_false(ok)
    assert.equal(problem, raised)
  end)
  it("refuses what is missing and a file", function()
    assert_refused("ENOENT", "^cannot list /no: ", fs.walk("/no"))
    assert_refused("ENOTDIR", "^cannot list .*: Not a directory", fs.walk(file))
  end)
end)

describe("fs.glob", function()
  local function glob(pattern)
    local found = fs.glob(fs.join(dir.path, pattern))
    for i, path in ipairs(found) do
      found[i] = path:sub(#dir.path + 2)
    end
    return found
  end
  before_each(function()
    for _, path in ipairs {
      "a/b1.json",
      "a/x/b2.json",
      "a/x/y/b3.json",
      "a/x/c.json",
      "a/.hidden/b4.json",
      "a/b-c.json",
      "a/[b].json",
    } do
      assert(fs.write(inside(path), "", { sync = false }))
    end
  end)
  it(
    "matches * within a name",
    function() assert.same({ "a/[b].json", "a/b-c.json", "a/b1.json" }, glob("a/*.json")) end
  )
  it("matches ** over any number of folders, none included", function()
    assert.same({ "a/b-c.json", "a/b1.json", "a/x/b2.json", "a/x/y/b3.json" }, glob("a/**/b*.json"))
    assert.same({ "a/x/y/b3.json" }, glob("**/y/**/*.json"))
  end)
  it(
    "finds a path only once, however many ways lead to it",
    function() assert.same({ "a/x/y/b3.json" }, glob("**/**/b3.json")) end
  )
  it(
    "takes ** at the end for everything below",
    function() assert.same({ "a/x/b2.json", "a/x/c.json", "a/x/y", "a/x/y/b3.json" }, glob("a/x/**")) end
  )
  it("matches ? and sets", function()
    assert.same({ "a/b1.json" }, glob("a/b?.json"))
    assert.same({ "a/x/b2.json" }, glob("a/x/[a-b][0-9].json"))
    assert.same({ "a/x/c.json" }, glob("a/x/[!b]*.json"))
    assert.same({ "a/[b].json" }, glob("a/[[]b[]].json"))
  end)
  it("takes an open bracket and Lua's magic for themselves", function()
    assert.same({ "a/b-c.json" }, glob("a/*b-c.json"))
    assert.same({}, glob("a/[b.json"))
    assert.same({}, glob("a/b.?json"))
  end)
  it(
    "shows names with a leading dot only when asked",
    function() assert.same({ "a/.hidden/b4.json" }, glob("a/.h*/*")) end
  )
  it("gives a plain path that exists, and nothing for one that does not", function()
    assert.same({ "a/x/c.json" }, glob("a/x/c.json"))
    assert.same({}, glob("a/x/d.json"))
    assert.same({}, glob("nowhere/*"))
  end)
  it(
    "gives relative paths for a relative pattern",
    function() assert.same({ "spec/fs_spec.lua" }, fs.glob("spec/fs_*.lua")) end
  )
end)

describe("fs.copy", function()
  it("copies a file with its permissions", function()
    assert(process.run { "chmod", "755", file, check = true })
    assert.is_true(fs.copy(file, inside("new/copy")))
    assert.equal("contents", fs.read(inside("new/copy")))
    assert.equal("rwxr-xr-x", lfs.attributes(inside("new/copy"), "permissions"))
  end)
  it("copies a folder, links as links", function()
    assert(fs.write(inside("t/a/b"), "deep"))
    assert(lfs.link("a/b", inside("t/link"), true))
    assert.is_true(fs.copy(inside("t"), inside("u")))
    assert.is_true(fs.copy(inside("t"), inside("u")))
    assert.equal("deep", fs.read(inside("u/a/b")))
    assert.equal("a/b", lfs.symlinkattributes(inside("u/link"), "target"))
  end)
  it("refuses to copy a folder into itself", function()
    assert_refused("EINVAL", "is inside it", fs.copy(dir.path, inside("x/y")))
    assert.is_false(fs.exists(inside("x")))
  end)
  it("refuses what is missing before touching the target", function()
    assert_refused("ENOENT", "^cannot read /no: ", fs.copy("/no", inside("x/copy")))
    assert.same({ "file" }, fs.list(dir.path))
  end)
end)

describe("fs.rename", function()
  it("moves a file, over another and into a new folder", function()
    assert(fs.write(inside("other"), "old"))
    assert.is_true(fs.rename(file, inside("other")))
    assert.is_true(fs.rename(inside("other"), inside("new/name")))
    assert.equal("contents", fs.read(inside("new/name")))
    assert.same({ "new" }, fs.list(dir.path))
  end)
  it("moves to another file system", function()
    if not fs.is_dir("/dev/shm") then return pending("there is no /dev/shm") end
    local made = assert(process.run { "mktemp", "-d", "/dev/shm/fs-spec-XXXXXX", check = true })
    local other = made.stdout:gsub("\n", "")
    finally(function() fs.remove(other) end)
    assert.is_true(fs.rename(file, fs.join(other, "moved")))
    assert.equal("contents", fs.read(fs.join(other, "moved")))
    assert.is_false(fs.exists(file))
  end)
  it("refuses what is missing, and a folder that is in the way", function()
    assert_refused("ENOENT", "^cannot rename /no: No such file", fs.rename("/no", inside("x")))
    assert(fs.write(inside("d/x"), ""))
    assert_refused("EISDIR", "^cannot rename .* to .*/d: Is a directory", fs.rename(file, inside("d")))
  end)
end)
