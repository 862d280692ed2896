--- Flags that SGLang's server takes for a model beside those that collecting needs, as data: the longest name that begins
-- the model's name counts, after lines of the GPU at hand. --settings FILE names a table of the same form instead
-- ({ gpu = { model = { "--flag", … } } }, JSON); its lines win over these.
local TRUST = { "--trust-remote-code" }

local function with(...) return { "--trust-remote-code", ... } end

local llama_4 = with("--mem-fraction-static", "0.75")

return {
  any = {
    ["llama-4"] = llama_4,
    ["deepseek"] = TRUST,
    ["kimi"] = TRUST,
    ["minimax"] = TRUST,
    ["nemotron"] = TRUST,
    ["nvidia"] = TRUST,
    ["qwen"] = TRUST,
  },
  b200 = {
    ["deepseek-v3"] = with("--moe-runner-backend", "flashinfer_trtllm"),
    ["deepseek-v3.2"] = with(
      "--nsa-decode-backend",
      "trtllm",
      "--kv-cache-dtype",
      "bfloat16",
      "--mem-fraction-static",
      "0.7",
      "--disable-flashinfer-autotune"
    ),
  },
}
