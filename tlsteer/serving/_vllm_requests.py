"""Requests on their way into vLLM's engine, steered as they ask, and what was steered on their way back."""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from tlsteer.errors import TlsteerError
from tlsteer.serving._http_answers import FIELD, current
from tlsteer.serving._named_vectors import NamedVectors
from tlsteer.serving._request_writes import ARGUMENT, TAG, as_text, salt_of
from tlsteer.serving._steering_requests import ASKED


def steer_requests(client: Any, vectors: NamedVectors) -> None:
    """Has vLLM's engine steer the requests that ask for it, and tell what was steered before their last token is given.

    Args:
        client: of an engine, which every request of a server goes through.
        vectors: that requests may name.
    """
    from vllm.exceptions import VLLMValidationError  # pyright: ignore[reportMissingImports]

    plain, tags = client.generate, map(str, itertools.count())

    @contextmanager
    def refusing() -> Iterator[None]:
        try:
            yield
        except (TlsteerError, TypeError, ValueError) as error:
            raise VLLMValidationError(str(error), parameter=FIELD) from None

    def generate(prompt: Any, how: Any, request: str, **settings: Any) -> AsyncIterator[Any]:
        is_ours = not {ASKED, ARGUMENT, TAG}.isdisjoint(how.extra_args or ())
        return (steered if is_ours else plain)(prompt, how, request, **settings)

    async def steered(prompt: Any, how: Any, request: str, **settings: Any) -> AsyncIterator[Any]:
        extra = dict(how.extra_args)
        if forged := [name for name in (ARGUMENT, TAG) if name in extra]:
            raise VLLMValidationError(f"{forged[0]} cannot be given; give {FIELD}", parameter=FIELD)
        if prompt["type"] not in ("token", "multimodal") or settings.get("lora_request") is not None:
            raise VLLMValidationError("only prompts of tokens, without an adapter, are steered", parameter=FIELD)
        ids, tag, answer = prompt["prompt_token_ids"], next(tags), current.get()
        with refusing():
            asked = json.loads(extra.pop(ASKED))
            writes = vectors.request_writes(asked, ids, how.max_tokens != 1)
        text = as_text(writes)
        # Prompt and settings may be those of other requests too.
        prompt = prompt | {"cache_salt": salt_of(text) + (prompt.get("cache_salt") or "")}
        how = copy.copy(how)
        how.extra_args = extra | {ARGUMENT: text, TAG: tag}
        lengths: Counter[int] = Counter()
        async with aclosing(plain(prompt, how, request, **settings)) as outputs:
            async for output in outputs:
                for one in output.outputs:  # a stream has what is new, anything else comes whole and once
                    lengths[one.index] += len(one.token_ids)
                if output.finished:
                    (told, *_), *_ = await client.collective_rpc("steering_receipts", args=([tag],))
                    with refusing():
                        answer.note(vectors.names(asked), writes, told, len(ids), [*lengths.values()])
                yield output

    client.generate = generate
