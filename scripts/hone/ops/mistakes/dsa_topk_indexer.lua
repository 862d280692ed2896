--- Mistakes of the kernels that choose tokens for sparse attention. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed, filled = mistakes.changed, mistakes.filled

local SCALE_BYTES = 4

-- Cached keys with 1 as the scale of each token: the scales are the last bytes of a page.
local function without_scales(cache)
  local pages, size, heads, width = table.unpack(cache:shape())
  local bytes = cache:reshape(pages, size * heads * width):clone()
  local ones = tensor.ones(pages, size, { dtype = "float32", device = cache.device }):view(cache.dtype)
  bytes:narrow(2, size * (heads * width - SCALE_BYTES) + 1, size * SCALE_BYTES):copy_(ones)
  return bytes:reshape(pages, size, heads, width)
end

-- Each token's place in its sequence, in place of where it lies in the cache.
local function places(tokens, block_table, page_size)
  local safe = tokens:to("int64"):clamp(0)
  local rows = {}
  for b = 1, tokens:size(1) do
    local page, within = safe[b] // page_size, safe[b] % page_size
    local slot = page:unsqueeze(2):eq(block_table[b]:to("int64"):unsqueeze(1)):to("int64"):argmax(2)
    rows[b] = slot * page_size + within
  end
  return tensor.where(tokens:lt(0), -1, tensor.stack(rows, 1)):to(tokens.dtype)
end

return {
  filled("weights", 1, "the heads' weights are not applied", "sum relu(q . k) times the head's weight"),
  changed("the keys' scales are not applied", "each page holds all keys, then all scales", function(input)
    local cache = input.k_index_cache_fp8
    return cache and { k_index_cache_fp8 = without_scales(cache) }
  end),
  changed(
    "block_table is not used: pages are read in order",
    "pages lie anywhere in the cache",
    function(input)
      local t, pages = input.block_table, input.k_index_cache_fp8:size(1)
      if t:numel() > pages then return nil end
      return {
        block_table = tensor
          .arange(t:numel(), { device = t.device })
          :to(t.dtype)
          :reshape(t:size(1), t:size(2)),
      }
    end
  ),
  {
    what = "places in the sequence are given, it should be page * page_size + place in the page",
    hint = "translate places by block_table",
    outputs = function(case)
      local tokens = case.expected.topk_indices
      local page_size = case.input.k_index_cache_fp8:size(2)
      return tokens and { topk_indices = places(tokens, case.input.block_table, page_size) }
    end,
  },
  -- which of them comes first is open
  canonical = function(name, output) return name == "topk_indices" and output:sort(2) or output end,
}
