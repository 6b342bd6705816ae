"""These tests run in the environment that `make test-vllm` builds; elsewhere there is nothing to collect."""

import os
import tempfile
from importlib.util import find_spec

import pytest

collect_ignore_glob = ["test_*.py"] if find_spec("vllm") is None else []

_COMPILED = tempfile.TemporaryDirectory(prefix="tlsteer-test-compiled-")
# No more of the machine than tests need.
os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CACHE_ROOT": _COMPILED.name, "TORCHINDUCTOR_CACHE_DIR": _COMPILED.name,
}  # fmt: skip


@pytest.fixture
def start(monkeypatch):
    """Starts engines, and stops each before the next test."""
    from tests.vllm.models import directory
    from tlsteer.serving import VLLM

    engines = []

    def started(name="LlamaForCausalLM", **settings):
        # vLLM runs it by the class of transformers, which it changes for the whole process.
        apart = settings.pop("apart", name == "GPTNeoXForCausalLM")
        monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", str(int(apart)))
        sizes = {
            "max_num_seqs": 64,
            "max_model_len": 96,
            "enforce_eager": True,
        }  # compiling takes longer than most tests
        engines.append(VLLM(directory(name), **sizes | settings))
        return engines[-1]

    yield started
    for engine in engines:
        engine.close()
