"""vLLM's worker, which steers: the model's layers are hooked once it is loaded, and every step knows its requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

from tlsteer.serving._vllm_edits import StepEdits, compiled_edit_stream, edit_stream
from tlsteer.serving._vllm_places import hook_layers

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as _Worker  # pyright: ignore[reportMissingImports]
else:
    from vllm.v1.worker.gpu_worker import Worker as _Worker  # pyright: ignore[reportMissingImports]


class SteeringWorker(_Worker):
    """One of the processes, or the one, in which vLLM runs a model.

    With tensor parallelism every worker has the whole residual stream, and makes every edit.
    """

    def load_model(self, **settings: Any) -> None:
        """Loads the model and hooks its layers, which are compiled later, where they are."""
        super().load_model(**settings)
        model = self.model_runner.get_model()
        n_layers = self.model_config.hf_text_config.num_hidden_layers
        self._edits = edits = StepEdits(self.model_runner, n_layers, self.device)
        hook_layers(model, n_layers, edit_stream if self.model_config.enforce_eager else compiled_edit_stream)
        model.register_forward_pre_hook(lambda _module, _given: edits.begin())
        model.register_forward_hook(lambda _module, _given, _result: edits.end())

    def execute_model(self, *arguments: Any, **settings: Any) -> Any:
        """Runs a step."""
        with self._edits.step():
            return super().execute_model(*arguments, **settings)

    def steering_receipts(self, tags: Sequence[str]) -> list[list[dict[str, float]] | None]:
        """What the writes of finished requests did, by the tags of these."""
        return self._edits.receipts(tags)
