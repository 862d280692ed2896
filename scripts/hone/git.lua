--- Bringing git repositories: a clone appears whole or not at all, an update only moves forward.
-- Every function here takes a job: { name, url, path, branch, depth, submodules, lfs, retries, flag,
-- await(command) -> result, progress(percent, note) }. `await` runs a command of hone.process; it may yield.
local fs = require "hone.fs"
local process = require "hone.process"
local repos = require "hone.repos"

local git = {}

-- What git, curl and ssh say when another try may go better.
local PASSING = {
  "could not resolve host",
  "timed out",
  "timeout",
  "connection reset",
  "connection refused",
  "early eof",
  "remote end hung up",
  "rpc failed",
  "failed to connect",
  "gnutls_handshake",
  "ssl_error",
  "ssl_read",
  "requested url returned error: 429",
  "requested url returned error: 5",
  "unexpected disconnect",
  "temporary failure",
  "network is unreachable",
  "couldn't connect",
  "too slow",
}

-- ---- running git -----------------------------------------------------------------------------------------

-- Adds settings to those that the caller's environment may already give git.
local function configured(env, settings)
  local count = math.tointeger(tonumber(os.getenv("GIT_CONFIG_COUNT") or "0")) or 0
  for _, setting in ipairs(settings) do
    env["GIT_CONFIG_KEY_" .. count], env["GIT_CONFIG_VALUE_" .. count] = setting[1], setting[2]
    count = count + 1
  end
  env.GIT_CONFIG_COUNT = tostring(count)
  return env
end

local function environment(job)
  -- A transfer that has come to a standstill is a failure of the network, and no reason to wait for ever.
  local settings = { { "http.lowSpeedLimit", "1000" }, { "http.lowSpeedTime", "60" } }
  local host = job.url:match("^%a[%w+.-]*://[^/]*/") or ""
  local clean = repos.without_secrets(host)
  if clean ~= host then
    -- The commands only ever name the clean address: neither ps nor .git/config shows the secret, and
    -- submodules on the same host get it too.
    settings[#settings + 1] = { ("url.%s.insteadOf"):format(host), clean }
  end
  if not process.which("git-lfs") then
    -- The user's configuration may ask for a filter that is not installed; pointers need none.
    settings[#settings + 1] = { "filter.lfs.required", "false" }
    for _, filter in ipairs { "smudge", "clean", "process" } do
      settings[#settings + 1] = { "filter.lfs." .. filter, "" }
    end
  end
  return configured({
    GIT_TERMINAL_PROMPT = "0",
    GIT_LFS_SKIP_SMUDGE = "1",
    LC_ALL = "C",
    GIT_DIR = false,
    GIT_WORK_TREE = false,
    GIT_INDEX_FILE = false, -- set when a git hook calls us
  }, settings)
end

-- Takes git's stderr in pieces: progress lines ("Receiving objects:  45% (5/11)\r") move the job's bar, the
-- others are kept to say what went wrong.
local function listener(job)
  local heard, rest = {}, ""
  local function hear(line)
    local phase, percent = line:gsub("^remote: ", ""):match("^(%a[%a ]*):%s+(%d+)%%")
    if phase then
      job.progress(tonumber(percent), phase:lower())
    elseif line:find("%S") then
      heard[#heard + 1] = line
    end
  end
  local function take(piece)
    rest = rest .. piece
    for line in rest:gmatch("([^\r\n]*)[\r\n]") do
      hear(line)
    end
    rest = rest:match("[^\r\n]*$")
  end
  local function all()
    if rest ~= "" then hear(rest) end
    return heard
  end
  return take, all
end

-- The first complaint, without the address, which is in our own message already. What ssh says stands in the
-- line before the one in which git only says that it could not go on.
local function complaint(lines)
  for i, line in ipairs(lines) do
    local why = line:match("^fatal: (.*)") or line:match("^error: (.*)")
    local before = i > 1 and not lines[i - 1]:find("^Cloning into") and lines[i - 1]
    if why and before and why:find("^Could not read from remote") then return before end
    if why and why:find("^could not read Username") then
      return "access denied: it is private or does not exist"
    end
    if why then return (why:gsub("^unable to access '[^']*': ", "")) end
  end
  return lines[#lines] or "git failed without a word"
end

local function reason(lines) return (repos.redact(complaint(lines)):gsub("[.\r]+$", "")) end

-- Runs git with the words given -> its stdout without the last newline | nil, why
local function run(job, words)
  local take, heard = listener(job)
  local command = { "git", env = environment(job), stderr = take }
  table.move(words, 1, #words, 2, command)
  local result, why = job.await(command)
  if not result then return nil, why end
  if result.status ~= 0 then return nil, reason(heard()) end
  return (result.stdout:gsub("\n$", "", 1))
end

local function passing(why)
  why = why:lower()
  for _, sign in ipairs(PASSING) do
    if why:find(sign, 1, true) then return true end
  end
  return false
end

-- Tries again, twice as late each time and never quite regularly, what may go better later.
local function patiently(job, attempt)
  for try = 1, job.retries + 1 do
    local done, why = attempt()
    if done or try > job.retries or not passing(why) then return done, why end
    local seconds = 2 ^ (try - 1) * (0.75 + math.random() / 2)
    job.progress(0, ("%s; trying again in %.0f s"):format(why, seconds))
    job.await { "sleep", ("%.2f"):format(seconds) }
  end
end

-- ---- a new clone -----------------------------------------------------------------------------------------

local function closest_branch(job)
  local listed = run(job, { "ls-remote", "--heads", "--tags", "--", repos.without_secrets(job.url) })
  local names = {}
  for name in (listed or ""):gmatch("refs/%a+/([^\n^]+)") do
    names[#names + 1] = name
  end
  local close = require("hone.params").nearest(job.branch, names)
  return close and ("; did you mean %s?"):format(close) or ""
end

local function refused(job, what, why)
  local url = repos.without_secrets(job.url)
  if why:find("Remote branch .* not found") or why:find("couldn't find remote ref", 1, true) then
    why = ("%s has no branch or tag %s%s"):format(url, job.branch, closest_branch(job))
  end
  local which = what == "clone" and url or job.path
  return nil, ("cannot %s %s (%s): %s"):format(what, job.name, which, why)
end

local function clone_words(job, path)
  local words = { "clone", "--progress", "--branch", job.branch }
  if job.depth then
    words[#words + 1] = "--depth=" .. job.depth
    words[#words + 1] = "--shallow-submodules"
  end
  if job.submodules then words[#words + 1] = "--recurse-submodules" end
  table.move({ "--", repos.without_secrets(job.url), path }, 1, 3, #words + 1, words)
  return words
end

local function fetch_lfs(job, path)
  if not job.lfs then return true end
  local ok, why = run(job, { "-C", path, "lfs", "install", "--local" })
  if not ok then return nil, why end
  job.progress(0, "fetching lfs objects")
  return run(job, { "-C", path, "lfs", "pull" })
end

local function clone(job)
  local partial <close> = repos.partial(job.path)
  local ok, why = patiently(job, function()
    fs.remove(partial.path)
    return run(job, clone_words(job, partial.path))
  end)
  if not ok then return refused(job, "clone", why) end
  ok, why = patiently(job, function() return fetch_lfs(job, partial.path) end)
  if not ok then return refused(job, "fetch the lfs objects of", why) end
  ok, why = os.rename(partial.path, job.path)
  if not ok then return refused(job, "clone", why) end
  return "cloned"
end

-- ---- a clone that is there -------------------------------------------------------------------------------

-- The same repository may be written with and without a password, a final slash or .git.
local function same_address(a, b)
  local function bare(url) return (repos.without_secrets(url):gsub("/+$", ""):gsub("%.git$", "")) end
  return bare(a) == bare(b)
end

local function run_there(job, ...) return run(job, { "-C", job.path, ... }) end

-- A work tree of its own, that is: a folder inside another repository is none.
local function check_work_tree(job)
  local answer, why = run_there(job, "rev-parse", "--is-inside-work-tree", "--show-prefix")
  if answer == "true\n" then return true end
  if not answer and not why:find("not a git repository", 1, true) then return nil, why end
  return nil, "it is there but is no git work tree; move it away or choose another --target-dir"
end

local function check_origin(job)
  local origin = run_there(job, "config", "--get", "remote.origin.url")
  if origin and same_address(origin, job.url) then return true end
  return nil,
    ("its origin is %s, not %s; give --%s-url, or move it away"):format(
      origin and repos.without_secrets(origin) or "not set",
      repos.without_secrets(job.url),
      job.flag
    )
end

local function check_unchanged(job)
  local changes, why = run_there(job, "status", "--porcelain", "--untracked-files=no")
  if changes == "" then return true end
  if not changes then return nil, why end
  return nil,
    ("it has uncommitted changes (%s); commit, stash or revert them first"):format(
      changes:match("^..%s(%C+)")
    )
end

-- A branch moves its remote-tracking ref; a tag has none and ends in FETCH_HEAD alone.
local function fetch(job)
  local url = repos.without_secrets(job.url)
  local branch = ("+refs/heads/%s:refs/remotes/origin/%s"):format(job.branch, job.branch)
  local ok, why = run_there(job, "fetch", "--progress", "--", url, branch)
  if ok then return "branch" end
  if not why:find("couldn't find remote ref", 1, true) then return nil, why end
  ok, why = run_there(job, "fetch", "--progress", "--", url, "refs/tags/" .. job.branch)
  return ok and "tag", why
end

-- Commits made on no branch would be out of sight once another is checked out.
local function check_not_adrift(job)
  if run_there(job, "symbolic-ref", "--quiet", "HEAD") then return true end
  if run_there(job, "for-each-ref", "--count=1", "--contains", "HEAD") ~= "" then return true end
  return nil, "it has commits that are on no branch; make one for them first (git switch -c NAME)"
end

local function switch(job)
  if run_there(job, "symbolic-ref", "--quiet", "--short", "HEAD") == job.branch then return true end
  if run_there(job, "rev-parse", "--verify", "--quiet", "refs/heads/" .. job.branch) then
    return run_there(job, "checkout", "--quiet", job.branch)
  end
  return run_there(job, "checkout", "--quiet", "-b", job.branch, "--track", "origin/" .. job.branch)
end

-- Brings the work tree to what was fetched, moving forward only.
local function fast_forward(job)
  local ok, why = switch(job)
  if not ok then return nil, why end
  if run_there(job, "merge-base", "--is-ancestor", "FETCH_HEAD", "HEAD") then return true end
  if not run_there(job, "merge-base", "--is-ancestor", "HEAD", "FETCH_HEAD") then
    return nil,
      ("its branch %s has commits of its own, so it cannot be fast-forwarded; rebase or move it"):format(
        job.branch
      )
  end
  return run_there(job, "merge", "--ff-only", "--quiet", "FETCH_HEAD")
end

local function update_submodules(job)
  if not job.submodules then return true end
  return run_there(
    job,
    "submodule",
    "update",
    "--init",
    "--recursive",
    "--progress",
    job.depth and "--depth=" .. job.depth
  )
end

local function move_forward(job)
  local kind, why = patiently(job, function() return fetch(job) end)
  if not kind then return nil, why end
  local ok
  if kind == "branch" then
    ok, why = fast_forward(job)
  else
    ok, why = run_there(job, "checkout", "--quiet", "--detach", "FETCH_HEAD")
  end
  if ok then
    ok, why = patiently(job, function() return update_submodules(job) end)
  end
  if ok then
    ok, why = patiently(job, function() return fetch_lfs(job, job.path) end)
  end
  return ok, why
end

local function update(job)
  local before = run_there(job, "rev-parse", "HEAD")
  local steps = { check_work_tree, check_origin, check_unchanged, check_not_adrift, move_forward }
  for _, step in ipairs(steps) do
    local ok, why = step(job)
    if not ok then return refused(job, "update", why) end
  end
  return run_there(job, "rev-parse", "HEAD") == before and "unchanged" or "updated"
end

-- ---- either ----------------------------------------------------------------------------------------------

function git.bring(job)
  local status, why
  if repos.is_free(job.path) then
    status, why = clone(job)
  else
    status, why = update(job)
  end
  if not status then return nil, why end
  local head
  head, why = run_there(job, "log", "-1", "--format=%H %cI")
  if not head then return refused(job, "read", why) end
  local commit, date = head:match("^(%x+) (%S+)$")
  return {
    name = job.name,
    url = repos.without_secrets(job.url),
    path = fs.absolute(job.path),
    branch = job.branch,
    commit = commit,
    date = date,
    source = "git",
    status = status,
  }
end

return git
