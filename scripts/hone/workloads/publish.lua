--- New files of a dataset as a pull request: a branch with one commit where the dataset is a git checkout, else a commit
--- by the hub's own API. Shown first; sent after a yes.
local fs = require "hone.fs"
local process = require "hone.process"

local publish = {}

local REPO = "flashinfer-ai/flashinfer-trace" -- the public dataset; HONE_DATASET_REPO names another

-- ---- git -----------------------------------------------------------------------------------------------

local function git(root, words, env, input)
  local command = { "git", "-C", root, env = env, input = input }
  table.move(words, 1, #words, #command + 1, command)
  local result, why = process.run(command)
  if not result then return nil, why end
  if result.status == 0 then return (result.stdout:gsub("%s+$", "")) end
  local said = result.stderr:match "[^\n]+" or ("exit status %s"):format(result.status)
  return nil, ("git %s: %s"):format(words[1], said)
end

local function free_branch(root, wanted)
  local name, number = wanted, 1
  while git(root, { "rev-parse", "--verify", "--quiet", "refs/heads/" .. name }) do
    number = number + 1
    name = ("%s-%d"):format(wanted, number)
  end
  return name
end

-- The branch that was made of the same files before, if they are still to be sent.
local function branch_of(root, tree, wanted)
  local listed =
    git(root, { "for-each-ref", "--format=%(tree) %(objectname) %(refname:short)", "refs/heads" })
  for line in (listed or ""):gmatch "[^\n]+" do
    local its_tree, commit, name = line:match "^(%S+) (%S+) (.+)$"
    if its_tree == tree and name:match "^(.-)[%d-]*$" == wanted:match "^(.-)[%d-]*$" then
      return commit, name
    end
  end
end

-- A commit on top of HEAD with the files in it, on a branch of its own; no branch where HEAD has them all. The checkout,
-- its index and its branch stay as they are: the index that the commit is made of is a temporary one.
local function make_branch(root, paths, options)
  local folder <close>, why = fs.tempdir "hone-index-"
  if not folder then return nil, why end
  local env = { GIT_INDEX_FILE = fs.join(folder.path, "index") }
  local head
  head, why = git(root, { "rev-parse", "HEAD" })
  if not head then return nil, why end
  local ok
  ok, why = git(root, { "read-tree", head }, env)
  if not ok then return nil, why end
  ok, why = git(root, { "add", "--pathspec-from-file=-" }, env, table.concat(paths, "\n") .. "\n")
  if not ok then return nil, why end
  local tree
  tree, why = git(root, { "write-tree" }, env)
  if not tree then return nil, why end
  if tree == git(root, { "rev-parse", "HEAD^{tree}" }) then return head, nil end
  local commit, made = branch_of(root, tree, options.branch)
  if commit then return commit, made end
  commit, why = git(root, { "commit-tree", tree, "-p", head, "-m", options.title })
  if not commit then return nil, why end
  local branch = free_branch(root, options.branch)
  ok, why = git(root, { "branch", branch, commit })
  if not ok then return nil, why end
  return commit, branch
end

local function is_checkout(root) return git(root, { "rev-parse", "--is-inside-work-tree" }) == "true" end

local function remote_of(root)
  local remotes = git(root, { "remote" })
  return remotes and remotes:match "^[^\n]+"
end

local function push(root, remote, branch)
  if not remote then return nil, "the checkout has no remote to push to" end
  local ok, why = git(root, { "push", "--quiet", remote, branch })
  if not ok then return nil, why end
  return git(root, { "remote", "get-url", remote })
end

local function by_git(root, paths, options)
  local commit, branch = make_branch(root, paths, options)
  if not commit then return nil, ("cannot prepare a branch in %s: %s"):format(root, branch) end
  if not branch then return { nothing_new = true } end
  local remote = remote_of(root)
  return {
    way = "git",
    branch = branch,
    commit = commit,
    command = ("git -C %s push %s %s"):format(root, remote or "REMOTE", branch),
    send = function() return push(root, remote, branch) end,
  }
end

-- ---- the hub -------------------------------------------------------------------------------------------

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(data)
  local out = {}
  for i = 1, #data, 3 do
    local a, b, c = data:byte(i, i + 2)
    local n = a << 16 | (b or 0) << 8 | (c or 0)
    for k = 0, 3 do
      local at = (n >> (18 - 6 * k) & 63) + 1
      local missing = k == 2 and not b or k == 3 and not c
      out[#out + 1] = missing and "=" or ALPHABET:sub(at, at)
    end
  end
  return table.concat(out)
end

-- The hub's answer to a request; one that makes something is not repeated, lest it be made twice.
local function ask(url, token, value, headers, once)
  local options = { token = token, retries = once and 0 or 2, headers = headers }
  local http = require "hone.http"
  local body
  if type(value) == "string" then
    body = value
  else
    options.json = value
  end
  local answer, why = http.post(url, body, options)
  if not answer then return nil, why end
  if not answer.ok then
    return nil, ("HTTP %d from %s: %s"):format(answer.status, url, answer.body:sub(1, 200))
  end
  return answer
end

-- What it answers, an object.
local function post(url, token, value, headers, once)
  local answer, why = ask(url, token, value, headers, once)
  if not answer then return nil, why end
  local json = require "hone.json"
  local object = json.decode(answer.body)
  if json.is_object(object) then return object end
  return nil, ("%s answered with what is no JSON object: %s"):format(url, answer.body:sub(1, 200))
end

-- Which of the files go into the commit itself, and which to the storage of large files: the hub decides.
local function upload_modes(base, token, files)
  local json = require "hone.json"
  local list = json.array {}
  for _, file in ipairs(files) do
    list[#list + 1] = { path = file.path, sample = base64(file.data:sub(1, 512)), size = #file.data }
  end
  local answer, why = post(base .. "/preupload/main", token, { files = list })
  if not answer then return nil, why end
  local modes = {}
  for _, entry in ipairs(type(answer.files) == "table" and answer.files or {}) do
    if type(entry) == "table" and entry.path then modes[entry.path] = entry.uploadMode end
  end
  return modes
end

-- Bring a large file to its storage, unless that has it.
local function upload_large(endpoint, repo, token, file)
  local http, json = require "hone.http", require "hone.json"
  local answer, why = post(
    ("%s/datasets/%s.git/info/lfs/objects/batch"):format(endpoint, repo),
    token,
    json.encode {
      operation = "upload",
      transfers = json.array { "basic" },
      objects = json.array { { oid = file.oid, size = #file.data } },
      hash_algo = "sha256",
    },
    { ["Content-Type"] = "application/vnd.git-lfs+json", Accept = "application/vnd.git-lfs+json" }
  )
  if not answer then return nil, why end
  local object = answer.objects and answer.objects[1] or {}
  if object.error then return nil, ("%s: %s"):format(file.path, object.error.message) end
  local upload = object.actions and object.actions.upload
  if not upload then return true end
  if type(upload.href) ~= "string" then
    return nil, ("the hub does not say where %s goes"):format(file.path)
  end
  local sent
  sent, why = http.request { url = upload.href, method = "PUT", body = file.data, headers = upload.header }
  if not sent then return nil, why end
  if not sent.ok then return nil, ("HTTP %d when %s was uploaded"):format(sent.status, file.path) end
  local verify = object.actions.verify
  if not verify then return true end
  return ask(verify.href, nil, { oid = file.oid, size = #file.data }, verify.header)
end

local function send_commit(base, token, files, modes, options)
  local json = require "hone.json"
  local lines = { json.encode { key = "header", value = { summary = options.title, description = "" } } }
  for _, file in ipairs(files) do
    local value = { path = file.path }
    local key = "file"
    if modes[file.path] == "lfs" then
      key, value.algo, value.oid, value.size = "lfsFile", "sha256", file.oid, #file.data
    else
      value.content, value.encoding = base64(file.data), "base64"
    end
    lines[#lines + 1] = json.encode { key = key, value = value }
  end
  local url = base .. "/commit/main?create_pr=1"
  local body, headers = table.concat(lines, "\n") .. "\n", { ["Content-Type"] = "application/x-ndjson" }
  local answer, why = post(url, token, body, headers, true)
  if not answer then return nil, why end
  return answer.pullRequestUrl or answer.commitUrl or base
end

local function send_to_hub(root, paths, options, repo)
  local endpoint, token = require("hone.model.hub").access()
  if not token then return nil, "there is no token for the hub: set HF_TOKEN" end
  local files = {}
  for i, path in ipairs(paths) do
    local data, why = fs.read(fs.join(root, path))
    if not data then return nil, why end
    files[i] = { path = path, data = data, oid = fs.sha256(data) }
  end
  local base = ("%s/api/datasets/%s"):format(endpoint, repo)
  local modes, why = upload_modes(base, token, files)
  if not modes then return nil, why end
  for _, file in ipairs(files) do
    if modes[file.path] == "lfs" then
      local ok
      ok, why = upload_large(endpoint, repo, token, file)
      if not ok then return nil, why end
    end
  end
  return send_commit(base, token, files, modes, options)
end

-- The folders of the dataset that the files are in, as options of `hf upload`.
local function includes(paths)
  local seen, text = {}, ""
  for _, path in ipairs(paths) do
    local top = path:match "^[^/]+"
    if not seen[top] then text = ("%s --include '%s/*'"):format(text, top) end
    seen[top] = true
  end
  return text
end

local function by_hub(root, paths, options)
  local repo = os.getenv "HONE_DATASET_REPO" or REPO
  return {
    way = "hub",
    repo = repo,
    command = ("hf upload %s %s . --repo-type dataset --create-pr%s"):format(repo, root, includes(paths)),
    send = function() return send_to_hub(root, paths, options, repo) end,
  }
end

-- ---- both ----------------------------------------------------------------------------------------------

local function is_agreed(options)
  if options.yes then return true end
  if not require("hone.core.terminal").isatty(0) then return false end
  io.stderr:write "Send it? [y/N] "
  local answer = io.read "l"
  return answer ~= nil and answer:lower():find "^y" ~= nil
end

local MOST_SHOWN = 20

local function show_files(root, paths, ctx)
  for i = 1, math.min(#paths, MOST_SHOWN) do
    ctx.say("  %s (%d bytes)", paths[i], fs.size(fs.join(root, paths[i])) or 0)
  end
  if #paths > MOST_SHOWN then ctx.say("  and %d files more", #paths - MOST_SHOWN) end
end

---@class hone.workloads.Submission
---@field title string
---@field branch string
---@field yes boolean? # send without asking
---@field ctx table # of the skill: say and warn

---Prepare a pull request, show it, and send it when somebody agrees. What cannot be sent is prepared all the same.
---@param root string # the dataset
---@param paths string[] # relative to it
---@param options hone.workloads.Submission
---@return table? outcome # { way, sent, url?, branch?, command, files }; { nothing_new } where the checkout has it all
---@return string? why # nothing could be prepared
function publish.submit(root, paths, options)
  local prepared, why = (is_checkout(root) and by_git or by_hub)(root, paths, options)
  if not prepared then return nil, why end
  local ctx = options.ctx
  if prepared.nothing_new then return prepared end
  ctx.say("pull request: %s", options.title)
  ctx.say("  %s", prepared.branch and "branch " .. prepared.branch or "to " .. prepared.repo)
  show_files(root, paths, ctx)
  local outcome = {
    way = prepared.way,
    branch = prepared.branch,
    commit = prepared.commit,
    command = prepared.command,
    files = require("hone.json").array(paths),
    sent = false,
  }
  if not is_agreed(options) then
    ctx.say("not sent; to send it: %s", prepared.command)
    return outcome
  end
  local url
  url, why = prepared.send()
  if url then
    outcome.sent, outcome.url = true, url
    ctx.say("sent: %s", url)
  else
    outcome.problem = why
    ctx.warn("not sent: %s; to send it later: %s", why, prepared.command)
  end
  return outcome
end

return publish
