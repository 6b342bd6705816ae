"""vLLM's own OpenAI-compatible server, on which requests name the vectors that steer them."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from functools import wraps
from pathlib import Path
from typing import Any

from tlsteer._surface import Surface
from tlsteer.errors import ModelError, TlsteerError
from tlsteer.loading._hub import Source
from tlsteer.models import load_model
from tlsteer.serving._named_vectors import NamedVectors
from tlsteer.serving._request_writes import ARGUMENT, as_text, salt_of, writes_of_rows
from tlsteer.serving._steering_requests import SteeringRequests
from tlsteer.serving._vllm_engine import check_settings, does_not_run, starting
from tlsteer.serving._vllm_proof import Told, refused_stages
from tlsteer.serving._vllm_requests import steer_requests
from tlsteer.serving._vllm_versions import check_vllm, choose_runner
from tlsteer.steering import Write

PATH = "/v1/vectors"
_ONE_SERVER = ("headless", "grpc", "api_server_count", "uds")


def serve(
    model: str, folder: Path, *, host: str, port: int, dtype: str, options: Sequence[str], say: Callable[[str], None]
) -> None:
    """Serves a model until it is interrupted.

    Args:
        model: see `load_model`.
        folder: of saved vectors, which requests name.
        host: which address of this machine to listen at.
        port: of it.
        dtype: see `load_model`.
        options: of vLLM's server.
        say: is told where it is served.

    Raises:
        ModelError: no vLLM, or one that has not been tested; options that steering relies on; an address that cannot be
            had; a model that vLLM does not run, or that is not steered there as in TransformerLens.
        VectorError: no vectors, or one of another model.
    """
    check_vllm()
    choose_runner()
    vectors = NamedVectors(folder)
    arguments = _arguments(model, host, port, dtype, options)
    surface = Surface(load_model(model, "cpu", dtype))
    vectors.on(surface)
    asyncio.run(_serve(arguments, surface, vectors, say))


def _arguments(model: str, host: str, port: int, dtype: str, options: Sequence[str]) -> Namespace:
    """What vLLM's server is started with."""
    from vllm.entrypoints.launchers.cli_args import (  # pyright: ignore[reportMissingImports]
        make_arg_parser,
        validate_parsed_serve_args,
    )
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # pyright: ignore[reportMissingImports]

    place = Source.of(model).place
    # A page that is open in a browser on this machine has no business here, so no other origin is let in.
    own = ["--model", place, "--host", host, "--port", str(port), "--dtype", dtype, "--served-model-name", model]
    own += ["--allowed-origins", "[]"]
    parser = make_arg_parser(FlexibleArgumentParser(prog="tlsteer serve"))
    plain, arguments = parser.parse_args(own), parser.parse_args([*own, *options])
    given = {name: value for name, value in vars(arguments).items() if value != getattr(plain, name)}
    check_settings(given)
    if taken := [name for name in ("model_tag", "model", "dtype", *_ONE_SERVER) if name in given]:
        raise ModelError(f"{taken[0]} is no option here: this is one server, of one model")
    validate_parsed_serve_args(arguments)
    vars(arguments).update(starting(vars(arguments)))
    return arguments


async def _serve(arguments: Namespace, surface: Surface, vectors: NamedVectors, say: Callable[[str], None]) -> None:
    from starlette.middleware import Middleware
    from vllm.entrypoints.launchers.api_server import entry  # pyright: ignore[reportMissingImports]
    from vllm.entrypoints.launchers.launcher import setup_server  # pyright: ignore[reportMissingImports]

    try:
        address, listener = setup_server(arguments, reuse_port=False)
    except OSError as error:
        raise ModelError(f"{arguments.host}:{arguments.port} cannot be listened at: {error}") from None
    build = entry.build_app

    @wraps(build)
    def build_app(*given: Any, **settings: Any) -> Any:
        app = build(*given, **settings)
        # The innermost layer, behind keys and the like. vLLM has put the layers together already.
        app.user_middleware.append(Middleware(SteeringRequests, vectors.writes))
        app.middleware_stack = app.build_middleware_stack()
        app.add_api_route(PATH, vectors.told, methods=["GET"])
        return app

    # vLLM's way to serve builds its app by itself, and this process has no other use for it.
    entry.build_app = build_app
    most, arguments.max_logprobs = arguments.max_logprobs, -1  # of the whole vocabulary, for the proof
    with closing(listener):
        async with AsyncExitStack() as running:
            loop = asyncio.get_running_loop()
            try:
                client = await running.enter_async_context(entry.build_async_engine_client(arguments))
                vectors.refused = await asyncio.to_thread(refused_stages, surface, _told(client, surface, loop))
            except TlsteerError:
                raise
            except Exception as error:  # whatever stands in the way of a model, vLLM raises as it comes
                raise does_not_run(surface.name, error) from error
            client.model_config.max_logprobs = most
            steer_requests(client, vectors)
            say(f"{len(vectors)} vectors, listed at {address}{PATH}, steer {surface.name!r} at {address}/v1")
            ending = await entry.build_and_serve(client, address, listener, arguments)
        await ending


def _told(client: Any, surface: Surface, loop: asyncio.AbstractEventLoop) -> Told:
    """Asks vLLM, from another thread, for the log-probabilities of the vocabulary after a prompt."""
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

    async def asked(ids: Sequence[int], text: str) -> list[float]:
        prompt = {"type": "token", "prompt_token_ids": list(ids)} | ({"cache_salt": salt_of(text)} if text else {})
        extra = {ARGUMENT: text} if text else None
        how = SamplingParams(max_tokens=1, temperature=0.0, logprobs=-1, detokenize=False, extra_args=extra)
        *_, found = [one async for one in client.generate(prompt, how, f"proof-{salt_of(text)}")]
        told = found.outputs[0].logprobs[0]
        return [told[token].logprob for token in range(len(told))]

    def tell(ids: Sequence[int], writes: Sequence[Write]) -> list[float]:
        (own,) = writes_of_rows(writes, [ids], [len(ids)], surface.decode, False)
        return asyncio.run_coroutine_threadsafe(asked(ids, as_text(own)), loop).result()

    return tell
