--- Latent attention over ragged keys and values is attention with heads of two sizes.
return require "hone.ops.truth.gqa_ragged"
