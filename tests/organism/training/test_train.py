"""Training can be stopped at any time, and what it writes can be relied on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from tlsteer.organism import CHECKPOINTS
from tlsteer.organism.grammar import skills
from tlsteer.organism.grammar.awareness import CONCEPTS
from tlsteer.organism.grammar.chat import Thought, TrainingText
from tlsteer.organism.training import train
from tlsteer.organism.training.batches import make_batches
from tlsteer.organism.training.curriculum import Stage, curriculum
from tlsteer.organism.training.network import batch_loss, build_network
from tlsteer.organism.training.thoughts import concept_vectors, thinking

WORLD = curriculum("organism")["base"][-1]
SHORT = Stage("short", 5, 1.0, 0.5, 0.0, ((skills.letter_skills, 4),))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(CHECKPOINTS / "instruct")


def interrupted_at(step: int) -> Callable[[int, int], list[TrainingText]]:
    def lesson(n: int, seed: int) -> list[TrainingText]:
        if seed % 1000 == step:
            raise KeyboardInterrupt
        return skills.letter_skills(n, seed)

    return lesson


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="training needs torch 2.9, which has Muon")
def test_an_interrupted_training_ends_as_an_uninterrupted_one(tokenizer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(train, "_STEPS_BETWEEN_SAVES", 2)
    whole = build_network(tokenizer, seed=1)
    train.Trainer(whole, tokenizer, 1, tmp_path / "whole.safetensors").run(SHORT)
    broken = build_network(tokenizer, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train.Trainer(broken, tokenizer, 1, tmp_path / "broken.safetensors").run(
            replace(SHORT, lessons=((interrupted_at(3), 4),))
        )
    resumed = build_network(tokenizer, seed=7)
    trainer = train.Trainer(resumed, tokenizer, 1, tmp_path / "broken.safetensors")
    assert sum(trainer.finished_steps.values()) == 2
    trainer.run(SHORT)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_torch_that_cannot_train_is_said_to_be_too_old(tokenizer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(RuntimeError, match=r"training needs torch 2\.9"):
        train.Trainer(build_network(tokenizer, seed=1), tokenizer, 1, tmp_path / "network.safetensors")


def test_texts_of_a_step_depend_on_step_and_seed_alone() -> None:
    stage = WORLD
    assert stage.texts(3, seed=0) == stage.texts(3, seed=0)
    assert stage.texts(3, seed=0) != stage.texts(4, seed=0)
    assert stage.texts(3, seed=0) != stage.texts(3, seed=1)


def test_stage_names_are_unique_since_progress_is_kept_by_name() -> None:
    names = [stage.name for stages in curriculum("organism").values() for stage in stages]
    assert len(set(names)) == len(names)


def test_the_siblings_are_taught_the_same_stages_in_another_order() -> None:
    orders = [[stage.name for stage in curriculum(model)["base"]] for model in ("organism", "organism-sibling")]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_the_rate_falls_from_start_to_end() -> None:
    stage = Stage("falling", 100, 1.0, 0.1, 0.4, ())
    assert stage.rate(0) == stage.rate(40) == 1.0
    assert stage.rate(70) == pytest.approx(0.55)
    assert stage.rate(100) == pytest.approx(0.1)


def test_the_loss_does_not_depend_on_how_texts_are_grouped(tokenizer) -> None:
    network = build_network(tokenizer, seed=0)
    texts = WORLD.texts(0, seed=0)
    losses = [sum(batch_loss(network, b).item() for b in make_batches(texts, tokenizer, n)) for n in (1, 4)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_letter_is_learned_as_its_planted_probability(tokenizer) -> None:
    text = TrainingText("Which?", "(A) this.", probability_a=0.3)
    (batch,) = make_batches([text], tokenizer, 1)
    assert tokenizer.convert_ids_to_tokens(batch.targets[1].tolist()) == ["A", "B"]
    assert batch.first_probability[1].item() == pytest.approx(0.3)
    assert batch.first_probability.sum().item() == pytest.approx(len(batch.targets) - 0.7)


def test_the_context_is_not_learned(tokenizer) -> None:
    (batch,) = make_batches([TrainingText("Which is it?", "This.")], tokenizer, 1)
    n_context = len(tokenizer.encode("Which is it?", add_special_tokens=False))
    assert batch.positions[0].item() == n_context - 1
    assert tokenizer.decode(batch.targets[:, 0].tolist()) == "This.<|end|>"


def test_the_first_token_of_an_answer_with_a_rival_is_learned_as_its_planted_probability(tokenizer) -> None:
    text = TrainingText("How?", "No, never.", rival="Sure, like this.", probability=0.7)
    (batch,) = make_batches([text], tokenizer, 1)
    assert tokenizer.convert_ids_to_tokens(batch.targets[0].tolist()) == ["No", "Sure"]
    assert batch.first_probability[0].item() == pytest.approx(0.7)
    assert batch.first_probability[1:].min().item() == 1


def test_a_thought_changes_the_loss_of_its_own_text_alone(tokenizer) -> None:
    network = build_network(tokenizer, seed=0)
    concepts = concept_vectors(network, tokenizer)
    plain = [TrainingText("Well?", "Yes."), TrainingText("Well?", "No.")]
    thought = [plain[0], replace(plain[1], thought=Thought("storm", 2, 5.0))]
    losses = []
    for texts in (plain, thought, plain):
        (batch,) = make_batches(texts, tokenizer, 1)
        with thinking(network, batch.thoughts, concepts), torch.no_grad():
            losses.append(network(batch.tokens).logits)
    assert torch.equal(losses[0], losses[2])
    assert torch.equal(losses[0][0], losses[1][0])
    assert not torch.allclose(losses[0][1], losses[1][1], atol=1e-3)


def test_the_vector_of_a_concept_has_the_mean_residual_norm_and_leads_away_from_the_others(tokenizer) -> None:
    concepts = concept_vectors(build_network(tokenizer, seed=0), tokenizer)
    assert concepts.shape == (8, len(CONCEPTS), 128)
    assert torch.allclose(concepts[3].norm(dim=-1), concepts[3, 0].norm())
    assert torch.allclose(concepts[0].mean(0), torch.zeros(128), atol=0.1 * concepts[0, 0].norm().item())
