--- Real workloads of kernels: a model is served while FlashInfer logs its calls, and the logs become workloads.
local skill = {
  summary = "collect real workloads of kernels from a running model, or from FlashInfer's dumps",
  description = [[
Starts SGLang with FlashInfer's level 10 logging, asks it prompts, and turns the calls that were dumped into
workloads of the dataset: sizes, and the integer tensors that are their structure; floats are noted as random.
Definitions are grouped by the server that they need: how it runs (paged decode, paged or ragged prefill), its tensor
and expert parallel sizes (from the tags tp: and ep:) and its page size. --server-command runs another server that
answers /health and /generate; {port} and {model} stand for those.

With --from-dumps no server is started: the dumps of a folder are read.

Then the baselines (solutions of the author "baseline") are run on what was kept, as hone run does it: the traces
are kept in the dataset, a table of them stands in the report. Baselines for the CPU are run anywhere, others where
there is a GPU; elsewhere the command is printed that does it there.

What a dump is refused for stands in the report, beside what was kept. A run that was cut short is started again: what
is in the dataset already is found again and not written twice.

With --submit-pr, the default, a branch with the new files is made and shown, and sent after a yes on the terminal or
with --yes; without a terminal, a token or a network it is prepared, and the command that sends it is printed.]],
  params = {
    {
      name = "definition_names",
      type = "list",
      help = "definitions to collect for (one of these three is needed)",
    },
    { name = "op_type", type = "string", help = "all definitions of an op type" },
    {
      name = "all",
      type = "boolean",
      help = "all definitions: of the dataset with --from-dumps, for a server those tagged with the model, if any are",
    },
    { name = "model_name", type = "string", required = true, help = "the model's name, as in the tags" },
    { name = "model_path", type = "string", help = "its weights: a folder or ORG/NAME (default: the name)" },
    {
      name = "dataset",
      type = "string",
      default = "random",
      help = "prompts: a ShareGPT file of JSON lines, or 'random'",
    },
    {
      name = "num_samples",
      type = "integer",
      min = 1,
      default = 100,
      help = "prompts in all, for each server",
    },
    { name = "input_len", type = "integer", min = 1, default = 512, help = "words of a random prompt" },
    {
      name = "output_len",
      type = "integer",
      min = 1,
      help = "tokens of an answer (default: what the kernel needs)",
    },
    { name = "submit_pr", type = "boolean", default = true, help = "prepare a pull request of what is new" },
    { name = "yes", type = "boolean", help = "send it without asking" },
    { name = "from_dumps", type = "path", help = "read this folder of dumps, start nothing" },
    { name = "dump_dir", type = "path", help = "where dumps go (default: ./workload_dumps_MODEL)" },
    { name = "keep_dumps", type = "boolean", help = "leave the dumps there when they have been read" },
    {
      name = "server_command",
      type = "string",
      help = "start this instead of SGLang; {port} and {model} are put in",
    },
    { name = "server_args", type = "string", help = "more arguments for SGLang's server" },
    { name = "tp", type = "integer", min = 1, help = "tensor parallel size, instead of the tags'" },
    { name = "ep", type = "integer", min = 1, help = "expert parallel size, instead of the tags'" },
    { name = "page_size", type = "integer", min = 1, help = "page size, instead of the definitions'" },
    { name = "port", type = "integer", min = 1, default = 30000, help = "port of the server" },
    {
      name = "concurrency",
      type = "list",
      of = "integer",
      min = 1,
      help = "requests at once, a round for each",
    },
    { name = "timeout", type = "number", default = 1800, help = "seconds until the server must be healthy" },
    { name = "max_per_axes", type = "integer", min = 1, default = 2, help = "workloads of the same sizes" },
    {
      name = "max_workloads",
      type = "integer",
      min = 1,
      default = 20,
      help = "new workloads for a definition",
    },
    {
      name = "max_dump_gb",
      type = "number",
      default = 30,
      help = "GiB of dumps by each process of a server; less where the disk has less",
    },
    { name = "replace", type = "boolean", help = "instead of the workloads that are there" },
    { name = "eval_baseline", type = "boolean", default = true, help = "run the baselines on what was kept" },
    { name = "local", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
    { name = "dry_run", type = "boolean", help = "say what would be started and kept, write nothing" },
  },
  outputs = {
    { name = "definitions", help = "for each: what was kept, and what was refused and why" },
    { name = "servers", help = "for each: command, environment, requests answered" },
    { name = "baseline", help = "how the baselines did: rows of the table, paths of traces, notes" },
    { name = "report", help = "path of the report, without its ending (.json and .md)" },
    { name = "pull_request", help = "what was sent, or is ready to be" },
  },
  examples = {
    "hone collect-workloads --model-name llama-3.1-8b --model-path meta-llama/Llama-3.1-8B-Instruct --all",
    "hone collect-workloads --model-name llama-3.1-8b --op-type gqa_paged --from-dumps ./workload_dumps",
  },
}

-- ---- which definitions ---------------------------------------------------------------------------------

local function by_names(set, names)
  local traceset = require "hone.dataset.traceset"
  local list = {}
  for _, name in ipairs(names) do
    local definition = traceset.definition(set, name)
    if not definition then
      return nil, ("there is no definition '%s' in %s"):format(name, set.root), "ENOENT"
    end
    list[#list + 1] = definition
  end
  return list
end

local function by_question(set, is_meant)
  local list = {}
  for _, entry in ipairs(require("hone.dataset.traceset").definitions(set)) do
    if is_meant(entry.definition) then list[#list + 1] = entry.definition end
  end
  return list
end

-- All of the dataset; for a server those of its model, since every kind of definition needs a server of its own.
local function all_of(set, args, ctx)
  local tag = "model:" .. args.model_name
  local function is_models(definition) return require("hone.dataset.tags").has(definition, tag) end
  local list = args.from_dumps and {} or by_question(set, is_models)
  if #list > 0 then return list end
  list = by_question(set, function() return true end)
  if #list == 0 then return nil, ("%s has no definitions"):format(set.root), "ENOENT" end
  if not args.from_dumps then ctx.warn("no definition is tagged %s: all %d are taken", tag, #list) end
  return list
end

local function choose(set, args, ctx)
  if args.definition_names then return by_names(set, args.definition_names) end
  if args.all then return all_of(set, args, ctx) end
  local list = by_question(set, function(definition) return definition.op_type == args.op_type end)
  if #list > 0 then return list end
  return nil, ("%s has no definitions of op type '%s'"):format(set.root, args.op_type), "ENOENT"
end

local MOST_NAMED = 3

-- Those that FlashInfer logs; the others are said.
local function logged(definitions, ctx)
  local api = require "hone.workloads.api"
  local list, others = {}, {}
  for _, definition in ipairs(definitions) do
    table.insert(api.of(definition) and list or others, definition)
  end
  for i, definition in ipairs(others) do
    if i <= MOST_NAMED then
      ctx.warn("%s has no fi_api tag: FlashInfer logs nothing for it", definition.name)
    end
  end
  if #others > MOST_NAMED then ctx.warn("%d others have none either", #others - MOST_NAMED) end
  if #list > 0 then return list end
  return nil, "FlashInfer logs the calls of none of these definitions (they have no fi_api tag)"
end

-- ---- serving -------------------------------------------------------------------------------------------

local function command_of(server, args)
  local model = args.model_path or args.model_name
  if not args.server_command then
    local extra = require("hone.text").words(args.server_args or "")
    return require("hone.workloads.plan").command(server, { model = model, port = args.port, extra = extra })
  end
  local values = { port = tostring(args.port), model = model }
  local words = require("hone.text").words(args.server_command)
  for i, word in ipairs(words) do
    words[i] = word:gsub("{(%a+)}", values)
  end
  return words
end

local function read_prompts(args)
  if args.dataset == "random" then return {} end
  return require("hone.workloads.prompts").read(args.dataset, args.num_samples)
end

local SHARED_WORDS = 64 -- that the prompts of one round begin with, where kernels for a shared prefix are wanted

-- The rounds of requests: the samples are divided among the numbers of requests at once.
local function rounds_of(server, args, list)
  local prompts = require "hone.workloads.prompts"
  local sizes = args.concurrency or server.concurrency
  local rounds, used = {}, 0
  for i, size in ipairs(sizes) do
    local count = math.min(size, math.ceil((args.num_samples - used) / (#sizes - i + 1)))
    if count > 0 then
      local round = { concurrency = size, new_tokens = args.output_len or server.new_tokens }
      round.prompts = #list > 0 and {}
        or prompts.random(count, args.input_len, 7 * i, server.shared_prefix and SHARED_WORDS)
      for k = 1, #list > 0 and count or 0 do
        round.prompts[k] = list[(used + k - 1) % #list + 1]
      end
      used = used + count
      rounds[#rounds + 1] = round
    end
  end
  local last = rounds[#rounds]
  for k = used + 1, args.num_samples do -- what is left goes with the most at once
    table.insert(
      last.prompts,
      #list > 0 and list[(k - 1) % #list + 1] or prompts.random(1, args.input_len, k)[1]
    )
  end
  return rounds
end

local function count_dumps(folder)
  local fs = require "hone.fs"
  return fs.is_dir(folder) and #(require("hone.workloads.dump").list(folder) or {}) or 0
end

local function ask_all(running, rounds, folder, ctx)
  local answered, failed, first, total = 0, 0, nil, 0
  for _, round in ipairs(rounds) do
    total = total + #round.prompts
  end
  local bar = ctx.progress { total = total, label = "requests" }
  for _, round in ipairs(rounds) do
    local before = answered + failed
    local outcome = running:ask(
      round,
      function(done)
        bar:update(before + done, ("%d at once, %d dumps"):format(round.concurrency, count_dumps(folder)))
      end
    )
    answered, failed, first = answered + outcome.ok, failed + outcome.failed, first or outcome.first
    local alive, why = running:check()
    if not alive then
      bar:done "stopped"
      return { answered = answered, failed = failed, problem = why }
    end
  end
  bar:done()
  local problem = failed > 0 and ("%d of %d requests failed; the first: %s"):format(failed, total, first)
    or nil
  return { answered = answered, failed = failed, problem = problem }
end

local function in_order(env)
  local names, object = {}, require("hone.json").object()
  for name in pairs(env) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    object[name] = env[name]
  end
  return object
end

-- What is told of a server; its command and environment are what it is started with.
local function describe(server, command, env)
  local json = require "hone.json"
  local about = json.object { { "command", table.concat(command, " ") }, { "definitions", json.array {} } }
  for _, definition in ipairs(server.definitions) do
    table.insert(about.definitions, definition.name)
  end
  about.environment = in_order(env)
  return about
end

-- Start it, ask it, stop it; what was answered, and why not all was.
local function run_server(command, env, rounds, folder, args, ctx)
  local running <close>, why = require("hone.workloads.server").start(command, {
    url = ("http://127.0.0.1:%d"):format(args.port),
    log = require("hone.fs").join(folder, "server.log"),
    env = env,
    timeout = args.timeout,
  })
  if not running then return {}, why end
  local bar = ctx.progress { label = "server" }
  local ok
  ok, why = running:wait_until_healthy(function(seconds) bar:update(math.floor(seconds), "starting") end)
  bar:done(ok and "healthy" or "failed")
  if not ok then return {}, why end
  local outcome = ask_all(running, rounds, folder, ctx)
  return outcome, outcome.problem
end

-- Run one server and have its calls dumped; what went wrong is told, and what was dumped is kept.
local function serve(server, args, folder, list, ctx)
  local room = require "hone.workloads.room"
  local share, full = args.max_dump_gb, nil
  if not args.dry_run then
    share, full = room.share(folder, server.tp, args.max_dump_gb)
  end
  local env = require("hone.workloads.plan").environment(server.definitions, folder, share or 0)
  local command = command_of(server, args)
  local about = describe(server, command, env)
  if args.dry_run or full then return about, full end
  local logs = room.logs(folder)
  local outcome, why = run_server(command, env, rounds_of(server, args, list), folder, args, ctx)
  about.answered, about.failed = outcome.answered, outcome.failed
  local said = room.said(folder, logs)
  about.limit = said.limit
  if said.limit then ctx.warn("not every call was dumped: %s", said.limit) end
  return about, why or said.failure
end

-- ---- dumps to workloads --------------------------------------------------------------------------------

local function convert(folder, definitions, root, args, ctx)
  local bar = ctx.progress { label = "dumps" }
  local report, why = require("hone.workloads.collect").from_dumps(folder, definitions, {
    root = root,
    max_workloads = args.max_workloads,
    max_per_axes = args.max_per_axes,
    replace = args.replace,
    dry_run = args.dry_run,
    seen = function(done, all)
      if done % 64 == 0 or done == all then bar:update(done, ("of %d"):format(all)) end
    end,
  })
  bar:done(report and "read" or "failed")
  return report, why
end

-- Runs that end within a second have reports of their own.
local function free_name(base)
  local fs = require "hone.fs"
  local name, number = base, 1
  while fs.exists(name .. ".json") do
    number = number + 1
    name = ("%s-%d"):format(base, number)
  end
  return name
end

local function write_report(root, result)
  local fs, json = require "hone.fs", require "hone.json"
  local base = free_name(fs.join(root, "reports", "collect-workloads-" .. os.date "%Y%m%d-%H%M%S"))
  local ok, why = fs.mkdir(fs.dirname(base))
  if ok then
    ok, why = json.write(base .. ".json", result, { indent = 2 })
  end
  if ok then
    ok, why = fs.write(base .. ".md", require("hone.workloads.report").markdown(result))
  end
  if not ok then return nil, why end
  return base
end

local function show(result, ctx)
  local rows = {}
  for _, one in ipairs(result.definitions) do
    local refused = 0
    for _, entry in pairs(one.refused) do
      refused = refused + entry.count
    end
    rows[#rows + 1] = { one.definition, one.calls, #one.kept, one.known, refused }
  end
  local headers = { "definition", "calls", "kept", "in the dataset", "refused" }
  ctx.say("%s", require("hone.table").format(rows, { headers = headers }))
  for _, list in ipairs { result.broken, result.skipped, result.warnings } do
    for _, line in ipairs(list) do
      ctx.warn("%s", line)
    end
  end
  for _, one in ipairs(result.definitions) do
    if #one.bad_lines > 0 then
      ctx.warn("%s has %d lines that hold no workload: left as they are", one.path, #one.bad_lines)
    end
  end
end

local function eval_baseline(result, root, args, ctx)
  if not args.eval_baseline then return end
  local about = require("hone.workloads.baseline").run(root, result, ctx)
  result.baseline = about
  if not about then return end
  if #about.rows > 0 then
    local headers = require("hone.bench.summary").HEADERS
    ctx.say("%s", require("hone.table").format(about.rows, { headers = headers }))
  end
  for _, note in ipairs(about.notes) do
    ctx.warn("%s", note)
  end
end

-- New files of this run, relative to the dataset.
local function new_files(result, root)
  local fs = require "hone.fs"
  local paths = {}
  for _, one in ipairs(result.definitions) do
    if #one.kept > 0 then paths[#paths + 1] = fs.relative(one.path, root) end
    local op_type = fs.basename(fs.dirname(one.path))
    for _, kept in ipairs(one.kept) do
      local blob = ("blob/workloads/%s/%s/%s_%s.safetensors"):format(
        op_type,
        one.definition,
        one.definition,
        kept.uuid
      )
      if fs.is_file(fs.join(root, blob)) then paths[#paths + 1] = blob end
    end
  end
  for _, path in ipairs(result.baseline and result.baseline.paths or {}) do
    paths[#paths + 1] = path
  end
  return paths
end

-- What is new goes with what was left of earlier runs, and is noted until it is sent.
local function submit(result, root, args, ctx)
  if not args.submit_pr then return nil end
  local unsent = require "hone.workloads.unsent"
  local paths = unsent.with(root, new_files(result, root))
  if #paths == 0 then return nil end
  local ok, why = unsent.write(root, paths)
  if not ok then return nil, why end
  if result.problem then return nil end
  local outcome
  outcome, why = require("hone.workloads.publish").submit(root, paths, {
    title = ("Add workloads of %s"):format(args.model_name),
    branch = ("workloads-%s-%s"):format(args.model_name:gsub("[^%w._-]", "-"), os.date "%Y%m%d-%H%M%S"),
    yes = args.yes,
    ctx = ctx,
  })
  if outcome and (outcome.sent or outcome.nothing_new) then
    ok, why = unsent.write(root, {})
    if not ok then return nil, why end
  end
  return outcome, why
end

local function finish(folder, definitions, root, args, ctx, servers)
  local json = require "hone.json"
  local result, why = convert(folder, definitions, root, args, ctx)
  if not result then return nil, why end
  result.servers = servers
  show(result, ctx)
  if args.dry_run then return result end
  if not result.problem then eval_baseline(result, root, args, ctx) end
  result.report, why = write_report(root, result)
  if result.report then ctx.say("report: %s.md", result.report) end
  local problem = result.problem or why
  local request, refused = submit(result, root, args, ctx)
  result.pull_request = request or json.null
  problem = problem or refused
  if not problem then return result end
  if #result.definitions > 0 then
    problem = ("%s; what the dataset has by now is whole, and running this again goes on"):format(problem)
  end
  return nil, problem, nil, result
end

local function collect_served(definitions, root, args, ctx)
  local fs, json = require "hone.fs", require "hone.json"
  local list, bad = read_prompts(args)
  if not list then return nil, bad end
  if bad and #bad > 0 then
    ctx.warn("%s: %d entries hold no prompt, the first is %s", args.dataset, #bad, bad[1])
  end
  local folder = fs.absolute(args.dump_dir or ("workload_dumps_" .. args.model_name))
  if not args.dry_run then
    local ok, why = fs.mkdir(folder)
    if not ok then return nil, why end
  end
  local servers, problems = json.array {}, {}
  local asked = { tp = args.tp, ep = args.ep, page_size = args.page_size }
  for _, server in ipairs(require("hone.workloads.plan").servers(definitions, asked)) do
    local about, why = serve(server, args, folder, list, ctx)
    servers[#servers + 1] = about
    about.problem = why
    problems[#problems + 1] = why
    if args.dry_run then ctx.say("%s", about.command) end
  end
  if args.dry_run then return json.object { { "servers", servers }, { "definitions", json.array {} } } end
  if #problems > 0 and count_dumps(folder) == 0 then return nil, problems[1] end
  local result, why, code, partial = finish(folder, definitions, root, args, ctx, servers)
  if result and not args.keep_dumps and #problems == 0 and not args.dump_dir then fs.remove(folder) end
  if result and #problems > 0 then
    return nil,
      ("%s; what was dumped by then was kept, and running this again goes on"):format(problems[1]),
      nil,
      result
  end
  return result, why, code, partial
end

function skill.run(args, ctx)
  local traceset = require "hone.dataset.traceset"
  local ways = (args.definition_names and 1 or 0) + (args.op_type and 1 or 0) + (args.all and 1 or 0)
  if ways ~= 1 then return nil, "give one of --definition-names, --op-type and --all", "usage" end
  local set, why = traceset.open(traceset.locate(args["local"]))
  if not set then return nil, why end
  local definitions, code
  definitions, why, code = choose(set, args, ctx)
  if not definitions then return nil, why, code end
  if args.from_dumps then
    if not require("hone.fs").is_dir(args.from_dumps) then
      return nil, ("cannot read the dumps %s: no such directory"):format(args.from_dumps)
    end
    return finish(args.from_dumps, definitions, set.root, args, ctx)
  end
  definitions, why = logged(definitions, ctx)
  if not definitions then return nil, why end
  return collect_served(definitions, set.root, args, ctx)
end

return skill
