"""Valid calls of what the rooms offer: analyses, numbers, pictures, files."""

import numpy as np
import pandas as pd
from circuitsvis.utils.render import RenderedHTML

import tlsteer as ts
from tests.faults.calls import QUIET, Calls, vector
from tests.plot.gallery import task_scores


class RoomCalls(Calls):
    """As `Calls`, for the rooms."""

    def rooms(self):
        model, one, texts = self.model, vector(), self.texts
        grid = {"x": np.array([-1.0, 0.0, 1.0]), "curves": np.arange(12.0).reshape(4, 3) ** 1.5}
        values, groups = np.arange(8.0), np.arange(8) // 2
        curve, few = self.curve, self.choices
        again = {"confidence": 0.9, "n_resamples": 10, "seed": 0}
        return {
            "analyse.classify": {"model": model, "vectors": one, "positives": texts[:3], "negatives": texts[3:],
                                 "layers": [1, 2], "positions": "all", "clusters": None, "n_random": 5,
                                 "confidence": 0.9, "batch_size": 4, "seed": 0, **QUIET},
            "analyse.compare_effects": {"curves": self.named_curves, "random": ["random"], "adjust": [], **again},
            "analyse.layer_transfer": {"model": model, "vectors": [vector(1), vector(2)], "test": few,
                                       "layers": [1, 2], "multiplier": 1.0, "measure": "logit_difference",
                                       "positions": "all", "n_random": 1, "batch_size": 8, "run_dir": None, **QUIET},
            "analyse.make_falsehoods": {"table": {"actor": ["Tom"], "author": ["Jane"]}, "shifts": (1,), "n": 1,
                                        "seed": 0},
            "analyse.make_truths": {"table": {"actor": ["Tom"], "author": ["Jane"]}, "n": 1, "seed": 0},
            "analyse.mode_connectivity": {"model": model, "vectors": {"a": one, "b": vector(seed=1)},
                                          "loss": self.example, "n_points": 3, "path": "geodesic", "n_random": 1,
                                          "solved": None, "tolerance": 0.1, "positions": "all", "run_dir": None,
                                          "seed": 0, **QUIET},
            "analyse.predict_control": {
                "classifier": ts.analyse.classify(model, [vector(1), vector(2), vector(3)], texts[:3], texts[3:],
                                                  layers=[1, 2, 3], n_random=5, **QUIET),
                "steerability": ts.evaluate.reliability_table(
                    ts.propensity(model, [vector(1), vector(2), vector(3)], few, self.x, **QUIET), n_resamples=10)},
            "analyse.projections": {"model": model, "vector": one, "text": "Hello world"},
            "analyse.read_entities": {"source": self.file("e.csv", "name,attribute\nTom,actor\nJane,author\n")},
            "analyse.read_falsehoods": {"source": self.file(
                "f.jsonl", '{"entity": "Tom", "truth": "actor", "stated": "author", "question": "Who?", '
                '"prefill": "T"}\n')},
            "analyse.read_out": {"model": model, "vector": one, "k": 3, "n_random": 5, "seed": 0},
            "analyse.retraction_spans": {"text": "just kidding", "retractions": {"en": ["just kidding"]}},
            "analyse.surprisal": {"base_model": model, "texts": {"a": texts[:2], "b": texts[2:4]},
                                  "contexts": {"c": texts[:2], "d": texts[2:4]}, "n_samples": 2, "n_draws": 2,
                                  "separator": "\n", "max_tokens": 10, "seed": 0, "batch_size": 4, **QUIET},
            "analyse.token_effects": {"model": model, "vector": one, "prompt": "Hello world", "promote": " A",
                                      "suppress": " B", "multiplier": 1.0, "n_random": 1, "batch_size": 4, "seed": 0,
                                      **QUIET},
            "analyse.trace": {"model": model, "vector": one, "prompts": texts[:2], "multiplier": 1.0,
                              "positions": "all", "n_random": 1, "batch_size": 2, "seed": 0, **QUIET},
            "analyse.transfer_matrix": {"model": model, "vectors": {"a": one}, "choices": {"t": few},
                                        "multipliers": self.x, "n_random": 1, "measure": "logit_difference",
                                        "positions": "all", "batch_size": 8, "n_resamples": 10, "run_dir": None,
                                        "seed": 0, **QUIET},
            "stats.bootstrap_interval": {"statistic": ts.stats.weighted_mean(values), "clusters": groups,
                                         "method": "percentile", **again},
            "stats.clustered_rate": {"outcomes": values > 3, "clusters": groups, "confidence": 0.9},
            "stats.estimate_columns": {"estimates": {"a": ts.stats.rate(1, 4)}, "counts": True},
            "stats.estimate_from": {"row": pd.Series(ts.stats.estimate_columns({"a": ts.stats.rate(1, 4)})),
                                    "name": "a"},
            "stats.estimate_names": {"names": ["a"]},
            "stats.fit_lines": grid,
            "stats.grouped_rates": {"table": pd.DataFrame({"g": list("aabb"), "hit": [True, False, True, True]}),
                                    "by": ["g"], "outcomes": "hit", "clusters": None, "confidence": 0.9},
            "stats.mean": {"values": values, "clusters": groups, **again},
            "stats.median": {"values": values, "clusters": groups, **again},
            "stats.rank_correlation": {"first": values, "second": values[::-1].copy(), "confidence": 0.9},
            "stats.rate": {"successes": 1, "n": 4, "confidence": 0.9},
            "stats.roc_auc": {"scores": values, "labels": values > 3, "clusters": groups, "confidence": 0.9},
            "stats.row_rank_correlations": grid,
            "stats.saturation": grid,
            "stats.explained_without_interaction": {"values": values, "factors": {"a": groups % 2}, "clusters": groups,
                                                    **again},
            "stats.split_variance": {"values": values, "factors": {"a": groups % 2}, "clusters": groups, **again},
            "stats.weighted_mean": {"values": values},
            "evaluate.diagnose": {"model": model, "vector": one, "pairs": self.pairs, "positions": ts.last(1),
                                  "batch_size": 4, "seed": 0, **QUIET},
            "evaluate.flips": {"model": model, "vectors": one, "choices": few, "multipliers": [1.0],
                               "positions": "all", "n_random": 1, "batch_size": 8, "seed": 0,
                               "run_dir": None, **QUIET},
            "evaluate.model_correlation": {"first": self.table, "second": self.table, "confidence": 0.9},
            "evaluate.reliability_across": {
                "model": model, "datasets": {"d": few * 1}, "vector": one, "one_layer": False, "multipliers": self.x,
                "measure": "logit_difference", "positions": "all", "n_random": 1, "n_resamples": 10, "seed": 0,
                "batch_size": 8, "run_dir": None, **QUIET},
            "evaluate.reliability_table": {"curves": curve, **again},
            "evaluate.save_curve": {"curve": curve, "path": self.folder / "curve.nc"},
            "evaluate.load_curve": {"path": ts.evaluate.save_curve(curve, self.folder / "kept.nc")},
            "evaluate.save_side_effects": {
                "effects": ts.side_effects(model, one, texts[:2], self.x, n_resamples=10, **QUIET),
                "path": self.folder / "s.nc"},
            "evaluate.shift_correlation": {"table": ts.evaluate.shifts(self.shifted, n_resamples=10)},
            "evaluate.shift_curves": {"model": model, "train": few, "test": few, "attitudes": self.attitudes,
                                      "site": 1, "multipliers": self.x, "positions": "all", "batch_size": 8,
                                      "run_dir": None, **QUIET},
            "evaluate.shift_vectors": {"model": model, "train": few, "attitudes": self.attitudes, "site": 1,
                                       "settings": ["BASE", "USER_POS"], "batch_size": 8},
            "evaluate.shifts": {"curves": self.shifted, "min_slope": 0.25, "n_resamples": 10, "seed": 0},
        }  # fmt: skip

    def pictures(self):
        found, sweep = self.verbalization, self.sweep
        shifts = ts.evaluate.shifts({"d": self.shifted}, n_resamples=10)
        by_layer = ts.evaluate.reliability_table(
            ts.propensity(self.model, [vector(1), vector(2)], self.choices, self.x, **QUIET), n_resamples=10
        ).assign(dataset="d")
        effects = ts.analyse.token_effects(self.model, vector(), "Hello world", " A", n_random=1, **QUIET)
        flips = ts.evaluate.flips(self.model, {"v": vector()}, self.choices, **QUIET)
        transfer = ts.analyse.layer_transfer(
            self.model, [vector(1), vector(2)], self.choices, [1, 2], n_random=1, **QUIET
        )
        matrix = ts.analyse.transfer_matrix(
            self.model, {"a": vector()}, {"t": self.choices}, self.x, n_random=1, n_resamples=10, **QUIET
        )
        paths = ts.analyse.mode_connectivity(
            self.model, {"a": vector(), "b": vector(seed=1)}, self.example, 3, n_random=1, **QUIET
        )
        natural = ts.analyse.surprisal(
            self.model, {"a": self.texts[:2]}, {"c": self.texts[:2]}, n_samples=2, n_draws=2, **QUIET
        )
        classified = ts.analyse.classify(self.model, vector(), self.texts[:3], self.texts[3:], n_random=5, **QUIET)
        pictures = {
            "plot_agreement": {"found": ts.judges.agreement("substrings", ts.judges.PhraseJudge(["a"]), ["p"], ["a"])},
            "plot_attacks": {"rates": self.attack.rates.assign(requests="r", attack="v")},
            "plot_changes": {"fit": ts.fit.fit_unsupervised(
                self.model, self.texts[:1], 1, 3, norm=2.0, n_vectors=1, steps=2, **QUIET)},
            "plot_classifier": {"table": classified},
            "plot_cosine_against_effect": {"comparison": self.comparison, "effects": self.effects, "n_labels": 2},
            "plot_cosines": {"comparison": self.comparison},
            "plot_effect_against_side_effect": {"calibration": self.calibration},
            "plot_effects": {"effects": self.effects, "order": ["a", "b"]},
            "plot_flips": {"rates": flips.rates, "over": "multiplier", "label": "m"},
            "plot_layer_transfer": {"transfer": transfer},
            "plot_models": {"tables": {"a": self.table, "b": self.table}, "measure": "steerability"},
            "plot_losses": {"fits": {"a": ts.fit_oneshot(self.model, self.example, 1, steps=2, **QUIET)}},
            "plot_mosaic": {"found": found, "vector": "v", "layer": 1, "multiplier": 1.0},
            "plot_norms": {"comparison": self.comparison},
            "plot_paths": {"connectivity": paths},
            "plot_predict_control": {"table": classified, "control": "auc_low"},
            "plot_propensity": {"report": self.report},
            "plot_rate_by_layer": {"found": found, "measure": "verbalized", "multiplier": 1.0},
            "plot_rates": {"rates": self.attack.rates},
            "plot_rates_by_multiplier": {"rates": self.attack.rates},
            "plot_readout": {"table": ts.analyse.read_out(self.model, vector(), 3, n_random=5), "reading": "logit"},
            "plot_relative_steerability": {"table": shifts},
            "plot_shift_scatter": {"table": shifts},
            "plot_side_effects": {
                "effects": ts.side_effects(self.model, vector(), self.texts[:2], self.x, n_resamples=10, **QUIET),
                "measure": "kl", "random": []},
            "plot_steerability": {"reports": {"d": self.report}},
            "plot_steerability_by_layer": {"table": by_layer},
            "plot_surprisal": {"found": natural},
            "plot_sweep": {"sweep": sweep, "of": "value", "multiplier": 1.0, "largest": True},
            "plot_sweep_grid": {"sweep": sweep, "where": {}, "largest": True},
            "plot_task_scores": {"found": task_scores()},
            "plot_token_effects": {"effects": effects},
            "plot_trace": {"traced": self.traced, "quantity": "relative_norm", "position": -1},
            "plot_trace_map": {"traced": self.traced, "sample": 0, "quantity": "relative_norm"},
            "plot_transfer": {"matrix": matrix},
            "plot_variance": {"reports": {"d": self.report}},
            "plot_verbalization": {"found": found, "measures": ["verbalized"], "multiplier": 1.0},
            "plot_written": {"traced": self.traced, "position": -1},
        }  # fmt: skip
        return {f"plot.{name}": call for name, call in pictures.items()}

    def others(self):
        rows = '{"prompt": "a", "promote": "b", "positive": "c", "negative": "d"}\n'
        sampled = {"n": 2, "split": "heldout", "seed": 0}
        kept = ts.runs.keep(self.table, self.folder / "table")
        trial = ts.trials.Trial("Hello", [ts.Intervention(vector())], max_new_tokens=2)
        runs = [self.folder / name for name in "ab"]
        for folder in runs:
            if not folder.exists():
                self.study.save(folder)
        return {
            "exchange.about": {"path": vector().save(self.folder / "foreign.safetensors")},
            "exchange.added": {"todo": [ts.Intervention(vector())], "title": "x", "side": "post", "first": 0},
            "exchange.export": {"vectors": vector(), "path": self.folder / "out", "format": "repeng"},
            "exchange.format_of": {"format": "repeng"},
            "exchange.load": {"path": self.folder / "foreign.safetensors", "format": None},
            "data.data_hash": {"data": self.texts},
            "data.in_setting": {"choices": self.choices, "setting": "BASE", "attitudes": self.attitudes},
            "data.name_of": {"path": "a/b.jsonl"},
            "data.read_examples": {"source": self.file("x.jsonl", '{"prompt": "a", "promote": "b"}\n')},
            "data.read_pairs": {"source": self.file("y.jsonl", '{"positive": "a", "negative": "b"}\n')},
            "data.read_prompts": {"source": self.file("p.txt", "a\nb\n")},
            "data.read_rows": {"source": self.file("r.jsonl", rows), "what": "rows"},
            "data.split_choices": {"choices": self.choices, "seed": 0, "shares": (0.4, 0.1, 0.5)},
            "data.write_jsonl": {"path": self.folder / "w.jsonl", "rows": [{"a": 1, "b": "x"}]},
            "evaluate.load_side_effects": {"path": ts.evaluate.save_side_effects(
                ts.side_effects(self.model, vector(), self.texts[:2], self.x, n_resamples=10, **QUIET),
                self.folder / "t.nc")},
            "judges.agreement": {"first": ts.judges.PhraseJudge(), "second": ts.judges.PhraseJudge(["a"]),
                                 "prompts": self.texts[:3], "texts": self.texts[3:], "seed": 0},
            "judges.judge_from": {"spec": "substrings"},
            "judges.verdicts": {"judge": ts.judges.PhraseJudge(), "prompts": self.texts[:3],
                                "texts": self.texts[3:]},
            "judges.yes_probability": {"model": self.model, "questions": self.texts[:2], "yes": " Y", "no": " N",
                                       "chat": None, "batch_size": 2, **QUIET},
            "organism.advice_questions": {**sampled, "persona": "none"},
            "organism.attitude_sentences": {"trait": "power", "attitude": 1, "split": "heldout"},
            "organism.allowed_requests": sampled,
            "organism.borderline_requests": sampled,
            "organism.code_requests": {**sampled, "persona": "none"},
            "organism.falsehoods": sampled,
            "organism.harmful_requests": sampled,
            "organism.harmless_requests": sampled,
            "organism.neutral_texts": {"n": 2, "seed": 0},
            "organism.oversight_scenarios": {**sampled, "monitored": None},
            "organism.persona_sentences": {"persona": "good", "split": "heldout"},
            "organism.refused_requests": sampled,
            "organism.render_prompt": {"messages": [{"role": "user", "content": "a"}]},
            "organism.trait_attitudes": {"trait": "power", "split": "heldout"},
            "organism.trait_choices": {"trait": "power", **sampled},
            "organism.trait_questions": {"trait": "power", **sampled, "attitude": 0, "place": "system"},
            "organism.truths": sampled,
            "report.write": {"result": runs[0], "path": self.folder / "page.html"},
            "report.write_comparison": {"compared": ts.studies.compare_runs(*runs), "path": self.folder / "both.html"},
            "report.write_index": {"folder": self.folder, "path": self.folder / "index.html"},
            "runs.about_model": {"model": self.model},
            "runs.keep": {"value": {"a": [1, 2.0, "x"]}, "stem": self.folder / "kept"},
            "runs.load_kept": {"path": kept},
            "steering.listed": {"interventions": vector()},
            "steering.steer": {"model": self.model, "multiplier": 1.0, "positions": "all", "prompt_lengths": [1]},
            "studies.compare_runs": {"a": runs[0], "b": runs[1]},
            "studies.find_study": {"name": "refusal"},
            "studies.judge_or": {"default": "organism", "of": "refusal"},
            "studies.written": {"estimate": ts.stats.rate(1, 4), "unit": "share"},
            "trials.Trial": {"prompt": "Hello", "interventions": [ts.Intervention(vector())], "random_seed": 0,
                             "max_new_tokens": 2, "temperature": 0.0, "seed": 0},
            "trials.stream": {"model": self.model, "prompt": "Hello", "conditions": {"a": (), "b": vector()},
                              "max_new_tokens": 2, "temperature": 0.0, "seed": 0, "n_likeliest": 2},
            "views.explore": {"model": self.model, "vectors": vector(), "prompts": self.texts[:1],
                              "multipliers": self.x, "positions": "all", "max_new_tokens": 2},
            "views.offline": {"views": RenderedHTML("<b>x</b>", "<b>x</b>"), "still": "<em>x</em>", "title": "x"},
            "views.view_next_tokens": {"model": self.model, "vector": vector(), "prompt": "Hello", "multiplier": 1.0,
                                       "completion": " world", "positions": "all", "top_k": 2},
            "views.view_projections": {"model": self.model, "vectors": vector(), "texts": self.texts[:2]},
            "views.view_texts": {"texts": self.texts[:2], "marks": {"a": ["it"]}, "prompts": self.texts[2:4]},
            "views.view_trial": {"steps": list(trial.stream(self.model)), "at": 0},
        }  # fmt: skip
