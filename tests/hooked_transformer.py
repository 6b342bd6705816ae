"""A HookedTransformer of TransformerLens 3.9 from a Hugging Face model in memory, without the hub."""

from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained import weight_conversions as convert

_CONVERT = {
    "GPT2LMHeadModel": convert.convert_gpt2_weights,
    "LlamaForCausalLM": convert.convert_llama_weights,
    "Gemma2ForCausalLM": convert.convert_gemma_weights,
    "Qwen2ForCausalLM": convert.convert_qwen2_weights,
    "GPTNeoXForCausalLM": convert.convert_neox_weights,
}


def from_hugging_face(model, tokenizer, processed, name):
    """Weights folded and centred as HookedTransformer does by default where `processed`, raw otherwise."""
    config, kind = model.config, type(model).__name__
    own = _layer_norm if kind in _LAYER_NORM else _rms_norm
    settings = _shared(config, kind, name) | own(config, kind)
    if processed:
        settings["normalization_type"] += "Pre"
    hooked = HookedTransformer(HookedTransformerConfig(**settings), tokenizer=tokenizer)
    hooked.load_and_process_state_dict(
        _CONVERT[kind](model, hooked.cfg),
        fold_ln=processed,
        center_writing_weights=processed,
        fold_value_biases=processed,
        center_unembed=processed and kind != "Gemma2ForCausalLM",  # soft-capped logits may not be shifted
    )
    return hooked.eval()


_LAYER_NORM = ("GPT2LMHeadModel", "GPTNeoXForCausalLM")


def _shared(config, kind, name):
    return dict(
        model_name=name,
        original_architecture=kind,
        d_vocab=config.vocab_size,
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        n_heads=config.num_attention_heads,
        d_head=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        n_ctx=config.max_position_embeddings,
        device="cpu",
        init_weights=False,
        default_prepend_bos=kind != "Qwen2ForCausalLM",
    )


def _layer_norm(config, kind):
    if kind == "GPT2LMHeadModel":
        return dict(
            d_mlp=4 * config.hidden_size,
            eps=config.layer_norm_epsilon,
            act_fn=config.activation_function,
            normalization_type="LN",
        )
    rope, d_head = config.rope_parameters, config.hidden_size // config.num_attention_heads
    return dict(
        d_mlp=config.intermediate_size,
        eps=config.layer_norm_eps,
        act_fn=config.hidden_act,
        normalization_type="LN",
        parallel_attn_mlp=config.use_parallel_residual,
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=False,
        rotary_dim=round(rope.get("partial_rotary_factor", 1.0) * d_head),
        rotary_base=rope["rope_theta"],
    )


def _rms_norm(config, kind):
    settings = dict(
        d_mlp=config.intermediate_size,
        eps=config.rms_norm_eps,
        act_fn=getattr(config, "hidden_act", None) or config.hidden_activation,
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        n_key_value_heads=config.num_key_value_heads,
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=False,
        rotary_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        rotary_base=config.rope_parameters["rope_theta"],
    )
    if kind == "Gemma2ForCausalLM":
        settings |= dict(
            act_fn=config.hidden_activation,
            attn_scale=config.query_pre_attn_scalar**0.5,
            use_normalization_before_and_after=True,
            use_local_attn=True,
            window_size=config.sliding_window,
            attn_types=["local" if t == "sliding_attention" else "global" for t in config.layer_types],
            attn_scores_soft_cap=config.attn_logit_softcapping,
            output_logits_soft_cap=config.final_logit_softcapping,
        )
    return settings
