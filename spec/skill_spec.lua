local fs = require "hone.fs"
local lfs = require "lfs"
local sandbox = require "support.sandbox"
local skill = require "hone.skill"

local GREET = [[
return {
  summary = "greet somebody",
  params = {
    { name = "who", type = "string", positional = true, default = "world", help = "whom" },
    { name = "times", type = "integer", min = 1, default = 1, help = "how often" },
  },
  run = function(args, ctx)
    if args.who == "nobody" then return nil, "there is nobody to greet", "nobody", { partly = true } end
    ctx.say("hello, %s", args.who)
    return { greeting = "hello, " .. args.who, times = args.times }
  end,
}
]]

-- Skills of the project are looked up in the current folder, so each test has one of its own.
describe("skill", function()
  local box, before

  before_each(function()
    box, before = sandbox.new(), lfs.currentdir()
    lfs.chdir(box.path)
    box:write("skills/greet.lua", GREET)
  end)

  after_each(function()
    lfs.chdir(before)
    box:close()
  end)

  describe("look-up", function()
    it("finds a skill of the project, with or without a slash, with hyphens or underscores", function()
      box:write("skills/long-name.lua", GREET)
      assert.equal("./skills/greet.lua", skill.find("greet").path)
      assert.equal("project", skill.find("/greet").origin)
      assert.equal("long-name", skill.find("long_name").name)
    end)

    it("lets the project's win over the shipped one of the same name, and knows what it hides", function()
      box:write("skills/clone-repos.lua", GREET)
      local entry = skill.find("clone-repos")
      assert.equal("project", entry.origin)
      assert.equal("shipped", entry.hides[1].origin)
      assert.matches("/skills/clone%-repos%.lua$", entry.hides[1].path)
    end)

    it("names the nearest of an unknown one, and all there are", function()
      local entry, why, code = skill.find("gret")
      assert.is_nil(entry)
      assert.matches("no skill 'gret'; did you mean greet%? %(there are: .*clone%-repos, .*greet", why)
      assert.equal("unknown", code)
    end)

    it("does not take a path for a name", function()
      box:write("greet.lua", GREET)
      assert.is_nil(skill.find("../greet"))
      assert.is_nil(skill.find("./greet"))
      assert.is_nil(skill.find(""))
    end)

    it("lists the shipped folder once when it is the project's too", function()
      lfs.chdir(before)
      for _, entry in ipairs(skill.list()) do
        assert.equal("shipped", entry.origin)
        assert.same({}, entry.hides)
      end
    end)
  end)

  describe("loading", function()
    local function broken(source)
      box:write("skills/broken.lua", source)
      local loaded, why, code = skill.load(assert(skill.find("broken")))
      assert.is_nil(loaded)
      assert.equal("broken", code)
      return why
    end

    it("says in one line which file is wrong and how", function()
      local cases = {
        { "return {", "./skills/broken.lua:1: unexpected symbol near <eof>" },
        { "return 1", "./skills/broken.lua: it returns a number, not a table" },
        { "return { summary = 'x' }", "./skills/broken.lua: it has no function run(args, ctx)" },
        { "return { run = print }", "./skills/broken.lua: its summary must be one line of text" },
        {
          "return { summary = 'a\\nb', run = print }",
          "./skills/broken.lua: its summary must be one line of text",
        },
        {
          "return { summary = 'x', run = print, params = { { name = 'a', type = 'path' } } }",
          "./skills/broken.lua: parameter a needs a help text",
        },
        {
          "return { summary = 'x', run = print, outputs = { {} } }",
          "./skills/broken.lua: output #1 needs a name and a help text",
        },
        {
          "return { summary = 'x', run = print, examples = { 1 } }",
          "./skills/broken.lua: example #1 must be a command line",
        },
        { "error('no luck')", "./skills/broken.lua:1: no luck" },
      }
      for _, case in ipairs(cases) do
        assert.equal("skill broken is broken: " .. case[2], broken(case[1]))
      end
      assert.matches(
        "^skill broken is broken: [^\n]*module 'not%.there' not found",
        broken("require 'not.there'")
      )
    end)

    it("refuses compiled files", function()
      local why = broken(string.dump(function() return {} end))
      assert.matches("attempt to load a binary chunk", why)
    end)
  end)

  describe("running from Lua", function()
    it("returns the result and prints nothing", function()
      local result = skill.run("greet", { who = "Ada", times = 2 })
      assert.same({ greeting = "hello, Ada", times = 2 }, result)
    end)

    it("returns nil and why when the world refused", function()
      local result, why, code, partial = skill.run("greet", { "nobody" })
      assert.is_nil(result)
      assert.equal("there is nobody to greet", why)
      assert.equal("nobody", code)
      assert.same({ partly = true }, partial)
    end)

    it("raises wrong arguments, blaming the caller", function()
      local ok, why = pcall(function() skill.run("greet", { whom = "Ada" }) end)
      assert.is_false(ok)
      assert.matches("^[^:]*skill_spec%.lua:%d+: skill greet: no parameter 'whom'; did you mean who%?$", why)
      ok, why = pcall(function() require("hone").skills.greet { times = 0 } end)
      assert.is_false(ok)
      assert.matches("^[^:]*skill_spec%.lua:%d+: skill greet: times must be at least 1, got 0$", why)
    end)

    it("is reached through hone.skills, which can be listed", function()
      local hone = require "hone"
      assert.equal("hello, you", hone.skills["greet"]({ "you" }).greeting)
      local result, why, code = hone.skills["gret"] {}
      assert.is_nil(result)
      assert.matches("did you mean greet%?", why)
      assert.equal("unknown", code)
      local names = {}
      for name in pairs(hone.skills) do
        names[name] = true
      end
      assert.is_true(names.greet and names["clone-repos"])
    end)

    it("takes a run that returns nothing as done, and one that says no reason as failed", function()
      box:write("skills/quiet.lua", "return { summary = 'x', run = function() end }")
      assert.is_true(skill.run("quiet"))
      box:write("skills/dumb.lua", "return { summary = 'x', run = function() return nil end }")
      assert.same({ nil, "failed and did not say why" }, { skill.run("dumb") })
    end)

    it("lets skills run skills", function()
      box:write(
        "skills/outer.lua",
        [[return { summary = "x", run = function(_, ctx)
        local inner = ctx.skill("greet", { who = "inner" })
        local nothing, why = ctx.skill("greet", { who = "nobody" })
        return { inner.greeting, nothing or why }
      end }]]
      )
      assert.same({ "hello, inner", "there is nobody to greet" }, skill.run("outer"))
    end)
  end)

  it("hone loads its libraries on first use, and absent ones are nil", function()
    local hone = require "hone"
    assert.equal(fs, hone.fs)
    assert.is_nil(hone.no_such_library)
  end)
end)
