--- The report on a model that was added: model_addition_summary.md.
local fs = require "hone.fs"
local json = require "hone.json"

local M = {}

local Report = {}
Report.__index = Report

function Report:line(format, ...)
  self.lines[#self.lines + 1] = select("#", ...) > 0 and format:format(...) or format
end

function Report:heading(text)
  if #self.lines > 0 then self:line("") end
  self:line("%s", text)
  self:line("")
end

function Report:item(name, value)
  if value ~= nil then self:line("- **%s**: %s", name, tostring(value)) end
end

-- ---- sections --------------------------------------------------------------------------------------------

local function with_commas(count)
  local text = tostring(count)
  repeat
    local changed
    text, changed = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until changed == 0
  return text
end

local function counts_of(layers, field)
  local names, counts = {}, {}
  for _, layer in ipairs(layers) do
    local name = layer[field]
    if name ~= json.null then
      if not counts[name] then names[#names + 1] = name end
      counts[name] = (counts[name] or 0) + 1
    end
  end
  for i, name in ipairs(names) do
    names[i] = ("%s (%d)"):format(name:gsub("_", " "), counts[name])
  end
  return #names > 0 and table.concat(names, ", ") or nil
end

function Report:information(job, about)
  self:heading("## Model information")
  local generated, architecture = about.generated, about.architecture
  self:item("Model id", job.name)
  self:item("HuggingFace repository", job.repo_id)
  self:item("Display name", generated and generated.name or about.display_name)
  self:item("Description", generated and generated.description)
  self:item("Architecture", table.concat(architecture.architectures, ", "))
  self:item("Architecture pattern", architecture.architecture_pattern)
end

function Report:overview(architecture)
  local attention, moe = architecture.attention, architecture.moe
  local dimensions, derived = architecture.dimensions, architecture.derived
  self:heading("## Architecture overview")
  self:item("Layers", dimensions.num_hidden_layers)
  self:item("Token mixing", counts_of(architecture.layers, "mixer"))
  self:item("Feed-forward", counts_of(architecture.layers, "feed_forward"))
  self:item("Hidden size", dimensions.hidden_size)
  self:item("Attention heads", attention and attention.num_attention_heads)
  self:item("KV heads", attention and attention.num_key_value_heads)
  self:item("Head dimension", derived.head_dim)
  self:item("Intermediate size", dimensions.intermediate_size)
  self:item("Attention type", attention and attention.type)
  if moe then
    local text = "%d, %d for each token, intermediate size %d"
    self:item("Experts", text:format(moe.num_experts, moe.num_experts_per_tok, moe.moe_intermediate_size))
  end
  self:item("Vocabulary", dimensions.vocab_size)
  self:item("Parameters", with_commas(architecture.parameters.total))
  if architecture.parameters.active_per_token ~= architecture.parameters.total then
    self:item("Active for each token", with_commas(architecture.parameters.active_per_token))
  end
  local bytes = derived.kv_bytes_per_token
  self:item("KV cache for each token", bytes and with_commas(bytes) .. " bytes")
end

local function code_list(names)
  local quoted = {}
  for i, name in ipairs(names) do
    quoted[i] = ("`%s`"):format(name)
  end
  return table.concat(quoted, ", ")
end

local function depth_of(modules, module)
  local depth = 0
  while module and module.parent do
    module, depth = modules[module.parent], depth + 1
  end
  return depth
end

function Report:modules(generated)
  self:heading("## Modules and their definitions")
  for name, module in pairs(generated.modules) do
    local definitions = #module.definitions > 0 and ": " .. code_list(module.definitions) or ""
    local times = module.count > 1 and (" x %d"):format(module.count) or ""
    self:line("%s- %s%s%s", ("  "):rep(depth_of(generated.modules, module)), name, times, definitions)
  end
end

function Report:checks(about)
  self:heading("## Validation results")
  for _, check in ipairs(about.checks or {}) do
    self:line("%s %s", check.ok and "✓" or "✗", check.text)
  end
  if about.problem then self:line("✗ %s", about.problem) end
end

function Report:missing(about)
  self:heading("## Definitions that the dataset lacks")
  if not about.has_dataset then
    self:line("There is no dataset in %s to look them up in (`--local` names one).", about.dataset)
    return
  end
  local missing = about.mapping.missing_in_dataset
  if #missing == 0 then self:line("None: every definition is in %s.", about.dataset) end
  for _, name in ipairs(missing) do
    self:line("- `%s`", name)
  end
end

local function quoted(path)
  return path:find("[^%w%._/-]") and ("'%s'"):format(path:gsub("'", "'\\''")) or path
end

function Report:next_steps(job, about)
  self:heading("## Next steps")
  local number = 0
  local function step(format, ...)
    number = number + 1
    self:line("%d. " .. format, number, ...)
  end
  if about.generated then
    step("Review the entry in %s.", about.models_ts)
  else
    step("Correct %s, and run `hone add-new-model` again.", about.models_ts)
  end
  step("Look at it in the web application: `cd web/apps/web && pnpm dev`.")
  local mapping = about.mapping
  if about.implementation and (not about.has_dataset or mapping and #mapping.missing_in_dataset > 0) then
    local config = quoted(fs.join(job.folder, "model_config.json"))
    local command = "hone extract-kernel-definitions --model-name %s --config %s --local %s"
    step(
      "Write the definitions that are missing: `%s`.",
      command:format(job.name, config, quoted(about.dataset))
    )
  end
  step("Run the benchmarks: `flashinfer-bench run --local %s`.", quoted(about.dataset))
end

function Report:notes(job, about)
  local without = about.mapping and about.mapping.layers_without_definition or {}
  if #job.notes == 0 and #without == 0 then return end
  self:heading("## Notes")
  for _, note in ipairs(job.notes) do
    self:line("- %s", note)
  end
  if #without > 0 then self:line("- Layers without a definition: %s.", code_list(without)) end
end

---The report as Markdown.
---@param job { name: string, repo_id: string?, folder: string, notes: string[] }
---@param about { architecture: table, implementation: table?, generated: table?, problem: string?, mapping: table?, checks: { ok: boolean, text: string }[]?, dataset: string, has_dataset: boolean, models_ts: string, display_name: string? }
---@return string
function M.write(job, about)
  local report = setmetatable({ lines = {} }, Report)
  report:line("# Model addition summary: %s", job.name)
  report:information(job, about)
  report:overview(about.architecture)
  if about.generated then report:modules(about.generated) end
  report:checks(about)
  if about.mapping then report:missing(about) end
  report:next_steps(job, about)
  report:notes(job, about)
  report:line("")
  return table.concat(report.lines, "\n")
end

return M
