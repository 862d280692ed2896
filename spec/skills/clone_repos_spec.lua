local cjson = require "cjson"
local fs = require "hone.fs"
local process = require "hone.process"
local sandbox = require "support.sandbox"

-- git as the specs use it: an identity, file:// submodules allowed, nothing from the machine's configuration.
local GIT = {
  GIT_AUTHOR_NAME = "a",
  GIT_AUTHOR_EMAIL = "a@b",
  GIT_COMMITTER_NAME = "a",
  GIT_COMMITTER_EMAIL = "a@b",
  GIT_AUTHOR_DATE = "2026-01-02T03:04:05Z",
  GIT_COMMITTER_DATE = "2026-01-02T03:04:05Z",
  GIT_CONFIG_NOSYSTEM = "1",
  GIT_CONFIG_COUNT = "1",
  GIT_CONFIG_KEY_0 = "protocol.file.allow",
  GIT_CONFIG_VALUE_0 = "always",
}

local box

local function git(...)
  local result = box:run({ "git", ... })
  assert.equal(0, result.status, result.stderr)
  return (result.stdout:gsub("\n$", ""))
end

local function commit(repository, path, text)
  box:write(fs.join(repository, path), text)
  git("-C", repository, "add", "-A")
  git("-C", repository, "commit", "--quiet", "-m", "change " .. path)
  return git("-C", repository, "rev-parse", "HEAD")
end

local function new_repository(name)
  git("init", "--quiet", "-b", "main", name)
  return commit(name, "README", name)
end

local function url(name) return "file://" .. box:at("upstream", name) end

-- hone clone-repos with the three upstream repositories of the sandbox, into ./repos.
local function clone(words, env)
  local all = {
    "clone-repos",
    "--sglang-url",
    url "sglang",
    "--flashinfer-url",
    url "flashinfer",
    "--trace-url",
    url "trace",
    "--retries",
    "0",
  }
  return box:hone(table.move(words or {}, 1, #(words or {}), #all + 1, all), env)
end

local function only_sglang(...) return clone { "--repos", "sglang", ... } end

local function config() return cjson.decode((assert(fs.read(box:at("repos/repos_config.json"))))) end

local function refused(result, pattern)
  assert.equal(1, result.status)
  local last = result.stderr:match("([^\n]*)\n$")
  assert.matches("^hone: clone%-repos: " .. pattern, last)
  assert.is_nil(result.stderr:find("traceback", 1, true))
end

-- What lies in ./repos, hidden files included.
local function left() return fs.is_dir(box:at("repos")) and fs.list(box:at("repos")) or {} end

describe("clone-repos", function()
  local head

  before_each(function()
    box = sandbox.new()
    for name, value in pairs(GIT) do
      box.env[name] = value
    end
    head = new_repository("upstream/sglang")
    new_repository("upstream/flashinfer")
    new_repository("upstream/trace")
  end)

  after_each(function() box:close() end)

  it("clones all three and records them for the other skills", function()
    local result = clone()
    assert.equal(0, result.status)
    assert.same({ "flashinfer", "flashinfer-trace", "repos_config.json", "sglang" }, left())
    assert.equal("upstream/trace", fs.read(box:at("repos/flashinfer-trace/README")))
    local entry = config().repositories.sglang
    assert.same({
      name = "sglang",
      url = url "sglang",
      path = box:at("repos/sglang"),
      branch = "main",
      commit = head,
      date = entry.date,
      source = "git",
    }, entry)
    assert.matches("^2026%-01%-02T03:04:05[Z+]", entry.date)
    assert.equal(box:at("repos"), config().target_dir)
    for _, name in ipairs { "sglang", "flashinfer", "flashinfer-trace" } do
      assert.matches("\n" .. name:gsub("%-", "%%-") .. ": cloned, %x+", "\n" .. result.stderr)
    end
  end)

  it("brings sgl-cookbook when it is named", function()
    new_repository("upstream/cookbook")
    local result = clone { "--repos", "sgl-cookbook", "--cookbook-url", url "cookbook" }
    assert.equal(0, result.status, result.stderr)
    assert.same({ "repos_config.json", "sgl-cookbook" }, left())
    assert.equal("upstream/cookbook", fs.read(box:at("repos/sgl-cookbook/README")))
  end)

  it("prints the result as data", function()
    local told = cjson.decode(only_sglang("--json").stdout)
    assert.equal("./repos/repos_config.json", told.config)
    assert.equal(1, #told.repositories)
    assert.equal("cloned", told.repositories[1].status)
    assert.equal(head, told.repositories[1].commit)
  end)

  it("clones the branch or tag asked for", function()
    git("-C", "upstream/sglang", "tag", "v0.1")
    git("-C", "upstream/sglang", "checkout", "--quiet", "-b", "topic")
    local topic = commit("upstream/sglang", "topic", "x")
    assert.equal(0, only_sglang("--sglang-branch", "topic").status)
    assert.equal(topic, config().repositories.sglang.commit)
    assert.equal(0, only_sglang("--target-dir", "tagged", "--sglang-branch", "v0.1").status)
    assert.equal(head, git("-C", "tagged/sglang", "rev-parse", "HEAD"))
  end)

  it("brings only so much history with --depth, and moves it forward later", function()
    commit("upstream/sglang", "b", "2")
    assert.equal(0, only_sglang("--depth", "1").status)
    assert.equal("1", git("-C", "repos/sglang", "rev-list", "--count", "HEAD"))
    commit("upstream/sglang", "c", "3")
    local last = commit("upstream/sglang", "d", "4")
    assert.equal(0, only_sglang("--depth", "1").status)
    assert.equal(last, git("-C", "repos/sglang", "rev-parse", "HEAD"))
  end)

  it("updates what is there and keeps what it does not bring in the record", function()
    clone()
    local last = commit("upstream/sglang", "b", "2")
    local result = only_sglang()
    assert.equal(0, result.status)
    assert.matches("sglang: updated, " .. last:sub(1, 12), result.stderr)
    assert.equal("2", fs.read(box:at("repos/sglang/b")))
    assert.equal(last, config().repositories.sglang.commit)
    assert.is_table(config().repositories["flashinfer-trace"])
    assert.matches("sglang: unchanged", only_sglang().stderr)
  end)

  it("changes to another branch or tag when asked, keeping the one that was there", function()
    only_sglang()
    git("-C", "upstream/sglang", "tag", "v0.1")
    git("-C", "upstream/sglang", "checkout", "--quiet", "-b", "topic")
    local topic = commit("upstream/sglang", "topic", "x")
    assert.equal(0, only_sglang("--sglang-branch", "topic").status)
    assert.equal("topic", git("-C", "repos/sglang", "symbolic-ref", "--short", "HEAD"))
    assert.equal(topic, git("-C", "repos/sglang", "rev-parse", "HEAD"))
    assert.equal(head, git("-C", "repos/sglang", "rev-parse", "main"))
    assert.equal(0, only_sglang("--sglang-branch", "v0.1").status)
    assert.equal(head, git("-C", "repos/sglang", "rev-parse", "HEAD"))
    assert.equal(0, only_sglang("--sglang-branch", "topic").status)
    assert.equal(topic, git("-C", "repos/sglang", "rev-parse", "HEAD"))
  end)

  it("never touches a work tree with uncommitted changes", function()
    only_sglang()
    commit("upstream/sglang", "b", "2")
    box:write("repos/sglang/README", "edited")
    refused(
      only_sglang(),
      "cannot update sglang %(%./repos/sglang%): it has uncommitted changes %(README%); commit"
    )
    assert.equal("edited", fs.read(box:at("repos/sglang/README")))
    assert.equal(head, git("-C", "repos/sglang", "rev-parse", "HEAD"))
  end)

  it("does not overwrite an untracked file that an update would bring", function()
    only_sglang()
    commit("upstream/sglang", "b", "theirs")
    box:write("repos/sglang/b", "mine")
    refused(only_sglang(), "cannot update sglang .*untracked")
    assert.equal("mine", fs.read(box:at("repos/sglang/b")))
  end)

  it("only moves forward: a branch with commits of its own is left as it is", function()
    only_sglang()
    commit("upstream/sglang", "b", "2")
    local own = commit("repos/sglang", "c", "mine")
    refused(only_sglang(), "cannot update sglang .*branch main has commits of its own")
    assert.equal(own, git("-C", "repos/sglang", "rev-parse", "HEAD"))
  end)

  it("does not leave commits behind that are on no branch", function()
    only_sglang()
    git("-C", "repos/sglang", "checkout", "--quiet", "--detach")
    local own = commit("repos/sglang", "c", "mine")
    refused(only_sglang(), "cannot update sglang .*it has commits that are on no branch; make one for them")
    assert.equal(own, git("-C", "repos/sglang", "rev-parse", "HEAD"))
  end)

  it("keeps commits that are not upstream yet when there is nothing new", function()
    only_sglang()
    local own = commit("repos/sglang", "c", "mine")
    assert.equal(0, only_sglang().status)
    assert.equal(own, git("-C", "repos/sglang", "rev-parse", "HEAD"))
  end)

  it("refuses a folder that is no git work tree, even inside one", function()
    git("init", "--quiet", ".")
    box:write("repos/sglang/notes", "mine")
    refused(
      only_sglang(),
      "cannot update sglang %(%./repos/sglang%): it is there but is no git work tree; move it away"
    )
    assert.equal("mine", fs.read(box:at("repos/sglang/notes")))
  end)

  it("takes an empty folder as absent", function()
    assert(fs.mkdir(box:at("repos/sglang")))
    assert.equal(0, only_sglang().status)
  end)

  it("names both addresses when the one that is there comes from elsewhere", function()
    only_sglang()
    refused(
      clone { "--repos", "sglang", "--sglang-url", url "flashinfer" },
      "cannot update sglang %(%./repos/sglang%): its origin is file://.*/upstream/sglang, "
        .. "not file://.*/flashinfer; give %-%-sglang%-url"
    )
  end)

  it("names the branch that does not exist, and the nearest", function()
    git("-C", "upstream/sglang", "branch", "release")
    refused(
      only_sglang("--sglang-branch", "relaese"),
      "cannot clone sglang %(.*%): file://.* has no branch or tag relaese; did you mean release%?$"
    )
    assert.same({}, left())
    only_sglang()
    refused(
      only_sglang("--sglang-branch", "relaese"),
      "cannot update sglang %(.*%): .* has no branch or tag relaese; did you mean release%?$"
    )
  end)

  it("leaves nothing of a clone that failed, and keeps what succeeded", function()
    local result = clone { "--flashinfer-url", "file:///nowhere/at/all", "--json" }
    refused(result, "cannot clone flashinfer %(file:///nowhere/at/all%): '/nowhere/at/all' does not ")
    assert.same({ "flashinfer-trace", "repos_config.json", "sglang" }, left())
    assert.is_nil(config().repositories.flashinfer)
    assert.equal(2, #cjson.decode(result.stdout).repositories)
  end)

  it("tries again when the network fails, and then says why", function()
    local result = clone { "--repos", "sglang", "--sglang-url", "http://127.0.0.1:9/x.git", "--retries", "1" }
    refused(result, "cannot clone sglang %(http://127%.0%.0%.1:9/x%.git%): Failed to connect")
    assert.matches("sglang: failed %(0:0[1-3]%)", result.stderr)
    assert.same({}, left())
  end)

  it("says what ssh said, and does not try again what will not go better", function()
    local ssh = box:write(
      "ssh.sh",
      '#!/bin/sh\necho once >> "$(dirname "$0")/asked"\n'
        .. "echo 'ada@host: Permission denied (publickey).' >&2\nexit 255\n"
    )
    box:run { "chmod", "+x", ssh }
    local result = clone(
      { "--repos", "sglang", "--sglang-url", "ssh://host/x", "--retries", "3" },
      { GIT_SSH = ssh, GIT_SSH_VARIANT = "ssh" }
    )
    refused(result, "cannot clone sglang %(ssh://host/x%): ada@host: Permission denied %(publickey%)$")
    assert.equal("once\n", fs.read(box:at("asked")))
  end)

  describe("with a secret in the URL", function()
    -- Neither the output, nor any file below the target, git's own ones included, may show it.
    local function assert_secret_nowhere(result)
      assert.is_nil((result.stdout .. result.stderr):find("hunter2", 1, true))
      assert.equal("", box:run({ "grep", "-r", "hunter2", "repos" }).stdout)
    end

    it("clones and updates over http with it, and does not show or keep it", function()
      local function serve(name)
        git("clone", "--quiet", "--bare", "upstream/" .. name, ("upstream/%s.git"):format(name))
        git("-C", ("upstream/%s.git"):format(name), "update-server-info")
      end
      serve("sglang")
      git("-C", "upstream/flashinfer", "submodule", "--quiet", "add", "../sglang.git", "sub")
      git("-C", "upstream/flashinfer", "commit", "--quiet", "-m", "submodule")
      serve("flashinfer")
      local server <close> = assert(process.start {
        "python3",
        "spec/support/git_http_server.py",
        box:at("upstream"),
        "ada:hunter2",
      })
      local address = "127.0.0.1:" .. server:lines()() .. "/flashinfer.git"
      local words = { "--repos", "flashinfer", "--flashinfer-url", "http://ada:hunter2@" .. address }
      for _ = 1, 2 do
        local result = clone(words)
        assert.equal(0, result.status, result.stderr)
        assert_secret_nowhere(result)
      end
      assert.equal("upstream/sglang", fs.read(box:at("repos/flashinfer/sub/README")))
      assert.equal("http://" .. address, config().repositories.flashinfer.url)
      assert.equal("http://" .. address, git("-C", "repos/flashinfer", "config", "remote.origin.url"))
      local result = clone { "--repos", "flashinfer", "--flashinfer-url", "http://" .. address }
      refused(result, "cannot update flashinfer .*: access denied: it is private or does not exist$")
      result = clone { "--repos", "flashinfer", "--flashinfer-url", "http://eve:hunter2@" .. address }
      refused(result, "cannot update flashinfer ")
      assert_secret_nowhere(result)
    end)

    it("keeps the user of an ssh address, which is no secret, but not the password", function()
      -- A wrapper notes what it is asked to reach and runs it here.
      local ssh = box:write(
        "ssh.sh",
        [[#!/bin/sh
        echo "$@" >> "$(dirname "$0")/asked"
        for last; do :; done
        exec sh -c "$last"]]
      )
      box:run { "chmod", "+x", ssh }
      local path = "host" .. box:at("upstream/sglang")
      local words = { "--repos", "sglang", "--sglang-url", "ssh://git:hunter2@" .. path }
      local result = clone(words, { GIT_SSH = ssh })
      assert.equal(0, result.status, result.stderr)
      assert.matches("git:hunter2@host", fs.read(box:at("asked")))
      assert_secret_nowhere(result)
      assert.equal("ssh://git@" .. path, config().repositories.sglang.url)
    end)
  end)

  describe("with submodules", function()
    before_each(function()
      new_repository("upstream/cutlass")
      git("-C", "upstream/flashinfer", "submodule", "--quiet", "add", url "cutlass", "3rdparty/cutlass")
      git("-C", "upstream/flashinfer", "commit", "--quiet", "-m", "submodule")
    end)

    it("brings them, and moves them when the repository does", function()
      assert.equal(0, clone({ "--repos", "flashinfer" }).status)
      assert.equal("upstream/cutlass", fs.read(box:at("repos/flashinfer/3rdparty/cutlass/README")))
      commit("upstream/cutlass", "new", "x")
      git("-C", "upstream/flashinfer/3rdparty/cutlass", "pull", "--quiet", "origin", "main")
      git("-C", "upstream/flashinfer", "commit", "--quiet", "-a", "-m", "move submodule")
      assert.equal(0, clone({ "--repos", "flashinfer" }).status)
      assert.equal("x", fs.read(box:at("repos/flashinfer/3rdparty/cutlass/new")))
      assert.equal("", git("-C", "repos/flashinfer", "status", "--porcelain"))
    end)

    it("leaves them out with --no-submodules", function()
      assert.equal(0, clone({ "--repos", "flashinfer", "--no-submodules" }).status)
      assert.is_false(fs.exists(box:at("repos/flashinfer/3rdparty/cutlass/README")))
    end)

    it("leaves nothing when one cannot be brought", function()
      fs.remove(box:at("upstream/cutlass"))
      refused(clone { "--repos", "flashinfer" }, "cannot clone flashinfer")
      assert.same({}, left())
    end)
  end)

  describe("with files in git-lfs", function()
    local POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:"
      .. "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\nsize 3\n"

    before_each(function()
      commit("upstream/trace", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
      commit("upstream/trace", "blob.bin", POINTER)
    end)

    local FILTERS = {
      GIT_CONFIG_COUNT = "5",
      GIT_CONFIG_KEY_1 = "filter.lfs.required",
      GIT_CONFIG_VALUE_1 = "true",
      GIT_CONFIG_KEY_2 = "filter.lfs.smudge",
      GIT_CONFIG_VALUE_2 = "git-lfs smudge -- %f",
      GIT_CONFIG_KEY_3 = "filter.lfs.clean",
      GIT_CONFIG_VALUE_3 = "git-lfs clean -- %f",
      GIT_CONFIG_KEY_4 = "filter.lfs.process",
      GIT_CONFIG_VALUE_4 = "git-lfs filter-process",
    }

    -- A PATH with git and what it needs, but no git-lfs.
    local function path_without_lfs()
      assert(fs.mkdir(box:at("bin")))
      for _, name in ipairs { "git", "sh", "sleep", "sed", "basename", "uname" } do
        assert(require("lfs").link(assert(process.which(name)), box:at("bin", name), true))
      end
      return box:at("bin")
    end

    it("leaves pointers, with filters configured and without", function()
      for i, env in ipairs { FILTERS, {} } do
        local target = "target" .. i
        assert.equal(0, clone({ "--repos", "flashinfer-trace", "--target-dir", target }, env).status)
        assert.equal(POINTER, fs.read(box:at(target, "flashinfer-trace/blob.bin")))
      end
    end)

    it("leaves pointers where git-lfs is configured but not installed, and updates there too", function()
      local env = { PATH = path_without_lfs() }
      for name, value in pairs(FILTERS) do
        env[name] = value
      end
      local result = clone({ "--repos", "flashinfer-trace" }, env)
      assert.equal(0, result.status, result.stderr)
      assert.equal(POINTER, fs.read(box:at("repos/flashinfer-trace/blob.bin")))
      commit("upstream/trace", "more", "x")
      assert.equal(0, clone({ "--repos", "flashinfer-trace" }, env).status)
      assert.equal("x", fs.read(box:at("repos/flashinfer-trace/more")))
    end)

    it("says that --lfs needs git-lfs", function()
      local result = clone({ "--repos", "flashinfer-trace", "--lfs" }, { PATH = path_without_lfs() })
      refused(result, "%-%-lfs needs git%-lfs, which is not installed")
      assert.same({}, left())
    end)

    it("brings the contents with --lfs, at once or later", function()
      if not process.which("git-lfs") then return pending("git-lfs is not installed") end
      local object = "upstream/trace/.git/lfs/objects/2c/26/"
        .. "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
      box:write(object, "foo")
      local result = clone { "--repos", "flashinfer-trace", "--lfs", "--target-dir", "whole" }
      assert.equal(0, result.status, result.stderr)
      assert.equal("foo", fs.read(box:at("whole/flashinfer-trace/blob.bin")))
      assert.equal(0, clone({ "--repos", "flashinfer-trace" }).status)
      assert.equal(POINTER, fs.read(box:at("repos/flashinfer-trace/blob.bin")))
      result = clone { "--repos", "flashinfer-trace", "--lfs" }
      assert.equal(0, result.status, result.stderr)
      assert.equal("foo", fs.read(box:at("repos/flashinfer-trace/blob.bin")))
    end)

    it("leaves nothing when the contents cannot be had", function()
      if not process.which("git-lfs") then return pending("git-lfs is not installed") end
      refused(
        clone { "--repos", "flashinfer-trace", "--lfs" },
        "cannot fetch the lfs objects of flashinfer%-trace"
      )
      assert.same({}, left())
    end)
  end)

  it("leaves nothing half-written when it is interrupted", function()
    -- A transport that never answers: the clone waits until the interrupt.
    local ssh = box:write("ssh.sh", '#!/bin/sh\ntouch "$(dirname "$0")/asked"\nexec sleep 60\n')
    box:run { "chmod", "+x", ssh }
    local running <close> = box:start(
      { "clone-repos", "--repos", "sglang", "--sglang-url", "ssh://host/x" },
      { GIT_SSH = ssh }
    )
    for _ = 1, 100 do
      if fs.exists(box:at("asked")) then break end
      process.run { "sleep", "0.05" }
    end
    assert.is_true(fs.exists(box:at("asked")))
    running:kill("SIGINT")
    local result = assert(running:wait(20))
    assert.equal(130, result.status)
    assert.matches("\nhone: clone%-repos: interrupted\n$", result.stderr)
    assert.same({}, left())
  end)

  it("says that git is missing, that the target cannot be made, that a flag is wrong", function()
    assert(fs.mkdir(box:at("empty")))
    refused(clone({}, { PATH = box:at("empty") }), "git is not installed")
    box:write("file", "")
    refused(only_sglang("--target-dir", "file/repos"), "cannot [^\n]*file/repos")
    assert.equal(2, clone({ "--repos", "sglnag" }).status)
    assert.matches("did you mean sglang%?", clone({ "--repos", "sglnag" }).stderr)
    assert.equal(2, clone({ "--depth", "0" }).status)
  end)

  it("does not run over a repos_config.json that it cannot read", function()
    box:write("repos/repos_config.json", "{ not json")
    refused(only_sglang(), "[^\n]*repos_config%.json")
    assert.equal("{ not json", fs.read(box:at("repos/repos_config.json")))
    assert.same({ "repos_config.json" }, left())
  end)
end)
