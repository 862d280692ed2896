local fs = require "hone.fs"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local onboarding = require "hone.model.onboarding"
local tiny = require "support.tiny_sglang"

local sandbox

-- No network, whatever the machine has.
local OFFLINE =
  { https_proxy = "http://127.0.0.1:9", http_proxy = "http://127.0.0.1:9", HF_HUB_OFFLINE = "1" }

local BASE = {
  "onboard-model",
  "--model-name",
  "tiny-1b",
  "--hf-repo-id",
  "org/Tiny-1B",
  "--config",
  "org/Tiny-1B/config.json",
  "--local",
  "trace",
}

local function onboard(...)
  local words = { ... }
  return sandbox:hone(table.move(words, 1, #words, #BASE + 1, table.move(BASE, 1, #BASE, 1, {})), OFFLINE)
end

local function manifest() return assert(json.read(sandbox:at("model_analysis_tiny-1b/onboard_tiny-1b.json"))) end

-- Sources as clone-repos leaves them, so that nothing has to be brought.
local function record_sources()
  local entries = {}
  for _, name in ipairs { "sglang", "flashinfer" } do
    local path = sandbox:at("repos", name)
    assert(fs.mkdir(path))
    entries[#entries + 1] =
      { name = name, path = path, url = "file:///none", source = "git", commit = ("a"):rep(40) }
  end
  tiny.write(sandbox:at("repos/sglang/python"), { tiny = tiny.model() })
  assert(require("hone.repos").record(sandbox:at("repos"), entries))
end

-- A skill of the project's own, which writes down what it was given.
local function write_skill(name, params, result)
  sandbox:write(
    "skills/" .. name .. ".lua",
    ([[
local json = require "hone.json"
local params = {}
for name, kind in ("%s"):gmatch("(%%S+):(%%S+)") do
  params[#params + 1] = { name = name, type = kind, help = "given" }
end
return {
  summary = "write down what it was given",
  params = params,
  run = function(args) assert(json.append("%s.jsonl", args)) %s end,
}
]]):format(params, name, result or "return { ok = true }")
  )
end

describe("onboard-model", function()
  before_each(function()
    sandbox = new_sandbox()
    sandbox:write("org/Tiny-1B/config.json", tiny.CONFIG)
    record_sources()
    write_skill("add-new-model", "model_name:string")
    write_skill("add-reference-tests", "definition_name:list", "return nil, 'not here', 'absent'")
  end)
  after_each(function() sandbox:close() end)

  it("goes as far as this machine can, and says what waits, where and with which command", function()
    local result = onboard()
    assert.equal(0, result.status, result.stderr)
    local steps = manifest().steps
    assert.equal("done", steps.clone.status)
    assert.equal("done", steps.extract.status)
    assert.equal("waiting", steps.tests.status)
    assert.equal("waiting", steps.workloads.status)
    assert.equal("waiting", steps.submit.status)
    assert.is_true(fs.exists(sandbox:at("trace/definitions/gemm/gemm_n96_k64.json")))
    assert.matches(
      "add%-reference%-tests %-%-local trace %-%-definition%-name .*gemm_n96_k64",
      steps.tests.commands[1].line
    )
    local collect = steps.workloads.commands[1]
    assert.matches("on a machine with 1 GPU", collect.where, 1, true)
    assert.matches(
      "hone collect-workloads --model-name tiny-1b --model-path org/Tiny-1B",
      collect.line,
      1,
      true
    )
    assert.matches("gemm_n96_k64: their workloads are made by hand", steps.workloads.note, 1, true)
    assert.matches(
      "hf upload flashinfer%-ai/flashinfer%-trace .* definitions/gemm/gemm_n96_k64.json",
      steps.submit.commands[1].line
    )
    assert.matches("HF_TOKEN", steps.submit.commands[1].where, 1, true)
  end)

  it("records what was read and which kernels are new", function()
    onboard()
    local first = manifest()
    assert.equal(("a"):rep(40), first.repo_shas.sglang)
    for _, kernel in ipairs(first.kernels) do
      assert.equal("new", kernel.phase1_status)
      assert.equal("missing", kernel.test)
    end
    onboard "--restart"
    assert.equal("existing", manifest().kernels[1].phase1_status)
  end)

  it("goes on where it stopped", function()
    onboard()
    local path = sandbox:at("trace/definitions/gemm/gemm_n96_k64.json")
    local before = fs.mtime(path)
    local result = onboard()
    assert.matches("extract +done before", result.stdout)
    assert.equal(before, fs.mtime(path))
    assert.equal("new", manifest().kernels[1].phase1_status)

    -- What a step made is gone, or something else is asked: the step runs again.
    assert(fs.remove(path))
    assert.matches("extract +done +%d", onboard().stdout)
    assert.is_true(fs.exists(path))
    assert.matches("extract +done +%d", onboard("--tp", "2").stdout)
  end)

  it("sees what others did since", function()
    onboard()
    for _, kernel in ipairs(manifest().kernels) do
      sandbox:write(("trace/tests/references/test_%s.py"):format(kernel.definition_name), "")
      sandbox:write(("trace/workloads/%s/%s.jsonl"):format(kernel.op_type, kernel.definition_name), "{}\n")
    end
    onboard()
    local now = manifest()
    assert.equal("done", now.steps.workloads.status)
    assert.matches("to be run on a GPU", now.steps.tests.note, 1, true)
    assert.matches("python3 %-m pytest /.*test_gemm_n96_k64.py", now.steps.tests.commands[1].line)
    assert.equal(1, now.kernels[1].workload_entries)
  end)

  it("writes a checklist", function()
    onboard()
    local text = assert(fs.read(sandbox:at("model_analysis_tiny-1b/onboarding_checklist.md")))
    assert.matches("- [x] **Definitions**:", text, 1, true)
    assert.matches("- [ ] **Workloads**:", text, 1, true)
    assert.matches("| `gemm_n96_k64` | gemm | new | missing | 0 |", text, 1, true)
  end)

  it("says what it would do, and writes nothing, on a dry run", function()
    local result = onboard "--dry-run"
    assert.equal(0, result.status, result.stderr)
    for _, step in ipairs { "extract", "tests", "workloads", "web", "submit" } do
      assert.matches(step .. " +planned", result.stdout)
    end
    assert.is_false(fs.exists(sandbox:at("trace")))
    assert.is_false(fs.exists(sandbox:at("model_analysis_tiny-1b")))
  end)

  it("runs the steps that are asked for", function()
    local result = onboard("--steps", "clone,extract")
    assert.equal(0, result.status, result.stderr)
    assert.is_nil(result.stdout:find("workloads", 1, true))
    assert.is_false(fs.exists(sandbox:at("model_analysis_tiny-1b/onboarding_checklist.md")))
    assert.matches("workloads +WAITS", onboard("--steps", "workloads").stdout)
  end)

  it("runs the skills that are there, with those of its arguments that they take", function()
    write_skill("add-new-model", "model_name:string output_dir:path")
    write_skill("add-reference-tests", "definition_name:list")
    assert.equal(0, onboard().status)
    assert.equal("done", manifest().steps.web.status)
    local given = assert(json.read(sandbox:at("add-new-model.jsonl")))
    assert.equal("tiny-1b", given.model_name)
    assert.equal("./model_analysis_tiny-1b", given.output_dir)
    assert.is_true(#assert(json.read(sandbox:at("add-reference-tests.jsonl"))).definition_name > 3)
  end)

  it("names a step that failed, keeps what others did, and holds back what depends on it", function()
    write_skill("add-new-model", "model_name:string", "return nil, 'models.ts does not parse'")
    local result = onboard()
    assert.equal(1, result.status)
    assert.matches("web: models.ts does not parse", result.stderr, 1, true)
    assert.equal("done", manifest().steps.extract.status)
    assert.equal("failed", manifest().steps.web.status)

    sandbox:write("org/Tiny-1B/config.json", (tiny.CONFIG:gsub('"hidden_size": 64, ', "")))
    result = onboard "--restart"
    assert.equal(1, result.status)
    assert.equal("failed", manifest().steps.extract.status)
    assert.equal("blocked", manifest().steps.workloads.status)
    assert.matches("HF_TOKEN", manifest().steps.extract.commands[1].where, 1, true)
  end)

  it("says how to bring sources that cannot be reached from here", function()
    assert(fs.remove(sandbox:at("repos/flashinfer"), { recursive = true }))
    sandbox.env.PATH = sandbox:at("empty") -- no git
    local result = onboard()
    assert.equal(0, result.status, result.stderr)
    local clone = manifest().steps.clone
    assert.equal("waiting", clone.status)
    assert.equal("hone clone-repos --target-dir ./repos --repos flashinfer", clone.commands[1].line)
    assert.equal("done", manifest().steps.extract.status)
  end)

  describe("refuses in one line", function()
    local function refused(status, pattern, words)
      local result = sandbox:hone(words, OFFLINE)
      assert.equal(status, result.status, result.stderr)
      assert.matches(pattern, result.stderr:match("^[^\n]*"), 1, true)
    end

    it("a name that is not lower case with hyphens, and a repository that is no ORG/NAME", function()
      refused(
        2,
        "(llama-3.1-8b?)",
        { "onboard-model", "--model-name", "Llama 3.1 8B", "--hf-repo-id", "a/b" }
      )
      refused(2, "must be ORG/NAME", { "onboard-model", "--model-name", "a", "--hf-repo-id", "just-a-name" })
    end)

    it("a manifest of another model, and a file that is none", function()
      onboard("--steps", "clone")
      refused(1, "it is of tiny-1b (org/Tiny-1B)", {
        "onboard-model",
        "--model-name",
        "tiny-1b",
        "--hf-repo-id",
        "else/Tiny-1B",
      })
      sandbox:write("model_analysis_tiny-1b/onboard_tiny-1b.json", "{")
      assert.matches("onboard_tiny%-1b.json:1:", onboard().stderr)
      sandbox:write("model_analysis_tiny-1b/onboard_tiny-1b.json", "[]")
      assert.matches("it is no manifest", onboard().stderr, 1, true)
    end)
  end)
end)

describe("commands of onboarding", function()
  local function kernel(name, ...) return { definition_name = name, op_type = "x", tags = { ... } } end

  it("collect workloads once for each server that kernels need", function()
    local commands = onboarding.collect_commands({
      kernel("norm", "fi_api:a"),
      kernel("a_ps1", "tp:4"),
      kernel("b_ps64", "tp:4"),
      kernel("c_ps1", "tp:4"),
      kernel("experts", "ep:8"),
    }, "name", "org/name", "/ds")
    assert.equal(3, #commands)
    assert.same({ "a_ps1", "c_ps1", "norm" }, commands[1].definitions)
    assert.equal(
      "hone collect-workloads --model-name name --model-path org/name --local /ds "
        .. "--definition-names a_ps1,c_ps1,norm --tp 4 --page-size 1",
      onboarding.line(commands[1].words)
    )
    assert.matches("--definition-names experts --tp 8 --ep 8", onboarding.line(commands[3].words), 1, true)
    assert.equal(8, commands[3].gpus)
  end)

  it(
    "quote what a shell would take apart",
    function() assert.equal("a 'b c' 'it'\\''s' ''", onboarding.line { "a", "b c", "it's", "" }) end
  )
end)
