--- What attention has to do: each key that some query sees is read once, each pair of a query and a key that it sees
--- costs one product of the dimension of the keys and one of that of the values, for every query head.
--
-- Where sequences start decides how many pairs there are. Without it the least is taken: queries may all belong to
-- a sequence without keys, and all pages may be the same one.
local work = require "hone.ops.parts.work"

local M = {}

local NO_WINDOW = math.maxinteger

---@class hone.ops.Attention
---@field cache string[] # the inputs that hold keys and values, a row a token
---@field row integer # dimension of a row in them: 2 for pages, 1 for tokens that lie together
---@field queries string[]
---@field flops integer # of a pair, all heads together
---@field also string[]? # other inputs that every query needs

-- first + (first + 1) + ... + last, each no more than `most`.
local function sum(first, last, most)
  if last < first then return 0 end
  if most <= first then return (last - first + 1) * most end
  local grow = math.min(last, most)
  return (first + grow) * (grow - first + 1) // 2 + (last - grow) * most
end

-- What one sequence comes to: pairs, queries that see a key, and the first key that one of them sees.
local function of_sequence(queries, keys, window)
  local seeing = math.max(0, math.min(queries, keys))
  if seeing == 0 then return 0, 0, 0 end
  local least_visible = keys - seeing + 1
  return sum(least_visible, keys, window), seeing, math.max(0, least_visible - window)
end

local function lengths(starts)
  local list = {}
  for i = 1, #starts - 1 do
    list[i] = math.max(0, starts[i + 1] - starts[i])
  end
  return list
end

-- `total` things among `count` owners, as evenly as they go: the owners' starts.
local function even_starts(count, total)
  local starts = {}
  for i = 0, count do
    starts[i + 1] = total * i // math.max(1, count)
  end
  return starts
end

local function sequence_count(axes)
  return math.max(0, axes.len_indptr and axes.len_indptr - 1 or axes.batch_size)
end

-- Keys of each sequence. Without the lengths of last pages, they hold `filled` tokens.
local function key_lengths(axes, starts, last_page_len, filled)
  local counts, page_size = lengths(starts), axes.page_size or 1
  for i, pages in ipairs(counts) do
    if page_size > 1 and pages > 0 then
      local last = last_page_len and last_page_len[i] or filled
      counts[i] = (pages - 1) * page_size + math.max(0, math.min(last, page_size))
    end
  end
  return counts
end

-- Different tokens of the pages that a sequence reads: those of a page that several read count once. `read` holds
-- the longest part of each page so far.
local function add_pages(read, indices, start, first, keys, page_size)
  local added = 0
  for page = first // page_size, (keys - 1) // page_size do
    local number = indices[start + page + 1]
    if not number then return added end
    local tokens = math.min(keys, (page + 1) * page_size) - math.max(first, page * page_size)
    local before = read[number] or 0
    if tokens > before then
      read[number], added = tokens, added + tokens - before
    end
  end
  return added
end

-- How much there is with these starts; without indices every page is another one.
local function count(axes, starts, keys, indices)
  local window, page_size = axes.window_size or NO_WINDOW, axes.page_size or 1
  local total = { pairs = 0, rows = 0, tokens = 0, pages = 0, longest = 0 }
  local queries = starts.queries and lengths(starts.queries)
  local read = {}
  for i, n in ipairs(keys) do
    local pairs_here, rows, first = of_sequence(queries and queries[i] or 1, n, window)
    total.pairs, total.rows = total.pairs + pairs_here, total.rows + rows
    if rows > 0 then
      total.pages = total.pages + (n - 1) // page_size - first // page_size + 1
      total.longest = math.max(total.longest, n - first)
      local distinct = indices and add_pages(read, indices, starts.keys[i], first, n, page_size)
      total.tokens = total.tokens + (distinct or n - first)
    end
  end
  return total
end

-- The least there can be when nobody says where sequences start.
local function least(axes, is_decode)
  local nothing = { pairs = 0, rows = 0, tokens = 0, pages = 0 }
  local entries = axes.num_kv_indices or axes.total_kv
  if not is_decode or entries == 0 or axes.batch_size == 0 then return nothing end
  local page_size, sequences = axes.page_size or 1, sequence_count(axes)
  local tokens = entries * page_size - math.min(entries, sequences) * (page_size - 1)
  local page = entries > sequences and page_size or 1
  local window = axes.window_size or NO_WINDOW
  return {
    pairs = math.min(tokens, window),
    rows = 1,
    tokens = math.min(page, window),
    pages = axes.window_size and 1 or entries,
  }
end

local function finish(axes, definition, attention, total)
  local spec, row, query = definition.inputs, 0, 0
  for _, name in ipairs(attention.cache) do
    row = row + work.bytes(spec[name], axes, attention.row)
  end
  for _, name in ipairs(attention.queries) do
    query = query + work.bytes(spec[name], axes, 1)
  end
  local read = work.inputs(definition, axes, { "qo_indptr", "kv_indptr", "kv_last_page_len" })
  if spec.kv_indices then read = read + 4 * total.pages end
  if total.rows > 0 then read = read + work.inputs(definition, axes, attention.also or {}) end
  return {
    read = read + total.rows * query + total.tokens * row,
    written = work.outputs(definition, axes),
    flops = total.pairs * attention.flops,
    dtype = spec[attention.cache[1]].dtype,
  }
end

-- Starts that are told, or follow from there being one sequence.
local function known_starts(axes, definition, structure)
  local keys = work.list(structure, "kv_indptr")
  local queries = work.list(structure, "qo_indptr")
  if sequence_count(axes) == 1 then
    keys = keys or { 0, axes.num_kv_indices or axes.total_kv }
    queries = queries or { 0, axes.total_q }
  end
  local has_queries = definition.inputs.qo_indptr ~= nil
  if not keys or has_queries and not queries then return nil end
  return { keys = keys, queries = has_queries and queries or nil }
end

local function usual(axes, definition, known, last_page_len)
  local starts, sequences = known, sequence_count(axes)
  if not starts then
    starts = { keys = even_starts(sequences, axes.num_kv_indices or axes.total_kv) }
    if definition.inputs.qo_indptr then starts.queries = even_starts(sequences, axes.total_q) end
  end
  local page_size = axes.page_size or 1
  local total = count(axes, starts, key_lengths(axes, starts.keys, last_page_len, (page_size + 1) // 2))
  local cached = axes.num_pages and axes.num_pages * page_size or math.maxinteger
  total.tokens = math.min(total.tokens, cached)
  return total
end

---@param attention hone.ops.Attention
function M.work(axes, definition, structure, attention)
  local starts = known_starts(axes, definition, structure)
  local last_page_len = work.list(structure, "kv_last_page_len")
  local indices = work.list(structure, "kv_indices")
  local has_pages = definition.inputs.kv_indices ~= nil
  local total
  if starts then
    total = count(axes, starts, key_lengths(axes, starts.keys, last_page_len, 1), indices)
    if has_pages and not indices and total.rows > 0 then
      total.tokens = axes.window_size and 1 or math.min(axes.page_size, total.longest)
    end
  else
    total = least(axes, not definition.inputs.qo_indptr)
  end
  local result = finish(axes, definition, attention, total)
  local last_known = last_page_len or not definition.inputs.kv_last_page_len
  if starts and last_known and (indices or not has_pages) then return result end
  result.usual = finish(axes, definition, attention, usual(axes, definition, starts, last_page_len))
  return result
end

return M
