#!/usr/bin/env hone
--- Which of a dataset's definitions are found in SGLang's sources:
--- hone examples/dataset_coverage.lua SGLANG CONFIGS DATASET [MODEL]
-- CONFIGS may be several folders with colons between them.
-- Every definition that is tagged with a model is looked for among the kernels of that model, at the TP and EP
-- that its tags state, and has to have the same signature. What is not found is listed with the reason. The exit
-- status is 1 when something is missing.
local coverage = require "hone.dataset.coverage"
local every = require "hone.sglang.every"
local ops = require "hone.ops"
local tags = require "hone.dataset.tags"

local sglang, configs, dataset, only = table.unpack(arg)
if not dataset then
  io.stderr:write "usage: hone examples/dataset_coverage.lua SGLANG CONFIGS DATASET [MODEL]\n"
  os.exit(2)
end

local function check(value, why)
  if value then return value, why end
  io.stderr:write("dataset_coverage: ", why, "\n")
  os.exit(1)
end

local package = check(require("hone.sglang.sources").package(sglang))
local index = coverage.index((check(require("hone.dataset.traceset").open(dataset))))

-- ---- what to read: each tagged model that has a config, at the sizes that its definitions state ---------------

local function sizes(definitions, prefix)
  local list, seen = {}, {}
  for _, definition in ipairs(definitions) do
    for _, value in ipairs(tags.values(definition, prefix)) do
      local size = math.tointeger(tonumber(value))
      if size and not seen[size] then
        seen[size] = true
        list[#list + 1] = size
      end
    end
  end
  return #list > 0 and list or nil
end

local function job_for(model, jobs)
  for _, job in ipairs(jobs) do
    if tags.same_model(tags.model_name(job.name), model) then
      local definitions = coverage.tagged(index, model)
      return {
        name = job.name,
        model_name = job.model_name,
        config = job.config,
        tp = sizes(definitions, "tp"),
        ep = sizes(definitions, "ep"),
      }
    end
  end
end

local folders = {}
for folder in configs:gmatch "[^:]+" do
  folders[#folders + 1] = folder
end
local at_hand = check(every.jobs(package, { configs = folders }))
local without_config, wanted, models = {}, {}, {}
for _, model in ipairs(coverage.models(index)) do
  local job = (not only or only == model) and job_for(model, at_hand)
  if job then
    wanted[#wanted + 1], models[#models + 1] = job, model
  elseif not only or only == model then
    without_config[#without_config + 1] = model
  end
end

-- ---- is it found? -------------------------------------------------------------------------------------------

local function is_among(value, list)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

-- Whether ours was found with one of the sizes that theirs states. Kernels that no size changes carry none.
local function sizes_agree(theirs, ours, prefix)
  local stated, found = tags.values(theirs, prefix), tags.values(ours, prefix)
  if #stated == 0 or #found == 0 then return true end
  for _, size in ipairs(stated) do
    if is_among(size, found) then return true end
  end
  return false
end

-- "tp:4 ep:4": the sizes that a definition's tags state.
local function sizes_text(definition)
  local words = {}
  for _, prefix in ipairs { "tp", "ep" } do
    for _, value in ipairs(tags.values(definition, prefix)) do
      words[#words + 1] = prefix .. ":" .. value
    end
  end
  return table.concat(words, " ")
end

local PARTS = { "axes", "inputs", "outputs" }

local function difference(theirs, ours)
  local _, a = ops.signature(theirs)
  local _, b = ops.signature(ours)
  local words = {}
  for _, part in ipairs(PARTS) do
    if a.parts[part] ~= b.parts[part] then
      words[#words + 1] = ("%s are %s, here %s"):format(part, a.parts[part], b.parts[part])
    end
  end
  for name, value in pairs(a.hidden) do
    if value ~= b.hidden[name] then
      words[#words + 1] = ("%s is %s, here %s"):format(name, value, b.hidden[name])
    end
  end
  if #words > 0 then return table.concat(words, "; ") end
  return ("its tags say %s, and it is found at %s"):format(sizes_text(theirs), sizes_text(ours))
end

-- What the model has of the same op type, and which kinds of layers wait for review.
local function nearest(theirs, report)
  local names, review, seen = {}, {}, {}
  for _, ours in ipairs(report.definitions) do
    if ours.op_type == theirs.op_type then names[#names + 1] = ours.name end
  end
  for _, remark in ipairs(report.review) do
    if not seen[remark.why .. remark.class] then
      seen[remark.why .. remark.class] = true
      review[#review + 1] = ("%s (%s)"):format(remark.class, remark.why)
    end
  end
  local of_type = #names > 0 and "there is " .. table.concat(names, ", ") or "there is no " .. theirs.op_type
  return ("%s; for review: %s"):format(of_type, #review > 0 and table.concat(review, ", ") or "nothing")
end

-- Why a definition is not found, nil when it is.
local function reason(theirs, report)
  local signature = ops.signature(theirs)
  local namesake
  for _, ours in ipairs(report.definitions) do
    local same = ops.signature(ours) == signature
    if same and sizes_agree(theirs, ours, "tp") and sizes_agree(theirs, ours, "ep") then return nil end
    if same or ours.name == theirs.name then namesake = ours end
  end
  return namesake and difference(theirs, namesake) or nearest(theirs, report)
end

-- ---- the report -----------------------------------------------------------------------------------------------

local options = {
  package = package,
  page_sizes = { 1, 64 },
  modes = { "prefill", "decode" },
  gemm_dtype = "float16",
  include_quantized = false,
}
local outcomes, seconds = every.run(wanted, options)
local found, total = 0, 0
for i, outcome in ipairs(outcomes) do
  local missing = {}
  local definitions = coverage.tagged(index, models[i])
  for _, theirs in ipairs(definitions) do
    local why = outcome.message and "the model could not be read" or reason(theirs, outcome.report)
    total, found = total + 1, found + (why and 0 or 1)
    if why then missing[#missing + 1] = ("  %s: %s"):format(theirs.name, why) end
  end
  print(("%s (%s): %d of %d"):format(models[i], outcome.job.name, #definitions - #missing, #definitions))
  if outcome.message then print("  " .. outcome.message) end
  for _, warning in ipairs(outcome.report and outcome.report.warnings or {}) do
    print("  " .. warning)
  end
  for _, line in ipairs(outcome.report and missing or {}) do
    print(line)
  end
end
for _, model in ipairs(without_config) do
  print(("%s: no config at hand, %d definitions"):format(model, #coverage.tagged(index, model)))
end
print(("%d of %d found, %.1f s"):format(found, total, seconds))
os.exit(found == total)
