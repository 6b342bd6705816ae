"""The frame of every study: what is given is checked before a model is loaded, the run is kept, the result written.

A study of one's own is one object:

>>> FLATTERY = Study(
...     name="flattery", question="Does a vector make a model flatter?", references=["rimsky2024steering"],
...     presets={"organism": Preset(layer=4)}, embedded_data=made_up, read_data=from_file,
...     measure=measure, report=report,
... )
>>> FLATTERY.run("organism", run_dir="runs/flattery")      # tlsteer study my_package.flattery:FLATTERY
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic

from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.errors import DataError, ModelError
from tlsteer.judges._later import empty_memory, later_models
from tlsteer.measure._seam import runs_here
from tlsteer.models import load_model
from tlsteer.organism import MODELS
from tlsteer.runs import RunDirectory, about_model
from tlsteer.serving._named_engine import check_engine, engine_of
from tlsteer.studies._asked import Asked, D, M, P
from tlsteer.studies._cautions import cautions
from tlsteer.studies._command import command_of
from tlsteer.studies._plan import Phases, Plan, PlannedWork, probed
from tlsteer.studies._result import StudyResult
from tlsteer.studies._room import Room
from tlsteer.studies._settings import plain, preset_of, settings_in_force


@dataclass
class Bench(Generic[P, D]):
    """What a study measures with.

    Attributes:
        study: itself.
        run: the run's folder, which keeps what is done.
        model: the loaded model; None once the second one has taken its place.
        preset: the settings.
        data: what it runs on.
        judge: of its texts, as `Study.judge` gives it.
        embedded: whether the model is an embedded one on data of its own world.
        seed: of everything that is drawn.
        progress: show bars.
        phases: of the planned work, which `begin` tells.
        changed: the settings that the call changed in the preset.
        command: that repeats the run.
        writing: holds the engine that writes the model's texts, where there is one, until the model is released.

    >>> def measured_with(bench: Bench):  # what a study's own `measure` is given
    ...     return attack_success(bench.model, vector, requests, bench.judge, progress=bench.progress).rates
    """

    study: Study[P, D, Any]
    run: RunDirectory
    model: Any  # a Model, and None once the second one has taken its place
    preset: P
    data: D
    judge: Any
    embedded: bool
    seed: int
    progress: bool
    phases: Phases
    changed: Mapping[str, Any]
    command: str
    device: str | None = None
    writing: ExitStack = field(default_factory=ExitStack)

    def begin(self, what: str) -> None:
        """Says that some of the planned work begins, which part of all it is, and how long the rest lasts about."""
        self.phases.begin(what)

    def release(self) -> None:
        """Lets go of the model, and makes room for a judge or a second one, unless `keep_models` says otherwise."""
        if not self.preset.keep_models:
            self.model = None
            self.writing.close()
            empty_memory()

    def second_model(self) -> Model:
        """The second model, in the place of the first: two large ones may not fit into memory together.

        Its dtype is that of its own preset.

        Raises:
            DataError: there is none, or the folder holds a run with another one.
        """
        other = self.preset.other
        if other is None:
            raise DataError(f"the study {self.study.name!r} was given no second model: give other=")
        self.release()
        for judge in () if self.preset.keep_models else later_models(self.judge):
            judge.release()
        own = self.study.preset_of(str(other)) if isinstance(other, str | Path) else None
        found = _loaded(other, self.device, (own or self.preset).dtype)
        now = about_model(found)
        if (kept := self.run.unit("second/model", lambda: now)) != now:
            raise DataError(
                f"{str(self.run.path)!r} was started with second model {kept}; got {now}; give another folder"
            )
        return found

    def result(self, **found: Any) -> StudyResult:
        """What was found, with what the frame knows; the fields are those of `StudyResult`.

        The warnings get those that the findings themselves give: reversed signs, ceilings, near-empty cells, small n.
        """
        study = self.study
        found["warnings"] = [*found.get("warnings", ()), *cautions(found["findings"])]
        return StudyResult(
            name=study.name, question=study.question, departures=list(study.departures), command=self.command,
            references=list(study.references), config=self.run.config, **found,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Study(Generic[P, D, M]):
    """A study, declared: all that tells it from others. `run` is the same for all.

    Attributes:
        name: on the command line and in the config of runs.
        question: what it asks, in one sentence.
        references: keys of the bibliography.
        departures: where it departs from the papers, one sentence each.
        presets: settings by the name of a model, in lower case; "organism" is for the embedded ones.
        default: the settings for a model without a preset; None where they have to be given.
        needs: the data of other models than the embedded ones: what it is and where to get it.
        embedded_data: makes data of the embedded models' world, from settings and seed.
        read_data: reads what `data` names, with settings and seed.
        judge: makes the judge from what is given (or None), the settings, and whether the model is an embedded one; its
            `name` goes into the config. None for a study that takes no judge.
        takes_other: whether a second model may be given.
        writes: whether the model writes texts, which another engine can do.
        work: how many fits and texts a run is, in the order in which `measure` begins them: for `plan`, `Bench.begin`.
        measure: everything that is heavy, in units of the run.
        report: says what was measured: `Bench.result` with headline, findings, tables and the rest.

    >>> sorted(find_study("refusal").presets)
    """

    name: str
    question: str
    references: Sequence[str]
    presets: Mapping[str, P]
    embedded_data: Callable[[P, int], D]
    read_data: Callable[[Any, P, int], D]
    measure: Callable[[Bench[P, D]], M]
    report: Callable[[Bench[P, D], M], StudyResult]
    needs: str = "data of its own"
    departures: Sequence[str] = ()
    default: P | None = None
    judge: Callable[[Any, P, bool], Any] | None = None
    takes_other: bool = False
    writes: bool = True
    work: Callable[[P, D], Sequence[PlannedWork]] = lambda preset, data: ()

    def run(
        self,
        model: str | Path | Model = "organism",
        *,
        preset: str | Path | P | None = None,
        data: Any = None,
        judge: Any = None,
        other: str | Path | Model | None = None,
        device: str | None = None,
        engine: str | None = None,
        run_dir: str | Path | None = None,
        seed: int = 0,
        progress: bool = True,
        **changes: Any,
    ) -> StudyResult:
        """Runs the study, or resumes it.

        Args:
            model: a name, a directory, or a loaded model.
            preset: settings, the name of some, or a TOML or JSON file of some, in the place of the model's own.
            data: a file or files, see `needs`; the embedded models have data of their own world.
            judge: of the texts: one, or its name; the embedded models' grammar by default on these.
            other: a second model; that of the preset by default.
            device: where models given by name run; see `load_model`.
            engine: what writes texts in place of the model: "vllm", or such as "vllm:max_model_len=2048".
            run_dir: the run's folder; without one nothing is kept.
            seed: of everything that is drawn.
            progress: show bars.
            **changes: settings to change in the preset, e.g. n_fits=4; None leaves one as it is.

        Raises:
            DataError: no settings, data or judge for this model, or some that the study does not take; before the
                model is loaded. Or the folder of another run.

        >>> study.run("google/gemma-2-2b-it", data="harmbench.json", judge="substrings")  # doctest: +SKIP
        """
        asked = self._asked(
            model, preset=preset, data=data, judge=judge, other=other, device=device, engine=engine, run_dir=run_dir,
            seed=seed, **changes,
        )  # fmt: skip
        self._room(model, asked, device).check()
        writer = None if engine is None else engine_of(engine, str(model), dtype=asked.preset.dtype, device=device)
        loaded = _loaded(model, device, asked.preset.dtype) if writer is None else writer.reference
        config = {
            "study": self.name, "model": about_model(writer or loaded), "preset": plain(vars(asked.preset)),
            "data": {"from": plain(data), "hash": asked.data.hash}, "judge": getattr(asked.judge, "name", None),
            "seed": seed,
        }  # fmt: skip
        with RunDirectory(run_dir, config) as folder, ExitStack() as writing:
            if writer is not None:
                writing.callback(writer.close)
                writing.enter_context(writer.writing())
            work = self.work(asked.preset, asked.data)
            unlike = {"what an earlier call did is kept": folder.is_resumed, "workers do the work": not runs_here(),
                      f"{engine} writes the texts": writer is not None}  # fmt: skip
            why = next((one for one, holds in unlike.items() if holds), "")
            bench = Bench(
                self, folder, loaded, seed=seed, progress=progress, device=device, **vars(asked), writing=writing,
                phases=Phases.of(work, loaded, asked.preset.batch_size, why) if progress else Phases(work),
            )  # fmt: skip
            del loaded, writer  # so that a second model can take its place
            result = self.report(bench, self.measure(bench))
            if run_dir is not None:
                result.save(folder.path)
        return result

    def plan(self, model: str | Path | Model = "organism", *, probe: bool = True, **asked: Any) -> Plan:
        """What a run would do and take, and how long about, without starting it.

        Args:
            model: see `run`.
            probe: load the model, and fit and write with it for ten seconds, to tell how long the run lasts.
            **asked: the other arguments of `run`.

        >>> print(find_study("refusal").plan("organism", probe=False))
        """
        given, device = self._asked(model, **asked), asked.get("device")
        (room := self._room(model, given, device)).check()
        work = self.work(given.preset, given.data)
        speed = probed(_loaded(model, device, given.preset.dtype), given.preset.batch_size) if probe else None
        return Plan(work, room.lines, speed)

    def _asked(
        self, model: Any, *, preset: Any = None, data: Any = None, judge: Any = None, other: Any = None,
        device: str | None = None, engine: str | None = None, run_dir: Any = None, seed: int = 0, **changes: Any,
    ) -> Asked[P, D]:  # fmt: skip
        """Everything that a run needs but the model, checked."""
        name = str(model) if isinstance(model, str | Path) else Surface(model).name
        embedded = data is None and name in MODELS
        placed = {"device": device, "dtype": changes.get("dtype"), "engine": engine}
        if not isinstance(model, str | Path) and (given := [one for one, value in placed.items() if value]):
            raise ModelError(f"{given[0]}= is for models that are loaded by name; move your own with model.to(...)")
        if (judge is not None and self.judge is None) or (other is not None and not self.takes_other):
            raise DataError(f"the study {self.name!r} takes no {'judge' if judge is not None else 'second model'}")
        if engine is not None:
            if not self.writes:
                raise DataError(f"the study {self.name!r} writes no texts, so no engine can do so: leave out {engine=}")
            check_engine(engine)
        changed = {one: value for one, value in (changes | {"other": other}).items() if value is not None}
        chosen = settings_in_force(self.presets, self.default, "organism" if embedded else name, preset, changed)
        if chosen.other == name:
            chosen = replace(chosen, other=None)  # a model says nothing next to itself
        if data is None and not embedded:
            raise DataError(f"the study {self.name!r} needs {self.needs}")
        material = self.embedded_data(chosen, seed) if embedded else self.read_data(data, chosen, seed)
        near = replace(chosen, judge_device=chosen.judge_device or device)  # where the model is, by default
        judging = self.judge(judge, near, embedded) if self.judge else None
        given = {"preset": preset, "data": data, "judge": judge, "other": other, "device": device, "engine": engine}
        command = command_of(self.name, name, given | changes | {"seed": seed, "run_dir": run_dir})
        return Asked(chosen, material, judging, embedded, changed, command)

    def _room(self, model: Any, asked: Asked[P, D], device: str | None) -> Room:
        preset, other = asked.preset, asked.preset.other
        own = self.preset_of(str(other)) if isinstance(other, str | Path) else None
        models = [(model, device, preset.dtype), (other, device, (own or preset).dtype)]
        return Room.of(preset, models, later_models(asked.judge))

    def preset_of(self, model: str) -> P | None:
        """The settings for a model of this name, a Hugging Face id or a path: its last part counts."""
        return preset_of(self.presets, self.default, model)

    @property
    def kind(self) -> type[P]:
        """The class of its settings."""
        return type(next(iter(self.presets.values())))


def _loaded(model: str | Path | Model, device: str | None, dtype: str | None) -> Model:
    """A model given by name is loaded as asked for; one that is loaded is taken as it is."""
    return load_model(model, device, dtype) if isinstance(model, str | Path) else load_model(model)
