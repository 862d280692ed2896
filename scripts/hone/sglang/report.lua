--- What was found of a model, as plain data: for skills' results, and between processes.
local json = require "hone.json"

local M = {}

local function place(remark) return ("%s:%d"):format(remark.file, remark.line) end

local function modules_json(modules)
  local list = json.array {}
  for i, module in ipairs(modules) do
    list[i] = json.object { { "path", module.path }, { "count", module.count }, { "source", place(module) } }
  end
  return list
end

local function places_json(calls)
  local list = json.array {}
  for i, call in ipairs(calls) do
    list[i] = place(call)
  end
  return list
end

local function kernels_json(kernels)
  local list = json.array {}
  for i, kernel in ipairs(kernels) do
    list[i] = json.object {
      { "op_type", kernel.op_type },
      { "modules", modules_json(kernel.modules) },
      { "calls", places_json(kernel.calls) },
    }
  end
  return list
end

---Remarks as plain data.
---@param remarks hone.sglang.Remark[]
---@return table
function M.remarks(remarks)
  local list = json.array {}
  for i, remark in ipairs(remarks) do
    list[i] = json.object {
      { "path", remark.path },
      { "class", remark.class },
      { "count", remark.count },
      { "source", place(remark) },
      { "why", remark.why },
    }
  end
  return list
end

local function unknown_json(unknown)
  local list = json.array {}
  for i, construct in ipairs(unknown) do
    list[i] = json.object {
      { "kind", construct.kind },
      { "what", construct.what or json.null },
      { "count", construct.count },
      { "first", construct.first },
    }
  end
  return list
end

---Serving settings as plain data.
---@param settings hone.sglang.Setting[]
---@return table
function M.settings(settings)
  local list = json.array {}
  for i, setting in ipairs(settings) do
    list[i] = json.object { { "tp", setting.tp }, { "ep", setting.ep } }
  end
  return list
end

local function bytes_of(files)
  local bytes = 0
  for _, file in ipairs(files) do
    bytes = bytes + file.bytes
  end
  return bytes
end

---@class hone.sglang.Report
---@field model string # its name in tags
---@field class string
---@field source string # the model file
---@field config string # the config file
---@field settings hone.sglang.Setting[]
---@field settings_source string
---@field definitions table[] # whole
---@field kernels { op_type: string, modules: table[], calls: string[] }[] # one for each definition
---@field not_written table[] # layers without a definition by choice
---@field review table[] # layers that somebody should look at
---@field unused table[] # layers that are built and never run
---@field warnings string[]
---@field unknown_constructs table[]
---@field files_read integer
---@field bytes_read integer

---@param found hone.sglang.Found
---@param sources hone.sglang.Sources
---@param settings_source string # where the parallel sizes come from, in words
---@return hone.sglang.Report
function M.of(found, sources, settings_source)
  local warnings = json.array {}
  for _, list in ipairs { sources.warnings, found.warnings } do
    table.move(list, 1, #list, #warnings + 1, warnings)
  end
  return json.object {
    { "model", sources.tag },
    { "class", sources.model.class },
    { "source", sources.model.file },
    { "config", sources.config.path },
    { "settings", M.settings(found.settings) },
    { "settings_source", settings_source },
    { "definitions", json.array(found.definitions) },
    { "kernels", kernels_json(found.kernels) },
    { "not_written", M.remarks(found.noted) },
    { "review", M.remarks(found.review) },
    { "unused", M.remarks(found.unused) },
    { "warnings", warnings },
    { "unknown_constructs", unknown_json(found.unknown) },
    { "files_read", #found.files },
    { "bytes_read", bytes_of(found.files) },
  }
end

return M
