--- Dumps that are not what they should be: each is refused or what is right of it is taken, and nothing is raised.
local fs = require "hone.fs"
local json = require "hone.json"
local dump_box = require "support.dump_box"
local ops = require "hone.ops"
local process = require "hone.process"
local structures = require "support.structures"

local DECODE = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
local KINDS = {
  { "gqa_paged", "decode", DECODE },
  { "rmsnorm", "rmsnorm", { hidden_size = 4096, eps = 1e-5 } },
  { "sampling", "top_p", { vocab_size = 1024 } },
  { "mla_paged", "decode", { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, page_size = 1 } },
}

local LOG = [[
for i in range(12):
    log.decode([1 + i, 2 + i % 3][: 1 + i % 2], seed=i)
    log.call("rmsnorm", Tensor("bfloat16", [7 + i, 4096]), Tensor("bfloat16", [4096]), 1e-5)
    log.call("top_p_sampling_from_probs", Tensor("float32", [3, 1024]), Tensor("float32", [3], [0.5, 0.75, i / 16]))
    sizes = (16, 512, 64, 1, True, 0.135)
    pages = ints([0, 2, 4 + i]), ints(range(4 + i)), ints([2, 2 + i])
    log.call(MLA + ".plan", ints([0, 1, 2]), *pages, *sizes, self_id=9)
    queries = Tensor("bfloat16", [2, 16, 512]), Tensor("bfloat16", [2, 16, 64])
    log.call(MLA + ".run", *queries, Tensor("bfloat16", [40, 1, 512]), Tensor("bfloat16", [40, 1, 64]), self_id=9)
]]

describe("dumps that are at fault", function()
  local box, dumps, root

  before_each(function()
    box = dump_box.new()
    dumps, root = box.dumps, box.root
  end)
  after_each(function() box:close() end)

  local function log(lines) box:log(lines) end

  local function definition(kind) return assert(ops.build(kind[1], kind[2], kind[3], { models = { "m" } })) end

  local function run(list, options) return box:collect(list, options) end

  it("raise nothing, whatever of them is spoilt, and what is kept can be read", function()
    local list = {}
    for i, kind in ipairs(KINDS) do
      list[i] = definition(kind)
    end
    local kept, refused, broken = 0, 0, 0
    for seed = 1, 12 do
      fs.remove(dumps)
      log(LOG)
      assert(process.run { "python3", "spec/support/spoil_dumps.py", dumps, seed, check = true })
      local report = run(list, { replace = true })
      broken = broken + #report.broken
      assert(json.encode(report))
      for i, one in ipairs(report.definitions) do
        if #one.kept > 0 then assert.equal(#one.kept, #structures.all(root, list[i])) end
        kept = kept + #one.kept
        for why, entry in pairs(one.refused) do
          assert.is_nil(why:find "%.lua:%d", why)
          refused = refused + entry.count
        end
      end
    end
    assert.is_true(kept > 50 and refused > 50 and broken > 50)
  end)

  it("are refused where file and metadata differ, or a number is none", function()
    log [[
def change(folder, name, value):
    text = open(folder + "/metadata.jsonl").readlines()[-1]
    record = json.loads(text)
    exec("record" + name + " = value")
    open(folder + "/metadata.jsonl", "w").write(json.dumps(record) + "\n")
plan = log.decode([3], runs=0)
change(plan, '["tensor_details"]["arg_2"]["shape"]', [5])
q, cache = Tensor("bfloat16", [1, 32, 128]), Tensor("bfloat16", [20, 1, 8, 128])
log.call(DECODE + ".run", q, (cache, cache), self_id=1)
log.decode([4], sm_scale=float("nan"))
log.decode([6])
]]
    local list = { definition(KINDS[1]) }
    local one = run(list).definitions[1]
    assert.same({
      "kv_indices: its file has arg_2 as [8], its metadata says [5]",
      "its sm_scale is nan",
    }, json.keys(one.refused))
    assert.equal(1, #one.kept)
  end)

  it("tell how many floats are not finite, and what of a run cannot be read", function()
    log [[
nan, inf = float("nan"), float("inf")
probs = Tensor("float32", [2, 2], [nan, 0.5, inf, 1.5])
log.call("top_p_sampling_from_probs", probs, Tensor("float32", [2], [0.5, 0.75]))
log.call("top_p_sampling_from_probs", Tensor("float32", [1, 2], [nan, nan]), Tensor("float32", [1], [0.5]))
]]
    local report = run { definition { "sampling", "top_p", { vocab_size = 2 } } }
    local kept = report.definitions[1].kept
    assert.same({ mean = 1, std = 0.5, abs_max = 1.5, not_finite = 2 }, {
      mean = kept[1].floats.probs.mean,
      std = kept[1].floats.probs.std,
      abs_max = kept[1].floats.probs.abs_max,
      not_finite = kept[1].floats.probs.not_finite,
    })
    assert.is_nil(kept[2].floats.probs)
    assert.matches("%(2 not finite%)", require("hone.workloads.report").markdown(report))
    fs.remove(dumps)
    log [[
cut = log.decode([4])
data = open(cut + "/inputs.safetensors", "rb").read()
open(cut + "/inputs.safetensors", "wb").write(data[: len(data) // 2])
]]
    local notes = run({ definition(KINDS[1]) }).definitions[1].kept[1].notes
    assert.matches("^q: cannot read its inputs.safetensors: ", notes[1])
  end)
end)
