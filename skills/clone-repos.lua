--- Bring the sources that the other skills read: SGLang, FlashInfer and the flashinfer-trace dataset.
local fs = require "hone.fs"
local json = require "hone.json"
local repos = require "hone.repos"

-- `package` and `inside`: what holds the same sources on PyPI, and where its content lies in the repository;
-- `on_request`: brought only when --repos names it.
local SOURCES = {
  {
    name = "sglang",
    flag = "sglang",
    package = "sglang",
    inside = "python",
    url = "https://github.com/sgl-project/sglang.git",
  },
  {
    name = "flashinfer",
    flag = "flashinfer",
    package = "flashinfer-python",
    inside = "",
    url = "https://github.com/flashinfer-ai/flashinfer.git",
  },
  {
    name = "flashinfer-trace",
    flag = "trace",
    url = "https://huggingface.co/datasets/flashinfer-ai/flashinfer-trace",
  },
  {
    name = "sgl-cookbook",
    flag = "cookbook",
    url = "https://github.com/sgl-project/sgl-cookbook.git",
    on_request = true,
  },
  {
    name = "transformers",
    flag = "transformers",
    package = "transformers",
    inside = "src",
    url = "https://github.com/huggingface/transformers.git",
    on_request = true,
  },
}

local skill = {
  summary = "clone SGLang, FlashInfer and the flashinfer-trace dataset, or bring them up to date",
  description = [[
Repositories that are not there are cloned, several at once; a clone appears whole or not at all. Those that
are there are updated by fast-forward only: one with uncommitted changes, commits of its own, or another
origin is left as it is, and the skill says so. Files kept in git-lfs stay pointers unless --lfs is given.

What was brought is written to repos_config.json in the target folder. Other skills find that file by
themselves: in the current folder, in ./repos, or in a folder above.

With --source pypi the sources of SGLang, FlashInfer and transformers come from their published packages instead,
through `python3 -m pip`, for sites that reach a package index but not GitHub. The folders look as in git. The
dataset and sgl-cookbook have no package.

Two more are brought when --repos names them. sgl-cookbook is SGLang's guide to serving models: parallel sizes are
taken from it. transformers has the config classes of many models, and with them the values of fields that a
config.json leaves out.

Private mirrors: put user and token into the URL, or use git's own credential helpers. They are never printed
or stored.]],
  params = {
    {
      name = "target_dir",
      type = "path",
      default = "./repos",
      help = "the folder that holds the repositories",
    },
    {
      name = "repos",
      type = "list",
      choices = { "sglang", "flashinfer", "flashinfer-trace", "sgl-cookbook", "transformers" },
      help = "which to bring; the first three when absent",
    },
    {
      name = "source",
      type = "choice",
      choices = { "git", "pypi" },
      default = "git",
      help = "where from: the git repositories, or the published packages",
    },
    { name = "sglang_branch", type = "string", default = "main", help = "branch or tag of SGLang" },
    { name = "flashinfer_branch", type = "string", default = "main", help = "branch or tag of FlashInfer" },
    { name = "trace_branch", type = "string", default = "main", help = "branch or tag of flashinfer-trace" },
    { name = "cookbook_branch", type = "string", default = "main", help = "branch or tag of sgl-cookbook" },
    {
      name = "transformers_branch",
      type = "string",
      default = "main",
      help = "branch or tag of transformers",
    },
    { name = "sglang_url", type = "string", default = SOURCES[1].url, help = "where SGLang is cloned from" },
    {
      name = "flashinfer_url",
      type = "string",
      default = SOURCES[2].url,
      help = "where FlashInfer is cloned from",
    },
    {
      name = "trace_url",
      type = "string",
      default = SOURCES[3].url,
      help = "where flashinfer-trace is cloned from",
    },
    {
      name = "cookbook_url",
      type = "string",
      default = SOURCES[4].url,
      help = "where sgl-cookbook is cloned from",
    },
    {
      name = "transformers_url",
      type = "string",
      default = SOURCES[5].url,
      help = "where transformers is cloned from",
    },
    {
      name = "depth",
      type = "integer",
      min = 1,
      help = "clone only so many commits of history; all of it when absent",
    },
    { name = "submodules", type = "boolean", default = true, help = "bring the submodules too" },
    {
      name = "lfs",
      type = "boolean",
      default = false,
      help = "bring what git-lfs keeps, instead of leaving pointers (needs git-lfs)",
    },
    {
      name = "retries",
      type = "integer",
      min = 0,
      max = 10,
      default = 3,
      help = "how often to try again after a failure of the network",
    },
    {
      name = "sglang_version",
      type = "string",
      help = "with --source pypi: the version; the newest when absent",
    },
    {
      name = "flashinfer_version",
      type = "string",
      help = "with --source pypi: the version; the newest when absent",
    },
    {
      name = "transformers_version",
      type = "string",
      help = "with --source pypi: the version; the newest when absent",
    },
  },
  outputs = {
    {
      name = "repos_config.json",
      help = "in the target folder: for each repository name, url, path, branch, "
        .. "commit, date and source; for a package version, archive and sha256",
    },
    {
      name = "sglang, flashinfer, flashinfer-trace, sgl-cookbook, transformers",
      help = "the repositories, in the target folder",
    },
  },
  examples = {
    "hone clone-repos",
    "hone clone-repos --target-dir ~/src --repos sglang --depth 1",
    "hone clone-repos --sglang-branch v0.5.3 --sglang-url file:///mirrors/sglang.git",
    "hone clone-repos --source pypi --sglang-version 0.5.3",
  },
}

local function is_wanted(source, names)
  if not names then return not source.on_request end
  for _, wanted in ipairs(names) do
    if wanted == source.name then return true end
  end
  return false
end

-- The sources to bring | nil, message, code.
local function chosen(args, ctx)
  local sources = {}
  for _, source in ipairs(SOURCES) do
    local available = args.source == "git" or source.package
    if is_wanted(source, args.repos) then
      if available then
        sources[#sources + 1] = source
      elseif args.repos then
        return nil, ("%s has no package; bring it with --source git"):format(source.name), "usage"
      else
        ctx.say("%s: left out, it has no package (bring it with --source git)", source.name)
      end
    end
  end
  return sources
end

local function make_job(source, args, ctx, before)
  local total = args.source == "git" and 100 or nil -- pip does not say how far it is
  local bar = ctx.progress { label = source.name, total = total, unit = "%" }
  return {
    name = source.name,
    flag = source.flag,
    path = fs.join(args.target_dir, source.name),
    before = before,
    url = args[source.flag .. "_url"],
    branch = args[source.flag .. "_branch"],
    package = source.package,
    version = args[source.flag .. "_version"],
    inside = source.inside,
    depth = args.depth,
    submodules = args.submodules,
    lfs = args.lfs,
    retries = args.retries,
    bar = bar,
    warn = ctx.warn,
    progress = function(percent, note) bar:update(percent, note) end,
  }
end

-- What the folder's repos_config.json says of each name | nil, message.
local function recorded(folder)
  local path = fs.join(folder, repos.FILE)
  if not fs.exists(path) then return {} end
  local config, why = repos.read(path)
  return config and config.repositories, why
end

local function short_version(entry) return entry.version or entry.commit:sub(1, 12) end

-- One piece of work for each job, side by side -> entries, messages of those that failed.
local function bring_all(jobs, bring)
  local pieces = {}
  for i, job in ipairs(jobs) do
    pieces[i] = function(await)
      job.await = await
      local entry, why = bring(job)
      job.bar:done(entry and ("%s, %s"):format(entry.status, short_version(entry)) or "failed")
      return entry, why
    end
  end
  local entries, failures = {}, {}
  for _, result in ipairs(require("hone.parallel").run(pieces)) do
    if result[1] then
      entries[#entries + 1] = result[1]
    else
      failures[#failures + 1] = result[2]
    end
  end
  return entries, failures
end

local function show(entries, config, ctx)
  local rows = {}
  for i, entry in ipairs(entries) do
    local origin = entry.branch or entry.source
    rows[i] = { entry.name, entry.status, origin, short_version(entry), entry.date, entry.path }
  end
  if #rows > 0 then ctx.say("%s\nrecorded in %s", require("hone.table").format(rows), config) end
end

local function result_of(entries, config)
  local list = json.array {}
  for i, entry in ipairs(entries) do
    list[i] = repos.ordered(entry)
  end
  return json.object { { "config", config }, { "repositories", list } }
end

local function missing_tool(args)
  local process = require "hone.process"
  if args.source == "git" and not process.which("git") then
    return "git is not installed (on Debian and Ubuntu: apt install git)"
  elseif args.source == "git" and args.lfs and not process.which("git-lfs") then
    return "--lfs needs git-lfs, which is not installed (on Debian and Ubuntu: apt install git-lfs)"
  elseif args.source == "pypi" and not process.which("python3") then
    return "--source pypi needs python3 with pip (on Debian and Ubuntu: apt install python3-pip)"
  end
end

function skill.run(args, ctx)
  local missing = missing_tool(args)
  if missing then return nil, missing end
  local sources, why, code = chosen(args, ctx)
  if not sources then return nil, why, code end
  local ok
  ok, why = fs.mkdir(args.target_dir)
  if not ok then return nil, why end
  local before
  before, why = recorded(args.target_dir)
  if not before then return nil, why end

  local jobs = {}
  for i, source in ipairs(sources) do
    jobs[i] = make_job(source, args, ctx, before[source.name])
  end
  local bring = require(args.source == "git" and "hone.git" or "hone.pypi").bring
  local entries, failures = bring_all(jobs, bring)

  if #entries == 0 then return nil, table.concat(failures, "; ") end
  local config
  config, why = repos.record(args.target_dir, entries)
  if not config then return nil, why end
  show(entries, config, ctx)
  local result = result_of(entries, config)
  if #failures > 0 then return nil, table.concat(failures, "; "), "incomplete", result end
  return result
end

return skill
