local fs = require "hone.fs"
local http_server = require "support.http_server"
local hub = require "hone.model.hub"
local lfs = require "lfs"
local process = require "hone.process"

local COMMIT = "0123456789abcdef0123456789abcdef01234567"
local BLOB_SHA256 = "8acfcabd38b512d5605abb0d51d67f99f2f8538f2fe6b0c28732280c320c4ba8"
local TOKEN = "hf_good"

-- Variables that the library reads: in these specs they are what `env` says, and no other.
local function is_ours(name)
  return name:find("^HF_")
    or name:find("^HUGGING")
    or name:find("^XDG_")
    or name:find("^TRANSFORMERS_")
    or name == "HOME"
end

describe("hone.model.hub", function()
  local server, home, env, getenv

  setup(function() server = http_server.start() end)
  teardown(function() server:stop() end)

  before_each(function()
    home = fs.tempdir()
    env = { HF_HOME = home.path, HF_ENDPOINT = server.url, HOME = home.path }
    local real = os.getenv
    getenv = stub(os, "getenv", function(name)
      if is_ours(name) then return env[name] end
      return real(name)
    end)
    server:log()
  end)
  after_each(function()
    getenv:revert()
    home:remove()
  end)

  -- Loopback is never asked for through a proxy, and retries do not wait.
  local function fast(opts)
    local all = { proxy = "", retry_delay = 0.001 }
    for name, value in pairs(opts or {}) do
      all[name] = value
    end
    return all
  end

  local function in_cache(path) return fs.join(home.path, "hub", path) end

  local function files()
    local list = {}
    for path in fs.walk(home.path) do
      if fs.is_file(path) then list[#list + 1] = fs.relative(path, home.path) end
    end
    table.sort(list)
    return list
  end

  -- Puts a file into the cache as if it had been downloaded earlier.
  local function put(repo, filename, content)
    local folder = in_cache("models--" .. repo:gsub("/", "--"))
    assert(fs.write(fs.join(folder, "refs/main"), COMMIT))
    assert(fs.write(fs.join(folder, "snapshots", COMMIT, filename), content))
    return fs.join(folder, "snapshots", COMMIT, filename)
  end

  local function disconnect() env.HF_ENDPOINT = "http://127.0.0.1:" .. http_server.free_port() end

  describe("file", function()
    it("brings a file into HuggingFace's cache layout", function()
      local path = assert(hub.file("org/plain", "config.json", fast()))
      local repo = in_cache "models--org--plain"
      assert.equal(fs.join(repo, "snapshots", COMMIT, "config.json"), path)
      assert.equal(COMMIT, fs.read(fs.join(repo, "refs/main")))
      local link = lfs.symlinkattributes(path, "target")
      assert.matches("^%.%./%.%./blobs/%x+$", link)
      assert.matches('"hidden_size": 16', fs.read(path))
      assert.equal(3, #files())
    end)

    it("links a file in a folder with as many steps up", function()
      local path = assert(hub.file("org/plain", "tokenizer/vocab.txt", fast()))
      assert.matches("^%.%./%.%./%.%./blobs/%x+$", lfs.symlinkattributes(path, "target"))
      assert.equal("one\ntwo\n", fs.read(path))
    end)

    it(
      "brings an empty file",
      function() assert.equal(0, fs.size(assert(hub.file("org/plain", "empty.txt", fast())))) end
    )

    it("fetches a file once while it has not changed", function()
      local path = assert(hub.file("org/plain", "config.json", fast()))
      server:log()
      assert.equal(path, hub.file("org/plain", "config.json", fast()))
      local log = server:log()
      assert.equal(1, #log)
      assert.equal("HEAD", log[1].method)
    end)

    it("asks nobody for a commit that is cached", function()
      local path = assert(hub.file("org/plain", "config.json", fast { revision = COMMIT }))
      server:log()
      assert.equal(path, hub.file("org/plain", "config.json", fast { revision = COMMIT }))
      assert.same({}, server:log())
    end)

    it("shares one blob between revisions", function()
      assert(hub.file("org/plain", "config.json", fast()))
      server:log()
      assert(hub.file("org/plain", "config.json", fast { revision = "v1.0" }))
      assert.equal(1, #server:log())
      assert.equal(COMMIT, fs.read(in_cache "models--org--plain/refs/v1.0"))
    end)

    it("quotes a revision with slashes in the address, and nests it in the cache", function()
      assert(hub.file("org/plain", "config.json", fast { revision = "refs/pr/1" }))
      assert.equal("/org/plain/resolve/refs%2Fpr%2F1/config.json", server:log()[1].path)
      assert.equal(COMMIT, fs.read(in_cache "models--org--plain/refs/refs/pr/1"))
    end)

    it("knows datasets", function()
      local path = assert(hub.file("org/plain", "config.json", fast { repo_type = "dataset" }))
      assert.equal("/datasets/org/plain/resolve/main/config.json", server:log()[1].path)
      assert.matches("/hub/datasets%-%-org%-%-plain/snapshots/", path)
    end)

    it("follows a repository that was renamed", function()
      local path = assert(hub.file("org/moved-old", "config.json", fast()))
      assert.matches("models%-%-org%-%-moved%-old/snapshots/", path)
    end)

    it("reports progress", function()
      local done, total
      local opts = fast {
        on_progress = function(d, t)
          done, total = d, t
        end,
      }
      assert(hub.file("org/plain", "weights.bin", opts))
      assert.equal(512000, done)
      assert.equal(512000, total)
    end)
  end)

  describe("a large file", function()
    it("comes from where the hub redirects to, under its checksum", function()
      local path = assert(hub.file("org/lfs", "weights.bin", fast()))
      assert.equal("../../blobs/" .. BLOB_SHA256, lfs.symlinkattributes(path, "target"))
      assert.equal(BLOB_SHA256, fs.sha256_file(path))
    end)

    it("does not take the token to another host", function()
      env.HF_TOKEN = TOKEN
      assert(hub.file("org/lfs", "weights.bin", fast()))
      local log = server:log()
      assert.equal("Bearer hf_good", log[2].headers.authorization)
      assert.matches("^localhost:", log[3].host)
      assert.is_nil(log[3].headers.authorization)
    end)

    it("that ends early is one line, and leaves nothing in its place", function()
      local path, why, code = hub.file("org/lfs-early", "weights.bin", fast { retries = 0 })
      assert.is_nil(path)
      assert.matches("^cannot fetch weights.bin of org/lfs%-early: ", why)
      assert.matches("closed early %(5 of 512000 bytes came%)$", why)
      assert.equal("ECLOSED", code)
      assert.is_nil(hub.cached("org/lfs-early", "weights.bin"))
      for _, name in ipairs(files()) do
        assert.matches("%.part$", name)
      end
    end)

    it("that is something else is refused, and the signature of its address not shown", function()
      local path, why, code = hub.file("org/lfs-html", "config.json", fast { retries = 0 })
      assert.is_nil(path)
      assert.matches("its size is 36 bytes, expected 60$", why)
      assert.is_nil(why:find("s3cret", 1, true))
      assert.equal("ECHECKSUM", code)
      assert.same({}, files())
    end)
  end)

  describe("the token", function()
    local function sent()
      hub.file("org/plain", "config.json", fast())
      return server:log()[1].headers.authorization
    end

    it("is HF_TOKEN", function()
      env.HF_TOKEN = " hf_abc\n"
      assert.equal("Bearer hf_abc", sent())
    end)

    it("is else the file in HF_HOME", function()
      assert(fs.write(fs.join(home.path, "token"), "hf_file\n"))
      assert.equal("Bearer hf_file", sent())
    end)

    it("is not needed", function() assert.is_nil(sent()) end)

    it("opens a gated repository", function()
      env.HF_TOKEN = TOKEN
      assert(hub.file("org/error-401", "config.json", fast()))
    end)

    it("is in no message", function()
      env.HF_TOKEN = "hf_secret"
      for _, repo in ipairs { "org/error-401", "org/error-403", "org/error-500", "org/closing" } do
        local _, why = hub.file(repo, "config.json", fast { retries = 0 })
        assert.is_nil(why:find("hf_secret", 1, true))
      end
    end)
  end)

  describe("a refusal", function()
    local function refusal(repo, filename, opts)
      local path, why, code = hub.file(repo, filename or "config.json", fast(opts))
      assert.is_nil(path)
      assert.is_nil(why:find("\n"))
      assert.same({}, files())
      return why, code
    end

    it("of a gated repository says to set HF_TOKEN and where to accept the licence", function()
      local why, code = refusal "org/error-401"
      local message = "cannot fetch config.json of org/error-401: HTTP 401: the repository is gated, "
        .. "private or does not exist (set HF_TOKEN, and accept the licence on %s/org/error-401)"
      assert.equal(message:format(server.url), why)
      assert.equal("HTTP401", code)
    end)

    it("of a token that may not read it says to check the token", function()
      env.HF_TOKEN = "hf_other"
      local why, code = refusal "org/error-403"
      assert.matches("HTTP 403: .*%(check that HF_TOKEN may read it, and accept the licence on ", why)
      assert.equal("HTTP403", code)
    end)

    it("of an unknown repository names the revision", function()
      local why, code = refusal "org/error-404"
      local reason = "HTTP 404: no such repository, or no such file in revision 'main', at "
      assert.matches(reason .. server.url .. "$", why)
      assert.equal("HTTP404", code)
    end)

    it(
      "of an unknown file names the revision",
      function()
        assert.matches(
          "nope.json of org/plain: HTTP 404: the repository has no such file in revision 'main'$",
          (refusal("org/plain", "nope.json"))
        )
      end
    )

    it(
      "of an unknown revision names it",
      function()
        assert.matches(
          "%(revision v9%): HTTP 404: the repository has no revision 'v9'$",
          (refusal("org/plain", nil, { revision = "v9" }))
        )
      end
    )

    it("of too many requests comes after the retries", function()
      local why, code = refusal("org/error-429", nil, { retries = 2 })
      assert.matches("HTTP 429: the hub asks to slow down", why)
      assert.equal("HTTP429", code)
      assert.equal(3, #server:log())
    end)

    it("of a broken hub comes after the retries", function()
      local why, code = refusal("org/error-500", nil, { retries = 2 })
      assert.matches("HTTP 500 from http://.* %(3 attempts%)$", why)
      assert.equal("HTTP500", code)
      assert.equal(3, #server:log())
    end)

    it("of a hub that closes early says so", function()
      local why, code = refusal("org/closing", nil, { retries = 1 })
      assert.matches("the connection was closed before an answer %(2 attempts%)$", why)
      assert.equal("ECLOSED", code)
    end)

    it("of a slow hub says so", function()
      local why, code = refusal("org/slow", nil, { timeout = 0.05, retries = 0 })
      assert.matches("timed out: nothing came for 0.05 s$", why)
      assert.equal("ETIMEDOUT", code)
    end)

    it("of a network that answers in the hub's place asks about HF_ENDPOINT", function()
      local why, code = refusal "org/portal"
      assert.matches("is not a HuggingFace hub's %(is HF_ENDPOINT right%?%)$", why)
      assert.equal("EPROTO", code)
    end)

    it("of an etag that leads out of the cache is the same", function()
      local why, code = refusal "org/hostile"
      assert.matches("is not a HuggingFace hub's", why)
      assert.equal("EPROTO", code)
    end)

    it("without a network and without a copy says so", function()
      disconnect()
      local why, code = refusal("org/plain", nil, { retries = 0 })
      assert.matches("^cannot fetch config.json of org/plain: http://127.0.0.1:", why)
      assert.matches(": connection refused$", why)
      assert.equal("ECONNREFUSED", code)
    end)

    it("of names that are none comes before any request", function()
      local repos = { "", "a/b/c", "../etc", "a/..", "a--b/c", "/a/b", "a b/c", "-a/b", "a/b." }
      for _, repo in ipairs(repos) do
        assert.matches("is not a repository", (refusal(repo)))
      end
      for _, name in ipairs { "../x", "/etc/passwd", "a/../../x", "a//b", "a/.", "", "a\nb" } do
        local path, why, code = hub.file("org/plain", name, fast())
        assert.is_nil(path)
        assert.matches("is not the name of a file", why)
        assert.equal("EINVAL", code)
      end
      assert.matches("is not a revision", (refusal("org/plain", nil, { revision = "../../x" })))
      assert.same({}, server:log())
    end)
  end)

  it("asks a busy hub again", function()
    assert(hub.file("org/busy", "config.json", fast()))
    assert.equal(3, #server:log())
  end)

  it("blames the caller for what only the caller can mend", function()
    local function complaint(...) return select(2, pcall(...)) end
    assert.matches(
      "hub_spec.lua:%d+: bad argument #3 to 'file' %(unknown option 'rev'%)",
      complaint(function()
        local path = hub.file("a/b", "c", { rev = "main" })
        return path
      end)
    )
    assert.matches("bad argument #1 to 'config'", complaint(hub.config, nil))
    assert.matches(
      "bad argument #2 to 'config' %(option 'retries' must be a number",
      complaint(hub.config, "a/b", { retries = "3" })
    )
    assert.matches("bad argument #2 to 'cached'", complaint(hub.cached, "a/b"))
    assert.matches("repo_type' must be", complaint(hub.file, "a/b", "c", { repo_type = "space" }))
  end)

  describe("a cached copy", function()
    it("serves when the hub cannot be reached, with a warning", function()
      local cached = put("org/plain", "config.json", "{}")
      disconnect()
      local warned
      local path, nothing, warning =
        hub.file("org/plain", "config.json", fast { on_warning = function(text) warned = text end })
      assert.equal(cached, path)
      assert.is_nil(nothing)
      assert.matches("^config.json of org/plain: using the cached copy, .*: connection refused", warning)
      assert.equal(warning, warned)
    end)

    it("serves when the hub is broken, busy or gated", function()
      for _, repo in ipairs { "org/error-500", "org/error-429", "org/error-401", "org/closing" } do
        local cached = put(repo, "config.json", "{}")
        local path, _, warning = hub.file(repo, "config.json", fast())
        assert.equal(cached, path)
        assert.is_string(warning)
      end
    end)

    it("does not hide that the file is gone", function()
      put("org/error-404", "config.json", "{}")
      local path, _, code = hub.file("org/error-404", "config.json", fast())
      assert.is_nil(path)
      assert.equal("HTTP404", code)
    end)

    it("is used without asking when offline", function()
      local cached = put("org/plain", "config.json", "{}")
      env.HF_HUB_OFFLINE = "1"
      assert.equal(cached, hub.file("org/plain", "config.json", fast()))
      assert.same({}, server:log())
    end)

    it("that is missing when offline is one line", function()
      local path, why, code = hub.file("org/plain", "config.json", fast { offline = true })
      assert.is_nil(path)
      assert.matches("^cannot fetch config.json of org/plain: it is not in ", why)
      assert.matches("/hub, and the hub may not be asked %(HF_HUB_OFFLINE%)$", why)
      assert.equal("EOFFLINE", code)
      assert.same({}, server:log())
    end)

    it("is replaced when its link leads nowhere", function()
      local path = assert(hub.file("org/plain", "config.json", fast()))
      assert(os.remove(fs.join(fs.dirname(path), lfs.symlinkattributes(path, "target"))))
      assert.is_nil(hub.cached("org/plain", "config.json"))
      assert.equal(path, hub.file("org/plain", "config.json", fast()))
      assert.is_true(fs.is_file(path))
    end)
  end)

  describe("cached", function()
    it("looks and asks nobody", function()
      assert.is_nil(hub.cached("org/plain", "config.json"))
      local path = put("org/plain", "config.json", "{}")
      assert.equal(path, hub.cached("org/plain", "config.json"))
      assert.equal(path, hub.cached("org/plain", "config.json", COMMIT))
      assert.is_nil(hub.cached("org/plain", "config.json", "v1.0"))
      assert.same({}, server:log())
    end)

    it("lists the repositories that it holds a file of", function()
      assert.same({}, hub.list_cached "config.json")
      local path = assert(hub.file("org/plain", "config.json", fast()))
      assert(fs.mkdir(in_cache "models--org--without/snapshots"))
      assert(fs.mkdir(in_cache "datasets--org--plain/snapshots"))
      assert.same({ { repo_id = "org/plain", path = path } }, hub.list_cached "config.json")
      assert.same({}, hub.list_cached "other.json")
    end)

    it("finds the cache by HF_HUB_CACHE, else under HF_HOME, XDG_CACHE_HOME or ~/.cache", function()
      local function found_in(folder, settings)
        local path = fs.join(folder, "models--org--x/snapshots", COMMIT, "f")
        assert(fs.write(path, "x"))
        env = settings
        return hub.cached("org/x", "f", COMMIT) == path
      end
      local base = home.path
      assert.is_true(found_in(base .. "/a", { HF_HUB_CACHE = base .. "/a", HF_HOME = base .. "/other" }))
      assert.is_true(found_in(base .. "/b/hub", { HF_HOME = "~/b", HOME = base }))
      assert.is_true(found_in(base .. "/c/huggingface/hub", { XDG_CACHE_HOME = base .. "/c", HOME = base }))
      assert.is_true(found_in(base .. "/.cache/huggingface/hub", { HOME = base }))
    end)
  end)

  describe("config", function()
    it("reads config.json, bare Infinity and all", function()
      local config = assert(hub.config("org/plain", fast()))
      assert.equal("llama", config.model_type)
      assert.equal(math.huge, config.rope)
      assert.equal(16, config.hidden_size)
    end)

    it("says where it lies", function()
      local _, path = hub.config("org/plain", fast())
      assert.equal(hub.cached("org/plain", "config.json"), path)
    end)

    it("hands on the warning about a copy that may be old", function()
      put("org/error-500", "config.json", '{"a": 1}')
      local config, _, warning = hub.config("org/error-500", fast())
      assert.equal(1, config.a)
      assert.matches("using the cached copy", warning)
    end)

    it("refuses a web page, and keeps it out of the cache", function()
      local config, why, code = hub.config("org/garbage", fast())
      assert.is_nil(config)
      assert.matches("^cannot fetch config.json of org/garbage: .*not JSON but looks like a web page$", why)
      assert.equal("ECONTENT", code)
      assert.same({}, files())
    end)

    it("names the position of what is not JSON", function()
      local config, why, code = hub.config("org/notjson", fast())
      assert.is_nil(config)
      assert.matches("it is not JSON: .*config.json:2:7", why)
      assert.equal("ECONTENT", code)
      assert.same({}, files())
    end)

    it("refuses JSON that is no object", function()
      local path = put("org/plain", "config.json", "false")
      local config, why, code = hub.config("org/plain", fast { offline = true })
      assert.is_nil(config)
      assert.equal(("cannot read %s: it is not a JSON object"):format(path), why)
      assert.equal("EJSON", code)
    end)

    it("names the file and the position when a cached copy is not JSON", function()
      local path = put("org/plain", "config.json", '{"a":}')
      local config, why, code = hub.config("org/plain", fast { offline = true })
      assert.is_nil(config)
      assert.matches("cannot read " .. path:gsub("%p", "%%%0") .. ": it is not JSON: .*1:6", why)
      assert.equal("EJSON", code)
    end)
  end)

  describe("HuggingFace's own library", function()
    local python

    setup(function()
      for _, candidate in ipairs { "build/testenv/bin/python", "python3" } do
        local found = process.run { candidate, "-c", "import huggingface_hub" }
        if found and found.status == 0 then python = candidate end
      end
    end)

    -- Runs Python with `name` of the library, on the same cache and hub.
    local function run_python(name, code)
      if not python then pending("huggingface_hub is not installed") end
      local result = assert(process.run {
        python,
        "-c",
        ("from huggingface_hub import %s\n%s"):format(name, code),
        env = {
          HF_HOME = home.path,
          HF_ENDPOINT = server.url,
          HF_HUB_DISABLE_TELEMETRY = "1",
          HF_HUB_DISABLE_XET = "1",
          HF_HUB_DISABLE_PROGRESS_BARS = "1",
          NO_PROXY = "127.0.0.1,localhost",
        },
      })
      assert.equal(0, result.status, result.stderr)
      return (result.stdout:gsub("\n$", ""))
    end

    it("finds what we downloaded", function()
      for _, name in ipairs { "config.json", "tokenizer/vocab.txt" } do
        local path = assert(hub.file("org/plain", name, fast()))
        local code = ("print(try_to_load_from_cache('org/plain', '%s'))"):format(name)
        assert.equal(path, run_python("try_to_load_from_cache", code))
      end
    end)

    it("takes what we downloaded for its own", function()
      local path = assert(hub.file("org/lfs", "weights.bin", fast()))
      server:log()
      assert.equal(path, run_python("hf_hub_download", "print(hf_hub_download('org/lfs', 'weights.bin'))"))
      for _, request in ipairs(server:log()) do
        assert.equal("HEAD", request.method)
      end
    end)

    it("has files that we find", function()
      local path = run_python(
        "hf_hub_download",
        "print(hf_hub_download('org/plain', 'tokenizer/vocab.txt', revision='refs/pr/1'))"
      )
      assert.equal(path, hub.cached("org/plain", "tokenizer/vocab.txt", "refs/pr/1"))
      server:log()
      assert.equal(path, hub.file("org/plain", "tokenizer/vocab.txt", fast { revision = "refs/pr/1" }))
      assert.equal(1, #server:log())
    end)

    it("counts our files in its report of the cache", function()
      assert(hub.file("org/lfs", "weights.bin", fast()))
      assert.equal(
        "1 512000 []",
        run_python(
          "scan_cache_dir",
          "i = scan_cache_dir(); r = list(i.repos)[0]; print(r.nb_files, r.size_on_disk, i.warnings)"
        )
      )
    end)
  end)
end)
