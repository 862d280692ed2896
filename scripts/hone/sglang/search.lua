--- Finding a model in SGLang's models folder by a file's name, a class's name or a keyword.
local fs = require "hone.fs"
local sources = require "hone.sglang.sources"
local text = require "hone.text"

local M = {}

local function letters(name) return (name:lower():gsub("[^%w]", "")) end

-- "LlamaForCausalLM" as "llama": what the class is for does not tell models apart.
local function stem(class) return letters((class:gsub("For%u.*$", ""):gsub("LMHeadModel$", ""))) end

-- The words of a name, digits apart from letters: { "deepseek", "v", "3" }.
local function words(name)
  local list = {}
  for word in name:lower():gsub("(%a)(%d)", "%1 %2"):gsub("(%d)(%a)", "%1 %2"):gmatch("%w+") do
    list[#list + 1] = word
  end
  return list
end

local function shared_words(wanted, name)
  local has, count = {}, 0
  for _, word in ipairs(words(name)) do
    has[word] = true
  end
  for _, word in ipairs(wanted) do
    if has[word] then count = count + 1 end
  end
  return count
end

-- Heads that draft for another model come after it.
local function is_draft(name)
  return name:find("nextn") ~= nil or name:find("eagle") ~= nil or name:find("mtp") ~= nil
end

local EXACT = 95 -- and more

-- How well one file or class answers to a name: more is better, 0 is not at all; and in what way.
local function score(wanted, name, class)
  local word, file, entry = letters(wanted), letters(name), letters(class)
  if word == file then return 100, "the file's name" end
  if word == entry then return 99, "the class's name" end
  if word == stem(class) then return 95, "the class's name without what it is for" end
  if file:sub(1, #word) == word then return 80, "the beginning of the file's name" end
  if file:find(word, 1, true) then return 70, "part of the file's name" end
  if entry:find(word, 1, true) then return 65, "part of the class's name" end
  if word:sub(1, #file) == file and #file > 2 then return 60, "the file's name begins it" end
  local list = words(wanted)
  local count = shared_words(list, name)
  if count > 0 and #list[1] > 2 and shared_words({ list[1] }, name) == 1 then
    return 30 + 20 * count // #list, "words of the file's name"
  end
  return 0
end

-- Files that define a class of this name, though they do not offer it for loading.
local function defining(package, class)
  local found = {}
  if not class:find("^[%a_][%w_]*$") then return found end
  for _, name in ipairs(assert(sources.models(package))) do
    local source = fs.read(fs.join(package, "srt/models", name .. ".py")) or ""
    local entry = (sources.entry_classes(package, name) or {})[1]
    if entry and ("\n" .. source):find("\nclass%s+" .. class .. "%f[%W]") then
      found[#found + 1] = { name = name, class = entry, how = "a class that the file defines" }
    end
  end
  return found
end

local function better(a, b)
  if a.score ~= b.score then return a.score > b.score end
  if is_draft(a.name) ~= is_draft(b.name) then return is_draft(b.name) end
  if #a.name ~= #b.name then return #a.name < #b.name end
  return a.name < b.name
end

-- The best class of each file that answers to the name, the best file first.
local function candidates(package, wanted)
  local list = {}
  for _, name in ipairs(assert(sources.models(package))) do
    local best
    for _, class in ipairs(sources.entry_classes(package, name) or {}) do
      local points, how = score(wanted, name, class)
      if points > 0 and (not best or points > best.score) then
        best = { name = name, class = class, score = points, how = how }
      end
    end
    list[#list + 1] = best
  end
  table.sort(list, better)
  return list
end

---@class hone.sglang.Match
---@field name string # of the file, without .py
---@field class string # that it offers
---@field how string # in what way it answers to the name
---@field also string[] # other files that do, best first

---Find a model by a name that need not be exact.
---@param package string # SGLang's package folder
---@param wanted string
---@return hone.sglang.Match? match
---@return string? message
function M.find(package, wanted)
  local names, message = sources.models(package)
  if not names then return nil, message end
  if letters(wanted) == "" then return nil, ("'%s' names no model"):format(wanted) end
  local list = candidates(package, wanted)
  if #list == 0 or list[1].score < EXACT then
    local found = defining(package, wanted)
    if #found > 0 then list = found end
  end
  if #list == 0 then
    local close = text.nearest(wanted:lower():gsub("[-. ]", "_"), names, 3)
    local hint = close and ("; did you mean %s?"):format(close) or ""
    return nil, ("no file and no class of SGLang's models folder answers to '%s'%s"):format(wanted, hint)
  end
  local match, also = list[1], {}
  for i = 2, math.min(#list, 9) do
    also[i - 1] = list[i].name
  end
  return { name = match.name, class = match.class, how = match.how, also = also }
end

return M
