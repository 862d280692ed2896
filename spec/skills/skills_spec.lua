local cjson = require "cjson"
local fs = require "hone.fs"
local lyaml = require "lyaml"
local sandbox = require "support.sandbox"

describe("hone skills", function()
  local box

  before_each(function() box = sandbox.new() end)
  after_each(function() box:close() end)

  it("lists every skill with a line, broken ones as broken", function()
    box:write("skills/torn.lua", "return {")
    box:write("config/hone/skills/mine.lua", "return { summary = 'my own', run = print }")
    local result = box:hone { "skills" }
    assert.equal(0, result.status)
    assert.matches("\nclone%-repos +shipped +clone SGLang", "\n" .. result.stdout)
    assert.matches("\nmine +user +my own\n", result.stdout)
    assert.matches(
      "\ntorn +project +%(skill torn is broken: %./skills/torn%.lua:1: [^\n]*%)\n",
      result.stdout
    )
  end)

  it("lists them as data", function()
    box:write("skills/torn.lua", "return {")
    local by_name, list = {}, cjson.decode(box:hone({ "skills", "--json" }).stdout)
    for _, entry in ipairs(list) do
      by_name[entry.name] = entry
    end
    assert.equal("shipped", by_name.docs.origin)
    assert.is_string(by_name.docs.summary)
    assert.is_nil(by_name.torn.summary)
    assert.matches("unexpected symbol", by_name.torn.error)
  end)

  it("which: says which file won and what it hides, project before user before shipped", function()
    box:write("config/hone/skills/docs.lua", "return { summary = 'x', run = print }")
    box:write("skills/docs.lua", "return { summary = 'x', run = print }")
    local shipped = fs.join(fs.cwd(), "skills/docs.lua")
    assert.equal(
      ("./skills/docs.lua (project)\n  hides %s (user)\n  hides %s (shipped)\n"):format(
        box:at("config/hone/skills/docs.lua"),
        shipped
      ),
      box:hone({ "skills", "which", "docs" }).stdout
    )
    local told = cjson.decode(box:hone({ "skills", "which", "docs", "--json" }).stdout)
    assert.equal("project", told.origin)
    assert.equal(shipped, told.hides[2].path)
  end)

  it("which: suggests the nearest", function()
    local result = box:hone { "skills", "which", "clone-repo" }
    assert.matches("^hone: skills: no skill 'clone%-repo'; did you mean clone%-repos%?", result.stderr)
    assert.equal(1, result.status)
  end)

  it("eject: copies a skill, which then wins, and never overwrites one", function()
    local result = box:hone { "skills", "eject", "docs" }
    assert.equal(0, result.status)
    assert.matches("to %./skills/docs%.lua, which wins from now on\n$", result.stdout)
    assert.equal(fs.read("skills/docs.lua"), fs.read(box:at("skills/docs.lua")))
    box:write("skills/docs.lua", "-- edited")
    result = box:hone { "skills", "eject", "docs" }
    assert.equal("hone: skills: ./skills/docs.lua exists already and is not overwritten\n", result.stderr)
    assert.equal(1, result.status)
    assert.equal("-- edited", fs.read(box:at("skills/docs.lua")))
  end)

  it("eject --user: copies to the user's folder", function()
    assert.equal(0, box:hone({ "skills", "eject", "docs", "--user" }).status)
    assert.is_true(fs.exists(box:at("config/hone/skills/docs.lua")))
  end)

  it("new: starts a skill that runs as it is and explains itself", function()
    assert.equal(0, box:hone({ "skills", "new", "my-skill" }).status)
    local result = box:hone { "my-skill", "you", "--times", "2", "--json" }
    assert.same({ greeting = "hello, you" }, cjson.decode(result.stdout))
    assert.equal("hello, you\nhello, you\n", result.stderr)
    assert.matches("hone my%-skill everybody", box:hone({ "my-skill", "--help" }).stdout)
    assert.equal(1, box:hone({ "skills", "new", "my-skill" }).status)
  end)

  it("new: says when it hides another, and refuses names that cannot be", function()
    local result = box:hone { "skills", "new", "docs" }
    assert.matches("hone: skills: it hides .*/skills/docs%.lua\n", result.stderr)
    for _, name in ipairs { "../x", "X", "a b", "9x" } do
      assert.equal(2, box:hone({ "skills", "new", name }).status)
    end
    assert.equal(2, box:hone({ "skills", "new" }).status)
    assert.is_false(fs.exists(box:at("x.lua")))
  end)

  it("says what it cannot write", function()
    box:write("skills", "a file where the folder should be")
    local result = box:hone { "skills", "new", "mine" }
    assert.matches("^hone: skills: cannot [^\n]*skills[^\n]*\n$", result.stderr)
    assert.equal(1, result.status)
  end)

  it("completion: bash completes skills, flags, choices and files", function()
    box:write("completion.sh", box:hone({ "skills", "completion", "bash" }).stdout)
    box:write("notes.txt", "")
    local function complete(...)
      local result = box:run {
        "bash",
        "-c",
        [[
        source ./completion.sh
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _hone
        printf '%s\n' "${COMPREPLY[@]}"]],
        "bash",
        ...,
      }
      assert.equal("", result.stderr)
      return result.stdout
    end
    assert.equal("clone-repos\n", complete("hone", "clone-"))
    assert.equal("clone-repos\n", complete("hone", "/clone-"))
    assert.equal(
      "--sglang-branch\n--sglang-url\n--sglang-version\n",
      complete("hone", "clone-repos", "--sglang-")
    )
    assert.equal("pypi\n", complete("hone", "clone-repos", "--source", "p"))
    assert.equal("flashinfer\nflashinfer-trace\n", complete("hone", "clone-repos", "--repos", "flash"))
    assert.equal("notes.txt\n", complete("hone", "clone-repos", "--target-dir", "no"))
    assert.equal("which\n", complete("hone", "skills", "wh"))
    assert.equal(2, box:hone({ "skills", "completion", "tcsh" }).status)
  end)
end)

describe("hone docs", function()
  local box

  before_each(function()
    box = sandbox.new()
    box:write(
      "skills/odd.lua",
      [[return {
      summary = "does: \"odd\" things, 50 % of them", description = "First.\n\nSecond | with a bar.",
      params = {
        { name = "way", type = "choice", choices = { "a", "b" }, required = true, short = "w", help = "a|b" },
        { name = "files", type = "list", of = "path", positional = true, help = "which" },
      },
      outputs = { { name = "x", help = "an output" } }, examples = { "hone odd -w a" }, run = print,
    }]]
    )
  end)

  after_each(function() box:close() end)

  it("writes the manual page of a skill", function()
    local result = box:hone { "docs", "odd" }
    assert.equal("wrote docs/skills/odd.md\nwrote docs/skills/odd/SKILL.md\n", result.stdout)
    local page = fs.read(box:at("docs/skills/odd.md"))
    assert.matches('^# hone odd\n\nDoes: "odd" things, 50 %% of them%.\n\n```\nusage: hone odd ', page)
    assert.matches("| `-w`, `--way a\\|b` | choice: a, b; required | a\\|b |", page, 1, true)
    assert.matches("| `FILES` (positional or `--files`) | list of path | which |", page, 1, true)
    assert.matches("- `x`: an output", page, 1, true)
    assert.matches('hone.skills["odd"]{ way = ... }', page, 1, true)
  end)

  it("writes a SKILL.md whose front matter is YAML", function()
    assert.equal(0, box:hone({ "skills", "docs", "odd" }).status)
    local page = fs.read(box:at("docs/skills/odd/SKILL.md"))
    local front = lyaml.load(page:match("^%-%-%-\n(.-)\n%-%-%-\n"))
    assert.same(
      { name = "odd", description = 'Does: "odd" things, 50 % of them. Use it by running `hone odd`.' },
      front
    )
    assert.matches("hone odd -w a", page, 1, true)
  end)

  it("writes every skill, an index and the Lua API when no skill is named", function()
    local told = cjson.decode(box:hone({ "docs", "--output", "manual", "--json" }).stdout)
    assert.same(told.pages, told.changed)
    for _, path in ipairs { "skills/clone-repos.md", "skills/clone-repos/SKILL.md", "api/README.md" } do
      assert.is_true(fs.exists(box:at("manual", path)), path)
    end
    assert.matches("| [odd](odd.md) | does:", fs.read(box:at("manual/skills/README.md")), 1, true)
  end)

  it("leaves pages alone that are up to date, and --check fails for those that are not", function()
    box:hone { "docs", "odd" }
    assert.equal("2 pages, all up to date\n", box:hone({ "docs", "odd" }).stdout)
    assert.equal(0, box:hone({ "docs", "odd", "--check" }).status)
    box:write("docs/skills/odd.md", "edited")
    local result = box:hone { "docs", "odd", "--check" }
    assert.equal(
      "hone: docs: 1 page is not up to date, docs/skills/odd.md first; run `hone docs`\n",
      result.stderr
    )
    assert.equal(1, result.status)
    assert.equal("edited", fs.read(box:at("docs/skills/odd.md")))
  end)

  it("names a skill that does not exist or is broken", function()
    assert.matches("no skill 'od'; did you mean odd", box:hone({ "docs", "od" }).stderr)
    box:write("skills/torn.lua", "return {")
    assert.matches("skill torn is broken", box:hone({ "docs", "torn" }).stderr)
  end)
end)
