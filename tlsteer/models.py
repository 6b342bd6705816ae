"""Loading models: the embedded organism, Hugging Face models and local directories, or a bridge of one's own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import torch
from torch import nn

from tlsteer._arguments import Count, checked
from tlsteer._model_type import Model as Model
from tlsteer._surface import Surface
from tlsteer.errors import DataError, ModelError
from tlsteer.loading._booting import boot, is_adapted
from tlsteer.loading._devices import Placement
from tlsteer.loading._hub import Source
from tlsteer.loading._kinds import check_config, text_config
from tlsteer.loading._memory import Expected
from tlsteer.loading._towers import text_tower
from tlsteer.loading._weights import Wanted, expected, fetch, tokenizer_beside

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase

OwnModel = TypeVar("OwnModel", bound=Model)


@overload
def load_model(
    model: str | Path,
    device: str | torch.device | None = ...,
    dtype: torch.dtype | str | None = ...,
    *,
    device_map: str | Mapping[str, Any] | None = ...,
    n_devices: int | None = ...,
    max_memory: Mapping[Any, Any] | None = ...,
    revision: str | None = ...,
    quantization_config: Any = ...,
    trust_remote_code: bool = ...,
    check_memory: bool = ...,
) -> TransformerBridge: ...


@overload
def load_model(model: OwnModel) -> OwnModel: ...


@overload
def load_model(model: nn.Module, *, tokenizer: PreTrainedTokenizerBase | None = ...) -> TransformerBridge: ...


@checked
def load_model(
    model: str | Path | Model | nn.Module,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    n_devices: Count | None = None,
    max_memory: Mapping[Any, Any] | None = None,
    revision: str | None = None,
    quantization_config: Any = None,
    trust_remote_code: bool = False,
    check_memory: bool = True,
) -> Model:
    """A frozen TransformerBridge in eval mode with raw weights, which computes what the model computes.

    A model loaded by name takes text as its own tokenizer makes tokens of it: with BOS in front where that puts one (so
    GPT-2 gets none), never with EOS behind. `model.cfg.default_prepend_bos` says which, for TransformerLens too; what
    it says on a model of your own is left as it is. Without a tokenizer prompts are token ids.

    Args:
        model: "organism", "organism-sibling" or "organism-base" (shipped with tlsteer), a Hugging Face id, a local
            directory that `save_pretrained` wrote (of a model, or of a PEFT adapter), a model of transformers or PEFT,
            or a TransformerLens model of your own. Your own is put into eval mode and its parameters are frozen in
            place; one of transformers gets TransformerLens's hooks inside. Of a multimodal model the text part is
            taken.
        device: "cpu", "cuda", "cuda:1", ...; by default the best there is, as TransformerLens picks it. A model of
            your own stays where it is.
        dtype: e.g. torch.bfloat16 or "bfloat16"; float32 by default. A model of your own keeps its own.
        tokenizer: for a model of transformers; by default that of the directory or name it came from.
        device_map: spreads the weights over several devices, as transformers takes it, e.g. "auto".
        n_devices: spreads them evenly over that many GPUs.
        max_memory: at most this much on each device.
        revision: a branch, tag or commit of a model on the hub.
        quantization_config: a config of transformers for weights in 8 or 4 bits.
        trust_remote_code: run the code that comes with a model; without it, none is.
        check_memory: refuse weights that the device has no room for.

    Raises:
        ModelError: unknown name, a gated model, no network, a device that this machine lacks, no room, code that was
            not asked for, a model that is no decoder-only language model, or one that TransformerLens does not load or
            not rightly; the message says what to do.

    >>> model = load_model("organism")
    >>> model = load_model("google/gemma-2-2b-it", device="cuda", dtype="bfloat16")  # doctest: +SKIP
    >>> model = load_model(AutoModelForCausalLM.from_pretrained(directory), tokenizer=tokenizer)  # doctest: +SKIP
    """
    settings = {
        "device": device, "dtype": dtype, "device_map": device_map, "n_devices": n_devices, "max_memory": max_memory,
        "revision": revision, "quantization_config": quantization_config,
    }  # fmt: skip
    if isinstance(model, str | Path):
        if tokenizer is not None:
            raise ModelError("tokenizer is for a model of transformers; a model loaded by name has its own beside it")
        wanted = Wanted(
            Placement.of(device, device_map, n_devices, max_memory), _dtype(dtype), revision, quantization_config,
            trust_remote_code, check_memory,
        )  # fmt: skip
        loaded = _by_name(str(model), wanted)
    else:
        if given := [name for name, value in settings.items() if value is not None]:
            raise ModelError(
                f"{' and '.join(given)} are for models that are loaded by name; move your own with model.to(...)"
            )
        # A bridge answers for the model inside of it too.
        is_bare = hasattr(model, "get_input_embeddings") and not hasattr(model, "original_model")
        loaded = _taken(model, tokenizer) if is_bare else model
    surface = Surface(loaded)
    surface.model.eval()
    surface.model.requires_grad_(False)
    return surface.model


def expected_memory(name: str | Path, device: str | None = None, dtype: torch.dtype | str | None = None) -> Expected:
    """What a model will take of memory, before anything of it is loaded; arguments and errors as of `load_model`."""
    wanted = Wanted(Placement.of(device), _dtype(dtype))
    return expected(Source.of(str(name)), wanted)


@checked
def chat_prompt(
    model: Model,
    messages: str | Sequence[Mapping[str, str]],
    prefill: str = "",
    *,
    system: str | None = None,
    tools: Sequence[Any] | None = None,
    **template: Any,
) -> str:
    """The text of a conversation in the model's own chat format, up to where the assistant speaks.

    The template writes BOS itself where the model has one, and tlsteer adds no second. TransformerLens does, before
    every text, so give `model(...)` the tokens of this one (see `to_tokens`).

    Args:
        model: a model with a tokenizer that has a chat template.
        messages: a user's message, or a list of {"role": ..., "content": ...}.
        prefill: the beginning of the assistant's answer.
        system: what the system says first.
        tools: functions or JSON schemas that the model may call, as transformers takes them.
        **template: what else the template asks for, such as enable_thinking=False.

    Raises:
        DataError: the tokenizer has no chat template, or the template refuses or ignores what it is given.

    >>> print(chat_prompt(model, "Is it raining?", system="Answer in one word."))
    <|begin|><|system|>Answer in one word.<|end|><|user|>Is it raining?<|end|><|assistant|>
    >>> chat_prompt(qwen, "Is it raining?", enable_thinking=False)  # doctest: +SKIP
    """
    tokenizer, name = Surface(model).tokenizer, Surface(model).name
    if (written := getattr(tokenizer, "chat_template", None)) is None:
        raise DataError(f"the tokenizer of {name!r} has no chat template; write the prompt's text yourself")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if system is not None:
        messages = [{"role": "system", "content": system}, *messages]
    given = template if tools is None else {"tools": list(tools), **template}
    if unknown := [one for one in given if not re.search(rf"\b{one}\b", str(written))]:
        raise DataError(f"the chat template of {name!r} takes no {' and no '.join(unknown)}")
    try:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True, **given)
    except Exception as error:  # templates raise whatever their author chose
        raise DataError(f"the chat template refuses these messages: {error}") from error
    if system is not None and system.strip() not in text:
        raise DataError(
            f"the chat template of {name!r} leaves out what the system says; write it into the first message"
        )
    return text + prefill


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype:
    if isinstance(dtype, str):
        found = getattr(torch, dtype, None)
        if not isinstance(found, torch.dtype) or not found.is_floating_point:
            raise ModelError(f'dtype {dtype!r} is unknown; use "float32", "bfloat16" or "float16"')
        return found
    return dtype or torch.float32


def _by_name(name: str, wanted: Wanted) -> TransformerBridge:
    source = Source.of(name)
    with _without_bars() if source.is_embedded else nullcontext():
        tokenizer, weights = fetch(source, wanted)
    if tokenizer is None:
        warnings.warn(
            f"{name!r} holds no tokenizer, so prompts are token ids; to have texts, save one beside the weights, in a "
            "local directory, with tokenizer.save_pretrained(directory)",
            stacklevel=3,
        )
    return boot(name, weights, tokenizer, trust_remote_code=wanted.trust_remote_code, check=not source.is_embedded)


def _taken(model: Any, tokenizer: PreTrainedTokenizerBase | None) -> TransformerBridge:
    """A bridge around a model of transformers or PEFT, which stays where it is."""
    name = model.name_or_path or type(model).__name__
    if any(hasattr(one, "original_component") for one in model.modules()):
        raise ModelError(f"{name!r} is inside of a TransformerBridge already; pass that")
    check_config(name, model.config, type(model.get_base_model() if is_adapted(model) else model).__name__)
    if tokenizer is None and (tokenizer := tokenizer_beside(model)) is None:
        warnings.warn(f"no tokenizer was given for {name!r}, so prompts are token ids", stacklevel=3)
    tower = text_config(model.config) is not model.config
    return boot(name, text_tower(name, model) if tower else model, tokenizer)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hides the progress bars of transformers; the embedded models load in no time."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
