--- What is known of kernels besides their references: a formula that is written otherwise, inputs for it, and how
--- libraries are called for the same. A file beside this one for each op type, with an entry for each variant.
local axis_value = require("hone.dataset.definition").axis_value
local json = require "hone.json"
local ops = require "hone.ops"

local truth = {}

---What is known of a definition's truth, nil where its op type has none.
---@return table?
function truth.of(definition)
  local op_type, variant = ops.parse(definition.name)
  if op_type ~= definition.op_type then return nil end
  local found, truths = pcall(require, "hone.ops.truth." .. op_type)
  return found and truths[variant] or nil
end

---A text with values in the places of ${name}.
function truth.fill(text, values)
  return (text:gsub("%${([%w_]+)}", function(name) return values[name] end))
end

-- One of an op type's texts, with what a definition fills into it.
local function filled(text, about, definition)
  return truth.fill(text, about.parts and about.parts(definition) or {})
end

---The constant axes as Python assignments, and what else the op type wants.
function truth.constants(definition, about)
  local lines = {}
  for _, name in ipairs(json.keys(definition.axes)) do
    local value = axis_value(definition.axes[name])
    if value then lines[#lines + 1] = ("%s = %d"):format(name:upper(), value) end
  end
  local more = about and about.constants and about.constants(definition) or {}
  for name, value in pairs(more) do
    lines[#lines + 1] = ("%s = %s"):format(name, value)
  end
  return table.concat(lines, "\n")
end

---The independent formula of a definition, as Python source with a function `truth`; nil and why there is none.
---@return string? source
---@return string|table # why not; or what the op type knows of its truth
function truth.formula(definition)
  local about = truth.of(definition)
  if not about then
    return nil,
      ("no independent formula is known for %s of op type %s"):format(definition.name, definition.op_type)
  end
  local constants = about.needs_constants and truth.constants(definition) .. "\n\n" or ""
  local source = filled(about.truth, about, definition)
  return (source:gsub("^(import torch\n)", "%1" .. (constants ~= "" and "\n" .. constants or ""))), about
end

---How a library ("flashinfer", "sglang") is called for a definition: Python source with a function `<library>_truth`
---that takes the inputs in their order; nil where none is known.
---@return string? source
function truth.call(definition, library)
  local about = truth.of(definition)
  return about and about[library] and filled(about[library], about, definition) or nil
end

return truth
