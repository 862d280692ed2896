---@meta hone.repos
--- The source repositories that `hone clone-repos` brought, for the skills that read them.
---
---     local sglang, why = repos.path("sglang")
local repos = {}

--- What is known of a repository.
---@class hone.repos.Entry
---@field name string "sglang", "flashinfer" or "flashinfer-trace"
---@field url string without secrets; "pkg:pypi/NAME@VERSION" for a package
---@field path string absolute
---@field source "git"|"pypi"
---@field branch? string the branch or tag
---@field commit? string
---@field date string ISO 8601: of the commit, or when the package was brought
---@field version? string of a package
---@field archive? string the package's file
---@field sha256? string of that file

--- The name of the file that says what was brought: "repos_config.json".
repos.FILE = nil ---@type string

--- The file that counts here: in the folder, in its repos/, then in the folders above and their repos/.
---@param start? string the current folder when absent
---@return { path: string, target_dir: string, repositories: table<string, hone.repos.Entry> }? config
---@return string? message
---@return string? code "absent" when there is no such file
function repos.find(start) end

--- Where a repository is.
---@param name string
---@param start? string the current folder when absent
---@return string? path
---@return string? message
---@return string? code "absent" when it was not brought, or is no longer there
function repos.path(name, start) end

--- Read a file of that kind. Its paths come back absolute; when the folder was moved with the file, they mean
--- where it is now.
---@param path string
---@return { path: string, target_dir: string, repositories: table<string, hone.repos.Entry> }? config
---@return string? message
function repos.read(path) end

--- Record repositories in a folder's file. Others that it names stay.
---@param folder string
---@param entries hone.repos.Entry[]
---@return string? path of the file
---@return string? message
function repos.record(folder, entries) end

--- An entry as an ordered object, for writing and printing.
---@param entry hone.repos.Entry
---@return table
function repos.ordered(entry) end

--- A URL without what is secret in it: user and token of http, the password of anything else.
---@param url string
---@return string
function repos.without_secrets(url) end

--- A text with the secrets taken out of the URLs in it.
---@param text string
---@return string
function repos.redact(text) end

--- Whether nothing is at a path, or an empty folder.
---@param path string
---@return boolean
function repos.is_free(path) end

--- A path beside another, for what is not complete yet. What is there when the value is closed goes away.
---@param path string
---@return { path: string } partial to be closed
function repos.partial(path) end

return repos
