"""Several Gibbs chains as one run: each is what it is alone, the model is of all, their mixing is told."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from daskals.config import TrainConfig
from daskals.errors import ConfigError
from daskals.fitting.fit import fit
from daskals.fitting.mixing import mixing_lines, mixing_notes
from daskals.fitting.posterior import gather_samples
from daskals.ingest import resolve_store
from daskals.model.fitted import Model
from daskals.plots.mixing import draw_noise
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split
from daskals.training.checkpoint import Checkpoints
from daskals.training.events import EpochFinished
from daskals.training.gibbs import side_by_side
from daskals.training.gibbs.mixing import mixing_of
from daskals.training.gibbs.sampler import GibbsSampler
from daskals.training.gibbs.side_by_side import added, chain_configs, chain_seed, mean_record
from daskals.training.gibbs.step import Posterior
from daskals.training.run import RunOptions
from jobs import report
from tests.cases.commands import run as run_command
from tests.cases.vanishing import vanishing

pytestmark = pytest.mark.usefixtures("no_baseline")

SHORT = {
    "model": "bayes", "rank": 3, "test_fraction": 0.2, "split": "random", "warm_start": 3, "sweeps": 14,
    "burn_in": 4, "keep_samples": 6, "order": "rating", "split_seed": 42,
}  # fmt: skip
TWO = {**SHORT, "chains": 2}


@pytest.fixture(scope="module")
def two(client, planted_folder) -> Model:
    return fit(str(planted_folder), TrainConfig.parse(TWO), client)


def sampled(cluster, folder, config: TrainConfig) -> Posterior:
    store = resolve_store(str(folder))
    split = ensure_split(store, SplitSpec(method="random", test_fraction=0.2, seed=42))
    resolved = config.model_copy(update={"item_features": ("genres",)})
    return GibbsSampler(cluster, store, split, resolved).run()


@pytest.mark.long
def test_each_chain_is_what_it_is_alone(cluster, planted_folder):
    both = sampled(cluster, planted_folder, TrainConfig.parse(TWO))
    assert [chain.seed for chain in both.chains] == [42, chain_seed(42, 1)]
    together, taken = gather_samples(both), 0
    for chain in both.chains:
        config = TrainConfig.parse({**SHORT, "seed": chain.seed, "keep_samples": 3})
        alone = sampled(cluster, planted_folder, config)
        assert alone.chains == ()
        for record, own in zip(chain.history, alone.trained.history, strict=True):
            assert (record.objective, record.noise_precision) == (own.objective, own.noise_precision)
        assert (chain.rmse, chain.noise_variance) == (alone.predictive.rmse, alone.noise_variance)
        samples = gather_samples(alone)
        here = slice(taken, taken + samples.n_samples)
        for name in ("users", "items"):
            np.testing.assert_array_equal(getattr(together, name)[:, here], getattr(samples, name))
        taken = here.stop
    assert taken == together.n_samples == 6
    # the figures are of all sweeps of both
    assert both.noise_variance == pytest.approx(np.mean([chain.noise_variance for chain in both.chains]))
    assert both.predictive.rmse < np.mean([chain.rmse for chain in both.chains])


def test_report_tells_of_all_chains(two):
    told = two.report
    assert [one["seed"] for one in told["chains"]] == [42, chain_seed(42, 1)]
    assert told["test_rmse_chain"] < np.mean([one["test_rmse_chain"] for one in told["chains"]])
    assert told["mixing"]["chains"] == 2
    assert told["mixing"]["noise"]["draws"] == 20
    assert told["samples"]["kept"] == 6
    assert len(told["history"]) == 14
    for record in told["history"]:
        assert record["ratings_per_second"] == pytest.approx(told["data"]["n_train"] / record["seconds"])
    assert mixing_lines(told)[0].startswith(
        f"R-hat at most {told['mixing']['worst_r_hat']:.2f} over 2 chains"
    )


@pytest.mark.long
def test_bits_do_not_depend_on_workers_or_bundles(two, client, planted_folder, monkeypatch):
    with vanishing(2) as other:
        again = fit(str(planted_folder), TrainConfig.parse(TWO), other.client)
    assert again.report["factors_sha256"] == two.report["factors_sha256"]
    monkeypatch.setattr("daskals.cluster.bundles.SMALL_EPOCH", 0.0)
    apart = fit(str(planted_folder), TrainConfig.parse(TWO), client)
    assert apart.report["factors_sha256"] == two.report["factors_sha256"]


@pytest.mark.long
def test_resumed_chains_continue_to_the_bit(two, client, planted_folder, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 9:
            raise Stopped

    monkeypatch.setattr(side_by_side, "CHECKPOINT_SWEEPS", 1)
    config = TrainConfig.parse({**TWO, "monitor_test": True})
    with pytest.raises(Stopped):
        fit(str(planted_folder), config, client, [stop], RunOptions(Checkpoints(tmp_path / "states", 3)))
    run = RunOptions(Checkpoints(tmp_path / "states", 3, resume=True))
    with pytest.raises(ConfigError, match=r"chains=?\W*1.*chains=?\W*2"):
        fit(str(planted_folder), TrainConfig.parse(SHORT), client, run=run)
    resumed = fit(str(planted_folder), config, client, run=run)
    assert resumed.report["resumed_from"] == 9
    assert resumed.report["factors_sha256"] == two.report["factors_sha256"]
    assert resumed.report["test_rmse_chain"] == two.report["test_rmse_chain"]
    assert resumed.report["chains"] == two.report["chains"]
    # what is watched is the error of the mean of all so far
    watched = [record["test_rmse"] for record in resumed.report["history"]]
    assert watched[:4] == [None] * 4
    assert watched[-1] == pytest.approx(two.report["test_rmse_chain"])


@pytest.mark.usefixtures("no_pictures")
def test_page_shows_the_noise_of_each_chain(two, tmp_path):
    two.save(tmp_path / "run" / "model")
    (tmp_path / "run" / "report.json").write_text(json.dumps(two.report))
    result = run_command(report, tmp_path / "run")
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "run" / "training" / "training.json").read_text(encoding="utf-8"))
    assert [len(noise) for noise in numbers["mixing"]["noise"]] == [14, 14]
    page = (tmp_path / "run" / "training" / "report.html").read_text(encoding="utf-8")
    alone = ", ".join(f"{one['test_rmse_chain']:.4f}" for one in two.report["chains"])
    assert f"Test RMSE of each chain&#x27;s mean prediction, alone: {alone}." in page
    assert "<td>noise</td>" in page
    labels = draw_noise(numbers["mixing"]).axes[0].get_legend_handles_labels()[1]
    assert labels == ["chain 1", "chain 2", "burn-in ends"]


def test_one_chain_is_as_before(two):
    config = TrainConfig.parse(SHORT)
    assert chain_configs(config) == [config]
    seeds = [chain.seed for chain in chain_configs(TrainConfig.parse({**SHORT, "chains": 6}))]
    assert len(set(seeds)) == 6
    assert chain_seed(7, 0) == 7
    # stands in models' reports: another number would be another model
    assert chain_seed(42, 1) == 3329053876


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"model": "als", "chains": 2},
            "chains: 2 serves the Gibbs sampler; found model als; add --model bayes",
        ),
        ({**TWO, "chains": 7}, "chains: found 7; expected at most the 6 samples"),
        ({**TWO, "chains": 0}, "chains"),
    ],
)
def test_chains_that_cannot_be_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        TrainConfig.parse(options)
    assert said in caught.value.for_command()


def test_chains_that_disagree_have_not_mixed(two):
    figures = {"r_hat": 1.01, "ess_bulk": 90.0, "ess_tail": 80.0, "draws": 300}
    apart = {**figures, "r_hat": 1.52, "shift": 0.06}
    told = {"noise": apart, "predictions": figures, "worst_r_hat": 1.52, "chains": 3}
    (note,) = mixing_notes({"mixing": told})
    assert note.startswith("the 3 chains have not mixed: R-hat is 1.52 of noise (mixed: at most 1.1)")
    (note,) = mixing_notes({"mixing": {**told, "noise": {**apart, "shift": 0.004}}})
    assert "noise (1.52) of the 3 chains not yet, by 0.4 % at most between their halves" in note
    noise = [[1 / record["noise_precision"] for record in two.report["history"][4:]]]
    assert two.report["mixing"]["noise"]["r_hat"] != mixing_of(np.array(noise)).r_hat


def test_means_of_records_and_no_tallies():
    assert added([None, None]) is None
    one = EpochFinished(1, 2, 10.0, 3.0, None, None, 1.0, 1.0, 2.0, {"item": 4.0})
    other = EpochFinished(1, 2, 20.0, 4.0, None, None, 1.0, 1.0, 1.0, {"item": 2.0})
    found = mean_record([one, other])
    assert (found.objective, found.eta) == (15.0, {"item": 3.0})
    assert found.train_rmse == pytest.approx(math.sqrt(12.5))
    assert 1 / found.noise_precision == pytest.approx(0.75)
