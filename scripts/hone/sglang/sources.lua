--- SGLang's source tree: where it lies, which model files it has, which file implements an architecture.
local fs = require "hone.fs"
local text = require "hone.text"

local M = {}

-- Where the package folder `sglang` may lie below what the user names: a clone, its python folder,
-- an unpacked wheel, or the package itself.
local LAYOUTS = { "python/sglang", "sglang", "." }

---The package folder of an SGLang tree.
---@param path string # a clone of SGLang, an unpacked wheel, or the package folder
---@return string? package # the folder that holds srt/models
---@return string? message
function M.package(path)
  for _, layout in ipairs(LAYOUTS) do
    local package = layout == "." and path or fs.join(path, layout)
    if fs.is_dir(fs.join(package, "srt/models")) then return package end
  end
  local why = fs.is_dir(path) and "it has no srt/models folder" or "there is no such folder"
  return nil, ("cannot read SGLang's sources in %s: %s (hone clone-repos brings them)"):format(path, why)
end

---The package folder of the SGLang tree that somebody named, else of the clone that repos_config.json names.
---@param path string? # as M.package takes it
---@return string? package
---@return string? message
function M.locate(path)
  local why
  if not path then
    path, why = require("hone.repos").path "sglang"
  end
  if not path then return nil, ("no SGLang sources (--sglang-path names them): %s"):format(why) end
  return M.package(path)
end

local function models_dir(package) return fs.join(package, "srt/models") end

---Names of the model files (without .py), sorted.
---@param package string
---@return string[]? names
---@return string? message
function M.models(package)
  local entries, message = fs.list(models_dir(package))
  if not entries then return nil, message end
  local names = {}
  for _, entry in ipairs(entries) do
    local name = entry:match("^([%w_]+)%.py$")
    if name and name ~= "__init__" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- The classes a model file offers for loading: the names in its `EntryClass = ...` statement.
local function entry_classes(source)
  local at = ("\n" .. source):find("\nEntryClass", 1, true)
  local statement = at
    and (source:match("^EntryClass%s*=%s*(%b[])", at) or source:match("^EntryClass%s*=%s*([%w_]+)", at))
  local classes = {}
  for name in (statement or ""):gsub("#[^\n]*", ""):gmatch("[%a_][%w_]*") do
    classes[#classes + 1] = name
  end
  return classes
end

---The entry classes of one model file, in the file's order.
---@param package string
---@param name string # file name without .py
---@return string[]? classes
---@return string? message
function M.entry_classes(package, name)
  local source, message = fs.read(fs.join(models_dir(package), name .. ".py"))
  if not source then return nil, message end
  return entry_classes(source)
end

---Which model files implement an architecture (a class named in a config's `architectures`).
---@param package string
---@param architecture string
---@return string[] names
function M.implementing(package, architecture)
  local found = {}
  for _, name in ipairs(M.models(package) or {}) do
    for _, class in ipairs(M.entry_classes(package, name) or {}) do
      if class == architecture then found[#found + 1] = name end
    end
  end
  return found
end

---The causal language model of a model type: "MistralForCausalLM" for mistral.
---@param package string
---@param model_type string
---@return string? module
---@return string? class
function M.causal_model(package, model_type)
  local wanted = model_type:gsub("[_%-.]", ""):lower() .. "forcausallm"
  for _, name in ipairs(M.models(package) or {}) do
    for _, class in ipairs(M.entry_classes(package, name) or {}) do
      if class:lower() == wanted then return "sglang.srt.models." .. name, class end
    end
  end
end

local function normalised(name) return (name:lower():gsub("[%-%.]", "_")) end

local function unknown_model(name, names)
  local closest = text.nearest(normalised(name), names, #name // 2)
  local hint = closest and ("; did you mean %s?"):format(closest) or ""
  local message = "no model '%s' in SGLang's models folder%s (there are %s)"
  return message:format(name, hint, table.concat(names, ", "))
end

-- Whether one name is the other's beginning, cut where a word ends: "llama" and "llama_3_1_8b".
local function begins(long, short)
  return #short > 0 and long:sub(1, #short) == short and not long:sub(#short + 1):match("^%a")
end

local function akin(name, other) return begins(name, other) or begins(other, name) end

-- Whether SGLang takes a class for the head that drafts for an architecture: its configuration of draft models is a
-- row of `if ... architectures[0] == "A": ... architectures[0] = "B"`.
local function drafts_for(package, class, architecture)
  local source = fs.read(fs.join(package, "srt/configs/model_config.py")) or ""
  local from = 1
  while true do
    local first, last = source:find(('architectures[0] = "%s"'):format(class), from, true)
    if not first then return false end
    local before = source:sub(1, first):match("^.*(\n%s+if [^\n]*\n?[^\n]*is_draft_model.*)$") or ""
    if before:find(('"%s"'):format(architecture), 1, true) then return true end
    from = last
  end
end

-- The class that a file offers for one of the architectures, or for a head that drafts for it (NextN, MTP), whose
-- name goes on from the model's or which SGLang's configuration names; the classes that it has.
local function offered(package, name, architectures)
  local classes = M.entry_classes(package, name) or {}
  if #architectures == 0 then return classes[1], classes end
  for _, architecture in ipairs(architectures) do
    for _, class in ipairs(classes) do
      if class == architecture then return class, classes end
    end
  end
  for _, architecture in ipairs(architectures) do
    for _, class in ipairs(classes) do
      local is_draft = class:sub(1, #architecture) == architecture or drafts_for(package, class, architecture)
      if is_draft then return class, classes end
    end
  end
  return nil, classes
end

local function first_implementing(package, architectures)
  for _, architecture in ipairs(architectures) do
    local name = M.implementing(package, architecture)[1]
    if name then return name, architecture end
  end
end

local function mismatch(package, model_name, file, architectures)
  local wanted = table.concat(architectures, ", ")
  local _, classes = offered(package, file, architectures)
  local other = first_implementing(package, architectures)
  local hint = other and ("try --model-name %s"):format(other) or "no model file of this SGLang does"
  return ("model '%s' does not implement the config's %s (it has %s); %s"):format(
    model_name,
    wanted,
    table.concat(classes, ", "),
    hint
  )
end

---Find the file and the class that implement a model.
---A model file of that name wins. Otherwise the name must be akin to one of the aliases (the config's
---model_type, the repository's name) or to a file name, and the config's architectures decide.
---@param package string
---@param model_name string # a file name of srt/models ("llama"), or a model's name ("llama-3.1-8b")
---@param architectures string[] # of the model's config; empty when there are none
---@param aliases string[] # other names of the same model
---@return { name: string, file: string, module: string, class: string }? model
---@return string? message
function M.find(package, model_name, architectures, aliases)
  local names, message = M.models(package)
  if not names then return nil, message end
  local wanted = normalised(model_name)

  local function model(name, class)
    local file = fs.join(models_dir(package), name .. ".py")
    return { name = name, class = class, file = file, module = "sglang.srt.models." .. name }
  end

  for _, name in ipairs(names) do
    if name == wanted then
      local class = offered(package, name, architectures)
      if class then return model(name, class) end
      return nil, mismatch(package, model_name, name, architectures)
    end
  end
  local known = false
  for _, list in ipairs { aliases, names } do
    for _, name in ipairs(list) do
      known = known or akin(wanted, normalised(name))
    end
  end
  if not known then return nil, unknown_model(model_name, names) end
  local name, class = first_implementing(package, architectures)
  if name then return model(name, class) end
  return nil, unknown_model(model_name, names)
end

return M
