local cjson = require "cjson"
local fs = require "hone.fs"
local process = require "hone.process"
local sandbox = require "support.sandbox"

local WHEEL = fs.absolute("spec/support/wheel.py")
local ANY = "py3-none-any"

local box

local function wheel(package, version, tag, ...)
  local result = box:run { "python3", WHEEL, "index", package, version, tag, ... }
  assert.equal(0, result.status, result.stderr)
end

local function bring(...) return box:hone { "clone-repos", "--source", "pypi", ... } end

local function entry(name)
  return cjson.decode((assert(fs.read(box:at("repos/repos_config.json"))))).repositories[name]
end

local function version_there() return fs.read(box:at("repos/sglang/python/sglang/version.py")) end

local function refused(result, pattern)
  assert.equal(1, result.status)
  assert.matches("\nhone: clone%-repos: " .. pattern, "\n" .. result.stderr)
  assert.is_nil(result.stderr:find("traceback", 1, true))
end

local has_pip = process.run({ "python3", "-m", "pip", "--version" })
has_pip = has_pip and has_pip.status == 0

describe("clone-repos --source pypi", function()
  if not has_pip then return pending("python3 has no pip") end

  before_each(function()
    box = sandbox.new()
    assert(fs.mkdir(box:at("index")))
    box.env.PIP_NO_INDEX, box.env.PIP_FIND_LINKS = "1", box:at("index")
    box.env.PIP_CONFIG_FILE = "/dev/null"
    wheel("sglang", "0.1", ANY, "sglang/version.py=0.1", "sglang/srt/models/llama.py=class Llama: pass\n")
    wheel("flashinfer-python", "0.3.post1", ANY, "flashinfer/__init__.py=", "build_backend.py=")
  end)

  after_each(function() box:close() end)

  it("lays the sources out as in git and records version and checksum", function()
    local result = bring()
    assert.equal(0, result.status, result.stderr)
    assert.matches("flashinfer%-trace: left out, it has no package", result.stdout)
    assert.equal("0.1", version_there())
    assert.is_true(fs.exists(box:at("repos/flashinfer/flashinfer/__init__.py")))
    assert.same({ "flashinfer", "repos_config.json", "sglang" }, fs.list(box:at("repos")))
    local sglang = entry "sglang"
    assert.equal("0.1", sglang.version)
    assert.equal("pypi", sglang.source)
    assert.equal("sglang-0.1-py3-none-any.whl", sglang.archive)
    assert.equal(fs.sha256_file(box:at("index/sglang-0.1-py3-none-any.whl")), sglang.sha256)
    assert.equal("pkg:pypi/flashinfer-python@0.3.post1", entry("flashinfer").url)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", sglang.date)
  end)

  it("takes it as a wrong command line when the dataset is asked for, which has no package", function()
    local result = bring("--repos", "flashinfer-trace")
    assert.matches(
      "^hone: clone%-repos: flashinfer%-trace has no package; bring it with %-%-source git\n",
      result.stderr
    )
    assert.equal(2, result.status)
  end)

  it("keeps what is there in the wanted version, without asking the index when it is named", function()
    bring("--repos", "sglang")
    local brought = entry("sglang").date
    box:write("repos/sglang/python/sglang/mine.py", "kept")
    fs.remove(box:at("index"))
    local result = bring("--repos", "sglang", "--sglang-version", "0.1")
    assert.equal(0, result.status, result.stderr)
    assert.matches("sglang: unchanged, 0.1", result.stderr)
    assert.equal(brought, entry("sglang").date)
    assert.equal("kept", fs.read(box:at("repos/sglang/python/sglang/mine.py")))
  end)

  it("keeps what is there, with a warning, when the newest version cannot be asked for", function()
    bring("--repos", "sglang")
    fs.remove(box:at("index/sglang-0.1-py3-none-any.whl"))
    local result = bring("--repos", "sglang")
    assert.equal(0, result.status)
    assert.matches(
      "hone: clone%-repos: cannot ask for the newest sglang %(No matching [^\n]*%); kept 0%.1\n",
      result.stderr
    )
  end)

  it("brings the newest version, or the one asked for, in place of another", function()
    bring("--repos", "sglang")
    wheel("sglang", "0.2", ANY, "sglang/version.py=0.2")
    local result = bring("--repos", "sglang")
    assert.matches("sglang: updated, 0.2", result.stderr)
    assert.equal("0.2", version_there())
    assert.is_false(fs.exists(box:at("repos/sglang/python/sglang/srt")))
    assert.equal("0.2", entry("sglang").version)
    assert.equal(0, bring("--repos", "sglang", "--sglang-version", "0.1").status)
    assert.equal("0.1", version_there())
    assert.same({ "repos_config.json", "sglang" }, fs.list(box:at("repos")))
  end)

  it("replaces nothing that was changed by hand", function()
    bring("--repos", "sglang")
    wheel("sglang", "0.2", ANY, "sglang/version.py=0.2")
    box:write("repos/sglang/python/sglang/srt/models/llama.py", "mine")
    refused(
      bring("--repos", "sglang"),
      "cannot bring sglang .*: %./repos/sglang was changed %(sglang/srt/models/llama%.py%)"
    )
    assert.equal("mine", fs.read(box:at("repos/sglang/python/sglang/srt/models/llama.py")))
    assert.equal("0.1", entry("sglang").version)
  end)

  it("replaces nothing that came from elsewhere", function()
    box:write("repos/sglang/notes", "mine")
    refused(
      bring("--repos", "sglang"),
      "cannot bring sglang .* is there and came from elsewhere; move it away"
    )
    assert.equal("mine", fs.read(box:at("repos/sglang/notes")))
  end)

  it("takes a wheel that was built for another Python or machine: only its sources are wanted", function()
    wheel("sglang", "0.3", "cp312-cp312-manylinux_2_34_x86_64", "sglang/version.py=0.3")
    local result = bring("--repos", "sglang", "--sglang-version", "0.3")
    assert.equal(0, result.status, result.stderr)
    assert.equal("0.3", version_there())
  end)

  it("leaves nothing when the package or version does not exist, or the archive is damaged", function()
    refused(
      bring("--repos", "sglang", "--sglang-version", "9"),
      "cannot bring sglang %(the package sglang%): No matching distribution found for sglang==9\n"
    )
    box:write("index/sglang-0.4-py3-none-any.whl", "this is no zip file")
    refused(bring("--repos", "sglang"), "cannot bring sglang %(the package sglang%): [^\n]+\n")
    assert.same({}, fs.list(box:at("repos")))
  end)

  it("says that python3 or pip is missing, and how to get it", function()
    assert(fs.mkdir(box:at("bin")))
    local result = box:hone({ "clone-repos", "--source", "pypi" }, { PATH = box:at("bin") })
    refused(result, "%-%-source pypi needs python3 with pip %(on Debian and Ubuntu: apt install")
    box:write("bin/python3", "#!/bin/sh\necho '/usr/bin/python3: No module named pip' >&2\nexit 1\n")
    assert.equal(0, box:run({ "chmod", "+x", "bin/python3" }).status)
    result = box:hone({ "clone-repos", "--source", "pypi", "--repos", "sglang" }, { PATH = box:at("bin") })
    refused(result, "cannot bring sglang .*: python3 has no pip %(on Debian and Ubuntu: apt install")
  end)
end)
