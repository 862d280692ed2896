--- Tell what this machine has, what that enables, and what to install.
local doctor = require "hone.doctor"
local json = require "hone.json"

local skill = {
  summary = "tell what this machine has, what each thing enables, and what to install",
  description = [[
Looks for the GPU with its driver and libraries, compilers, Python with its packages, the tools that other
skills call, and the folders they use. Nothing is changed, and nothing needs to be there: hone works with
what it finds. A token is only said to be present or absent.]],
  params = {
    { name = "local", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
  },
  outputs = {
    { name = "checks", help = "for each thing: name, found, version, detail, enables, install" },
    { name = "devices", help = "for each GPU: name, capability, memory, processors, caches and clocks" },
  },
  examples = { "hone doctor", "hone doctor --json" },
}

local FIELDS = { "name", "found", "version", "detail", "enables", "install" }
local DEVICE_FIELDS =
  { "name", "capability", "memory", "processors", "l2_bytes", "clock_mhz", "memory_clock_mhz", "bus_bits" }

local function ordered(record, fields)
  local object = json.object()
  for _, field in ipairs(fields) do
    if record[field] ~= nil then object[field] = record[field] end
  end
  return object
end

local function ordered_list(records, fields)
  local list = json.array {}
  for i, record in ipairs(records) do
    list[i] = ordered(record, fields)
  end
  return list
end

local function show(ctx, checks)
  local rows, missing = {}, {}
  for i, check in ipairs(checks) do
    rows[i] = { check.name, check.found and "found" or "missing", check.version or "", check.enables }
    if not check.found then missing[#missing + 1] = { check.name, check.install, check.detail or "" } end
  end
  ctx.say("%s", require("hone.table").format(rows, { headers = { "WHAT", "", "VERSION", "ENABLES" } }))
  if #missing == 0 then return end
  ctx.say("\n%s", require("hone.table").format(missing, { headers = { "MISSING", "TO INSTALL", "WHY" } }))
end

function skill.run(args, ctx)
  local checks, devices = doctor.examine { dataset = args["local"] }
  if not ctx.json then show(ctx, checks) end
  return json.object {
    { "checks", ordered_list(checks, FIELDS) },
    { "devices", ordered_list(devices, DEVICE_FIELDS) },
  }
end

return skill
