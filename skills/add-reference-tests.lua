--- Write tests of definitions' references, and check references without Python.
local skill = {
  summary = "write pytest files that hold references against ground truth; check them without Python",
  description = [[
Writes tests/references/test_<definition>.py into the dataset, and the conftest.py that they share: constants, the
definition's reference, seeded inputs that are valid for the op type, and checks of shapes and dtypes, determinism,
and values against ground truth. Ground truth is FlashInfer where it is installed and there is a GPU, SGLang's
kernels likewise, and always an independent formula in float64. A failing comparison names the worst places; the share
of values within the tolerance, the distance of all together in norms of the truth, the cosine and the mean squared
error are printed (pytest -s). A test that is there already is left alone without --force.

--run native checks the references here and now, on hone's own tensors, against the same formulas: no Python is
needed. --run only-native does that and writes nothing.]],
  params = {
    {
      name = "definition_name",
      type = "list",
      help = "definitions to write tests for (one of these four is needed)",
    },
    { name = "op_type", type = "string", help = "all definitions of an op type" },
    { name = "definitions_dir", type = "path", help = "all definitions of a folder" },
    { name = "all", type = "boolean", help = "all definitions of the dataset" },
    {
      name = "test_sizes",
      type = "integer",
      min = 1,
      help = "how many sizes are tested, from the smallest (default: all)",
    },
    {
      name = "tolerance",
      type = "number",
      min = 0,
      help = "absolute, relative and of all values together, instead of the op type's",
    },
    { name = "force", type = "boolean", help = "write over tests that are there" },
    {
      name = "run",
      type = "choice",
      choices = { "native", "only-native" },
      help = "check the references without Python, too, or only that",
    },
    { name = "local", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
    {
      name = "output",
      type = "path",
      help = "folder of the tests (default: tests/references of the dataset)",
    },
  },
  outputs = {
    { name = "written", help = "paths of the tests" },
    { name = "kept", help = "tests that were there already" },
    { name = "skipped", help = "definitions without a test, and why" },
    {
      name = "checked",
      help = "with --run: for each definition whether it agrees, largest error, share within the tolerance, distance",
    },
  },
  examples = {
    "hone add-reference-tests --op-type mla_paged",
    "hone add-reference-tests --definition-name rmsnorm_h4096 --run native --tolerance 1e-2",
    "hone add-reference-tests --all --run only-native",
  },
}

-- ---- which definitions ---------------------------------------------------------------------------------

local function read_folder(folder)
  local fs, json = require "hone.fs", require "hone.json"
  if not fs.is_dir(folder) then
    return nil, ("cannot read the definitions %s: no such directory"):format(folder)
  end
  local list = {}
  for path in fs.walk(folder, { files_only = true }) do
    if fs.extension(path) == ".json" then
      local definition, why = json.read(path)
      if not definition then return nil, why end
      local ok, messages = require("hone.dataset.definition").validate(definition, { python = false })
      if not ok then return nil, ("%s: %s"):format(path, table.concat(messages, "; ")) end
      list[#list + 1] = definition
    end
  end
  return list
end

local function read_named(set, names)
  local list = {}
  for i, name in ipairs(names) do
    list[i] = require("hone.dataset.traceset").definition(set, name)
    if not list[i] then return nil, ("there is no definition '%s' in %s"):format(name, set.root), "ENOENT" end
  end
  return list
end

local function choose(args, root)
  if args.definitions_dir then return read_folder(args.definitions_dir) end
  local traceset = require "hone.dataset.traceset"
  local set, why = traceset.open(root)
  if not set then return nil, why end
  if args.definition_name then return read_named(set, args.definition_name) end
  local list = {}
  for _, entry in ipairs(traceset.definitions(set)) do
    if args.all or entry.definition.op_type == args.op_type then list[#list + 1] = entry.definition end
  end
  if #list > 0 then return list end
  local what = args.op_type and (" of op type '%s'"):format(args.op_type) or ""
  return nil, ("%s has no definitions%s"):format(root, what), "ENOENT"
end

-- ---- writing -------------------------------------------------------------------------------------------

local function write_tests(definitions, folder, args, result)
  local fs = require "hone.fs"
  local generate = require "hone.reference_tests.generate"
  local texts = {}
  for _, definition in ipairs(definitions) do
    local path = fs.join(folder, "test_" .. definition.name .. ".py")
    if fs.exists(path) and not args.force then
      result.kept[#result.kept + 1] = path
    else
      local text, why = generate.test(definition, { sizes = args.test_sizes, tolerance = args.tolerance })
      if text then
        texts[#texts + 1] = { path, text }
      else
        result.skipped[#result.skipped + 1] = why
      end
    end
  end
  if #texts > 0 then
    local conftest = fs.join(folder, "conftest.py")
    if not fs.exists(conftest) or args.force then
      table.insert(texts, 1, { conftest, require "hone.reference_tests.conftest" })
    end
  end
  for _, entry in ipairs(texts) do
    local ok, why = fs.mkdir(folder)
    if ok then
      ok, why = fs.write(entry[1], entry[2])
    end
    if not ok then return nil, why end
    result.written[#result.written + 1] = entry[1]
  end
  return true
end

-- ---- checking ------------------------------------------------------------------------------------------

local function check(definitions, args, result, ctx)
  local json = require "hone.json"
  local native = require "hone.reference_tests.native"
  local wrong = 0
  for _, definition in ipairs(definitions) do
    local outcome, why, code = native.check(definition, { tolerance = args.tolerance })
    collectgarbage() -- weights of experts are gigabytes, and small to the collector
    local entry = json.object { { "definition", definition.name } }
    if outcome then
      entry.agrees, entry.largest_error, entry.matched = true, outcome.worst, outcome.matched
      entry.distance, entry.cosine = outcome.distance, outcome.cosine
    elseif code == "unknown" then
      entry.agrees, entry.why = json.null, why
    else
      entry.agrees, entry.why = false, why
      wrong = wrong + 1
    end
    result.checked[#result.checked + 1] = entry
    local says = outcome
        and ("agrees, largest error %.2e, distance %.1e"):format(outcome.worst, outcome.distance)
      or why
    ctx.say("%-60s %s", definition.name, says)
  end
  return wrong
end

local function summary(result, ctx)
  local text = "%d tests written, %d kept, %d definitions without"
  ctx.say(text, #result.written, #result.kept, #result.skipped)
  for _, why in ipairs(result.skipped) do
    ctx.warn("%s", why)
  end
  if #result.written > 0 then
    ctx.say("run them: python3 -m pytest %s", require("hone.fs").dirname(result.written[1]))
  end
end

function skill.run(args, ctx)
  local fs, json = require "hone.fs", require "hone.json"
  local ways = 0
  for _, name in ipairs { "definition_name", "op_type", "definitions_dir", "all" } do
    ways = ways + (args[name] and 1 or 0)
  end
  if ways ~= 1 then
    return nil, "give one of --definition-name, --op-type, --definitions-dir and --all", "usage"
  end
  local root = require("hone.dataset.traceset").locate(args["local"])
  local definitions, why, code = choose(args, root)
  if not definitions then return nil, why, code end
  local result = json.object {
    { "written", json.array {} },
    { "kept", json.array {} },
    { "skipped", json.array {} },
    { "checked", json.array {} },
  }
  if args.run ~= "only-native" then
    local ok
    ok, why = write_tests(definitions, args.output or fs.join(root, "tests/references"), args, result)
    if not ok then return nil, why, nil, result end
    summary(result, ctx)
  end
  local wrong = args.run and check(definitions, args, result, ctx) or 0
  if wrong > 0 then
    return nil, ("%d of %d references disagree with their formula"):format(wrong, #definitions), nil, result
  end
  return result
end

return skill
