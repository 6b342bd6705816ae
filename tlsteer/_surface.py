"""The part of a TransformerLens model that tlsteer touches, under one set of names for both model classes.

TransformerBridge (TransformerLens 3.9 and 4.x) and HookedTransformer (3.9) differ in hook names, key-value
caches and masks. Everything above this file is written against `Surface` and does not know which it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property, partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tlsteer._identity import Identity, identity_of
from tlsteer._middle import edited_middle
from tlsteer._model_type import Elsewhere, engine_in_force
from tlsteer._passes import See, watched
from tlsteer._turns import PointHandle, Turns
from tlsteer.errors import ModelError, SiteError
from tlsteer.loading._kinds import why_not
from tlsteer.sites import Site

Hook = Callable[..., Tensor | None]

# What is added to the residual stream at a site, given the residual there; None leaves it alone.
Edit = Callable[[Float[Tensor, "rows pos d_model"]], Float[Tensor, "#rows #pos d_model"] | None]


class Surface:
    """A TransformerLens model behind the names tlsteer uses. Holds a reference; changes nothing.

    Args:
        model: a TransformerBridge, a HookedTransformer of TransformerLens 3.9, or one of them that is run elsewhere.

    Attributes:
        elsewhere: what runs it, where that is not here.

    Raises:
        ModelError: `model` is neither.
    """

    # What the two classes do not share is asked of them in this file alone.
    model: Any

    def __init__(self, model: object) -> None:
        self.elsewhere = model if isinstance(model, Elsewhere) else None
        self.model = model = model if self.elsewhere is None else self.elsewhere.reference
        self.is_bridge = hasattr(model, "original_model")
        if not self.is_bridge and type(model).__name__ != "HookedTransformer":
            raise ModelError(
                f"a {type(model).__name__} is not a TransformerLens model; pass a TransformerBridge, "
                "a HookedTransformer, or load one with tlsteer.load_model(...)"
            )
        if (why := why_not(model)) is not None:
            raise ModelError(f"{self.name!r} {why}")

    @property
    def writer(self) -> Elsewhere | None:
        """What writes its texts, where it does not itself."""
        engine = engine_in_force()
        return engine if engine is not None and engine.reference is self.model else self.elsewhere

    @cached_property
    def turns(self) -> Turns:
        """Whose turn it is on the model.

        Raises:
            ModelError: it is run elsewhere.
        """
        if self.elsewhere is not None:
            self.elsewhere.refuse()
        return Turns.of(self.model)

    @property
    def n_layers(self) -> int:
        """How many blocks it has."""
        return self.model.cfg.n_layers

    @property
    def d_model(self) -> int:
        """The width of its residual stream."""
        return self.model.cfg.d_model

    @property
    def n_ctx(self) -> int:
        """How many tokens it can hold."""
        return self.model.cfg.n_ctx

    @property
    def name(self) -> str:
        """What TransformerLens calls it."""
        return str(self.model.cfg.model_name)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.model.parameters()).device

    @property
    def residual_dtype(self) -> torch.dtype:
        """The precision of its residual stream."""
        return self.model.W_E.dtype

    @property
    def dtype(self) -> str:
        """The precision of its weights, such as "bfloat16"; several are joined by a plus."""
        return "+".join(sorted({str(p.dtype).removeprefix("torch.") for p in self.model.parameters()}))

    def about(self) -> dict[str, str]:
        """What results on it depend on: name, fingerprint, weight processing, precision, kind of device."""
        own = {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "weight_processing": self.weight_processing,
            "dtype": self.dtype,
            "device": "+".join(sorted({p.device.type for p in self.model.parameters()})),
        }
        return own if self.elsewhere is None else own | self.elsewhere.about()

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer.

        Raises:
            ModelError: it has none.
        """
        if self.model.tokenizer is None:
            raise ModelError(
                f"model {self.name!r} has no tokenizer, so text cannot be used with it; "
                "boot it with tokenizer=..., or set model.tokenizer"
            )
        return self.model.tokenizer

    def decode(self, ids: Sequence[int], special: bool = True) -> str:
        """The text of ids, special tokens included or left out; not tidied, which would take spaces away."""
        return self.tokenizer.decode(ids, skip_special_tokens=not special, clean_up_tokenization_spaces=False)

    def special_id(self, kind: Literal["bos", "eos", "pad"]) -> int | None:
        """The tokenizer's id for it, None where it has none or there is no tokenizer."""
        return getattr(self.model.tokenizer, f"{kind}_token_id", None)

    @property
    def pad_id(self) -> int:
        """An id to fill padding with; what it is does not matter, every pass carries a mask."""
        # A pad token added to a tokenizer alone has an id that the model's embedding does not hold.
        known = (self.special_id("pad"), self.special_id("eos"))
        return next((i for i in known if i is not None and i < self.model.cfg.d_vocab), 0)

    @cached_property
    def weight_processing(self) -> str:
        """ "raw", "folded" (norms folded), "centered" (writing weights centred) or "folded+centered".

        Only centring moves the residual stream, so it is measured on the weights themselves.
        """
        folded = str(self.model.cfg.normalization_type).endswith("Pre") or getattr(
            self.model, "_weights_processed", False
        )
        embedding = self.model.W_E[:512].float()
        centered = bool(embedding.mean(-1).abs().max() < 1e-4 * embedding.std())
        return "+".join(["folded"] * folded + ["centered"] * centered) or "raw"

    def identity(self) -> Identity:
        """What tells its weights from those of any other model, read anew at every call (see `tlsteer._identity`)."""
        return identity_of(self.model, "bridge" if self.is_bridge else "hooked")

    @cached_property
    def fingerprint(self) -> str:
        """`identity` as a text, of the weights as they are when first asked; each use of a model makes its Surface."""
        return str(self.identity())

    def read_name(self, site: Site) -> str:
        """The hook that shows the residual stream at a site.

        Raises:
            SiteError: the layer does not exist, or a mid on a model whose attention and MLP run in parallel.
        """
        site = site.resolve(self.n_layers)
        if site.hook_name not in self.model.hook_dict or (site.stage == "mid" and self.model.cfg.parallel_attn_mlp):
            why = "runs attention and MLP in parallel, so its residual stream has no mid; use pre or post"
            raise SiteError(f"{self.name!r} {why if site.stage == 'mid' else f'has no {site.hook_name!r}'}")
        return self._own_name(site.hook_name)

    def check_writable(self, site: Site) -> None:
        """Raises SiteError where a site does not exist in this model, or is shown but not written there."""
        self.read_name(site)
        if site.stage == "mid":
            self.part_name(site.resolve(self.n_layers).layer, "attn")

    def part_name(self, layer: int, part: Literal["attn", "mlp"]) -> str:
        """The hook that shows what attention or the MLP of a layer adds to the residual stream.

        Raises:
            SiteError: the layer has no such part.
        """
        alias = f"blocks.{layer}.hook_{part}_out"
        if alias not in self.model.hook_dict:
            raise SiteError(f"{self.name!r} has no {alias!r}: its layers are not made of attention and an MLP")
        return self._own_name(alias)

    def attention(self, layer: int) -> tuple[Any, float]:
        """A bridge's component that gives what attention adds to the stream, and by how much the block scales that.

        Raises:
            SiteError: the layer has no such part.
        """
        self.part_name(layer, "attn")
        block = self.model.blocks[layer]
        if (component := _shown_by(block, "hook_attn_out")) is not None:
            return component, 1.0
        return block.get_submodule(block.scaled_attn_submodule), block.residual_contribution_scale

    def _own_name(self, alias: str) -> str:
        # In compatibility mode a hook added under an alias runs twice, so a hook point's own name is used.
        return self.model.hook_dict[alias].name

    @contextmanager
    def hooks(self, hooks: Sequence[tuple[str, Hook]]) -> Iterator[None]:
        """Adds forward hooks for this thread's calls; removes them at the end, whatever was raised.

        Raises:
            ModelError: another thread has the model and does not let it go.
        """
        points = self.model.hook_dict if hooks else {}
        with self.turns.taken(), ExitStack() as added:
            for name, hook in hooks:
                added.enter_context(self.turns.hook(partial(PointHandle, points[name]), hook))
            yield

    @contextmanager
    def edits(self, edits: Sequence[tuple[Site, Edit]]) -> Iterator[None]:
        """Adds to the residual stream at sites, in the order given, in every forward pass.

        Raises:
            SiteError: a site this model does not have, or whose mid cannot be written.
            ModelError: another thread has the model and does not let it go.
        """
        with self.turns.taken(), ExitStack() as added:
            for site, edit in edits:
                if site.stage == "mid" and self.is_bridge:
                    self.read_name(site)
                    block = self.model.blocks[site.layer]
                    parts = block, *self.attention(site.layer), _shown_by(block, "hook_resid_mid")
                    added.enter_context(edited_middle(self.turns, *parts, edit))
                else:
                    added.enter_context(self.hooks([(self.read_name(site), partial(_edited, edit))]))
            yield

    @contextmanager
    def watch(self, see: See) -> Iterator[None]:
        """Calls `see` with every forward pass that begins, however it was started, and with None at its end."""
        with self.turns.taken(), watched(self.model, self.turns, see):
            yield

    def run_to(self, tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"], layer: int) -> None:
        """Runs the embedding and the blocks up to and including `layer`, for its hooks' sake."""
        stop = {"stop_at_layer": layer + 1} if layer + 1 < self.n_layers else {}
        with self.turns.taken():
            self.model(tokens, attention_mask=mask.long(), **stop)

    def new_cache(self, rows: int) -> Any:
        """An empty key-value cache, filled in place by `forward`."""
        if self.is_bridge:
            from transformers import DynamicCache

            return DynamicCache(config=self.model.original_model.config)
        from transformer_lens import TransformerLensKeyValueCache

        return TransformerLensKeyValueCache.init_cache(self.model.cfg, self.device, rows)

    def forward(
        self, tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch total"], cache: Any = None, last: bool = False
    ) -> Float[Tensor, "batch read d_vocab"]:
        """Logits of a padded batch; positions follow the mask, so either side may be padded.

        Args:
            tokens: the ids that are new.
            mask: real tokens among all so far, those in the cache included.
            cache: from `new_cache`, extended in place.
            last: give the last column's logits alone.
        """
        mask = mask.long()
        with self.turns.taken():
            if self.is_bridge:
                cached = {} if cache is None else {"past_key_values": cache, "use_cache": True}
                logits = self.model(tokens, attention_mask=mask, **cached)
            else:
                logits = self.model(tokens, attention_mask=mask[:, -tokens.shape[1] :], past_kv_cache=cache)
        return logits[:, -1:] if last else logits


def _shown_by(block: Any, alias: str) -> Any:
    """The component of a bridge's block that a hook of the block belongs to; None where that is the block's own."""
    # Not by the hook's own name: compatibility mode gives it the alias as its name.
    paths = block.hook_aliases.get(alias, ())
    for path in [paths] if isinstance(paths, str) else paths:
        with suppress(AttributeError):
            return block.get_submodule(path.rpartition(".")[0])
    return None


def _edited(edit: Edit, residual: Tensor, hook: Any) -> Tensor | None:
    change = edit(residual)
    return None if change is None else residual + change
