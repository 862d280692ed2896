--- hone add-reference-tests: pytest files that hold references against ground truth, and the check without Python.
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local references = require "support.references"
local sandbox = require "support.sandbox"

-- References that are wrong in ways that people's are.
local MISTAKES = {
  { "rmsnorm_h96", "x * torch.rsqrt", "x * 1.02 * torch.rsqrt", "output: [%d.]+ %% within" },
  { "gqa_paged_decode_h8_kv2_d64_ps1", "total.flatten() / math.log(2.0)", "total.flatten()", "lse: " },
  { "gqa_ragged_prefill_causal_h8_kv2_d64", "%* sm_scale", "", "output: " },
}

describe("hone add-reference-tests", function()
  local box

  before_each(function()
    box = sandbox.new()
    for _, definition in ipairs(references.definitions()) do
      local path = box:at("trace/definitions", definition.op_type, definition.name .. ".json")
      assert(json.write(path, definition))
    end
  end)
  after_each(function() box:close() end)

  local function add(...) return box:hone { "add-reference-tests", "--local", "trace", ... } end
  local function test_path(name) return box:at("trace/tests/references", "test_" .. name .. ".py") end

  it("writes a test for each definition whose truth is known, and says which are not", function()
    local novel = json.read(box:at "trace/definitions/rmsnorm/rmsnorm_h96.json")
    novel.name, novel.op_type = "novel_h8", "novel"
    assert(json.write(box:at "trace/definitions/novel/novel_h8.json", novel))
    local result = add("--all", "--json")
    assert.equal(0, result.status, result.stderr)
    local answer = json.decode(result.stdout)
    assert.is_true(#answer.written > 20) -- conftest.py among them
    assert.is_true(fs.exists(test_path "gdn_prefill_qk2_v4_d32_k_last"))
    assert.is_true(fs.exists(box:at "trace/tests/references/conftest.py"))
    assert.same(
      { "no independent formula is known for novel_h8 of op type novel" },
      { table.unpack(answer.skipped) }
    )
    assert.equal(1 + #references.definitions(), #answer.written - 1 + #answer.skipped)
  end)

  it("leaves tests alone that are there, without --force", function()
    add("--definition-name", "rmsnorm_h96")
    local path = test_path "rmsnorm_h96"
    local first = fs.read(path)
    assert(fs.write(path, "# mine\n"))
    local result = add("--definition-name", "rmsnorm_h96")
    assert.matches("0 tests written, 1 kept", result.stdout, 1, true)
    assert.equal("# mine\n", fs.read(path))
    add("--definition-name", "rmsnorm_h96", "--force")
    assert.equal(first, fs.read(path))
  end)

  it("agrees with an independent formula for every reference of ours that has one", function()
    local result = add("--all", "--run", "only-native", "--json")
    assert.equal(0, result.status, result.stderr)
    local agree, unknown = 0, 0
    for _, entry in ipairs(json.decode(result.stdout).checked) do
      if entry.agrees == true then
        agree = agree + 1
      else
        assert.equal(json.null, entry.agrees, entry.definition)
        unknown = unknown + 1
      end
    end
    assert.is_true(agree >= 25, agree)
    assert.equal(#references.definitions(), agree + unknown)
    assert.is_false(fs.exists(box:at "trace/tests"))
  end)

  for _, mistake in ipairs(MISTAKES) do
    local name, from, to, says = table.unpack(mistake)
    it(("finds a wrong reference of %s (%s)"):format(name, from), function()
      for _, definition in ipairs(references.definitions()) do
        if definition.name == name then
          local at, last = definition.reference:find(from, 1, not from:find "%%")
          assert.is_truthy(at, from)
          definition.reference = definition.reference:sub(1, at - 1)
            .. to
            .. definition.reference:sub(last + 1)
          assert(json.write(box:at("trace/definitions", definition.op_type, name .. ".json"), definition))
        end
      end
      local result = add("--definition-name", name, "--run", "only-native")
      assert.equal(1, result.status)
      assert.matches(says, result.stdout)
      assert.matches("1 of 1 references disagree", result.stderr, 1, true)
    end)
  end

  it("writes tests that pass under torch, and fail for a wrong reference", function()
    if process.run({ "python3", "-c", "import torch, pytest" }).status ~= 0 then
      return pending "no torch with pytest"
    end
    local names = "rmsnorm_h96,gqa_paged_decode_h8_kv2_d64_ps16,gdn_decode_qk2_v4_d32_k_last,"
      .. "top_p_sampling_from_probs_v1000,moe_fp8_block_scale_renorm_topk3_e8_h1024_i640"
    assert.equal(0, add("--definition-name", names).status)
    local command =
      { "python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", box:at "trace/tests/references" }
    local result = assert(process.run(command))
    assert.equal(0, result.status, result.stdout)
    assert.matches("(%d+) passed", result.stdout)
    local path = test_path "rmsnorm_h96"
    assert(fs.write(path, (fs.read(path):gsub("torch.rsqrt%(", "1.05 * torch.rsqrt(", 1))))
    result = assert(process.run(command))
    assert.equal(1, result.status)
    assert.matches("within atol=0.01", result.stdout, 1, true)
    assert.matches("expected [-%d.e]+, got", result.stdout)
  end)

  it("bounds sizes and takes another tolerance", function()
    add("--definition-name", "rmsnorm_h96", "--test-sizes", "1", "--tolerance", "0.5")
    local text = fs.read(test_path "rmsnorm_h96")
    assert.matches("CASES = CASES[:1]", text, 1, true)
    assert.matches("ATOL, RTOL, RATIO = 0.5, 0.5, 1.0", text, 1, true)
  end)

  it("refuses what it cannot work with", function()
    assert.equal(2, add().status)
    assert.equal(2, add("--all", "--op-type", "moe").status)
    assert.matches("there is no definition 'nobody'", add("--definition-name", "nobody").stderr)
    assert.matches("has no definitions of op type 'x'", add("--op-type", "x").stderr)
    assert.matches("no such directory", add("--definitions-dir", "nowhere").stderr)
    box:write("odd/a.json", "{")
    assert.matches("a.json:1", add("--definitions-dir", "odd").stderr, 1, true)
  end)
end)
