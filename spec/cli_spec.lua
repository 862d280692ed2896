local cjson = require "cjson"
local sandbox = require "support.sandbox"

local WORK = [[
local json = require "hone.json"
return {
  summary = "work in several ways",
  description = "A first paragraph\nin two lines.\n\nA second one.",
  params = {
    { name = "way", type = "choice", positional = true, required = true, help = "how",
      choices = { "well", "refused", "partly", "wrongly", "buggy", "oddly" } },
    { name = "model_name", type = "string", default = "llama", help = "which model" },
  },
  outputs = { { name = "model", help = "the model's name" } },
  examples = { "hone work well" },
  run = function(args, ctx)
    ctx.say("working on %s", args.model_name)
    if args.way == "refused" then return nil, "cannot work: the door is shut" end
    if args.way == "partly" then return nil, "cannot finish", "partly", { done = 1 } end
    if args.way == "wrongly" then return nil, "--model-name makes no sense here", "usage" end
    if args.way == "buggy" then local nothing; return nothing.field end
    if args.way == "oddly" then return { print } end
    ctx.warn("%d thing to note", 1)
    return json.object { { "model", args.model_name }, { "alpha", 1 } }
  end,
}
]]

describe("the command line of a skill", function()
  local box

  setup(function()
    box = sandbox.new()
    box:write("skills/work.lua", WORK)
  end)

  teardown(function() box:close() end)

  it("runs it, human lines on stdout and warnings on stderr", function()
    local result = box:hone { "work", "well", "--model-name", "qwen" }
    assert.equal("working on qwen\n", result.stdout)
    assert.equal("hone: work: 1 thing to note\n", result.stderr)
    assert.equal(0, result.status)
  end)

  it("accepts a slash before the name and underscores in flags", function()
    box:write("skills/long-labour.lua", WORK)
    assert.equal("working on qwen\n", box:hone({ "/long-labour", "well", "--model_name=qwen" }).stdout)
  end)

  it("prints only the result with --json, in its own order", function()
    local result = box:hone { "work", "well", "--json" }
    assert.equal('{\n  "model": "llama",\n  "alpha": 1\n}\n', result.stdout)
    assert.equal("working on llama\nhone: work: 1 thing to note\n", result.stderr)
  end)

  it("says in one line what the world refused, and exits 1", function()
    local result = box:hone { "work", "refused", "--json" }
    assert.equal("", result.stdout)
    assert.equal("working on llama\nhone: work: cannot work: the door is shut\n", result.stderr)
    assert.equal(1, result.status)
  end)

  it("prints what there is as JSON although the skill failed", function()
    local result = box:hone { "work", "partly", "--json" }
    assert.same({ done = 1 }, cjson.decode(result.stdout))
    assert.equal(1, result.status)
  end)

  it("answers a wrong command line with one line and the usage, and exits 2", function()
    local usage = "usage: hone work WAY [--model-name TEXT] [--json] [--help]\n"
    local cases = {
      [{ "work", "well", "--modle-name", "x" }] = "unknown flag --modle-name; did you mean --model-name?",
      [{ "work" }] = "--way is required",
      [{ "work", "wel" }] = "--way must be one of well, refused, partly, wrongly, buggy, oddly, got 'wel'; "
        .. "did you mean well?",
      [{ "work", "well", "more" }] = "unexpected argument 'more'",
    }
    for words, why in pairs(cases) do
      local result = box:hone(words)
      assert.equal("", result.stdout)
      assert.equal(("hone: work: %s\n%s"):format(why, usage), result.stderr)
      assert.equal(2, result.status)
    end
  end)

  it("lets the skill itself call the command line wrong", function()
    local result = box:hone { "work", "wrongly" }
    assert.matches("\nusage: hone work WAY", result.stderr)
    assert.matches("^hone: work: %-%-model%-name makes no sense here\n", result.stderr)
    assert.equal(2, result.status)
  end)

  it("shows the traceback of a bug, and whose it is", function()
    for _, way in ipairs { "buggy", "oddly" } do
      local result = box:hone { "work", way }
      if way == "oddly" then result = box:hone { "work", way, "--json" } end
      assert.matches("hone: work: internal error %(a bug in %./skills/work%.lua%)\n", result.stderr)
      assert.matches("stack traceback:", result.stderr)
      assert.equal(1, result.status)
    end
    assert.matches("skills/work%.lua:%d+: attempt to index a nil value", box:hone({ "work", "buggy" }).stderr)
  end)

  it("prints a manual page for --help", function()
    local result = box:hone { "work", "--help" }
    assert.equal(0, result.status)
    assert.equal(
      [[
hone work - work in several ways

usage: hone work WAY [--model-name TEXT] [--json] [--help]

A first paragraph in two lines.

A second one.

Parameters:
  WAY, --way well|refused|partly|wrongly|buggy|oddly
      how (choice: well, refused, partly, wrongly, buggy, oddly; required)
  --model-name TEXT
      which model (string; default llama)
  --json
      print the result as JSON on stdout, and nothing else there (boolean)
  -h, --help
      print this page (boolean)

Outputs:
  model
      the model's name

Examples:
  hone work well
]],
      result.stdout
    )
    assert.equal(result.stdout, box:hone({ "work", "-h", "--nonsense" }).stdout)
  end)

  it("says that a skill's file is broken", function()
    box:write("skills/torn.lua", "return {")
    local result = box:hone { "torn" }
    assert.equal(
      "hone: skill torn is broken: ./skills/torn.lua:1: unexpected symbol near <eof>\n",
      result.stderr
    )
    assert.equal(1, result.status)
  end)

  it("suggests the nearest skill and exits 2", function()
    local result = box:hone { "wrok" }
    assert.matches("did you mean '?work'?%?", result.stderr)
    assert.equal("", result.stdout)
    assert.equal(2, result.status)
  end)

  it("fails when its output cannot be written", function()
    local hone = package.loaded["hone.paths"].exe
    local result = box:run { "sh", "-c", 'exec "$0" work well > /dev/full', hone }
    assert.matches("hone: work: cannot write to standard output: No space left on device", result.stderr)
    assert.equal(1, result.status)
  end)

  it("ends at an interrupt with status 130, closing what was open", function()
    box:write(
      "skills/wait.lua",
      [[return { summary = "wait", run = function(_, ctx)
      local _ <close> = setmetatable({}, { __close = function() require("hone.fs").write("closed", "") end })
      ctx.say("waiting")
      io.stdout:flush()
      require("hone.process").run { "sleep", "30" }
    end }]]
    )
    local running <close> = box:start { "wait" }
    assert.equal("waiting", running:lines()())
    running:kill("SIGINT")
    local result = assert(running:wait(10))
    assert.equal("hone: wait: interrupted\n", result.stderr)
    assert.equal(130, result.status)
    assert.is_true(require("hone.fs").exists(box:at("closed")))
  end)

  it("interrupts a skill that only computes", function()
    box:write(
      "skills/spin.lua",
      [[return { summary = "spin", run = function(_, ctx)
      ctx.say("spinning")
      io.stdout:flush()
      while true do end
    end }]]
    )
    local running <close> = box:start { "spin" }
    assert.equal("spinning", running:lines()())
    running:kill("SIGINT")
    local result = assert(running:wait(10))
    assert.equal("hone: spin: interrupted\n", result.stderr)
    assert.equal(130, result.status)
  end)
end)
