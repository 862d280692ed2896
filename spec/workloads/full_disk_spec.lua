--- A disk that is full, a real one: what is written is whole, what happened is said, and more room lets it go on.
local fs = require "hone.fs"
local json = require "hone.json"
local log_dumps = require "support.log_dumps"
local ops = require "hone.ops"
local safetensors = require "hone.safetensors"
local small_disk = require "support.small_disk"

local NAME = "gqa_paged_decode_h32_kv8_d128_ps1"
local NO_DISK = "no file system can be mounted here"

-- Steps whose page tables are 40 to 100 KB.
local LOG = [[
for i in range(12):
    pages = 10000 + 1200 * i
    log.call(DECODE + ".plan", ints([0, pages]), ints(list(range(pages))), ints([1]), 32, 8, 128, 1, self_id=1)
    cache = Tensor("bfloat16", [20, 1, 8, 128])
    log.call(DECODE + ".run", Tensor("bfloat16", [1, 32, 128]), (cache, cache), self_id=1)
]]

describe("collecting onto a full disk", function()
  local dir, bin

  before_each(function()
    dir = assert(fs.tempdir())
    bin = fs.absolute(os.getenv "HONE_BIN" or "build/hone")
    local sizes = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
    local definition =
      assert(ops.build("gqa_paged", "decode", sizes, { models = { "llama-3.1-8b" }, tp = 1 }))
    local folder = fs.join(dir.path, "dataset/definitions/gqa_paged")
    assert(fs.mkdir(folder))
    assert(json.write(fs.join(folder, NAME .. ".json"), definition))
  end)
  after_each(function() dir:remove() end)

  local function log(lines) log_dumps(fs.join(dir.path, "dumps"), lines) end

  local COLLECT = [["$BIN" collect-workloads --model-name llama-3.1-8b --all --no-submit-pr ]]

  -- Run the script on a small disk; what it left in folders of `dir` is looked at afterwards.
  local function on_small_disk(script)
    return small_disk.run(dir.path, 'BIN=$1; BASE=$2; cd "$3"; ' .. script, bin, dir.path, fs.cwd())
  end

  local function text(name) return fs.read(fs.join(dir.path, name)) end

  -- The workloads of a dataset: every line is whole, and every tensor that it names; no file is there that none names.
  local function whole_workloads(name)
    local root = fs.join(dir.path, name)
    local uuids, count = {}, 0
    local path = fs.join(root, "workloads/gqa_paged", NAME .. ".jsonl")
    for line in (fs.is_file(path) and fs.read(path) or ""):gmatch "[^\n]+" do
      local workload = assert(json.decode(line)).workload
      local tensors = assert(safetensors.read(fs.join(root, workload.inputs.kv_indices.path)))
      assert.equal(workload.axes.num_kv_indices, tensors.kv_indices:numel())
      uuids[workload.uuid], count = true, count + 1
    end
    local files = 0
    for found in fs.walk(root, { files_only = true }) do
      assert.is_nil(fs.basename(found):match "%.tmp$")
      if found:find "%.safetensors$" then files = files + 1 end
    end
    assert.equal(count, files)
    return uuids, count
  end

  it("leaves whole workloads, says so, and goes on when there is room", function()
    log(LOG)
    local ran = on_small_disk([[
small 500k; cp -r "$BASE/dataset/." "$DISK"
]] .. COLLECT .. [[--local "$DISK" --from-dumps "$BASE/dumps" 2>"$BASE/said" >/dev/null; echo $? >"$BASE/status"
cp -r "$DISK" "$BASE/first"; small 64m
]] .. COLLECT .. [[--local "$DISK" --from-dumps "$BASE/dumps" --json >"$BASE/answer"; cp -r "$DISK" "$BASE/second"
]] .. COLLECT .. [[--local "$BASE/dataset" --from-dumps "$BASE/dumps" >/dev/null]])
    if not ran then return pending(NO_DISK) end
    assert.equal("1\n", text "status", text "said")
    assert.matches(
      "cannot write the workloads of "
        .. NAME
        .. ": cannot write [^\n]*: No space left on device; "
        .. "what the dataset has by now is whole, and running this again goes on",
      (text "said")
    )
    local _, first = whole_workloads "first"
    assert.is_true(first >= 2 and first < 12)
    local answer = json.decode(text "answer")
    assert.same({ first, 12 - first }, { answer.definitions[1].known, #answer.definitions[1].kept })
    assert.same(whole_workloads "dataset", whole_workloads "second")
  end)

  it("leaves what was there, where that was to be replaced", function()
    log(LOG)
    local ran = on_small_disk([[
small 64m; cp -r "$BASE/dataset/." "$DISK"
]] .. COLLECT .. [[--local "$DISK" --from-dumps "$BASE/dumps" --max-workloads 3 >/dev/null
rm -r "$DISK/reports"; cp -r "$DISK" "$BASE/before"; small 500k
]] .. COLLECT .. [[--local "$DISK" --from-dumps "$BASE/dumps" --replace 2>"$BASE/said" >/dev/null
cp -r "$DISK" "$BASE/after"]])
    if not ran then return pending(NO_DISK) end
    assert.matches("No space left on device", text "said", 1, true)
    assert.same(whole_workloads "before", whole_workloads "after")
    local path = "/workloads/gqa_paged/" .. NAME .. ".jsonl"
    assert.equal(text("before" .. path), text("after" .. path))
  end)

  local function serve(fault, at_once)
    local port = require("support.http_server").free_port()
    local server = "python3 spec/support/sglang_server.py --port {port} --fault " .. fault
    local words = [[--local "$BASE/dataset" --dump-dir "$DISK" --num-samples 12 --concurrency %d --port %d ]]
    return COLLECT .. words:format(at_once, port) .. ('--server-command "%s" '):format(server)
  end

  it("keeps what was dumped before the dumps filled their disk", function()
    local ran = on_small_disk([[
small 24m
]] .. serve("overruns", 2) .. [[2>"$BASE/said" >/dev/null; echo $? >"$BASE/status"
cp -r "$BASE/dataset" "$BASE/first"
small 200m
]] .. serve("none", 4) .. [[2>"$BASE/again" >/dev/null; echo $? >>"$BASE/status"]])
    if not ran then return pending(NO_DISK) end
    assert.equal("1\n0\n", text "status", text "said" .. text "again")
    local said = text "said"
    local failed = said:find "Failed to dump function call [^\n]*No space left"
    assert.is_truthy(failed or said:find "the disk of [^\n]* is full")
    assert.matches("what was dumped by then was kept, and running this again goes on", said, 1, true)
    local _, first = whole_workloads "first"
    local _, second = whole_workloads "dataset"
    assert.is_true(first >= 2 and second > first)
  end)

  it("dumps no more than there is room for, and says where that ended", function()
    local ran = on_small_disk([[
small 24m
]] .. serve("none", 2) .. [[2>"$BASE/said" >/dev/null; echo $? >"$BASE/status"
rm -r "$DISK"/*; small 10m
]] .. serve("none", 2) .. [[2>>"$BASE/said" >/dev/null; echo $? >>"$BASE/status"]])
    if not ran then return pending(NO_DISK) end
    assert.equal("0\n1\n", text "status", text "said")
    assert.matches("not every call was dumped: WARNING %- Dump size limit reached %(0%.02", (text "said"))
    assert.matches("there is no room for dumps in [^\n]*/disk %(10 MB are free%): make some", (text "said"))
    local _, count = whole_workloads "dataset"
    assert.is_true(count >= 2)
  end)
end)
