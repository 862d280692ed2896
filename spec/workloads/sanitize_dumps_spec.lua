--- The same dumps through flashinfer-bench's scripts/sanitize_dumps.py: sizes and kept tensors are the same, where that
--- script makes none of the mistakes named below. HONE_SANITIZE names it, or HONE_FLASHINFER_BENCH a checkout that has it.
local collect = require "hone.workloads.collect"
local fs = require "hone.fs"
local json = require "hone.json"
local log_dumps = require "support.log_dumps"
local ops = require "hone.ops"
local process = require "hone.process"
local structures = require "support.structures"

local function script()
  local named, checkout = os.getenv "HONE_SANITIZE", os.getenv "HONE_FLASHINFER_BENCH"
  local path = named or checkout and fs.join(checkout, "scripts/sanitize_dumps.py")
  if not path or not fs.is_file(path) then
    return nil, "no sanitize_dumps.py (HONE_SANITIZE names it, or HONE_FLASHINFER_BENCH a checkout)"
  end
  if process.run({ "python3", "-c", "import safetensors, torch" }).status ~= 0 then
    return nil, "no Python with torch and safetensors"
  end
  return path
end

local PATH, MISSING = script()

local PAGED = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
local PAGES_OF_64 = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 64 }
local RAGGED = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128 }

local PREFILL = [[
def step(queries, lengths, page_size=1, object=1):
    starts, rows = [0], [0]
    for n, m in zip(lengths, queries):
        starts.append(starts[-1] + -(-n // page_size))
        rows.append(rows[-1] + m)
    pages = ints([7 * i % 61 for i in range(starts[-1] + 9)])
    last = ints([(n - 1) % page_size + 1 for n in lengths])
    sizes = (32, 8, 128, page_size)
    log.call(PREFILL + ".plan", ints(rows), ints(starts), pages, last, *sizes, causal=True, self_id=object)
    cache = Tensor("bfloat16", [70, page_size, 8, 128])
    log.call(PREFILL + ".run", Tensor("bfloat16", [rows[-1], 32, 128]), (cache, cache), self_id=object)
]]

describe("workloads from dumps and those of sanitize_dumps.py", function()
  local dir, dumps

  before_each(function()
    dir = assert(fs.tempdir())
    dumps = fs.join(dir.path, "dumps")
  end)
  after_each(function() dir:remove() end)

  -- What both make of the dumps that lines of Python write, for a definition.
  local function both(op_type, variant, sizes, lines)
    log_dumps(dumps, lines)
    local definition = assert(ops.build(op_type, variant, sizes, { models = { "m" } }))
    local theirs, ours = fs.join(dir.path, "theirs"), fs.join(dir.path, "ours")
    assert(fs.mkdir(fs.join(theirs, "definitions", op_type)))
    assert(fs.mkdir(ours))
    assert(json.write(fs.join(theirs, "definitions", op_type, definition.name .. ".json"), definition))
    local command = { "python3", PATH, "--dump-dir", dumps, "--definitions", definition.name }
    table.move({ "--flashinfer-trace-dir", theirs }, 1, 2, #command + 1, command)
    command.check = true
    assert(process.run(command))
    local options = { root = ours, max_workloads = 20, max_per_axes = 2 }
    local report = assert(collect.from_dumps(dumps, { definition }, options))
    return structures.all(ours, definition), structures.all(theirs, definition), report.definitions[1]
  end

  -- { what, op type, variant, parameters, how many workloads, dumps }
  for _, case in ipairs {
    {
      "decode",
      "gqa_paged",
      "decode",
      PAGED,
      20,
      [[
for i in range(60):
    log.decode([1 + (7 * i + 3 * k) % 40 for k in range(1 + i % 9)], seed=i)
]],
    },
    {
      "decode with pages of 64 tokens",
      "gqa_paged",
      "decode",
      PAGES_OF_64,
      3,
      [[
for lengths in ([70, 3], [64, 65, 1], [500]):
    log.decode(lengths, page_size=64)
]],
    },
    {
      "paged prefill",
      "gqa_paged",
      "prefill_causal",
      PAGED,
      3,
      PREFILL .. "step([3, 2], [5, 9])\nstep([7], [7])\nstep([1, 1, 4], [30, 1, 4])\n",
    },
    {
      "ragged prefill",
      "gqa_ragged",
      "prefill_causal",
      RAGGED,
      2,
      [[
for rows, starts in (([0, 2, 5], [0, 4, 9]), ([0, 8], [0, 8])):
    log.call(RAGGED + ".plan", ints(rows), ints(starts), 32, 8, 128, causal=True, self_id=3)
    k = Tensor("bfloat16", [starts[-1], 8, 128])
    log.call(RAGGED + ".run", Tensor("bfloat16", [rows[-1], 32, 128]), k, k, self_id=3)
]],
    },
    {
      "norms",
      "rmsnorm",
      "rmsnorm",
      { hidden_size = 4096, eps = 1e-6 },
      3,
      [[
for rows in (1, 7, 300):
    log.call("rmsnorm", Tensor("bfloat16", [rows, 4096]), Tensor("bfloat16", [4096]), 1e-6)
]],
    },
  } do
    it(("are the same sizes and tensors: %s"):format(case[1]), function()
      if not PATH then return pending(MISSING) end
      local ours, theirs = both(case[2], case[3], case[4], case[6])
      assert.same(theirs, ours)
      assert.equal(case[5], #ours)
    end)
  end

  local function unique(list)
    local seen, kept = {}, {}
    for _, line in ipairs(list) do
      if not seen[line] then kept[#kept + 1] = line end
      seen[line] = true
    end
    return kept
  end

  it("are the same once, where the layers of a model repeat a call", function()
    if not PATH then return pending(MISSING) end
    local steps = "for i in range(5):\n    log.decode([3 + i, 8, 2], seed=i, runs=6)\n"
    local ours, theirs, result = both("gqa_paged", "decode", PAGED, steps)
    assert.same(unique(theirs), ours)
    assert.same({ 5, 25 }, { #ours, result.duplicates })
    assert.equal(10, #theirs) -- it keeps each twice
  end)

  it("differ for calls under another TP, which it takes where there is a plan", function()
    if not PATH then return pending(MISSING) end
    local steps = "log.decode([3, 5], heads=(16, 4, 128))\nlog.decode([4])\n"
    local ours, theirs, result = both("gqa_paged", "decode", PAGED, steps)
    assert.same({ 1, 2 }, { #ours, #theirs })
    assert.same(ours, { theirs[1] })
    assert.equal("num_qo_heads is 16 in plan(), not 32", json.keys(result.refused)[1])
  end)

  it("differ for two objects, of which it takes the plan that came last", function()
    if not PATH then return pending(MISSING) end
    local steps = [[
log.decode([1, 2], self_id=1, runs=0)
log.decode([4, 4], self_id=2)
q, cache = Tensor("bfloat16", [2, 32, 128]), Tensor("bfloat16", [20, 1, 8, 128])
log.call(DECODE + ".run", q, (cache, cache), self_id=1)
]]
    local ours, theirs = both("gqa_paged", "decode", PAGED, steps)
    assert.equal(1, #unique(theirs))
    assert.equal(2, #ours)
    assert.matches("num_kv_indices=3", table.concat(ours))
  end)
end)
