--- What is remembered for the next pull request.
local fs, json = require "hone.fs", require "hone.json"
local unsent = require "hone.workloads.unsent"

describe("files that no pull request has yet", function()
  local dir
  before_each(function() dir = fs.tempdir() end)
  after_each(function() dir:remove() end)

  it("are remembered until they are sent, each once", function()
    assert(fs.write(fs.join(dir.path, "workloads/a.jsonl"), "{}"))
    assert(fs.write(fs.join(dir.path, "workloads/b.jsonl"), "{}"))
    assert(unsent.write(dir.path, { "workloads/a.jsonl", "gone.jsonl" }))
    assert.same({ "workloads/a.jsonl" }, unsent.read(dir.path))
    local all = { "workloads/a.jsonl", "workloads/b.jsonl" }
    assert.same(all, unsent.with(dir.path, { "workloads/b.jsonl", "workloads/a.jsonl" }))
    assert(unsent.write(dir.path, {}))
    assert.same({}, unsent.read(dir.path))
    assert.is_false(fs.exists(fs.join(dir.path, "reports/unsent-workloads.json")))
  end)

  it("are the dataset's own, whatever the list says", function()
    local root = fs.join(dir.path, "dataset")
    assert(fs.write(fs.join(dir.path, "secret"), "s"))
    assert(fs.write(fs.join(root, "..a"), "a file may be called so"))
    local list = { "../secret", fs.join(dir.path, "secret"), "x/../../secret", 7, "..a" }
    assert(json.write(fs.join(root, "reports/unsent-workloads.json"), list))
    assert.same({ "..a" }, unsent.read(root))
    assert(fs.write(fs.join(root, "reports/unsent-workloads.json"), "no list"))
    assert.same({}, unsent.read(root))
  end)
end)
