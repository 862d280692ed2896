local fs = require "hone.fs"
local lfs = require "lfs"
local repos = require "hone.repos"
local sandbox = require "support.sandbox"

describe("repos", function()
  local box, before

  before_each(function()
    box, before = sandbox.new(), lfs.currentdir()
    fs.mkdir(box:at("repos/sglang"))
    local entry = { name = "sglang", path = box:at("repos/sglang"), branch = "main", status = "cloned" }
    assert(repos.record(box:at("repos"), { entry }))
  end)

  after_each(function()
    lfs.chdir(before)
    box:close()
  end)

  it("is found in the folder, in ./repos and from folders below", function()
    fs.mkdir(box:at("some/where/below"))
    for _, folder in ipairs { "repos", ".", "repos/sglang", "some/where/below" } do
      assert.equal(box:at("repos/sglang"), assert(repos.path("sglang", box:at(folder))))
    end
    lfs.chdir(box.path)
    assert.equal("main", repos.find().repositories.sglang.branch)
  end)

  it("says what to run when there is no file, no such repository, or no such folder", function()
    local empty = sandbox.new()
    local path, why, code = repos.path("sglang", empty.path)
    empty:close()
    assert.is_nil(path)
    assert.equal("no repos_config.json here, in ./repos or above; run `hone clone-repos`", why)
    assert.equal("absent", code)
    path, why = repos.path("flashinfer", box.path)
    assert.is_nil(path)
    assert.matches("has no repository flashinfer; run `hone clone%-repos %-%-repos flashinfer`$", why)
    fs.remove(box:at("repos/sglang"))
    path, why = repos.path("sglang", box.path)
    assert.is_nil(path)
    assert.matches("expects sglang in .*, which is not there; run", why)
  end)

  it("follows the folder when it was moved", function()
    assert(os.rename(box:at("repos"), box:at("elsewhere")))
    local config = assert(repos.read(box:at("elsewhere/repos_config.json")))
    assert.equal(box:at("elsewhere/sglang"), config.repositories.sglang.path)
  end)

  it("keeps what was recorded before, in an order that does not change", function()
    local another = { name = "flashinfer", path = box:at("repos/flashinfer"), branch = "v1" }
    assert(repos.record(box:at("repos"), { another }))
    local text = fs.read(box:at("repos/repos_config.json"))
    assert.matches('"flashinfer": {\n      "name": "flashinfer",\n.*"sglang": {', text)
    assert.is_nil(text:find("status", 1, true))
    assert.equal("\n", text:sub(-1))
  end)

  it("refuses a file that is something else, and does not overwrite it", function()
    for text, why in pairs {
      ["{"] = "repos_config%.json",
      ["[]"] = "it has no repositories",
      ['{ "repositories": { "x": 1 } }'] = "repository x has no path",
    } do
      box:write("repos/repos_config.json", text)
      local config, message = repos.find(box.path)
      assert.is_nil(config)
      assert.matches(why, message)
      assert.is_nil((repos.record(box:at("repos"), {})))
      assert.equal(text, fs.read(box:at("repos/repos_config.json")))
    end
  end)

  it("takes secrets out of URLs, and out of text with URLs in it", function()
    for url, clean in pairs {
      ["https://user:token@host/x.git"] = "https://host/x.git",
      ["https://token@host/x"] = "https://host/x",
      ["https://user:p@ss@host/x"] = "https://host/x",
      ["ssh://git:secret@host/x"] = "ssh://git@host/x",
      ["ssh://git@host/x"] = "ssh://git@host/x",
      ["git@host:x.git"] = "git@host:x.git",
      ["file:///a@b/c"] = "file:///a@b/c",
      ["https://host/a@b"] = "https://host/a@b",
    } do
      assert.equal(clean, repos.without_secrets(url))
    end
    assert.equal(
      "unable to access 'https://host/x/': no, https://h/y",
      repos.redact("unable to access 'https://u:p@host/x/': no, https://t@h/y")
    )
  end)
end)
