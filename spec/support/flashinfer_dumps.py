"""Dumps as FlashInfer's level 10 logging writes them, without FlashInfer and torch: for specs, and for the
stand-in of a server. Signatures and metadata are those of flashinfer 0.7; of the functions, of 0.6.18."""

import json
import os
import random
import struct
import time

SIZES = {"uint8": 1, "float8_e4m3fn": 1, "bfloat16": 2, "float16": 2, "float32": 4, "int32": 4, "int64": 8}
TYPES = {"uint8": "U8", "float8_e4m3fn": "F8_E4M3", "bfloat16": "BF16", "float16": "F16", "float32": "F32", "int32": "I32", "int64": "I64"}
CODES = {"int32": "i", "int64": "q", "float32": "f"}

DECODE = "BatchDecodeWithPagedKVCacheWrapper"
PREFILL = "BatchPrefillWithPagedKVCacheWrapper"
RAGGED = "BatchPrefillWithRaggedKVCacheWrapper"
MLA = "BatchMLAPagedAttentionWrapper"
SIGNATURES = {
    DECODE + ".plan": "(self, indptr: torch.Tensor, indices: torch.Tensor, last_page_len: torch.Tensor, num_qo_heads: int, num_kv_heads: int, head_dim: int, page_size: int, pos_encoding_mode: str = 'NONE', window_left: int = -1, sm_scale: Optional[float] = None) -> None",
    DECODE + ".run": "(self, q: torch.Tensor, paged_kv_cache: Union[torch.Tensor, Tuple[torch.Tensor, torch.Tensor]], *args, q_scale: Optional[float] = None, out: Optional[torch.Tensor] = None, return_lse: bool = False) -> Union[torch.Tensor, Tuple[torch.Tensor, torch.Tensor]]",
    PREFILL + ".plan": "(self, qo_indptr: torch.Tensor, paged_kv_indptr: torch.Tensor, paged_kv_indices: torch.Tensor, paged_kv_last_page_len: torch.Tensor, num_qo_heads: int, num_kv_heads: int, head_dim_qk: int, page_size: int, head_dim_vo: Optional[int] = None, custom_mask: Optional[torch.Tensor] = None, causal: bool = False, sm_scale: Optional[float] = None) -> None",
    PREFILL + ".run": "(self, q: torch.Tensor, paged_kv_cache: Union[torch.Tensor, Tuple[torch.Tensor, torch.Tensor]], *args, k_scale: Optional[float] = None) -> torch.Tensor",
    RAGGED + ".plan": "(self, qo_indptr: torch.Tensor, kv_indptr: torch.Tensor, num_qo_heads: int, num_kv_heads: int, head_dim_qk: int, head_dim_vo: Optional[int] = None, causal: bool = False, sm_scale: Optional[float] = None) -> None",
    RAGGED + ".run": "(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *args, out: Optional[torch.Tensor] = None) -> torch.Tensor",
    MLA + ".plan": "(self, qo_indptr: torch.Tensor, kv_indptr: torch.Tensor, kv_indices: torch.Tensor, kv_len_arr: torch.Tensor, num_heads: int, head_dim_ckv: int, head_dim_kpe: int, page_size: int, causal: bool, sm_scale: float, q_data_type: torch.dtype, kv_data_type: torch.dtype) -> None",
    MLA + ".run": "(self, q_nope: torch.Tensor, q_pe: torch.Tensor, ckv_cache: torch.Tensor, kpe_cache: torch.Tensor, out: Optional[torch.Tensor] = None) -> torch.Tensor",
    "rmsnorm": "(input: torch.Tensor, weight: torch.Tensor, eps: float = 1e-06, out: Optional[torch.Tensor] = None) -> torch.Tensor",
    "top_p_sampling_from_probs": "(probs: torch.Tensor, top_p: Union[torch.Tensor, float], indices: Optional[torch.Tensor] = None, deterministic: bool = True) -> torch.Tensor",
    "gated_delta_rule_decode_pretranspose": "(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, state: Optional[torch.Tensor], A_log: torch.Tensor, a: torch.Tensor, dt_bias: torch.Tensor, b: torch.Tensor, scale: Optional[float] = None, output: Optional[torch.Tensor] = None, use_qk_l2norm: bool = True, initial_state: Optional[torch.Tensor] = None, initial_state_indices: Optional[torch.Tensor] = None, output_state_indices: Optional[torch.Tensor] = None)",
    "gated_delta_rule_decode": "(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, state: torch.Tensor, A_log: torch.Tensor, a: torch.Tensor, dt_bias: torch.Tensor, b: torch.Tensor, scale: Optional[float] = None, output: Optional[torch.Tensor] = None, use_qk_l2norm: bool = True)",
    "chunk_gated_delta_rule": "(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, g: Optional[torch.Tensor] = None, beta: Optional[torch.Tensor] = None, scale: Optional[float] = None, initial_state: Optional[torch.Tensor] = None, output_final_state: bool = False, cu_seqlens: Optional[torch.Tensor] = None, use_qk_l2norm_in_kernel: bool = False, output: Optional[torch.Tensor] = None, output_state: Optional[torch.Tensor] = None, state_checkpoints: Optional[torch.Tensor] = None, checkpoint_cu_starts: Optional[torch.Tensor] = None, checkpoint_every_n_tokens: int = 0, use_cp: Literal['auto'] | bool = 'auto', state_indices: Optional[torch.Tensor] = None)",
    "selective_state_update": "(state: torch.Tensor, x: torch.Tensor, dt: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor, D: torch.Tensor, z: Optional[torch.Tensor] = None, dt_bias: Optional[torch.Tensor] = None, dt_softplus: bool = False, state_batch_indices: Optional[torch.Tensor] = None, pad_slot_id: int = -1, state_scale: Optional[torch.Tensor] = None, out: Optional[torch.Tensor] = None, disable_state_update: bool = False, intermediate_states_buffer: Optional[torch.Tensor] = None, intermediate_state_indices: Optional[torch.Tensor] = None, intermediate_state_scales: Optional[torch.Tensor] = None, rand_seed: Optional[torch.Tensor] = None, philox_rounds: int = 10, cache_steps: int = 0, algorithm: str = 'auto', dst_state_batch_indices: Optional[torch.Tensor] = None, cu_seqlens: Optional[torch.Tensor] = None, num_accepted_tokens: Optional[torch.Tensor] = None)",
    "trtllm_bf16_moe": "(routing_logits: torch.Tensor, routing_bias: Optional[torch.Tensor], hidden_states: torch.Tensor, gemm1_weights: torch.Tensor, gemm2_weights: torch.Tensor, num_experts: int, top_k: int, n_group: Optional[int], topk_group: Optional[int], intermediate_size: int, local_expert_offset: int, local_num_experts: int, routed_scaling_factor: Optional[float] = None, routing_method_type: int = 0, use_shuffled_weight: bool = True, weight_layout: int = 0, do_finalize: bool = True, enable_pdl: bool = True, tune_max_num_tokens: int = 8192, activation_type: int = 0, norm_topk_prob: bool = True, routing_replay_out: Optional[torch.Tensor] = None, gemm1_alpha: Optional[torch.Tensor] = None, gemm1_beta: Optional[torch.Tensor] = None, gemm1_clamp_limit: Optional[torch.Tensor] = None, output: Optional[torch.Tensor] = None)",
    "trtllm_fp8_block_scale_moe": "(routing_logits: torch.Tensor, routing_bias: Optional[torch.Tensor], hidden_states: torch.Tensor, hidden_states_scale: torch.Tensor, gemm1_weights: torch.Tensor, gemm1_weights_scale: torch.Tensor, gemm2_weights: torch.Tensor, gemm2_weights_scale: torch.Tensor, num_experts: int, top_k: int, n_group: Optional[int], topk_group: Optional[int], intermediate_size: int, local_expert_offset: int, local_num_experts: int, routed_scaling_factor: Optional[float], routing_method_type: int = 0, use_shuffled_weight: bool = False, weight_layout: int = 0, do_finalize: bool = True, enable_pdl: Optional[bool] = None, tune_max_num_tokens: int = 8192, fp8_quantization_type: Fp8QuantizationType = 0, num_fused_shared_experts: Optional[int] = None, activation_type: int = 0, norm_topk_prob: bool = True, routing_replay_out: Optional[torch.Tensor] = None, gemm1_alpha: Optional[torch.Tensor] = None, gemm1_beta: Optional[torch.Tensor] = None, gemm1_clamp_limit: Optional[torch.Tensor] = None, output: Optional[torch.Tensor] = None)",
    "trtllm_fp4_block_scale_moe": "(routing_logits: torch.Tensor, routing_bias: Optional[torch.Tensor], hidden_states: torch.Tensor, hidden_states_scale: Optional[torch.Tensor], gemm1_weights: torch.Tensor, gemm1_weights_scale: torch.Tensor, gemm1_bias: Optional[torch.Tensor], gemm1_alpha: Optional[torch.Tensor], gemm1_beta: Optional[torch.Tensor], gemm1_clamp_limit: Optional[torch.Tensor], gemm2_weights: torch.Tensor, gemm2_weights_scale: torch.Tensor, gemm2_bias: Optional[torch.Tensor], output1_scale_scalar: Optional[torch.Tensor], output1_scale_gate_scalar: Optional[torch.Tensor], output2_scale_scalar: Optional[torch.Tensor], num_experts: int, top_k: int, n_group: Optional[int], topk_group: Optional[int], intermediate_size: int, local_expert_offset: int, local_num_experts: int, routed_scaling_factor: Optional[float], routing_method_type: int = 0, do_finalize: bool = True, enable_pdl: Optional[bool] = None, activation_type: int = 0, per_token_scale: Optional[torch.Tensor] = None, output: Optional[torch.Tensor] = None, tune_max_num_tokens: int = 8192, norm_topk_prob: bool = True, routing_replay_out: Optional[torch.Tensor] = None, num_fused_shared_experts: Optional[int] = None)",
    "trtllm_batch_decode_with_kv_cache_mla": "(query: torch.Tensor, kv_cache: torch.Tensor, workspace_buffer: torch.Tensor, qk_nope_head_dim: int, kv_lora_rank: int, qk_rope_head_dim: int, block_tables: torch.Tensor, seq_lens: Optional[torch.Tensor], max_seq_len: int, sparse_mla_top_k: int = 0, out: Optional[torch.Tensor] = None, bmm1_scale: Union[float, torch.Tensor] = 1.0, bmm2_scale: Union[float, torch.Tensor] = 1.0, sinks: Optional[List[torch.Tensor]] = None, skip_softmax_threshold_scale_factor: Optional[float] = None, enable_pdl: bool | None = None, backend: str = 'auto', is_var_seq: bool = True, uses_shared_paged_kv_idx: bool = True, lse: Optional[torch.Tensor] = None, return_lse: bool = False, cute_dsl_impl: str = 'auto', kv_scale_format: str = 'auto', cum_seq_lens_q: Optional[torch.Tensor] = None, max_q_len: Optional[int] = None, multi_ctas_kv_counter_buffer: Optional[torch.Tensor] = None, sparse_mla_top_k_lens: Optional[torch.Tensor] = None, enable_dcp: bool = False, cp_world: int = 1, cp_rank: int = 0, causal_seqlens_kv_global: Optional[torch.Tensor] = None, use_fp16_softmax: Optional[bool] = None)",
}
MODULES = {DECODE: "flashinfer.decode", PREFILL: "flashinfer.prefill", RAGGED: "flashinfer.prefill", MLA: "flashinfer.mla._core"}


class Tensor:
    """A tensor of a dump: integers and float32 by their values, other floats of zeros."""

    def __init__(self, dtype, shape, values=None):
        self.dtype, self.shape = dtype, list(shape)
        count = 1
        for size in self.shape:
            count *= size
        if values is None:
            self.data = bytes(count * SIZES[dtype])
        else:
            self.data = struct.pack("<%d%s" % (count, CODES[dtype]), *values)

    def about(self):
        strides, step = [], 1
        for size in reversed(self.shape):
            strides.insert(0, step)
            step *= size
        return {"shape": self.shape, "dtype": "torch." + self.dtype, "stride": strides, "device": "cuda:0"}


def ints(values, dtype="int32"):
    return Tensor(dtype, [len(values)], values)


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, tensor in tensors.items():
        end = offset + len(tensor.data)
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(t.data for t in tensors.values()))


class Log:
    """One process's dumps in a folder."""

    def __init__(self, folder, pid=4242, start=None):
        self.folder, self.pid, self.calls = folder, pid, {}
        self.time = start or time.time()
        os.makedirs(folder, exist_ok=True)

    def stamp(self):
        self.time += 0.001
        whole = time.strftime("%Y%m%d_%H%M%S", time.gmtime(self.time))
        return "%s_%03d" % (whole, int(self.time * 1000) % 1000)

    def call(self, name, *args, self_id=None, status="completed", torn=False, **kwargs):
        """Log a call; tensors among the arguments are dumped. Returns its folder."""
        self.calls[name] = self.calls.get(name, 0) + 1
        folder = os.path.join(self.folder, "%s_pid%d_%s_call%04d" % (self.stamp(), self.pid, name, self.calls[name]))
        os.makedirs(folder)
        tensors, metadata = {}, {}
        if self_id is not None:
            args = ({"type": name.split(".")[0], "repr": "<object>"},) + args
        named = [("arg_%d" % i, v) for i, v in enumerate(args)] + [("kwarg_" + k, v) for k, v in kwargs.items()]
        for key, value in named:
            if isinstance(value, Tensor):
                tensors[key] = value
            elif isinstance(value, tuple):
                items = []
                for i, item in enumerate(value):
                    inner = "%s__%d" % (key, i)
                    tensors[inner] = item
                    items.append(dict(item.about(), type="torch.Tensor", tensor_key=inner))
                metadata[key] = {"type": "tuple", "length": len(value), "items": items, "truncated": False}
            else:
                metadata[key] = value
        write_safetensors(os.path.join(folder, "inputs.safetensors"), tensors)
        record = {
            "function_name": name,
            "module": MODULES.get(name.split(".")[0], "flashinfer"),
            "call_sequence": self.calls[name],
            "process_id": self.pid,
            "input_metadata": metadata,
            "output_metadata": {},
            "tensor_details": {k: t.about() for k, t in tensors.items()},
            "tensor_format": "safetensors",
            "function_signature": SIGNATURES[name],
            "execution_status": "inputs_saved",
            "dump_dir": folder,
        }
        if self_id is not None:
            record["self_id"] = self_id
        with open(os.path.join(folder, "metadata.jsonl"), "w") as file:
            file.write(json.dumps(record) + "\n")
            if torn:
                file.write('{"function_name": "%s", "module"' % name)
            elif status != "inputs_saved":
                file.write(json.dumps(dict(record, execution_status=status)) + "\n")
        return folder

    def decode(self, lengths, heads=(32, 8, 128), page_size=1, self_id=1, plan=True, extra=5, sm_scale=None, layout="NHD", stacked=False, runs=1, seed=0, dtype="bfloat16"):
        """A planned decode step of sequences of `lengths` tokens."""
        qo, kv, dim = heads
        pages = [-(-n // page_size) for n in lengths]
        starts = [0]
        for count in pages:
            starts.append(starts[-1] + count)
        pool = starts[-1] + 3
        order = list(range(pool))
        random.Random(seed).shuffle(order)
        indices = (order + [0] * extra)[: starts[-1] + extra]
        last = [(n - 1) % page_size + 1 for n in lengths]
        if plan:
            folder = self.call(DECODE + ".plan", ints(starts), ints(indices), ints(last), qo, kv, dim, page_size, self_id=self_id, sm_scale=sm_scale)
        shape = [pool, page_size, kv, dim] if layout == "NHD" else [pool, kv, page_size, dim]
        cache = Tensor(dtype, shape[:1] + [2] + shape[1:]) if stacked else (Tensor(dtype, shape), Tensor(dtype, shape))
        for _ in range(runs):
            folder = self.call(DECODE + ".run", Tensor(dtype, [len(lengths), qo, dim]), cache, self_id=self_id)
        return folder
