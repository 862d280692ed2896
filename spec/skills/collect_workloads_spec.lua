--- hone collect-workloads: a server is run and asked, its dumps become workloads and a pull request.
local fs = require "hone.fs"
local http_server = require "support.http_server"
local json = require "hone.json"
local log_dumps = require "support.log_dumps"
local ops = require "hone.ops"
local process = require "hone.process"

local BIN = os.getenv "HONE_BIN" or "build/hone"
local NAME = "gqa_paged_decode_h32_kv8_d128_ps1"

describe("hone collect-workloads", function()
  local dir, root, dumps

  before_each(function()
    dir = assert(fs.tempdir())
    root, dumps = fs.join(dir.path, "dataset"), fs.join(dir.path, "dumps")
    local sizes = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
    local definition =
      assert(ops.build("gqa_paged", "decode", sizes, { models = { "llama-3.1-8b" }, tp = 1 }))
    assert(fs.mkdir(fs.join(root, "definitions/gqa_paged")))
    assert(json.write(fs.join(root, "definitions/gqa_paged", NAME .. ".json"), definition))
  end)
  after_each(function() dir:remove() end)

  local function collect(words, settings)
    local command = { BIN, "collect-workloads", "--model-name", "llama-3.1-8b", "--local", root }
    table.move(words, 1, #words, #command + 1, command)
    for key, value in pairs(settings or {}) do
      command[key] = value
    end
    return assert(process.run(command))
  end

  -- With the stand-in for SGLang's server, which may be at fault.
  local function serve(fault, more)
    local server = "python3 spec/support/sglang_server.py --port {port}"
      .. (fault and " --fault " .. fault or "")
    local words = { "--all", "--server-command", server, "--port", tostring(http_server.free_port()) }
    table.move({ "--dump-dir", dumps, "--num-samples", "12" }, 1, 4, #words + 1, words)
    table.move(more or {}, 1, #(more or {}), #words + 1, words)
    return collect(words)
  end

  local function workloads()
    local list = {}
    local path = fs.join(root, "workloads/gqa_paged", NAME .. ".jsonl")
    for _, trace in json.lines(path) do
      list[#list + 1] = trace.workload
    end
    return list
  end

  local function is_running(port)
    return process.run({ "pgrep", "-f", "sglang_server.py --port " .. port }).status == 0
  end

  it("starts the server, asks several at once, and leaves workloads and a report", function()
    local result = serve(nil, { "--concurrency", "1,4", "--no-submit-pr", "--json" })
    assert.equal(0, result.status, result.stderr)
    local answer = json.decode(result.stdout)
    assert.equal(12, answer.servers[1].answered)
    assert.equal(12, answer.definitions[1].calls)
    assert.is_true(#workloads() > 2 and #workloads() == #answer.definitions[1].kept)
    assert.matches("# Workloads collected", fs.read(answer.report .. ".md"))
    assert.equal(#workloads(), #json.read(answer.report .. ".json").definitions[1].kept)
    local batches = {}
    for _, workload in ipairs(workloads()) do
      batches[workload.axes.batch_size] = true
    end
    assert.is_true(batches[1] and (batches[2] or batches[3] or batches[4])) -- they did overlap
  end)

  it("reads prompts from a ShareGPT file, past lines that hold none", function()
    local path = fs.join(dir.path, "sharegpt.jsonl")
    assert(fs.write(
      path,
      table.concat({
        '{"conversations": [{"from": "human", "value": "one two three"}, {"from": "gpt", "value": "four"}]}',
        "{ not json",
        '{"conversations": []}',
        '{"prompt": "five six"}',
      }, "\n")
    ))
    local result = serve(nil, { "--dataset", path, "--concurrency", "1", "--no-submit-pr", "--keep-dumps" })
    assert.equal(0, result.status, result.stderr)
    assert.matches("2 entries hold no prompt, the first is line 2", result.stderr, 1, true)
    local lengths = {}
    for _, workload in ipairs(workloads()) do
      lengths[workload.axes.num_kv_indices] = true
    end
    assert.same({ [2] = true, [3] = true }, lengths)
  end)

  it("reads prompts from an array, and says what is wrong with one that is cut short", function()
    local path = fs.join(dir.path, "sharegpt.json")
    assert(fs.write(path, ' [{"prompt": "one two"},\n 7,\n {"prompt": "one two three four"}]'))
    local result = serve(nil, { "--dataset", path, "--concurrency", "1", "--no-submit-pr" })
    assert.equal(0, result.status, result.stderr)
    assert.matches("1 entries hold no prompt, the first is entry 2", result.stderr, 1, true)
    assert(fs.write(path, '[\n {"prompt": "one two"},\n {"prompt": "thr'))
    result = serve(nil, { "--dataset", path })
    assert.equal(1, result.status)
    assert.matches("sharegpt.json holds no prompts %([^\n]*sharegpt.json[^\n]*%)", result.stderr)
    result = serve(nil, { "--dataset", dir.path })
    assert.equal(1, result.status)
    assert.matches("it is a folder", result.stderr)
    result = serve(nil, { "--dataset", fs.join(dir.path, "nowhere") })
    assert.matches("nowhere: No such file", result.stderr)
  end)

  it("gives up on a server that is never healthy, and stops it", function()
    local port = http_server.free_port()
    local result = collect {
      "--all",
      "--server-command",
      "python3 spec/support/sglang_server.py --port {port} --fault never-healthy",
      "--port",
      tostring(port),
      "--dump-dir",
      dumps,
      "--timeout",
      "1",
    }
    assert.equal(1, result.status)
    assert.matches("the server was not healthy after 1 s %(HTTP 503%)", result.stderr)
    assert.is_false(is_running(port))
  end)

  it("keeps what was dumped when the server dies in the middle, and says why it did", function()
    local result = serve("dies", { "--concurrency", "1", "--no-submit-pr" })
    assert.equal(1, result.status)
    assert.matches("the server ended %(exit status 3%).*illegal memory access", result.stderr)
    assert.matches("running this again goes on", result.stderr)
    assert.equal(2, #workloads()) -- four steps of one size
    local again = serve(nil, { "--concurrency", "4", "--no-submit-pr" })
    assert.equal(0, again.status, again.stderr)
    assert.is_true(#workloads() > 2)
  end)

  it("goes on past requests that are refused, and counts them", function()
    local result = serve("refuses", { "--concurrency", "2", "--no-submit-pr", "--json" })
    assert.equal(1, result.status)
    assert.matches("4 of 12 requests failed; the first: HTTP 500", result.stderr)
    assert.equal(8, json.decode(result.stdout).servers[1].answered)
  end)

  it("bears a server that floods its output", function()
    local result = serve("floods", { "--concurrency", "2", "--no-submit-pr" })
    assert.equal(0, result.status, result.stderr)
    assert.is_true(fs.size(fs.join(dumps, "server.log")) > 13e6)
  end)

  it("bears a server that says much while it answers", function()
    local result = serve("babbles", { "--concurrency", "2", "--no-submit-pr", "--timeout", "60" })
    assert.equal(0, result.status, result.stderr)
    assert.is_true(fs.size(fs.join(dumps, "server.log")) > 12 * 3e6)
  end)

  it("goes on past a request that is never answered", function()
    local result = serve("hangs", { "--concurrency", "2", "--no-submit-pr", "--timeout", "2", "--json" })
    assert.equal(1, result.status)
    assert.matches("1 of 12 requests failed; the first: [^\n]*time", result.stderr)
    local answer = json.decode(result.stdout)
    assert.equal(11, answer.servers[1].answered)
    assert.is_true(#workloads() > 0 and #workloads() == #answer.definitions[1].kept)
    assert.matches("1 of 12 requests failed", fs.read(answer.report .. ".md"), 1, true)
  end)

  it("does not ask another's server that answers at its port", function()
    local port = http_server.free_port()
    local env = {
      FLASHINFER_DUMP_DIR = dir.path,
      FLASHINFER_LOGLEVEL = 10,
      FLASHINFER_DUMP_SAFETENSORS = 1,
      FLASHINFER_DUMP_MAX_SIZE_GB = 1,
    }
    local other <close> =
      assert(process.start { "python3", "spec/support/sglang_server.py", "--port", port, env = env })
    for _ = 1, 100 do
      if require("hone.http").get("http://127.0.0.1:" .. port .. "/health", { retries = 0 }) then break end
      other:wait(0.05)
    end
    local result = collect {
      "--all",
      "--server-command",
      "python3 spec/support/sglang_server.py --port {port}",
      "--port",
      tostring(port),
      "--dump-dir",
      dumps,
    }
    assert.equal(1, result.status)
    assert.matches(
      "another server answers at http://127.0.0.1:" .. port .. " already",
      result.stderr,
      1,
      true
    )
    assert.is_true(other:running())
  end)

  it("stops the server on Ctrl-C", function()
    local port = http_server.free_port()
    local child = assert(process.start {
      BIN,
      "collect-workloads",
      "--model-name",
      "llama-3.1-8b",
      "--local",
      root,
      "--all",
      "--server-command",
      "python3 spec/support/sglang_server.py --port {port} --fault never-healthy",
      "--port",
      tostring(port),
      "--dump-dir",
      dumps,
    })
    for _ = 1, 100 do
      if is_running(port) then break end
      child:wait(0.05)
    end
    assert.is_true(is_running(port))
    child:kill "SIGINT"
    local result = assert(child:wait(10))
    assert.equal(130, result.status)
    assert.is_false(is_running(port))
  end)

  it("says what it would start, with FlashInfer's environment, and starts nothing", function()
    local result = collect { "--all", "--dry-run", "--json", "--model-path", "meta-llama/Llama-3.1-8B" }
    assert.equal(0, result.status, result.stderr)
    local server = json.decode(result.stdout).servers[1]
    assert.matches("sglang.launch_server --model-path meta-llama/Llama-3.1-8B", server.command, 1, true)
    assert.matches("--tp 1 --attention-backend flashinfer --disable-cuda-graph", server.command, 1, true)
    assert.matches("--page-size 1", server.command, 1, true)
    assert.equal("10", server.environment.FLASHINFER_LOGLEVEL)
    assert.equal(
      "BatchDecodeWithPagedKVCacheWrapper.run,BatchDecodeWithPagedKVCacheWrapper.plan",
      server.environment.FLASHINFER_DUMP_INCLUDE
    )
    assert.is_nil(fs.list(root)[2])
  end)

  it("takes the model's definitions for a server, all where none is its", function()
    local sizes = { num_qo_heads = 16, num_kv_heads = 8, head_dim = 128, page_size = 1 }
    local other = assert(ops.build("gqa_paged", "decode", sizes, { models = { "other" }, tp = 2 }))
    assert(json.write(fs.join(root, "definitions/gqa_paged", other.name .. ".json"), other))
    local function servers(...)
      local result = collect { "--all", "--dry-run", "--json", "--model-path", "some/model", ... }
      assert.equal(0, result.status, result.stderr)
      return #json.decode(result.stdout).servers, result.stderr
    end
    assert.equal(1, (servers()))
    local count, said = servers("--model-name", "nobody")
    assert.equal(2, count)
    assert.matches("no definition is tagged model:nobody: all 2 are taken", said, 1, true)
  end)

  describe("with dumps at hand", function()
    before_each(function() log_dumps(dumps, "log.decode([3, 5])\nlog.decode([9])\n") end)

    it("takes all definitions of the dataset, whatever their model", function()
      local result = collect { "--model-name", "nobody", "--all", "--from-dumps", dumps, "--no-submit-pr" }
      assert.equal(0, result.status, result.stderr)
      assert.equal(2, #workloads())
    end)

    local function git(...) return assert(process.run { "git", "-C", root, check = true, ... }).stdout end

    local function make_checkout()
      git("init", "--quiet", "--initial-branch=main")
      git("config", "user.email", "a@example.org")
      git("config", "user.name", "A")
    end

    -- Make the dataset a checkout of a remote one of that name.
    local function checkout_of(name)
      make_checkout()
      git("add", "--all")
      git("commit", "--quiet", "--message=start")
      local remote = fs.join(dir.path, "remote.git")
      assert(process.run { "git", "clone", "--quiet", "--bare", root, remote, check = true })
      git("remote", "add", name, "file://" .. remote)
      return remote
    end

    -- On a terminal where somebody answers the question.
    local function on_terminal(answer)
      local command =
        { fs.absolute(BIN), "collect-workloads", "--model-name", "llama-3.1-8b", "--local", root }
      table.move({ "--all", "--from-dumps", dumps }, 1, 3, #command + 1, command)
      local request = {
        command = json.array(command),
        env = json.object { { "TERM", "dumb" } },
        cwd = dir.path,
        steps = json.array { json.array { "see", "Send it? [y/N]" }, json.array { "type", answer } },
      }
      local script = { "python3", "spec/support/on_terminal.py", input = json.encode(request), timeout = 60 }
      return json.decode(assert(process.run(script)).stdout)
    end

    it("prepares a branch, leaves the checkout as it is, and pushes after a yes", function()
      local remote = checkout_of("origin")
      local result = collect { "--all", "--from-dumps", dumps, "--json" }
      assert.equal(0, result.status, result.stderr)
      local request = json.decode(result.stdout).pull_request
      assert.equal("git", request.way)
      assert.is_false(request.sent)
      assert.equal("main", (git("branch", "--show-current"):gsub("%s", "")))
      local files = git("diff", "--name-only", "main", request.branch)
      assert.matches("workloads/gqa_paged/" .. NAME .. ".jsonl", files, 1, true)
      assert.equal(3, select(2, files:gsub("\n", "")))
      local sent = collect { "--all", "--from-dumps", dumps, "--json", "--yes", "--replace" }
      request = json.decode(sent.stdout).pull_request
      assert.is_true(request.sent)
      local branches = process.run { "git", "-C", remote, "branch" }.stdout
      assert.matches(request.branch, branches, 1, true)
    end)

    it("sends to the hub by its own API, large files to their storage", function()
      local server = http_server.start()
      finally(function() server:stop() end)
      local env = { HF_ENDPOINT = server.url, HF_TOKEN = "hf_secret", HONE_DATASET_REPO = "org/trace" }
      local result = collect({ "--all", "--from-dumps", dumps, "--json", "--yes" }, { env = env })
      assert.equal(0, result.status, result.stderr)
      local request = json.decode(result.stdout).pull_request
      assert.equal("hub", request.way)
      assert.is_true(request.sent, request.problem)
      assert.equal(server.url .. "/datasets/org/trace/discussions/7", request.url)
      local commit
      for _, asked in ipairs(server:log()) do
        if asked.path:find "/commit/main" then commit = asked end
      end
      assert.equal("Bearer hf_secret", commit.headers.authorization)
      local kinds = {}
      for line in commit.body:gmatch "[^\n]+" do
        local entry = json.decode(line)
        kinds[#kinds + 1] = entry.key
      end
      assert.same({ "header", "file", "lfsFile", "lfsFile" }, kinds)
    end)

    it("notes what a branch was not made of, and finds the branch again that was not sent", function()
      make_checkout()
      local result = collect { "--all", "--from-dumps", dumps, "--json" }
      assert.equal(1, result.status) -- a checkout without a commit
      assert.matches("cannot prepare a branch in [^\n]*running this again goes on", result.stderr)
      git("add", "definitions")
      git("commit", "--quiet", "--message=start")
      local first = json.decode(collect({ "--all", "--from-dumps", dumps, "--json" }).stdout).pull_request
      assert.equal(3, #first.files)
      git("remote", "add", "origin", fs.join(dir.path, "nowhere.git"))
      result = collect { "--all", "--from-dumps", dumps, "--json", "--yes" }
      assert.equal(0, result.status, result.stderr)
      local second = json.decode(result.stdout).pull_request
      assert.is_false(second.sent)
      assert.matches("not sent: git push: ", result.stderr, 1, true)
      assert.same({ first.branch, first.commit }, { second.branch, second.commit })
      git("update-ref", "refs/heads/main", first.commit) -- merged
      local function request_again()
        return json.decode(collect({ "--all", "--from-dumps", dumps, "--json" }).stdout).pull_request
      end
      assert.is_true(request_again().nothing_new)
      assert.equal(json.null, request_again())
      assert.is_false(fs.exists(fs.join(root, "reports/unsent-workloads.json")))
    end)

    it("sends the next time what a hub did not take, however it refused", function()
      local server = http_server.start()
      finally(function() server:stop() end)
      local env = { HF_ENDPOINT = server.url, HF_TOKEN = "hf_secret" }
      local refusals = {
        ["preupload-401"] = "HTTP 401",
        ["preupload-html"] = "answered with what is no JSON object",
        ["lfs-403"] = "HTTP 403",
        ["lfs-500"] = "HTTP 500",
        ["commit-409"] = "HTTP 409",
        ["commit-500"] = "HTTP 500",
        ["commit-html"] = "answered with what is no JSON object",
      }
      for name, said in pairs(refusals) do
        env.HONE_DATASET_REPO = "org/" .. name
        local result = collect({ "--all", "--from-dumps", dumps, "--json", "--yes" }, { env = env })
        assert.equal(0, result.status, result.stderr)
        assert.matches("not sent: [^\n]*" .. said .. "[^\n]*; to send it later: hf upload", result.stderr)
        local request = json.decode(result.stdout).pull_request
        assert.same({ false, 3 }, { request.sent, #request.files })
      end
      assert.equal(2, #workloads())
      env.HONE_DATASET_REPO = "org/trace"
      local result = collect({ "--all", "--from-dumps", dumps, "--json", "--yes" }, { env = env })
      local request = json.decode(result.stdout).pull_request
      assert.same({ true, 3 }, { request.sent, #request.files })
      result = collect({ "--all", "--from-dumps", dumps, "--json", "--yes" }, { env = env })
      assert.equal(json.null, json.decode(result.stdout).pull_request)
    end)

    it("shows every file before it asks, and asks nobody where there is no terminal", function()
      local result = collect { "--all", "--from-dumps", dumps }
      assert.equal(0, result.status)
      local shown = result.stdout .. result.stderr
      assert.matches("pull request: Add workloads of llama%-3.1%-8b", shown)
      assert.matches("workloads/gqa_paged/" .. NAME .. "%.jsonl %(%d+ bytes%)", shown)
      assert.equal(2, select(2, shown:gsub("blob/workloads/[^\n]*%.safetensors %(%d+ bytes%)", "")))
      assert.matches("not sent; to send it: hf upload [^\n]*%-%-include 'workloads/%*'", shown)
    end)

    it("leaves lines of the dataset that hold no workload, and says so", function()
      local path = fs.join(root, "workloads/gqa_paged", NAME .. ".jsonl")
      local torn = '{"definition": "x"}\n{ not json\n{"definition": "' .. NAME .. '", "workl'
      assert(fs.write(path, torn))
      local result = collect { "--all", "--from-dumps", dumps, "--no-submit-pr", "--json" }
      assert.equal(0, result.status, result.stderr)
      assert.matches("has 3 lines that hold no workload: left as they are", result.stderr, 1, true)
      local text = fs.read(path)
      assert.equal(torn .. "\n", text:sub(1, #torn + 1))
      local kept = 0
      for line in text:sub(#torn + 2):gmatch "[^\n]+" do
        kept = kept + (assert(json.decode(line)).workload and 1 or 0)
      end
      assert.equal(2, kept)
      assert.matches(
        "Lines of the dataset that hold no workload",
        fs.read(json.decode(result.stdout).report .. ".md")
      )
      assert.same(
        {},
        json.decode(collect({ "--all", "--from-dumps", dumps, "--json" }).stdout).definitions[1].kept
      )
    end)

    it("prepares everything where the hub refuses or there is no token", function()
      local server = http_server.start()
      finally(function() server:stop() end)
      local home = { HF_HOME = dir.path, HF_TOKEN = false }
      local env = { HF_ENDPOINT = server.url, HONE_DATASET_REPO = "org/preupload-403" }
      for key, value in pairs(home) do
        env[key] = value
      end
      local result = collect({ "--all", "--from-dumps", dumps, "--yes" }, { env = env })
      assert.equal(0, result.status, result.stderr)
      assert.matches(
        "not sent: there is no token for the hub: set HF_TOKEN; to send it later: hf upload",
        result.stderr
      )
      env.HF_TOKEN = "hf_secret"
      result = collect({ "--all", "--from-dumps", dumps, "--yes", "--replace" }, { env = env })
      assert.equal(0, result.status, result.stderr)
      assert.matches("not sent: HTTP 403", result.stderr)
    end)

    it("sends after a yes on a terminal", function()
      local remote = checkout_of("upstream")
      local session = on_terminal("y\n")
      assert.equal(0, session.status, session.seen)
      local shown = session.seen:find("workloads/gqa_paged/" .. NAME, 1, true)
      assert.is_true(shown < session.seen:find("Send it", 1, true))
      assert.matches("sent: file://", session.seen, 1, true)
      local branches = process.run { "git", "-C", remote, "branch" }.stdout
      assert.matches("workloads-llama-3.1-8b", branches, 1, true)
    end)

    it("asks on a terminal", function()
      local session = on_terminal("n\n")
      assert.equal(0, session.status, session.seen)
      assert.matches("not sent; to send it: hf upload", session.seen, 1, true)
    end)
  end)

  it("refuses what it cannot work with", function()
    local wrong = collect { "--all", "--op-type", "moe" }
    assert.equal(2, wrong.status)
    assert.matches("give one of", wrong.stderr)
    assert.equal(1, collect({ "--op-type", "moe" }).status)
    local result = collect { "--definition-names", "nobody", "--from-dumps", dumps }
    assert.equal(1, result.status)
    assert.matches("there is no definition 'nobody'", result.stderr)
    result = collect { "--all", "--from-dumps", fs.join(dir.path, "nowhere") }
    assert.matches("no such directory", result.stderr)
    result = collect { "--all", "--server-command", "no-such-program --port {port}", "--dump-dir", dumps }
    assert.equal(1, result.status)
    assert.matches("no%-such%-program", result.stderr)
  end)
end)

describe("hone collect-workloads-bench", function()
  it("goes through batch sizes, with the model's flags, and goes on where it stopped", function()
    local dir <close> = assert(fs.tempdir())
    local settings = fs.join(dir.path, "settings.json")
    assert(json.write(settings, { any = { ["llama-3"] = json.array { "--fault", "slow" } } }))
    local sizes = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
    local definition = assert(ops.build("gqa_paged", "decode", sizes, { models = { "llama-3.1-8b" } }))
    assert(fs.mkdir(fs.join(dir.path, "definitions/gqa_paged")))
    assert(json.write(fs.join(dir.path, "definitions/gqa_paged", NAME .. ".json"), definition))
    local function run(batches)
      return assert(process.run {
        fs.absolute(BIN),
        "collect-workloads-bench",
        "--model-name",
        "llama-3.1-8b",
        "--local",
        dir.path,
        "--all",
        "--batch-sizes",
        batches,
        "--rounds",
        "2",
        "--settings",
        settings,
        "--server-command",
        ("python3 %s --port {port}"):format(fs.absolute "spec/support/sglang_server.py"),
        "--port",
        tostring(http_server.free_port()),
        "--json",
        cwd = dir.path,
      })
    end
    local result = run "1,3"
    assert.equal(0, result.status, result.stderr)
    local answer = json.decode(result.stdout)
    assert.same({ "--fault", "slow" }, { table.unpack(answer.flags) })
    assert.equal(2, #answer.batch_sizes)
    assert.is_true(answer.batch_sizes[2].kept > 0)
    answer = json.decode(run("1,3,5").stdout)
    assert.is_true(answer.batch_sizes[1].done_before and answer.batch_sizes[2].done_before)
    assert.is_nil(answer.batch_sizes[3].done_before)
  end)
end)
