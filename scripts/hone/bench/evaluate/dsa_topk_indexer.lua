--- The indexer of DSA: which tokens it chooses is judged by their scores, since among equal ones any will do.
local tensor = require "hone.tensor"

local indexer = { name = "dsa_topk_indexer" }

-- float32 [pages, page_size, D] of pages that hold the float8 of all their tokens, then a float32 factor of each.
local function unpack_keys(cache)
  local pages, page_size, _, width = table.unpack(cache:shape())
  local size = width - 4
  local flat = cache:view("uint8"):reshape(pages, page_size * width)
  local keys = flat:narrow(2, 1, page_size * size):contiguous():view "float8_e4m3fn"
  local factors = flat:narrow(2, page_size * size + 1, page_size * 4):contiguous():view "float32"
  return keys:reshape(pages, page_size, size):to "float32" * factors:unsqueeze(3)
end

-- float32 [batch, n]: the score of each index, -inf for padding.
local function scores_of(indices, keys, queries, weights)
  local page_size, size = keys:size(2), keys:size(3)
  local batch, n = table.unpack(indices:shape())
  local safe = indices:to("int64"):clamp(0, keys:size(1) * page_size - 1)
  local gathered = keys:reshape(-1, size):index_select(1, safe:reshape(-1)):reshape(batch, n, size)
  local of_head = queries:to("float32"):bmm(gathered:transpose(2, 3)):relu() -- [batch, heads, n]
  local scores = (of_head * weights:to("float32"):unsqueeze(3)):sum(2)
  return tensor.where(indices:lt(0), -math.huge, scores)
end

-- bool [n]: which indices one sequence does not hold. The slot is the first in which the page stands.
local function beyond_sequence(indices, page_size, length, pages)
  local page, offset = indices // page_size, indices % page_size
  local held = page:unsqueeze(2):eq(pages:unsqueeze(1)) -- [n, slots]
  local slot = held:to("int64"):argmax(2)
  local reached = held:any(2) & (slot * page_size + offset):lt(length)
  return indices:ge(0) & ~reached
end

-- The sequences with an index that they do not hold: one after the other, since n x slots is much for all at once.
local function out_of_range(indices, page_size, seq_lens, block_table)
  indices, block_table, seq_lens = indices:to "int64", block_table:to "int64", seq_lens:to "int64"
  local rows = {}
  for i = 1, indices:size(1) do
    rows[i] = beyond_sequence(indices[i], page_size, seq_lens:narrow(1, i, 1), block_table[i]):any()
  end
  return tensor.stack(rows, 1)
end

local function duplicates(indices)
  local n = indices:size(2)
  if n < 2 then return nil end
  local ordered = indices:sort(2)
  local left, right = ordered:narrow(2, 1, n - 1), ordered:narrow(2, 2, n - 1)
  return (left:eq(right) & right:ge(0)):any(2)
end

local function batches(mask)
  local at = mask:nonzero():flatten():tolist()
  return table.concat(at, ", ")
end

-- Scores in order, one by one. Padding is -inf on both sides and matches.
local function compare_scores(self, got, wanted)
  local s = self.settings
  local found = tensor.compare(got, wanted, { atol = s.atol, rtol = s.rtol })
  local required = s.required_matched_ratio or 1.0
  self.max_absolute = math.max(self.max_absolute, found.max_absolute_error)
  self.max_relative = math.max(self.max_relative, found.max_relative_error)
  if found.matched_ratio < required then
    self.failed = true
    self:note(
      "scores of the chosen tokens: max_abs=%.6f max_rel=%.6f, %d of %d do not match",
      found.max_absolute_error,
      found.max_relative_error,
      found.mismatches,
      got:numel()
    )
  end
end

function indexer.check(self, outputs, expected, inputs)
  local verdict = self:check_inputs("q_index_fp8", "k_index_cache_fp8", "weights", "seq_lens", "block_table")
  if verdict then return verdict end
  local indices = outputs[1]
  verdict = self:check_form(1, indices, expected[1])
  if verdict then return verdict end
  local page_size = self:input(inputs, "k_index_cache_fp8"):size(2)
  local seq_lens, block_table = self:input(inputs, "seq_lens"), self:input(inputs, "block_table")
  if indices:numel() == 0 then return nil end
  local outside = out_of_range(indices, page_size, seq_lens, block_table)
  if outside:any():item() then
    return self:wrong(math.huge, "out-of-range indices in batch [%s]", batches(outside))
  end
  local twice = duplicates(indices)
  if twice and twice:any():item() then
    return self:wrong(math.huge, "duplicate indices in batch [%s]", batches(twice))
  end
  local keys = unpack_keys(self:input(inputs, "k_index_cache_fp8"))
  local queries, weights = self:input(inputs, "q_index_fp8"), self:input(inputs, "weights")
  local got = scores_of(indices, keys, queries, weights):sort(2, true)
  local wanted = scores_of(expected[1], keys, queries, weights):sort(2, true)
  compare_scores(self, got, wanted)
end

return indexer
