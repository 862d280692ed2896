local params = require "hone.params"

local LIST = {
  { name = "model_name", type = "string", short = "m", help = "" },
  { name = "count", type = "integer", min = 1, max = 100, default = 10, help = "" },
  { name = "scale", type = "number", help = "" },
  { name = "deduplicate", type = "boolean", default = true, help = "" },
  { name = "dry_run", type = "boolean", default = false, help = "" },
  { name = "mode", type = "choice", choices = { "prefill", "decode" }, help = "" },
  {
    name = "modes",
    type = "list",
    choices = { "prefill", "decode" },
    default = { "prefill", "decode" },
    help = "",
  },
  { name = "page_size", type = "list", of = "integer", min = 1, default = { 1, 64 }, help = "" },
  { name = "output", type = "path", default = "~/out", help = "" },
  { name = "files", type = "list", of = "path", positional = true, help = "" },
}

local function read(...)
  local values, why, asked = params.from_words(LIST, { ... })
  return values, why, asked
end

local function refused(...)
  local values, why = read(...)
  assert.is_nil(values)
  return why
end

describe("params.from_words", function()
  it("fills in the defaults, home folders expanded", function()
    local values = read()
    assert.equal(10, values.count)
    assert.is_true(values.deduplicate)
    assert.same({ 1, 64 }, values.page_size)
    assert.equal(os.getenv("HOME") .. "/out", values.output)
    assert.is_nil(values.model_name)
  end)

  it("does not hand out the skill's own default list", function()
    read().page_size[1] = 7
    assert.same({ 1, 64 }, read().page_size)
  end)

  it("takes --name value, --name=value, underscores and short names alike", function()
    for _, words in ipairs {
      { "--model-name", "llama" },
      { "--model-name=llama" },
      { "--model_name", "llama" },
      { "--model_name=llama" },
      { "-m", "llama" },
      { "-m=llama" },
    } do
      assert.equal("llama", read(table.unpack(words)).model_name)
    end
  end)

  it("takes a value that begins with a hyphen after an equals sign", function()
    assert.equal("-x", read("--model-name=-x").model_name)
    assert.equal("a=b", read("--model-name=a=b").model_name)
  end)

  it("reads a boolean as a flag, with a value, and negated", function()
    assert.is_true(read("--dry-run").dry_run)
    assert.is_true(read("--dry-run", "true").dry_run)
    assert.is_false(read("--dry-run=false").dry_run)
    assert.is_false(read("--deduplicate", "false").deduplicate)
    assert.is_false(read("--no-deduplicate").deduplicate)
    assert.is_false(read("--no_deduplicate").deduplicate)
  end)

  it("leaves a word after a boolean flag that is not true or false to the positional ones", function()
    local values = read("--dry-run", "a.json")
    assert.is_true(values.dry_run)
    assert.same({ "a.json" }, values.files)
  end)

  it("gathers a list from commas, repetition and several words", function()
    for _, words in ipairs {
      { "--page-size", "1,16,64" },
      { "--page-size", "1", "16", "64" },
      { "--page-size", "1", "--page-size=16,64" },
      { "--page-size", "1,16", "64", "--dry-run" },
    } do
      assert.same({ 1, 16, 64 }, read(table.unpack(words)).page_size)
    end
    assert.same({ "decode" }, read("--modes", "decode").modes)
  end)

  it(
    "ends flags at --",
    function() assert.same({ "--dry-run", "-x" }, read("--", "--dry-run", "-x").files) end
  )

  it("takes a negative number as a value", function() assert.equal(-1.5, read("--scale", "-1.5").scale) end)

  it("understands --json and --help everywhere", function()
    local values, why, asked = read("--json")
    assert.is_table(values)
    assert.is_nil(why)
    assert.is_true(asked.json)
    values, why, asked = read("--help", "--count", "x")
    assert.is_nil(values)
    assert.is_string(why)
    assert.is_true(asked.help)
    assert.is_true(select(3, read("-h")).help)
  end)

  it("names the nearest flag when one is unknown", function()
    assert.equal("unknown flag --modle-name; did you mean --model-name?", refused("--modle-name", "x"))
    assert.equal("unknown flag --model; did you mean --model-name?", refused("--model=x"))
    assert.equal("unknown flag --wholly-unknown", refused("--wholly-unknown"))
    assert.equal("unknown flag -x", refused("-x"))
  end)

  it("says what a value must be", function()
    assert.equal("--count must be an integer, got '1.5'", refused("--count", "1.5"))
    assert.equal(
      "--count must be an integer of 64 bits, got '99999999999999999999'",
      refused("--count", "99999999999999999999")
    )
    assert.equal("--count must be at least 1, got 0", refused("--count", "0"))
    assert.equal("--count must be at most 100, got 101", refused("--count=101"))
    assert.equal("--scale must be a number, got 'big'", refused("--scale", "big"))
    assert.equal("--dry-run must be true or false, got 'yes'", refused("--dry-run=yes"))
    assert.equal(
      "--mode must be one of prefill, decode, got 'decod'; did you mean decode?",
      refused("--mode", "decod")
    )
    assert.equal("--page-size must be an integer, got 'x'", refused("--page-size", "1,x"))
    assert.equal("--page-size must be at least 1, got 0", refused("--page-size", "0"))
    assert.equal("--output must not be empty", refused("--output="))
  end)

  it("says that a value is missing", function()
    assert.equal("--count needs a value (N)", refused("--count"))
    assert.equal("--model-name needs a value (TEXT)", refused("--model-name", "--dry-run"))
    assert.equal("--no-deduplicate takes no value", refused("--no-deduplicate=true"))
  end)

  it("asks for what is required", function()
    local list = {
      { name = "name", type = "string", required = true, positional = true, help = "" },
      { name = "models", type = "list", required = true, help = "" },
    }
    assert.equal("--name is required", select(2, params.from_words(list, { "--models", "a" })))
    assert.equal("--models is required", select(2, params.from_words(list, { "x", "--models=" })))
    assert.same({ name = "x", models = { "a" } }, params.from_words(list, { "x", "--models", "a" }))
  end)

  it(
    "refuses a word too many",
    function() assert.equal("unexpected argument 'stray'", select(2, params.from_words({}, { "stray" }))) end
  )
end)

describe("params.from_table", function()
  it("checks the same things", function()
    local values = params.from_table(LIST, { model_name = "llama", page_size = { 16 }, ["dry-run"] = true })
    assert.equal("llama", values.model_name)
    assert.same({ 16 }, values.page_size)
    assert.is_true(values.dry_run)
    assert.same({ nil, "count must be an integer, got 1.5" }, { params.from_table(LIST, { count = 1.5 }) })
    assert.same({ nil, "count must be an integer, got string" }, { params.from_table(LIST, { count = "1" }) })
    assert.same(
      { nil, "modes must be a list, got string" },
      { params.from_table(LIST, { modes = "decode" }) }
    )
    assert.same(
      { nil, "no parameter 'modle_name'; did you mean model_name?" },
      { params.from_table(LIST, { modle_name = "x" }) }
    )
  end)

  it(
    "takes whole floats as integers",
    function() assert.equal("integer", math.type(params.from_table(LIST, { count = 5.0 }).count)) end
  )

  it("takes positional parameters as the array part", function()
    local list = {
      { name = "action", type = "string", positional = true, help = "" },
      { name = "name", type = "string", positional = true, help = "" },
    }
    assert.same({ action = "which", name = "x" }, params.from_table(list, { "which", "x" }))
    assert.same({ nil, "no parameter '3'" }, { params.from_table(list, { "a", "b", "c" }) })
  end)
end)

describe("params.problem", function()
  local function problem(param)
    param.help = param.help or "help"
    return params.problem { param }
  end

  it("finds nothing wrong with a right list", function() assert.is_nil(params.problem(LIST)) end)

  it("names the parameter and what is wrong with it", function()
    local cases = {
      { { name = "Bad" }, "parameter Bad needs a name of lower-case letters, digits and underscores" },
      { { name = "json", type = "boolean" }, "parameter json has a name that every skill already has" },
      {
        { name = "x", type = "integr" },
        "parameter x is of an unknown type 'integr'; did you mean integer? "
          .. "(there are: boolean, choice, integer, list, number, path, string)",
      },
      { { name = "x", type = "choice" }, "parameter x needs choices" },
      { { name = "x", type = "string", of = "integer" }, "parameter x cannot be a string of 'integer'" },
      {
        { name = "x", type = "integer", defualt = 1 },
        "parameter x has an unknown field 'defualt'; did you mean default?",
      },
      {
        { name = "x", type = "path", default = "" },
        "parameter x has a wrong default: it must not be empty",
      },
      {
        { name = "x", type = "integer", default = 1, required = true },
        "parameter x is required and has a default: one of the two",
      },
      { { name = "x", type = "string", short = "xy" }, "parameter x has a short name that is no letter" },
    }
    for _, case in ipairs(cases) do
      assert.equal(case[2], problem(case[1]))
    end
    assert.equal(
      "parameter x is there twice",
      params.problem { { name = "x", type = "path", help = "" }, { name = "x", type = "path", help = "" } }
    )
    assert.equal("parameter #1 is not a table", params.problem { "x" })
    assert.equal(
      "parameter y comes after x, which takes every word",
      params.problem {
        { name = "x", type = "list", positional = true, help = "" },
        { name = "y", type = "string", positional = true, help = "" },
      }
    )
  end)
end)
