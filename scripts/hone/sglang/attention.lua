--- What RadixAttention, SGLang's one attention layer, says of the kernel it runs.
local M = {}

-- Forms of attention that the grouped query definitions do not describe, with the attribute that shows them.
local OTHER_FORMS = {
  { "logit_cap", function(value) return value > 0 end, "its logits are capped" },
  { "sliding_window_size", function(value) return value > 0 end, "it sees a sliding window only" },
}

---Parameters of plain grouped query attention.
---@param layer hone.sglang.Layer # a RadixAttention
---@return { num_qo_heads: integer, num_kv_heads: integer, head_dim: integer }? params
---@return table<string, string>|string origins # by parameter; or why the layer is something else
function M.grouped_query(layer)
  local heads, kv_heads = layer:integer("tp_q_head_num"), layer:integer("tp_k_head_num")
  local head_dim, v_head_dim = layer:integer("head_dim"), layer:integer("v_head_dim")
  if not (heads and kv_heads and head_dim) then return nil, "its numbers of heads are not known" end
  if v_head_dim and v_head_dim ~= head_dim then
    return nil,
      ("keys have %d elements and values %d: not grouped query attention"):format(head_dim, v_head_dim)
  end
  for _, form in ipairs(OTHER_FORMS) do
    local value = layer:number(form[1])
    if value and form[2](value) then
      return nil, ("%s (%s %s), which no definition describes yet"):format(form[3], form[1], value)
    end
  end
  local origins = {
    num_qo_heads = layer:origin("tp_q_head_num"),
    num_kv_heads = layer:origin("tp_k_head_num"),
    head_dim = layer:origin("head_dim"),
  }
  return { num_qo_heads = heads, num_kv_heads = kv_heads, head_dim = head_dim }, origins
end

return M
