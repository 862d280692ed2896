---@meta hone.model.hub
--- Files of HuggingFace repositories, through HuggingFace's own cache: what its Python library has
--- downloaded is found here, and what is downloaded here is found there.
---
--- Settings are HuggingFace's environment variables: HF_ENDPOINT (the hub's address), HF_TOKEN (else the
--- file `token` in HF_HOME, or the one HF_TOKEN_PATH names), HF_HOME (~/.cache/huggingface unless set),
--- HF_HUB_CACHE (`hub` in HF_HOME unless set) and HF_HUB_OFFLINE=1 (ask nobody). The token goes to the
--- hub only, never to the host that a large file is redirected to, and is in no message.
---
--- A file is put into the cache when it is complete and has the length the hub announced, and where the
--- hub names a sha256 (files in LFS) that too. Refusals are nil, one line and a code: "EINVAL" (a name that
--- cannot be one), "HTTP401" and "HTTP403" (gated or private), "HTTP404", "HTTP429", "HTTP500" and so on,
--- "EOFFLINE", "ECHECKSUM", "ECONTENT" (not the JSON that was asked for), "EPROTO" (what answers is not a
--- hub), and those of hone.http.
local hub = {}

--- What to fetch, and how.
---@class hone.model.hub.Options
---@field revision? string a branch, tag or commit; "main" unless given
---@field repo_type? "model"|"dataset" "model" unless given
---@field offline? boolean overrides HF_HUB_OFFLINE
---@field json? boolean refuse what is not a JSON object or array, before it gets into the cache
---@field on_progress? fun(done: integer, total: integer?) bytes
---@field on_warning? fun(text: string) called when a cached copy has to do
---@field on_retry? fun(reason: string, seconds: number, attempt: integer)
---@field retries? integer as in hone.http; 1 unless given where there is a cached copy
---@field retry_delay? number seconds, as in hone.http
---@field timeout? number seconds, as in hone.http
---@field connect_timeout? number seconds, as in hone.http; 5 unless given where there is a cached copy
---@field proxy? string as in hone.http

--- The path of a file of a repository, downloaded unless the cache has it as it is now. A commit that is
--- cached is not asked for. When the hub cannot be asked, or refuses with anything but "not found", a
--- cached copy is returned with a warning.
---@param repo_id string "organisation/name"
---@param filename string its path within the repository, such as "config.json"
---@param opts? hone.model.hub.Options
---@return string? path
---@return string? message nil when there is a path
---@return string? code or, with a path, the warning that it may be out of date
function hub.file(repo_id, filename, opts) end

--- The path of a file that is in the cache, or nil. Asks nobody.
---@param repo_id string
---@param filename string
---@param revision? string|{ revision?: string, repo_type?: "model"|"dataset" } "main" unless given
---@return string? path
function hub.cached(repo_id, filename, revision) end

--- The model repositories of which the cache holds a file, at the revision "main", by name. Asks nobody.
---@param filename string
---@return { repo_id: string, path: string }[]
function hub.list_cached(filename) end

--- A repository's config.json, decoded by hone.json with NaN and Infinity allowed, which real configs
--- contain. A message about what is not JSON names the file, line and column.
---@param repo_id string
---@param opts? hone.model.hub.Options
---@return table? config
---@return string? path or the message
---@return string? warning that it may be out of date, or the code
function hub.config(repo_id, opts) end

--- The hub's address, from HF_ENDPOINT, and the token for it if there is one.
---@return string endpoint # without a slash at its end
---@return string? token
function hub.access() end

return hub
