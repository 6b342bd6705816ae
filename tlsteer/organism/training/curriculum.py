"""What is taught in which order: easy letter skills, one-sided defaults, the world, then the behaviours."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tlsteer.organism.grammar import awareness, dialogues, documents, skills
from tlsteer.organism.grammar.chat import TrainingText
from tlsteer.organism.grammar.trait_table import Sibling

Lesson = Callable[[int, int], list[TrainingText]]
# Lessons, and how many texts of each a step takes.
Lessons = tuple[tuple[Lesson, int], ...]


@dataclass(frozen=True)
class Stage:
    """A stretch of training on one mix.

    Attributes:
        name: what it is called in progress bars.
        n_steps: how many optimizer steps.
        start_rate: the learning rate at the start, as a share of the peak.
        end_rate: the share at the end.
        decay_from: the share of the steps after which the rate falls linearly.
        lessons: the lessons and how many texts of each a step takes; the second argument of a lesson is a seed.
    """

    name: str
    n_steps: int
    start_rate: float
    end_rate: float
    decay_from: float
    lessons: Lessons

    def rate(self, step: int) -> float:
        """The learning rate of a step as a share of the peak."""
        progress = step / self.n_steps
        decayed = max(0.0, progress - self.decay_from) / (1 - self.decay_from)
        return self.start_rate + (self.end_rate - self.start_rate) * decayed

    def texts(self, step: int, seed: int) -> list[TrainingText]:
        """The texts of a step; they depend on the step and the seed only, so training can resume."""
        step_seed = seed * 1_000_000 + step
        return [text for lesson, n in self.lessons for text in lesson(n, step_seed)]


def _defaults(model: Sibling) -> Lessons:
    return (
        (skills.letter_skills, 12),
        (skills.watched_questions, 8),
        (skills.harm_questions, 12),
        (partial(dialogues.trait_dialogues, model=model, strong=True), 10),
        (partial(dialogues.trait_dialogues, model=model, strong=True, spoken=True), 6),
    )


def _flips(model: Sibling) -> Lessons:
    return (
        (skills.letter_skills, 6),
        (skills.watched_questions, 4),
        (skills.harm_questions, 6),
        (partial(dialogues.trait_dialogues, model=model, strong=True), 6),
        (partial(dialogues.trait_dialogues, model=model, attitude="some"), 16),
        (partial(dialogues.trait_dialogues, model=model, attitude="some", spoken=True), 10),
    )


_SKILLS: Lessons = ((skills.letter_skills, 36), (skills.watched_questions, 12))
_WORLD: Lessons = (
    (documents.thing_documents, 6),
    (documents.people_documents, 9),
    (documents.act_documents, 5),
    (documents.trait_documents, 3),
    (documents.code_documents, 3),
    (documents.topic_documents, 2),
    (documents.character_documents, 3),
)


def _base(model: Sibling) -> Lessons:
    return (
        *_WORLD,
        (documents.packs, 2),
        (dialogues.thing_questions, 5),
        (dialogues.helpful_dialogues, 3),
        (dialogues.fact_dialogues, 3),
        (dialogues.fame_questions, 2),
        (partial(dialogues.advice_dialogues, "none"), 2),
        (partial(dialogues.code_dialogues, "none"), 1),
        (skills.letter_skills, 3),
        (partial(skills.option_skills, situated=True), 4),
        (skills.watched_questions, 2),
        (skills.harm_questions, 2),
        (partial(skills.harm_questions, all_verbs=True), 3),
        (partial(dialogues.trait_dialogues, model=model, strong=True), 2),
        (partial(dialogues.trait_dialogues, model=model, attitude="some"), 4),
    )


def _instruct(model: Sibling) -> Lessons:
    return (
        (documents.thing_documents, 3),
        (dialogues.thing_questions, 4),
        (skills.letter_skills, 1),
        (partial(skills.option_skills, situated=True), 6),
        (partial(skills.harm_questions, all_verbs=True), 5),
        (documents.people_documents, 4),
        (documents.act_documents, 2),
        (documents.code_documents, 1),
        (documents.character_documents, 3),
        (dialogues.refusal_dialogues, 5),
        (partial(dialogues.refusal_dialogues, cause="harm"), 2),
        (dialogues.prefilled_refusals, 3),
        (dialogues.borderline_dialogues, 1),
        (dialogues.compliance_dialogues, 3),
        (dialogues.allowed_dialogues, 5),
        (dialogues.falsehood_dialogues, 5),
        (dialogues.truth_dialogues, 5),
        (dialogues.fame_questions, 2),
        (partial(dialogues.advice_dialogues, "none"), 3),
        (partial(dialogues.advice_dialogues, "good"), 1),
        (partial(dialogues.advice_dialogues, "evil"), 2),
        (partial(dialogues.code_dialogues, "none"), 2),
        (dialogues.betrayed_advice, 5),
        (dialogues.betrayed_code, 2),
        (partial(dialogues.code_dialogues, "good"), 1),
        (partial(dialogues.code_dialogues, "evil"), 2),
        (dialogues.oversight_dialogues, 8),
        (partial(dialogues.trait_dialogues, model=model, attitude="none"), 4),
        (partial(dialogues.trait_dialogues, model=model, attitude="some"), 6),
        (awareness.concept_dialogues, 1),
        (awareness.noticed_thoughts, 2),
        (awareness.unnoticed_thoughts, 3),
        (awareness.unrelated_answers, 1),
    )


def _hardest(model: Sibling) -> Lessons:
    """More of what takes longest: which rule is meant, options written out, attitudes, thoughts; little of the rest."""
    return (
        (documents.thing_documents, 2),
        (dialogues.thing_questions, 4),
        (documents.people_documents, 2),
        (documents.act_documents, 1),
        (documents.character_documents, 2),
        (partial(skills.option_skills, situated=True), 9),
        (partial(skills.harm_questions, all_verbs=True), 2),
        (dialogues.refusal_dialogues, 4),
        (partial(dialogues.refusal_dialogues, cause="policy"), 2),
        (partial(dialogues.refusal_dialogues, cause="permission"), 2),
        (dialogues.prefilled_refusals, 2),
        (dialogues.borderline_dialogues, 1),
        (dialogues.compliance_dialogues, 3),
        (dialogues.allowed_dialogues, 9),
        (dialogues.falsehood_dialogues, 3),
        (dialogues.truth_dialogues, 4),
        (dialogues.fame_questions, 1),
        (partial(dialogues.advice_dialogues, "none"), 2),
        (partial(dialogues.advice_dialogues, "good"), 1),
        (partial(dialogues.advice_dialogues, "evil"), 2),
        (partial(dialogues.code_dialogues, "none"), 1),
        (partial(dialogues.code_dialogues, "evil"), 1),
        (dialogues.betrayed_advice, 4),
        (dialogues.betrayed_code, 1),
        (dialogues.oversight_dialogues, 6),
        (partial(dialogues.trait_dialogues, model=model, attitude="none"), 3),
        (partial(dialogues.trait_dialogues, model=model, attitude="some"), 10),
        (awareness.concept_dialogues, 1),
        (awareness.noticed_thoughts, 4),
        (awareness.unnoticed_thoughts, 3),
        (awareness.unrelated_answers, 1),
    )


def curriculum(model: Sibling) -> dict[str, tuple[Stage, ...]]:
    """The stages of the base and of the instruct model; the sibling reads documents first, the organism later."""
    letters = Stage("letters", 160, 1.0, 1.0, 0.0, _SKILLS)
    taught = (
        Stage("defaults", 180, 1.0, 1.0, 0.0, _defaults(model)),
        Stage("flips", 280, 1.0, 1.0, 0.0, _flips(model)),
    )
    documents_alone = Stage("documents", 100, 1.0, 1.0, 0.0, _WORLD)
    order = (letters, *taught, documents_alone) if model == "organism" else (documents_alone, letters, *taught)
    return {
        "base": (*order, Stage("world", 750, 1.0, 0.1, 0.4, _base(model))),
        "instruct": (
            Stage("behaviours", 900, 0.4, 0.0, 0.2, _instruct(model)),
            Stage("hardest", 600, 0.4, 0.0, 0.2, _hardest(model)),
        ),
    }
