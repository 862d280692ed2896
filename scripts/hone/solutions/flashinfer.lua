--- What a solution by FlashInfer begins with: the call that the tests of references make, or the function of a tag.
local json, ops = require "hone.json", require "hone.ops"
local tags = require "hone.dataset.tags"
local truth = require "hone.ops.truth"

local flashinfer = {}

-- Module and function of the fi_api tag: "flashinfer.norm.rmsnorm".
local function tagged_function(definition)
  local api = tags.values(definition, "fi_api")[1]
  if api then return api:match "^([%w_.]+)%.([%w_]+)$" end
end

-- FlashInfer's call as the tests of references make it, for a solution: wrappers are made once.
local function as_solution(call)
  return (
    call
      :gsub("flashinfer_truth", "flashinfer_call")
      :gsub("([%w_]+)%(workspace%(%)", "wrapped(%1")
      :gsub("pytest%.skip%(", "raise ValueError(")
      :gsub("^%s+", "")
      :gsub("%s+$", "")
  )
end

local WRAPPED = [[
wrappers = {}


def wrapped(Wrapper, *layout):
    if Wrapper not in wrappers:
        wrappers[Wrapper] = Wrapper(torch.zeros(128 << 20, dtype=torch.uint8, device="cuda"), *layout)
    return wrappers[Wrapper]


]]

-- The inputs, copies of those that FlashInfer changes and that are to stay.
local function given_to(definition, changed)
  local list = {}
  for i, name in ipairs(json.keys(definition.inputs)) do
    local is_copied = changed[name] and not ops.may_change(definition, name)
    list[i] = is_copied and name .. ".clone()" or name
  end
  return table.concat(list, ", ")
end

---Add what the template `library` is filled with to `values`. Returns which of its folders that is for: "known" where it
---is known how FlashInfer is called, "any" where a tag names its function; nil, a message and a code where neither is.
---@return string? folder
---@return string? message
---@return string? code
function flashinfer.fill(values, definition)
  local about, call = truth.of(definition) or {}, truth.call(definition, "flashinfer")
  if about.flashinfer_lacks then
    return nil,
      ("FlashInfer's kernel for %s gives no %s"):format(definition.name, about.flashinfer_lacks),
      "ENOENT"
  end
  if call and about.flashinfer_routes ~= false then
    local text = as_solution(call)
    values.imports = text:find("math.", 1, true) and "import math\n\nimport torch" or "import torch"
    values.constants = truth.constants(definition, about)
    values.call = (text:find("wrapped(", 1, true) and WRAPPED or "\n") .. text
    values.given = given_to(definition, about.flashinfer_changes or {})
    return "known"
  end
  values.module, values["function"] = tagged_function(definition)
  if values.module then return "any" end
  local why = about.without_flashinfer or "it has no fi_api tag that names one"
  return nil, ("no kernel of FlashInfer is known for %s: %s"):format(definition.name, why), "ENOENT"
end

return flashinfer
