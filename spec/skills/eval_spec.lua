--- The skill eval: a definition's reference on inputs that are made or a workload's.
local dataset = require "support.dataset"
local fs = require "hone.fs"
local json = require "hone.json"
local references = require "support.references"
local safetensors = require "hone.safetensors"
local sandbox = require "support.sandbox"
local tensor = require "hone.tensor"

describe("hone eval", function()
  local box

  before_each(function()
    box = sandbox.new()
    for _, definition in ipairs(references.definitions()) do
      local path = box:at("trace/definitions", definition.op_type, definition.name .. ".json")
      assert(json.write(path, definition))
    end
  end)

  after_each(function() box:close() end)

  local function eval(...) return box:hone { "eval", "--local", "trace", ... } end

  it("shows what goes in and what comes out", function()
    local result = eval("rmsnorm_h96", "--axes", "batch_size=3", "--print")
    assert.equal(0, result.status, result.stderr)
    assert.matches("hidden_states +bfloat16 +%[3, 96%] +[^\n]+ random\n", result.stdout)
    assert.matches("output +bfloat16 +%[3, 96%] +[^\n]+ output\n", result.stdout)
    assert.matches("rmsnorm_h96: [%d.]+ ms on cpu\n", result.stdout)
    assert.matches("output = tensor%(%[%[", result.stdout)
  end)

  it("makes inputs with structure, the same for a seed", function()
    local function run(seed)
      local result =
        eval("gqa_paged_decode_h8_kv2_d64_ps16", "--seed", seed, "--save", seed .. ".safetensors", "--json")
      assert.equal(0, result.status, result.stderr)
      return assert(json.decode(result.stdout)), assert(safetensors.read(box:at(seed .. ".safetensors")))
    end
    local told, one = run "1"
    local _, again = run "1"
    local _, other = run "2"
    assert.equal(5, told.axes.len_indptr)
    assert.equal("made", told.inputs[4].from)
    assert.equal(told.axes.num_kv_indices, one.kv_indptr:tolist()[5])
    assert.equal(one.output:bytes(), again.output:bytes())
    assert.not_equal(one.q:bytes(), other.q:bytes())
  end)

  it("takes a workload's numbers and files, and says what it had to make", function()
    assert(fs.mkdir(box:at "trace/blob"))
    local starts = tensor.new({ 0, 2, 3 }, "int32")
    assert(safetensors.write(box:at "trace/blob/starts.safetensors", { kv_indptr = starts }))
    local function blob(key, file)
      return json.object { { "type", "safetensors" }, { "path", "./blob/" .. file }, { "tensor_key", key } }
    end
    local workload = json.object {
      { "uuid", "abc-1" },
      { "axes", { batch_size = 2, num_pages = 9, len_indptr = 3, num_kv_indices = 3 } },
      {
        "inputs",
        {
          kv_indptr = blob("kv_indptr", "starts.safetensors"),
          kv_indices = blob("kv_indices", "missing.safetensors"),
          sm_scale = { type = "scalar", value = 0.5 },
          q = { type = "random" },
        },
      },
    }
    local name = "gqa_paged_decode_h8_kv2_d64_ps1"
    local line = json.encode(json.object { { "definition", name }, { "workload", workload } })
    box:write("trace/workloads/gqa_paged/" .. name .. ".jsonl", line .. "\n")
    local result = eval(name, "--workload", "abc")
    assert.equal(0, result.status, result.stderr)
    assert.matches("kv_indptr +int32 +%[3%] +0 .. 3, [^\n]+ blob\n", result.stdout)
    assert.matches("kv_indices +int32 +%[3%] +[^\n]+ made: its file is not there\n", result.stdout)
    assert.matches("sm_scale +0.5 +workload\n", result.stdout)
    result = eval(name, "--workload", "xyz")
    assert.equal(1, result.status)
    assert.matches(
      "no workload of gqa_paged_decode_h8_kv2_d64_ps1 has a uuid that begins with xyz",
      result.stderr
    )
  end)

  it("runs in Python what hone does not know, where torch is", function()
    local python, why = dataset.python()
    if not python then return pending(why) end
    local definition = references.definitions()[1]
    local source =
      definition.reference:gsub("(def run%b():\n)", "%1    try:\n        pass\n    finally:\n        pass\n")
    definition.reference = source
    assert(json.write(box:at "odd.json", definition))
    local path = fs.dirname(fs.absolute(python)) .. ":" .. os.getenv "PATH"
    local result = box:hone({ "eval", "odd.json" }, { PATH = path })
    assert.equal(0, result.status, result.stderr)
    assert.matches("output +bfloat16", result.stdout)
    result = box:hone({ "eval", "odd.json", "--reference", "native" }, { PATH = path })
    assert.equal(1, result.status)
    assert.matches(
      "rmsnorm_h96:%d+: hone does not know this construct of Python: try statement",
      result.stderr
    )
  end)

  it("gives torch's outputs with --reference torch", function()
    local python, why = dataset.python()
    if not python then return pending(why) end
    local path = fs.dirname(fs.absolute(python)) .. ":" .. os.getenv "PATH"
    for _, way in ipairs { "native", "torch" } do
      local result = box:hone(
        { "eval", "gemm_n96_k64", "--local", "trace", "--reference", way, "--save", way },
        { PATH = path }
      )
      assert.equal(0, result.status, result.stderr)
    end
    local ours, theirs = safetensors.read(box:at "native").C, safetensors.read(box:at "torch").C
    assert.is_true(ours:to("float32"):allclose(theirs:to "float32", { rtol = 1e-2, atol = 1e-2 }))
  end)

  for what, case in pairs {
    ["an unknown definition"] = { { "nothing" }, 1, "there is no definition 'nothing' in trace/definitions" },
    ["an unknown axis"] = { { "rmsnorm_h96", "--axes", "M=3" }, 1, "rmsnorm_h96 has no axis 'M'" },
    ["another constant"] = {
      { "rmsnorm_h96", "--axes", "hidden_size=3" },
      1,
      "the axis hidden_size is 96, not 3",
    },
    ["an axis that is no size"] = {
      { "rmsnorm_h96", "--axes", "batch_size" },
      2,
      "'batch_size' is not NAME=SIZE",
    },
    ["a device that is not there"] = {
      { "rmsnorm_h96", "--device", "cuda:77" },
      1,
      "cannot make the inputs of rmsnorm_h96: ",
    },
    ["no such device"] = { { "rmsnorm_h96", "--device", "moon" }, 1, "there is no device 'moon'" },
    ["too few steps"] = {
      { "top_k_sampling_from_probs_v1000", "--steps", "1" },
      1,
      "the loops have gone round too often",
    },
  } do
    it("says in one line what is wrong: " .. what, function()
      local result = eval(table.unpack(case[1]))
      assert.equal(case[2], result.status, result.stderr)
      assert.is_truthy(result.stderr:find(case[3], 1, true), result.stderr)
      assert.is_nil(result.stderr:find("traceback", 1, true), result.stderr)
      assert.equal("", result.stdout)
    end)
  end
end)
