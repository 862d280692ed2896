--- Which logged calls belong to a definition, and which of their arguments are its inputs.
local ops = require "hone.ops"
local tags = require "hone.dataset.tags"

local api = {}

-- A wrapper is planned, then run; older releases call running `forward`.
local RUNS = { "run", "forward", "forward_return_lse" }

---@class hone.workloads.Api
---@field path string # flashinfer.decode.BatchDecodeWithPagedKVCacheWrapper
---@field module string # flashinfer.decode
---@field last string # the class or the function
---@field is_wrapper boolean
---@field calls table<string, true> # names under which running it is logged
---@field also string[]? # further functions of the same kernel
---@field plan string? # the name under which planning it is logged

---What the tag `fi_api` of a definition names; nil without one: such a definition cannot be collected.
---@return hone.workloads.Api?
function api.of(definition)
  local path = tags.values(definition, "fi_api")[1]
  if not path then return nil end
  path = path:gsub("%.run$", "")
  local module, last = path:match "^(.*)%.([^.]+)$"
  if not module then
    module, last = "", path
  end
  local found = { path = path, module = module, last = last, is_wrapper = last:find "^%u" ~= nil, calls = {} }
  if found.is_wrapper then
    found.plan = last .. ".plan"
    for _, run in ipairs(RUNS) do
      found.calls[last .. "." .. run] = true
    end
  else
    found.calls[last] = true
    found.also = api.mapping(definition).calls or {}
    for _, name in ipairs(found.also) do
      found.calls[name] = true
    end
  end
  return found
end

---What the op type says of the calls of a definition's kind; an empty table where it says nothing.
---@return table
function api.mapping(definition)
  local op_type, variant = ops.parse(definition.name)
  local op = op_type == definition.op_type and ops.get(op_type)
  local kind = op and op.variants[variant]
  return kind and kind.logged or {}
end

-- Names that FlashInfer's classes and functions go by, for the variable that chooses what is dumped.
local function add_patterns(patterns, found, needs_plan)
  local function add(pattern)
    if patterns[pattern] then return end
    patterns[pattern] = true
    patterns[#patterns + 1] = pattern
  end
  if not found.is_wrapper then
    add(found.last)
    for _, name in ipairs(found.also) do
      add(name)
    end
    return
  end
  for _, run in ipairs(found.last:find "Ragged" and RUNS or { "run" }) do
    add(found.last .. "." .. run)
  end
  if needs_plan then add(found.plan) end
end

local function has_structure(definition)
  for _, spec in pairs(definition.inputs) do
    if spec.dtype == "int32" or spec.dtype == "int64" then return true end
  end
  return false
end

---FLASHINFER_DUMP_INCLUDE for definitions: "*" when one of them has no API.
---@return string
function api.include(definitions)
  local patterns = {}
  for _, definition in ipairs(definitions) do
    local found = api.of(definition)
    if not found then return "*" end
    add_patterns(patterns, found, has_structure(definition))
  end
  return table.concat(patterns, ",")
end

return api
