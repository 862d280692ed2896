--- Files of HuggingFace repositories, through HuggingFace's own cache: what its Python library has
--- downloaded is found here, and the other way round.
local fs = require "hone.fs"

local hub = {}

local DEFAULT_ENDPOINT = "https://huggingface.co"
local REPO_TYPES = { model = "", dataset = "datasets/" } -- the type's prefix in addresses
local HTTP_OPTIONS = { "retries", "retry_delay", "timeout", "connect_timeout", "proxy", "on_retry" }
local OPTIONS = {
  revision = "string",
  repo_type = "string",
  offline = "boolean",
  json = "boolean",
  on_progress = "function",
  on_warning = "function",
  on_retry = "function",
  retries = "number",
  retry_delay = "number",
  timeout = "number",
  connect_timeout = "number",
  proxy = "string",
}

-- ---- settings, as HuggingFace's documentation of its environment variables has them ---------------

local function environment(...)
  for _, name in ipairs { ... } do
    local value = os.getenv(name)
    if value and value ~= "" then return value end
  end
end

-- A path out of the environment: "~" and $VARIABLES are replaced, as the Python library does.
local function expand(path)
  path = path:gsub("%${([%w_]+)}", os.getenv):gsub("%$([%w_]+)", os.getenv)
  return fs.expand(path) or path
end

local function hf_home()
  local home = environment("HF_HOME")
  if home then return expand(home) end
  local cache = environment("XDG_CACHE_HOME")
  return fs.join(expand(cache or "~/.cache"), "huggingface")
end

local function cache_folder()
  local folder = environment("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
  return folder and expand(folder) or fs.join(hf_home(), "hub")
end

local function endpoint() return ((environment("HF_ENDPOINT") or DEFAULT_ENDPOINT):gsub("/+$", "")) end

local function is_true(value)
  value = value and value:upper()
  return value == "1" or value == "ON" or value == "YES" or value == "TRUE"
end

local function is_offline(opts)
  if opts.offline ~= nil then return opts.offline end
  return is_true(environment("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
end

-- The token, or nil. One that could not be sent in a header is treated as none.
local function find_token()
  local token = environment("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
  if not token and not is_true(environment("HF_HUB_DISABLE_IMPLICIT_TOKEN")) then
    local path = environment("HF_TOKEN_PATH")
    token = fs.read(path and expand(path) or fs.join(hf_home(), "token"))
  end
  token = token and token:gsub("%s", "")
  if token and token:find("^[\33-\126]+$") then return token end
end

-- ---- names ------------------------------------------------------------------------------------------

-- HuggingFace's own rules for one part of "organisation/name"; they also keep it a plain folder name.
local function is_repo_part(part)
  return #part <= 96
    and part:find("^[%w_.-]+$")
    and not part:find("^[.-]")
    and not part:find("[.-]$")
    and not part:find("--", 1, true)
    and not part:find("..", 1, true)
end

local function is_repo_id(repo_id)
  local organisation, name = repo_id:match("^([^/]+)/([^/]+)$")
  if organisation then return is_repo_part(organisation) and is_repo_part(name) end
  return is_repo_part(repo_id)
end

local function name_mistake(wanted)
  if not is_repo_id(wanted.repo_id) then
    return ("'%s' is not a repository (organisation/name expected)"):format(wanted.repo_id)
  end
  if not fs.is_inside(wanted.filename) then
    return ("'%s' is not the name of a file in a repository"):format(wanted.filename)
  end
  if not fs.is_inside(wanted.revision) then
    return ("'%s' is not a revision (a branch, tag or commit expected)"):format(wanted.revision)
  end
end

local function is_commit(revision) return #revision == 40 and revision:find("^[0-9a-f]+$") ~= nil end

-- Percent-encodes; `keep` lists further characters that stay.
local function quote(text, keep)
  return (text:gsub("[^%w_.~" .. keep .. "-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- ---- what is wanted, and where it lies ----------------------------------------------------------------

local function describe(wanted)
  local at = wanted.revision == "main" and "" or (" (revision %s)"):format(wanted.revision)
  return ("%s of %s%s"):format(wanted.filename, wanted.repo_id, at)
end

local function refuse(wanted, reason, code)
  return nil, ("cannot fetch %s: %s"):format(describe(wanted), reason), code
end

local function make_wanted(repo_id, filename, opts)
  local kind = opts.repo_type or "model"
  local folder = kind .. "s--" .. repo_id:gsub("/", "--")
  return {
    repo_id = repo_id,
    filename = filename,
    revision = opts.revision or "main",
    kind = kind,
    folder = fs.join(cache_folder(), folder),
  }
end

local function address(wanted, revision)
  return ("%s/%s%s/resolve/%s/%s"):format(
    endpoint(),
    REPO_TYPES[wanted.kind],
    wanted.repo_id,
    quote(revision, ""),
    quote(wanted.filename, "/")
  )
end

local function snapshot_path(wanted, commit)
  return fs.join(wanted.folder, "snapshots", commit, wanted.filename)
end

-- The path of the cached file, or nil.
local function find_cached(wanted)
  local commit = wanted.revision
  local ref = fs.read(fs.join(wanted.folder, "refs", wanted.revision))
  if ref then commit = ref:match("^%s*(.-)%s*$") end
  if not fs.is_inside(commit) then return nil end
  local path = snapshot_path(wanted, commit)
  if fs.is_file(path) then return path end
end

-- ---- asking the hub -----------------------------------------------------------------------------------

local function page(wanted) return ("%s/%s%s"):format(endpoint(), REPO_TYPES[wanted.kind], wanted.repo_id) end

-- The hub's refusals, in words a user can act on.
local function explain_status(wanted, status, headers)
  local error_code = headers["x-error-code"]
  if status == 401 or status == 403 then
    local advice = find_token() and "check that HF_TOKEN may read it" or "set HF_TOKEN"
    local reason =
      "HTTP %d: the repository is gated, private or does not exist (%s, and accept the licence on %s)"
    return reason:format(status, advice, page(wanted))
  elseif status == 404 and error_code == "EntryNotFound" then
    return ("HTTP 404: the repository has no such file in revision '%s'"):format(wanted.revision)
  elseif status == 404 and error_code == "RevisionNotFound" then
    return ("HTTP 404: the repository has no revision '%s'"):format(wanted.revision)
  elseif status == 404 then
    local reason = "HTTP 404: no such repository, or no such file in revision '%s', at %s"
    return reason:format(wanted.revision, endpoint())
  elseif status == 429 then
    return "HTTP 429: the hub asks to slow down (try again later; requests with HF_TOKEN may do more)"
  end
  return ("HTTP %d from %s"):format(status, endpoint())
end

local function request_options(opts)
  local options = { token = find_token() }
  for _, name in ipairs(HTTP_OPTIONS) do
    options[name] = opts[name]
  end
  return options
end

local function plain_etag(headers)
  local etag = headers["x-linked-etag"] or headers.etag
  return etag and etag:gsub("^W/", ""):gsub('"', "")
end

-- What the hub knows of the file: { commit=, etag=, size= } | nil, reason, code. Only redirects within
-- the hub are followed (a repository that was renamed): a large file's redirect to where its bytes are
-- carries the hub's own headers.
local function ask(wanted, opts, has_copy)
  local options = request_options(opts)
  if has_copy then -- a machine without network should not wait long for what it has
    options.retries = opts.retries or 1
    options.connect_timeout = opts.connect_timeout or 5
  end
  options.method = "HEAD"
  options.follow = "same-origin"
  options.headers = { ["accept-encoding"] = "identity" } -- the size of the file, not of its compression
  local response, why, code = require("hone.http").get(address(wanted, wanted.revision), options)
  if not response then return nil, (why:gsub("^cannot fetch ", "")), code end
  local headers = response.headers
  if not response.ok then
    local reason = explain_status(wanted, response.status, headers)
    if response.attempts > 1 then reason = ("%s (%d attempts)"):format(reason, response.attempts) end
    return nil, reason, "HTTP" .. response.status
  end
  local commit, etag = headers["x-repo-commit"], plain_etag(headers)
  if not commit or not is_commit(commit) or not etag or not etag:find("^[%w_-]+$") then
    local reason = ("the answer of %s is not a HuggingFace hub's (is HF_ENDPOINT right?)"):format(endpoint())
    return nil, reason, "EPROTO"
  end
  local is_here = response.status < 300
  local size = headers["x-linked-size"] or is_here and headers["content-length"]
  return { commit = commit, etag = etag, size = size and tonumber(size) }
end

-- ---- the cache ----------------------------------------------------------------------------------------

-- The content of a file that should be a JSON object or array: table | nil, reason. Real configs hold
-- bare Infinity.
local function parse_json(path, wanted)
  local text, why = fs.read(path)
  if not text then return nil, why end
  if text:find("^%s*<") then return nil, "the content is not JSON but looks like a web page" end
  local value, reason = require("hone.json").decode(text, { nan = true, name = wanted.filename })
  if value == nil then return nil, "it is not JSON: " .. tostring(reason) end
  if type(value) ~= "table" then return nil, "it is not a JSON object" end
  return value
end

local function download(wanted, known, blob, opts)
  local options = request_options(opts)
  options.on_progress = opts.on_progress
  options.size = known.size
  options.sha256 = #known.etag == 64 and known.etag:find("^%x+$") and known.etag or nil
  if opts.json then options.check = function(path) return parse_json(path, wanted) end end
  local done, why, code = require("hone.http").download(address(wanted, known.commit), blob, options)
  if done then return true end
  local status = tonumber(code and code:match("^HTTP(%d+)$"))
  if status then return nil, explain_status(wanted, status, {}), code end
  return nil, (why:gsub("^cannot fetch ", "")), code
end

-- Makes the snapshot's name for a blob: a relative link, so that the cache can be moved; a copy where
-- the file system has no links.
local function link_snapshot(wanted, known, blob)
  local path = snapshot_path(wanted, known.commit)
  local made, why, code = fs.mkdir(fs.dirname(path))
  if not made then return nil, why, code end
  local _, depth = wanted.filename:gsub("/", "")
  local lfs = require "lfs"
  if lfs.symlinkattributes(path, "mode") then os.remove(path) end -- it leads nowhere, or it were found
  local linked = lfs.link(("../"):rep(depth + 2) .. "blobs/" .. known.etag, path, true)
  if linked or fs.is_file(path) then return path end -- another process may have been quicker
  local copied
  copied, why, code = fs.copy(blob, path)
  if not copied then return nil, why, code end
  return path
end

local function note_revision(wanted, known)
  local ref = fs.join(wanted.folder, "refs", wanted.revision)
  if wanted.revision == known.commit or fs.read(ref) == known.commit then return true end
  return fs.write(ref, known.commit)
end

-- Brings the file that the hub described into the cache. -> path | nil, reason, code
local function bring(wanted, known, opts)
  local path = snapshot_path(wanted, known.commit)
  if not fs.is_file(path) then
    local blob = fs.join(wanted.folder, "blobs", known.etag)
    local done, why, code = fs.is_file(blob), nil, nil
    if not done then
      done, why, code = download(wanted, known, blob, opts)
    end
    if not done then return nil, why, code end
    path, why, code = link_snapshot(wanted, known, blob)
    if not path then return nil, why, code end
  end
  note_revision(wanted, known) -- a cache that cannot be written still serves what it has
  return path
end

-- ---- the library --------------------------------------------------------------------------------------

local function option_mistake(opts)
  if type(opts) ~= "table" then return "a table of options expected, got a " .. type(opts) end
  for name, value in pairs(opts) do
    local expected = OPTIONS[name]
    if not expected then return ("unknown option '%s'"):format(name) end
    if type(value) ~= expected then
      return ("option '%s' must be a %s, got a %s"):format(name, expected, type(value))
    end
  end
  if opts.repo_type and not REPO_TYPES[opts.repo_type] then
    return "option 'repo_type' must be model or dataset"
  end
end

-- Raises, for the caller of the function `name`, what is not even of the right type. The options are its
-- last argument, at `position`.
local function check(name, repo_id, filename, position, opts)
  local function blame(at, text) error(("bad argument #%d to '%s' (%s)"):format(at, name, text), 4) end
  if type(repo_id) ~= "string" then blame(1, "a repository (string) expected") end
  if type(filename) ~= "string" then blame(2, "a file name (string) expected") end
  local mistake = option_mistake(opts)
  if mistake then blame(position, mistake) end
end

-- After a failure at the hub: a file of 404 is gone, anything else may be had from the cache.
local function fall_back(wanted, opts, why, code)
  local path = code ~= "HTTP404" and find_cached(wanted)
  if not path then return refuse(wanted, why, code) end
  local warning = ("%s: using the cached copy, which may be out of date: %s"):format(describe(wanted), why)
  if opts.on_warning then opts.on_warning(warning) end
  return path, nil, warning
end

local function file(repo_id, filename, opts)
  local wanted = make_wanted(repo_id, filename, opts)
  local mistake = name_mistake(wanted)
  if mistake then return nil, mistake, "EINVAL" end
  local path = find_cached(wanted)
  if is_offline(opts) then
    if path then return path end
    local reason = ("it is not in %s, and the hub may not be asked (HF_HUB_OFFLINE)"):format(cache_folder())
    return refuse(wanted, reason, "EOFFLINE")
  end
  if path and is_commit(wanted.revision) then return path end
  local known, why, code = ask(wanted, opts, path ~= nil)
  if known then
    path, why, code = bring(wanted, known, opts)
  end
  if known and path then return path end
  return fall_back(wanted, opts, why, code)
end

function hub.file(repo_id, filename, opts)
  opts = opts or {}
  check("file", repo_id, filename, 3, opts)
  return file(repo_id, filename, opts)
end

function hub.cached(repo_id, filename, revision)
  local opts = type(revision) == "table" and revision or { revision = revision }
  check("cached", repo_id, filename, 3, opts)
  local wanted = make_wanted(repo_id, filename, opts)
  if name_mistake(wanted) then return nil end
  return (find_cached(wanted))
end

function hub.list_cached(filename)
  if type(filename) ~= "string" then error("bad argument #1 to 'list_cached' (a file name expected)", 2) end
  local found = {}
  for _, folder in ipairs(fs.list(cache_folder()) or {}) do
    local repo_id = folder:match("^models%-%-(.+)$")
    repo_id = repo_id and repo_id:gsub("%-%-", "/", 1)
    local wanted = repo_id and make_wanted(repo_id, filename, {})
    local path = wanted and not name_mistake(wanted) and find_cached(wanted)
    if path then found[#found + 1] = { repo_id = repo_id, path = path } end
  end
  return found
end

function hub.config(repo_id, opts)
  opts = opts or {}
  check("config", repo_id, "config.json", 2, opts)
  local checked = { json = true }
  for name, value in pairs(opts) do
    checked[name] = value
  end
  local path, why, code = file(repo_id, "config.json", checked)
  if not path then return nil, why, code end
  local warning = code
  local value, reason = parse_json(path, make_wanted(repo_id, "config.json", opts))
  if value == nil then return nil, ("cannot read %s: %s"):format(path, reason), "EJSON" end
  return value, path, warning
end

---The hub's address, and the token for it if there is one: for what this library does not do itself.
---@return string endpoint # without a slash at its end
---@return string? token
function hub.access() return endpoint(), find_token() end

return hub
