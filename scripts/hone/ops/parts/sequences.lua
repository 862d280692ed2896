--- Where sequences start and which pages are theirs: inputs that attention's op types make.
local M = {}

-- Sizes of a small call: four sequences.
M.usual_axes =
  { batch_size = 4, len_indptr = 5, total_q = 48, total_kv = 80, num_kv_indices = 60, num_pages = 64 }

local function has(definition, name) return definition.inputs[name] ~= nil end

-- As many as the definition says: some of the dataset's have an entry too many, which nobody reads.
local function last_page_lengths(definition, axes, last)
  if not has(definition, "kv_last_page_len") then return nil end
  for i = #last + 1, axes[definition.inputs.kv_last_page_len.shape[1]] do
    last[i] = 0
  end
  return require("hone.tensor").new(last, "int64")
end

-- Every page whole but the last, of which at least one token is used.
local function add_pages(list, definition, axes, make, sequences)
  local counts = make:lengths(sequences, axes.num_kv_indices)
  local tokens, last = {}, {}
  for i, filled in ipairs(make:integers(1, axes.page_size, sequences)) do
    last[i] = counts[i] > 0 and filled or 0
    tokens[i] = counts[i] > 0 and (counts[i] - 1) * axes.page_size + filled or 0
  end
  list.kv_indptr = make.starts(counts)
  list.kv_indices = make:places(axes.num_kv_indices, axes.num_pages)
  list.kv_last_page_len = last_page_lengths(definition, axes, last)
  return tokens
end

-- Queries of each sequence: no more than it has keys, as far as their sum allows.
local function query_lengths(make, total, keys)
  local lengths = make:lengths(#keys, total)
  for i = 1, #lengths do
    local over = lengths[i] - keys[i]
    for j = 1, #lengths do
      local room = keys[j] - lengths[j]
      local moved = math.max(0, math.min(over, room))
      lengths[i], lengths[j], over = lengths[i] - moved, lengths[j] + moved, over - moved
    end
  end
  return lengths
end

---kv_indptr, kv_indices, kv_last_page_len, qo_indptr and sm_scale, as far as the definition has them.
---@param scale_dim integer # the dimension that logits are scaled by
function M.make(definition, axes, make, scale_dim)
  local list = { sm_scale = 1 / math.sqrt(scale_dim) }
  local sequences = (axes.len_indptr or axes.batch_size + 1) - 1
  local keys
  if has(definition, "kv_indices") then
    keys = add_pages(list, definition, axes, make, sequences)
  else
    keys = make:lengths(sequences, axes.total_kv)
    list.kv_indptr = make.starts(keys)
  end
  if has(definition, "qo_indptr") then
    list.qo_indptr = make.starts(query_lengths(make, axes.total_q, keys))
  end
  return list
end

return M
