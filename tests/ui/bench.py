"""A small model behind the page, with a server in a thread of its own."""

import threading
import time
from contextlib import contextmanager

import torch
import uvicorn

import tlsteer as ts
from tests.small_models import WIDTH, loaded
from tlsteer.ui._app import App
from tlsteer.ui._bench import Bench, Offered, Prompt
from tlsteer.ui._serving import guarded_app, listening

TOKEN = "t0ken"
HOSTILE = (
    "</textarea></script><script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\"> &lt;b&gt;"
)


def vector(layer, seed=0, norm=20.0):
    drawn = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))
    return ts.SteeringVector(norm * drawn / drawn.norm(), layer)


def small_bench(model=None):
    vectors = {"calm": vector(1), HOSTILE: vector(2, 1)}
    offered = {name: Offered(one, f"VECTORS[{name!r}]") for name, one in vectors.items()}
    prompts = [Prompt("a greeting", [{"role": "user", "content": "Hello"}]), Prompt(HOSTILE, text="What is it?")]
    return Bench(loaded("gpt2") if model is None else model, "MODEL", offered, prompts)


def asked(**changes):
    """What the page sends for a first run."""
    applied = [{"name": "calm", "multiplier": 1.5, "layer": 1, "stage": "pre"}]
    return {
        "chat": True, "messages": [{"role": "user", "content": "Hello"}], "prefill": "", "text": "",
        "applied": applied, "positions": "all", "max_new_tokens": 8, "temperature": 0, "seed": 0, "random_seed": 0,
    } | changes  # fmt: skip


def served(bench, runs):
    """The address of a page."""
    return serving(guarded_app(App(bench, runs).starlette(), TOKEN, "127.0.0.1"))


@contextmanager
def serving(app):
    """The address of an application that is served in a thread."""
    with listening("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/"
        finally:
            server.should_exit = True
            thread.join(20)
