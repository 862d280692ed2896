--- What onboarding a model remembers and says: the manifest, the commands for other machines, the checklist.
local fs = require "hone.fs"
local json = require "hone.json"

local M = {}

-- ---- the manifest ----------------------------------------------------------------------------------------

---@class hone.model.Kernel
---@field definition_name string
---@field op_type string
---@field path string # of the definition
---@field phase1_status "new"|"existing" # in the dataset, before this model came
---@field test "written"|"missing" # tests/references/test_<name>.py
---@field workload_entries integer
---@field tags string[]

---@class hone.model.Manifest
---@field model_slug string
---@field hf_repo_id string
---@field date string # when onboarding started
---@field dataset string
---@field repo_shas table<string, string> # what was read: commits or versions
---@field steps table<string, { status: string, note: string }>
---@field kernels hone.model.Kernel[]
---@field review table[]

---Read a manifest.
---@param path string
---@param model_slug string
---@param hf_repo_id string
---@return hone.model.Manifest? manifest # nil when there is none yet
---@return string? message # why the file cannot be used; nil when there is none
function M.read(path, model_slug, hf_repo_id)
  if not fs.exists(path) then return nil end
  local manifest, why = json.read(path)
  if not manifest then return nil, why end
  local is_one = json.is_object(manifest)
    and json.is_object(manifest.steps)
    and json.is_array(manifest.kernels)
  if not is_one then return nil, ("cannot use %s: it is no manifest of onboard-model"):format(path) end
  if manifest.model_slug ~= model_slug or manifest.hf_repo_id ~= hf_repo_id then
    local message =
      "cannot use %s: it is of %s (%s); choose another --output-dir, or start anew with --restart"
    return nil, message:format(path, tostring(manifest.model_slug), tostring(manifest.hf_repo_id))
  end
  return manifest
end

---A manifest of a model that nothing is known of yet.
---@param model_slug string
---@param hf_repo_id string
---@param dataset string
---@return hone.model.Manifest
function M.new(model_slug, hf_repo_id, dataset)
  return json.object {
    { "model_slug", model_slug },
    { "hf_repo_id", hf_repo_id },
    { "date", os.date "!%Y-%m-%d" },
    { "dataset", dataset },
    { "repo_shas", json.object() },
    { "steps", json.object() },
    { "kernels", json.array {} },
    { "review", json.array {} },
  }
end

---@param path string
---@param manifest hone.model.Manifest
---@return true? ok
---@return string? message
function M.write(path, manifest)
  local ok, why = fs.mkdir(fs.dirname(path))
  if not ok then return nil, why end
  return json.write(path, manifest, { indent = 2, newline = true })
end

-- ---- commands --------------------------------------------------------------------------------------------

-- A word for a POSIX shell.
local function quoted(word)
  word = tostring(word)
  if word:find "^[%w_./:=@%%+,-]+$" then return word end
  return "'" .. word:gsub("'", [['\'']]) .. "'"
end

---A command as a line to paste into a shell.
---@param words (string|number)[]
---@return string
function M.line(words)
  local parts = {}
  for i, word in ipairs(words) do
    parts[i] = quoted(word)
  end
  return table.concat(parts, " ")
end

---Where a definition's reference test lies.
---@param dataset string
---@param name string
---@return string
function M.test_path(dataset, name) return fs.join(dataset, "tests/references", "test_" .. name .. ".py") end

local function tag_value(kernel, prefix)
  local most
  for _, tag in ipairs(kernel.tags) do
    local size = math.tointeger(tonumber(tag:match("^" .. prefix .. ":(%d+)$")))
    if size and (not most or size > most) then most = size end
  end
  return most
end

local function page_size(kernel) return math.tointeger(tonumber(kernel.definition_name:match "_ps(%d+)")) end

local function append(list, more) return table.move(more, 1, #more, #list + 1, list) end

---Whether FlashInfer logs the calls of this kernel: its definition names the function.
---@param kernel hone.model.Kernel
---@return boolean
function M.is_logged(kernel)
  for _, tag in ipairs(kernel.tags) do
    if tag:find("^fi_api:") then return true end
  end
  return false
end

-- The servers that kernels need: one has one TP, one EP and one page size. Kernels that none of them changes go
-- with the first.
local function servers_for(kernels)
  local servers, by_key, anywhere = {}, {}, {}
  for _, kernel in ipairs(kernels) do
    local tp, ep, pages = tag_value(kernel, "tp"), tag_value(kernel, "ep"), page_size(kernel)
    local key = ("%s %s %s"):format(tp or "", ep or "", pages or "")
    if not (tp or ep or pages) then
      anywhere[#anywhere + 1] = kernel.definition_name
    elseif by_key[key] then
      table.insert(by_key[key].definitions, kernel.definition_name)
    else
      by_key[key] = { tp = tp or ep or 1, ep = ep, pages = pages, definitions = { kernel.definition_name } }
      servers[#servers + 1] = by_key[key]
    end
  end
  if #anywhere > 0 and #servers == 0 then servers[1] = { tp = 1, definitions = {} } end
  if #anywhere > 0 then append(servers[1].definitions, anywhere) end
  return servers
end

---Commands that collect workloads by running the model under SGLang, one for each server that it takes.
---@param kernels hone.model.Kernel[] # whose calls FlashInfer logs
---@param name string # the model's, as in the tags
---@param model string # repository or folder of the weights
---@param dataset string
---@return { words: string[], gpus: integer, definitions: string[] }[]
function M.collect_commands(kernels, name, model, dataset)
  local commands = {}
  for i, server in ipairs(servers_for(kernels)) do
    local words = { "hone", "collect-workloads", "--model-name", name, "--model-path", model }
    append(words, { "--local", dataset, "--definition-names", table.concat(server.definitions, ",") })
    append(words, { "--tp", server.tp })
    if server.pages then append(words, { "--page-size", server.pages }) end
    if server.ep and server.ep > 1 then append(words, { "--ep", server.ep }) end
    commands[i] = { words = words, gpus = server.tp, definitions = server.definitions }
  end
  return commands
end

-- ---- the checklist ---------------------------------------------------------------------------------------

local BOXES = { done = "[x]", waiting = "[ ]", failed = "[ ]", blocked = "[ ]" }

local function add_step(lines, title, step)
  lines[#lines + 1] = ("- %s **%s**: %s"):format(BOXES[step.status] or "[ ]", title, step.note)
  for _, command in ipairs(step.commands or {}) do
    lines[#lines + 1] = ""
    lines[#lines + 1] = ("  %s:"):format(command.where)
    lines[#lines + 1] = ""
    lines[#lines + 1] = "      " .. command.line
  end
end

local function add_kernels(lines, manifest)
  lines[#lines + 1] = ""
  lines[#lines + 1] = "## Definitions"
  lines[#lines + 1] = ""
  lines[#lines + 1] = "| definition | op type | in the dataset | reference test | workloads |"
  lines[#lines + 1] = "|---|---|---|---|---:|"
  for _, kernel in ipairs(manifest.kernels) do
    lines[#lines + 1] = ("| `%s` | %s | %s | %s | %d |"):format(
      kernel.definition_name,
      kernel.op_type,
      kernel.phase1_status,
      kernel.test,
      kernel.workload_entries
    )
  end
end

local function add_review(lines, manifest)
  if #manifest.review == 0 then return end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "## For review: layers that run and have no definition"
  lines[#lines + 1] = ""
  for _, remark in ipairs(manifest.review) do
    local text = "- %d x `%s` (%s): %s, %s"
    lines[#lines + 1] = text:format(remark.count, remark.path, remark.class, remark.why, remark.source)
  end
end

---The checklist as Markdown.
---@param manifest hone.model.Manifest
---@param steps { name: string, title: string }[] # in their order
---@return string
function M.checklist(manifest, steps)
  local lines = {
    ("# Onboarding %s"):format(manifest.model_slug),
    "",
    ("Model: %s. Dataset: %s. Started: %s."):format(manifest.hf_repo_id, manifest.dataset, manifest.date),
  }
  local read = {}
  for name, version in pairs(manifest.repo_shas) do
    read[#read + 1] = ("%s %s"):format(name, version)
  end
  if #read > 0 then lines[#lines + 1] = ("Read: %s."):format(table.concat(read, ", ")) end
  table.move({ "", "## Steps", "" }, 1, 3, #lines + 1, lines)
  for _, step in ipairs(steps) do
    local entry = manifest.steps[step.name]
    if entry then add_step(lines, step.title, entry) end
  end
  if #manifest.kernels > 0 then add_kernels(lines, manifest) end
  add_review(lines, manifest)
  return table.concat(lines, "\n") .. "\n"
end

return M
