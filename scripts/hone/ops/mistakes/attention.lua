--- Mistakes of attention's kernels. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed, index, interleaved = mistakes.changed, mistakes.index, mistakes.interleaved
local M = {}

local function number(value) return type(value) == "number" and value or nil end

-- ---- the logarithm of the sum -------------------------------------------------------------------------

local LN2 = math.log(2)

M.lse = {
  {
    what = "the LSE is in base e, it should be in base 2",
    hint = "divide by ln 2, or use log2 of the sum and the maximum times log2(e)",
    over = function(outputs) return outputs.lse and { lse = outputs.lse * LN2 } end,
  },
  {
    what = "the LSE was divided by ln 2 twice",
    hint = "it is in base 2 before the last division",
    over = function(outputs) return outputs.lse and { lse = outputs.lse / LN2 } end,
  },
  {
    what = "rows that see no key have a large negative number as their LSE, it should be -inf",
    hint = "write -inf where the sum is empty",
    outputs = function(case)
      local lse, got = case.expected.lse, case.outputs.lse
      if not lse or not got then return nil end
      local empty = lse:eq(-math.huge) & got:lt(-1e4)
      return empty:any():item() and { lse = tensor.where(empty, got, lse) } or nil
    end,
  },
}

-- ---- the factor of the logits -------------------------------------------------------------------------

local function scaled(what, hint, factor)
  return changed(what, hint, function(input, case)
    local scale = number(input.sm_scale)
    if not scale then return nil end
    local other = factor(scale, case)
    if not other or math.abs(other / scale - 1) < 1e-3 then return nil end
    return { sm_scale = other }
  end)
end

local function size_of(t, dim) return t and t:size(dim) end

M.sm_scale = {
  scaled("sm_scale is missing", "multiply the logits by sm_scale", function() return 1.0 end),
  scaled(
    "sm_scale is applied twice",
    "queries or logits are already scaled",
    function(scale) return scale ^ 2 end
  ),
  scaled(
    "the root of sm_scale is applied",
    "it belongs to queries and keys both, or to the logits whole",
    function(scale) return math.sqrt(scale) end
  ),
  scaled(
    "1/sqrt of the queries' size is applied instead of sm_scale",
    "use the sm_scale that is given",
    function(_, case)
      local size = size_of(case.input.q or case.input.q_nope, -1)
      return size and 1 / math.sqrt(size)
    end
  ),
  scaled(
    "1/sqrt of both parts' size is applied instead of sm_scale",
    "use the sm_scale that is given",
    function(_, case)
      local nope, pe = size_of(case.input.q_nope, -1), size_of(case.input.q_pe, -1)
      return nope and pe and 1 / math.sqrt(nope + pe)
    end
  ),
  scaled(
    "exp2 is taken of logits that are not multiplied by log2(e)",
    "exp2 needs sm_scale * log2(e)",
    function(scale) return scale * LN2 end
  ),
  scaled(
    "exp is taken of logits that are multiplied by log2(e)",
    "use exp2, or leave the factor out",
    function(scale) return scale / LN2 end
  ),
}

-- ---- heads --------------------------------------------------------------------------------------------

local function key_of(input) return input.k_cache or input.k end
local function key_name(input) return input.k_cache and "k_cache" or "k" end
local function value_name(input) return input.v_cache and "v_cache" or "v" end

local function heads_of(input)
  local q, k = input.q, key_of(input)
  if not q or not k or q:dim() ~= 3 then return nil end
  local heads, groups = q:size(2), k:size(k:dim() - 1)
  if groups == heads or heads % groups ~= 0 then return nil end
  return heads, groups
end

M.grouped_heads = {
  {
    what = "query heads share key-value heads by h % num_kv_heads, it should be h // (num_qo_heads / num_kv_heads)",
    hint = "key-value heads are repeated one after the other (repeat_interleave), not all in turn",
    runs = true,
    outputs = function(case)
      local heads, groups = heads_of(case.input)
      if not heads or groups == 1 then return nil end
      local gather, back = interleaved(heads, groups, case.input.q.device)
      local sink = case.input.sink
      local made =
        case:run { q = case.input.q:index_select(2, gather), sink = sink and sink:index_select(1, gather) }
      return made and { output = made.output:index_select(2, back), lse = made.lse:index_select(2, back) }
    end,
  },
  changed(
    "all query heads use key-value head 0",
    "the group's number does not enter the address",
    function(input)
      local heads, groups = heads_of(input)
      if not heads or groups == 1 then return nil end
      local k, v = key_of(input), input[value_name(input)]
      local dim = k:dim() - 1
      return {
        [key_name(input)] = k:narrow(dim, 1, 1):expand_as(k):contiguous(),
        [value_name(input)] = v:narrow(dim, 1, 1):expand_as(v):contiguous(),
      }
    end
  ),
  changed("keys and values are exchanged", "check the order of k and v", function(input)
    local k, v = key_of(input), input[value_name(input)]
    if not k or not v or table.concat(k:shape(), ",") ~= table.concat(v:shape(), ",") then return nil end
    return { [key_name(input)] = v, [value_name(input)] = k }
  end),
}

-- ---- pages --------------------------------------------------------------------------------------------

local function ints(t) return t:tolist() end

-- kv_indptr and kv_indices with `drop(pages)` of each sequence's last pages left out.
local function without_last_pages(input, drop)
  local starts, pages = ints(input.kv_indptr), ints(input.kv_indices)
  local new_starts, new_pages = { 0 }, {}
  for b = 1, #starts - 1 do
    local last = starts[b + 1] - drop(starts[b + 1] - starts[b], b)
    for i = starts[b] + 1, last do
      new_pages[#new_pages + 1] = pages[i]
    end
    new_starts[b + 1] = #new_pages
  end
  return {
    kv_indptr = tensor.new(new_starts, input.kv_indptr.dtype):to(input.kv_indptr.device),
    kv_indices = tensor
      .new(new_pages, input.kv_indices.dtype)
      :reshape(#new_pages)
      :to(input.kv_indices.device),
  }
end

local function page_size_of(input)
  local cache = input.k_cache or input.ckv_cache
  return cache and cache:size(2)
end

M.pages = {
  changed(
    "the last page of each sequence is left out",
    "count pages with a division that rounds up",
    function(input)
      if not input.kv_indices or not input.kv_last_page_len then return nil end
      local inputs = without_last_pages(input, function(n) return n > 1 and 1 or 0 end)
      inputs.kv_last_page_len = tensor.full_like(input.kv_last_page_len, page_size_of(input))
      return inputs
    end
  ),
  changed("the last page of each sequence is taken as full", "mind kv_last_page_len", function(input)
    if not input.kv_last_page_len then return nil end
    return { kv_last_page_len = tensor.full_like(input.kv_last_page_len, page_size_of(input)) }
  end),
  changed("the newest key is left out", "the bound of the loop over keys is one too small", function(input)
    if not input.kv_indices or input.qo_indptr then return nil end -- that would move the causal mask too
    if not input.kv_last_page_len then
      return without_last_pages(input, function(n) return n > 0 and 1 or 0 end)
    end
    local last = ints(input.kv_last_page_len)
    local inputs = without_last_pages(input, function(_, b) return last[b] == 1 and 1 or 0 end)
    for b, n in ipairs(last) do
      last[b] = n == 1 and page_size_of(input) or n - 1
    end
    inputs.kv_last_page_len = tensor.new(last, input.kv_last_page_len.dtype):to(input.kv_indptr.device)
    return inputs
  end),
  changed(
    "kv_indices is not used: pages are read in order",
    "pages lie anywhere in the cache",
    function(input)
      if not input.kv_indices then return nil end
      local cache = input.k_cache or input.ckv_cache
      if input.kv_indices:numel() > cache:size(1) then return nil end
      local n = input.kv_indices:numel()
      return { kv_indices = tensor.arange(n, { device = input.kv_indices.device }):to(input.kv_indices.dtype) }
    end
  ),
  changed(
    "the cache is read as [num_pages, heads, page_size, dim] (HND), it is [num_pages, page_size, heads, dim] (NHD)",
    "check the strides of the cache",
    function(input)
      if not input.k_cache or input.k_cache:size(2) == 1 or input.k_cache:size(3) == 1 then return nil end
      local inputs = {}
      for _, name in ipairs { "k_cache", "v_cache" } do
        local pages, size, heads, dim = table.unpack(input[name]:shape())
        inputs[name] = input[name]:reshape(pages, heads, size, dim):transpose(2, 3):contiguous()
      end
      return inputs
    end
  ),
}

-- ---- the causal mask ----------------------------------------------------------------------------------

local MOST_QUERIES = 48

-- Some queries of all sequences, the first and the last of each among them: { row, b, i, n_q }.
local function some_queries(starts)
  local all = {}
  for b = 1, #starts - 1 do
    local n = starts[b + 1] - starts[b]
    for i = 0, n - 1 do
      all[#all + 1] = { row = starts[b] + i, b = b, i = i, n_q = n }
    end
  end
  if #all <= MOST_QUERIES then return all end
  local some = {}
  for k = 0, MOST_QUERIES - 1 do
    some[k + 1] = all[k * #all // MOST_QUERIES + 1]
  end
  return some
end

-- Each query as a sequence of its own over the first `count` keys of its sequence: what a causal kernel then computes
-- is attention to just these.
local function paged_alone(input, queries, count)
  local starts, pages = ints(input.kv_indptr), ints(input.kv_indices)
  local size, last = page_size_of(input), input.kv_last_page_len and ints(input.kv_last_page_len)
  local new_starts, new_pages, new_last = { 0 }, {}, {}
  for k, query in ipairs(queries) do
    local held = starts[query.b + 1] - starts[query.b]
    local n_kv = held == 0 and 0 or last and (held - 1) * size + last[query.b] or held * size
    local n = math.max(0, math.min(count(query.i, query.n_q, n_kv), n_kv))
    local needed = (n + size - 1) // size
    table.move(pages, starts[query.b] + 1, starts[query.b] + needed, #new_pages + 1, new_pages)
    new_starts[k + 1], new_last[k] = #new_pages, n == 0 and 0 or n - (needed - 1) * size
  end
  if last and #last > #starts - 1 then new_last[#new_last + 1] = 0 end
  return {
    kv_indptr = new_starts,
    kv_indices = new_pages,
    kv_last_page_len = last and new_last or nil,
  }
end

local function ragged_alone(input, queries, count)
  local starts, new_starts, rows = ints(input.kv_indptr), { 0 }, {}
  for k, query in ipairs(queries) do
    local n_kv = starts[query.b + 1] - starts[query.b]
    local n = math.max(0, math.min(count(query.i, query.n_q, n_kv), n_kv))
    for i = 0, n - 1 do
      rows[#rows + 1] = starts[query.b] + i
    end
    new_starts[k + 1] = #rows
  end
  local picked = index(rows, input.k.device):reshape(#rows)
  return { kv_indptr = new_starts }, {
    k = input.k:index_select(1, picked),
    v = input.v:index_select(1, picked),
  }
end

local function queries_alone(case, count)
  local input = case.input
  if not input.qo_indptr then return nil end
  local queries = some_queries(ints(input.qo_indptr))
  if #queries == 0 then return nil end
  local lists, inputs
  if input.kv_indices then
    lists, inputs = paged_alone(input, queries, count), {}
  else
    lists, inputs = ragged_alone(input, queries, count)
  end
  local rows, own = {}, { 0 }
  for k, query in ipairs(queries) do
    rows[k], own[k + 1] = query.row, k
  end
  lists.qo_indptr = own
  for name, list in pairs(lists) do
    inputs[name] = tensor.new(list, input[name].dtype):reshape(#list):to(input[name].device)
  end
  rows = index(rows, input.qo_indptr.device)
  for _, name in ipairs { "q", "q_nope", "q_pe" } do
    if input[name] then inputs[name] = input[name]:index_select(1, rows:to(input[name].device)) end
  end
  local made = case:run(inputs)
  if made then made.rows = rows:to(case.expected.output.device) end
  return made
end

local function masked(what, hint, count)
  return {
    what = what,
    hint = hint,
    runs = true,
    outputs = function(case) return queries_alone(case, count) end,
  }
end

M.causal = {
  masked(
    "the causal mask is missing",
    "query i sees the keys j <= i + n_kv - n_q",
    function(_, _, n_kv) return n_kv end
  ),
  masked(
    "the causal mask is off by one: a query does not see its own key",
    "query i sees the keys j <= i + n_kv - n_q, the last one included",
    function(i, n_q, n_kv) return i + n_kv - n_q end
  ),
  masked(
    "the causal mask is off by one: a query sees the key after its own",
    "query i sees the keys j <= i + n_kv - n_q and no more",
    function(i, n_q, n_kv) return i + 2 + n_kv - n_q end
  ),
  masked(
    "the causal mask starts at the first key: the keys before the queries are not counted",
    "query i sees the keys j <= i + n_kv - n_q, not j <= i",
    function(i) return i + 1 end
  ),
}

-- ---- sliding windows ----------------------------------------------------------------------------------

local function window(what, by)
  return {
    what = what,
    hint = "a query sees window_size keys, its own included; FlashInfer's window_left is one less",
    runs = true,
    outputs = function(case)
      local size = case.axes.window_size
      if not size then return nil end
      return case:edited(("WINDOW_SIZE = %d"):format(size), ("WINDOW_SIZE = %d"):format(size + by))
    end,
  }
end

M.window = {
  window("the window is one key too small", -1),
  window("the window is one key too large", 1),
  window("the window is missing", 1 << 30),
}

-- ---- latent attention ---------------------------------------------------------------------------------

M.latent = {
  changed(
    "the rotary part (q_pe, kpe_cache) is left out of the logits",
    "logits are q_nope . ckv + q_pe . kpe",
    function(input) return input.q_pe and { q_pe = tensor.zeros_like(input.q_pe) } end
  ),
  changed(
    "the compressed part (q_nope, ckv_cache) is left out of the logits",
    "logits are q_nope . ckv + q_pe . kpe",
    function(input) return input.q_nope and { q_nope = tensor.zeros_like(input.q_nope) } end
  ),
  changed("padding (-1) is attended to as token 0", "leave out indices below 0", function(input)
    local indices = input.sparse_indices
    if not indices or not indices:lt(0):any():item() then return nil end
    return { sparse_indices = indices:clamp(0) }
  end),
}

-- The likeliest first: there may not be time for all.
return mistakes.join(M.lse, M.grouped_heads, M.causal, M.sm_scale, M.pages, M.window, M.latent)
