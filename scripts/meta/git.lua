---@meta hone.git
--- Bringing git repositories: a clone appears whole or not at all, an update only moves forward.
local git = {}

--- What is to be brought.
---@class hone.git.Job
---@field name string
---@field url string secrets in it reach git, and nothing that is printed or stored
---@field flag string what comes before "-url" in the flag that a message may suggest
---@field path string
---@field branch string or a tag
---@field depth? integer of a new clone; one that is there moves forward from where it is
---@field submodules boolean
---@field lfs boolean bring what git-lfs keeps, instead of leaving pointers
---@field retries integer how often to try again after a failure of the network
---@field await fun(command: table): table?, string? runs a command of hone.process; may yield
---@field progress fun(percent: number, note: string)

--- Clone the repository, or bring it forward when it is there. One with uncommitted changes, with commits of
--- its own, or from elsewhere is left as it is, and the message says so.
---@param job hone.git.Job
---@return hone.repos.Entry? entry with `status`: "cloned", "updated" or "unchanged"
---@return string? message
function git.bring(job) end

return git
