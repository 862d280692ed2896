---@meta hone.bench.settings

--- How a benchmark runs, and who said so: flashinfer-bench's layers and bounds. Later ones win: defaults, the op
--- type's and the definition's part of a YAML file, the file's top level, the command line.
local settings = {}

--- What counts for one definition.
---@class hone.bench.Resolved
---@field warmup_runs integer
---@field iterations integer
---@field num_trials integer
---@field rtol number
---@field atol number
---@field required_matched_ratio? number # nil: every element must match
---@field profile_baseline boolean # whether the reference is timed
---@field extra table # what one evaluator knows
---@field from table<string, string> # the layer that each value came from

--- The settings of a run: `use_isolated_runner`, `timeout_seconds`, `profile_baseline`, `definitions`, `solutions`,
--- the `file` that was read and `notes` on what nobody knows in it.
---@class hone.bench.Settings

--- Read them. A file that is given replaces the shipped settings, which ask of experts that 95 % of the elements
--- match, and say how sampling is tested; `packaged = false` leaves those out.
---@param options? { config: string?, overrides: table?, packaged: boolean? }
---@return hone.bench.Settings? settings
---@return string? message
---@return string? code
function settings.load(options) end

--- What counts for one definition, and which layer said it.
---@param self hone.bench.Settings
---@param definition table
---@return hone.bench.Resolved
function settings.resolve(self, definition) end

--- The tolerances and where they come from, as one line for a trace's log.
---@param resolved hone.bench.Resolved
---@return string
function settings.describe(resolved) end

return settings
