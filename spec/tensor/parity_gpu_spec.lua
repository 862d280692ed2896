--- Every operation on a GPU against torch: the same cases as on the CPU, in several processes.
local cuda = require "hone.cuda"
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"

local MOST_SHOWN = 5
local CASES_TIME, PART_TIME = 300, 400 -- seconds
local PARTS = 12

-- A Python that has torch: that of the specs, or the machine's.
local function python()
  for _, path in ipairs { "build/testenv/bin/python", "python3" } do
    local asked = process.run { path, "-c", "import torch" }
    if asked and asked.status == 0 then return path end
  end
end

local function part_commands(folder)
  local hone, commands = os.getenv "HONE_BIN" or "build/hone", {}
  for part = 0, PARTS - 1 do
    commands[#commands + 1] = {
      hone,
      "spec/support/tensor_parity_part.lua",
      folder,
      "cuda:0",
      tostring(part),
      tostring(PARTS),
      timeout = PART_TIME,
    }
  end
  return commands
end

-- { [group] = { passed =, failures = } } of all parts together.
local function run_parts(folder)
  local groups = {}
  for _, result in ipairs(process.run_all(part_commands(folder), { max = PARTS })) do
    assert(result.status == 0, result.stderr)
    for line in result.stdout:gmatch "[^\n]+" do
      local found = assert(json.decode(line))
      local group = groups[found.name] or { passed = 0, failures = {} }
      groups[found.name] = group
      group.passed = group.passed + found.passed
      table.move(found.failures, 1, #found.failures, #group.failures + 1, group.failures)
    end
  end
  return groups
end

describe("a tensor's operations on a GPU #gpu", function()
  it("give what torch gives, in every dtype and layout", function()
    if not cuda.available() then return pending "no GPU here" end
    local torch = python()
    if not torch then return pending "no torch here" end
    local dir <close> = assert(fs.tempdir "hone-parity-")
    local made = assert(process.run { torch, "spec/support/tensor_cases.py", dir.path, timeout = CASES_TIME })
    assert.equal(0, made.status, made.stderr)
    local passed, wrong = 0, {}
    for name, group in pairs(run_parts(dir.path)) do
      passed = passed + group.passed
      for i = 1, math.min(#group.failures, MOST_SHOWN) do
        wrong[#wrong + 1] = name .. ": " .. group.failures[i]
      end
      if #group.failures > 0 then
        wrong[#wrong + 1] = ("%s: %d failed, %d passed"):format(name, #group.failures, group.passed)
      end
    end
    assert.equal("", table.concat(wrong, "\n"))
    assert.is_true(passed > 20000, "only " .. passed .. " cases were written")
  end)
end)
