"""Options that shape what is trained: the model, and with `config.reading` all that `fit` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from daskals.config.dates import check_dates
from daskals.config.lists import ListConfig
from daskals.config.reading import ReadConfig, SplitConfig
from daskals.config.section import Names, Section

if TYPE_CHECKING:
    from daskals.types import Ridge

MAX_RANK = 1024
MAX_RANK_WITH_FEATURES = 256
"""Above it W's elimination and the sampler, which keep a row's whole equations, take too long."""

JOINT_RANK = 48
"""Highest rank whose rows are solved jointly unless a solver is named; see bench/README.md."""

BLOCK_FACTORS = 32
"""Factors that --solver blocks improves together."""

IMPROVING = ("blocks", "gradients")
"""Solvers that begin from the rows as the last epoch left them."""

TIMES_TAU, TIMES_GAMMA = 4.0, 2.0
"""How much harder the rows of a third side are held than others, unless it is named.

Chosen on validation ratings of ml-latest-small: most days have few ratings, and a point estimate of their
factors, which multiply those of users and items at once, fits the noise where a posterior would average.
"""


def _known_rank(rank: int) -> int:
    if rank > MAX_RANK:
        row_bytes = -(-(rank + 2) // 16) * 64
        raise ValueError(
            f"found {rank}; expected at most {MAX_RANK}: {rank} factors would take every worker "
            f"{row_bytes / 1000:,.1f} GB of memory a million users and items"
        )
    return rank


Rank = Annotated[int, AfterValidator(_known_rank)]
"""Number of factors, K."""


OF_RATINGS = frozenset({"lambda_", "gamma", "tau", "eta", "init_scale", "time_tau", "time_gamma"})
"""Options that mean what the papers mean where they are named: rating points."""


class ModelConfig(Section):
    """What is trained. Everything here shapes the numbers."""

    seed: int = Field(42, ge=0, lt=2**32, description="Seed of the initial factors.")
    model: Literal["auto", "bias", "als", "hierarchical", "bayes", "ials"] = Field(
        "auto",
        description="Biases alone; biases and factors; the same drawn to what their features predict; the "
        "posterior of that by Gibbs sampling; auto: what validation ratings ask for, within --time-budget. "
        "ials: factors from implicit feedback, clicks or plays, whose ratings are counts.",
    )
    solver: Literal["joint", "blocks", "gradients", "coordinate"] | None = Field(
        None,
        description=f"Solve a row's factors and bias together; improve them from where the last epoch left "
        f"them, {BLOCK_FACTORS} factors at a time or all by conjugate gradients, faster at large ranks; or "
        "solve factors and bias in turn as the papers do (Eq. 7-8); default: joint, and gradients for als "
        f"and ials above rank {JOINT_RANK}.",
    )
    damping: float = Field(
        1.0, gt=0, le=1, description="Step α of the bias model's updates (paper 1, Eq. 5)."
    )
    no_global_mean: bool = Field(
        default=False, description="Leave the global mean to the biases (paper 1, Eq. 3)."
    )
    rank: Rank = Field(20, ge=0, description=f"Number of factors, K; at most {MAX_RANK}.")
    lambda_: float = Field(0.002, gt=0, alias="lambda", description="Weight of the squared errors, λ.")
    gamma: float = Field(0.015, ge=0, description="Regularisation of the biases, γ.")
    tau: float = Field(0.05, ge=0, description="Regularisation of the factors, τ.")
    eta: float | None = Field(
        None,
        gt=0,
        description="Regularisation of the features' weights W, η; default: 5·λ; of ials as hard as a row "
        "that nobody observed is held.",
    )
    units: Literal["deviations", "ratings"] | None = Field(
        None,
        description="What ridges and --init-scale are relative to: the ratings' standard deviation, so that "
        "nothing depends on the scale of the ratings, or rating points, as in the papers; "
        "default: deviations, and ratings where one of these or --lambda is named.",
    )
    reg_exponent: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Ridge scaling ν: a row with n ratings is held n^ν times as hard; 0 as in the papers, "
        "1 as in ALS-WR.",
    )
    item_features: Names | None = Field(
        None,
        description="What items' rows are drawn to: catalogue columns (genres, year …), implicit (who rated "
        "what), several with commas, or none; default: genres, and none with ials.",
    )
    user_features: Names | None = Field(
        None, description="The same for users; a catalogue column is the mean of what a user rated."
    )
    half_life: float | None = Field(
        None,
        gt=0,
        description="Days after which a rating counts half in training and in lists, by its timestamp, the "
        "latest of training counting in full; without it all count alike, whenever they were made.",
    )
    time_bins: Literal["none", "day", "week", "month"] = Field(
        "none",
        description="Give every day, week or month of the timestamps factors and a bias of its own, as users "
        "and items have them; for als, hierarchical and bayes, and auto tries days where none is not named. "
        "Lists and predictions are then as of the latest one of training unless another date is named.",
    )
    time_tau: float | None = Field(
        None,
        ge=0,
        description=f"Regularisation of the factors of --time-bins, but for bayes, which learns its own; "
        f"default: {TIMES_TAU:g}·τ times the ratings that a user makes on one date in the mean.",
    )
    time_gamma: float | None = Field(
        None, ge=0, description=f"The same of their biases; default: {TIMES_GAMMA:g}·γ."
    )
    time_features: Names | None = Field(
        None,
        description="What rows of --time-bins are drawn to in bayes, and dates without ratings have: walk (a "
        "random walk from the first date to the last), year, month (of the year), weekday, several with "
        "commas, or none.",
    )
    epochs: int = Field(50, ge=1, description="Passes over the ratings: a user and an item half-step each.")
    tol: float = Field(
        0.0, ge=0, description="Stop when an epoch lowers the objective by less than this share of it."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop when the validation RMSE has not fallen for this many epochs, then train on all of "
        "train for the best number of epochs; takes --validation-fraction.",
    )
    init_scale: float | Literal["paper2"] = Field(
        0.1, description="Standard deviation of the initial factors; paper2: 1/√K."
    )
    sweeps: int = Field(400, ge=2, description="Sweeps of the Gibbs sampler.")
    burn_in: int = Field(100, ge=0, description="Sweeps that are left out of the posterior.")
    keep_samples: int = Field(
        100, ge=1, description="Samples saved with a Bayesian model, evenly thinned after the burn-in."
    )
    chains: int = Field(
        1, ge=1, description="Chains of the Gibbs sampler, from seeds of their own; the samples are of all."
    )
    likelihood: Literal["gaussian", "censored"] = Field(
        "gaussian",
        description="What the Gibbs sampler takes a rating for: the liking and noise, or that cut off at the "
        "ends of the scale, where the highest rating stands for all above it.",
    )
    warm_start: int = Field(10, ge=1, description="ALS epochs that the Gibbs sampler starts from.")
    confidence: Literal["linear", "log"] = Field(
        "log",
        description="What an observation counts as in ials: c = 1 + α·count, or 1 + α·log(1 + count/ε).",
    )
    confidence_weight: float = Field(
        1.0, ge=0, description="α of --confidence; 0 lets every observation count as 1."
    )
    confidence_scale: float = Field(1.0, gt=0, description="ε of --confidence log.")
    confidence_unit: Literal["count", "mean"] = Field(
        "mean",
        description="What a count is counted in: itself, or the mean count of training, so that nothing "
        "depends on whether plays come as seconds or hours; the same for clicks, which count once each.",
    )
    unobserved_weight: float = Field(
        0.3, gt=0, description="α₀: what a pair nobody observed counts as in ials, beside c."
    )
    zeros: Literal["all", "unobserved"] = Field(
        "all",
        description="Pairs that ials draws to 0: all, the observed as well (Rendle et al. 2022), or the "
        "unobserved only (Hu et al. 2008, implicit).",
    )

    @model_validator(mode="after")
    def _implicit(self) -> Self:
        if self.model != "ials":
            return self
        if self.solver == "coordinate":
            raise ValueError("solver: coordinate serves the models of ratings; leave it out with ials")
        if self.rank == 0:
            raise ValueError("rank: found 0; expected at least 1 with --model=ials, which has no biases")
        return self

    @model_validator(mode="after")
    def _large(self) -> Self:
        improves = self.solver in IMPROVING
        drawn = self.model == "ials" and bool(self.item_features or self.user_features)
        if improves and (drawn or self.model in ("bias", "hierarchical", "bayes")):
            rows = "ials with features" if drawn else self.model
            raise ValueError(
                f"solver: {self.solver} serves als and ials without features; found {rows}, whose rows are "
                f"solved jointly, up to rank {MAX_RANK_WITH_FEATURES}; leave it out"
            )
        if self.solver == "blocks" and self.rank < BLOCK_FACTORS:
            raise ValueError(
                f"solver: blocks takes {BLOCK_FACTORS} factors at a time; found rank {self.rank}; name a "
                f"rank of {BLOCK_FACTORS} to {MAX_RANK}, or leave it out"
            )
        if self.rank > MAX_RANK_WITH_FEATURES and (drawn or self.model in ("auto", "hierarchical", "bayes")):
            what = "features" if drawn else f"--model={self.model}"
            remedy = "leave them out" if drawn else "add --model=als or ials"
            raise ValueError(
                f"rank: found {self.rank}; expected at most {MAX_RANK_WITH_FEATURES} with {what}; {remedy}, "
                f"which take up to {MAX_RANK}"
            )
        return self

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        if not isinstance(self.init_scale, str) and self.init_scale <= 0:
            raise ValueError(f"init_scale: found {self.init_scale}; expected a positive number or paper2")
        if self.damping != 1.0 and self.effective_rank:
            raise ValueError("damping: applies to the bias model only; add --model=bias")
        if self.solver == "coordinate" and self.model in ("hierarchical", "bayes"):
            raise ValueError("solver: coordinate serves the models without features; add --model=als")
        if self.model in ("bias", "als") and (self.item_features or self.user_features):
            raise ValueError(f"model: {self.model} has no features; add --model=hierarchical")
        for name, plain in (("likelihood", "gaussian"), ("chains", 1)):
            if (found := getattr(self, name)) != plain and self.model != "bayes":
                what = f"{name}: {found} serves the Gibbs sampler; found model {self.model}"
                raise ValueError(f"{what}; add --model=bayes")
        check_dates(self, MAX_RANK_WITH_FEATURES)
        if self.chains > self.keep_samples:
            raise ValueError(f"chains: found {self.chains}; expected at most the {self.keep_samples} samples")
        self.check_weighable(weighed=self.half_life is not None)
        if self.burn_in >= self.sweeps:
            raise ValueError(f"burn_in: found {self.burn_in}; expected fewer than the {self.sweeps} sweeps")
        return self

    def check_weighable(self, *, weighed: bool) -> None:
        """Refuse, with ValueError, what ratings that weigh cannot be trained with."""
        alone = {
            "solver coordinate": self.solver == "coordinate",
            "damping below 1": self.damping != 1.0,
            "likelihood censored": self.likelihood == "censored",
            "zeros unobserved": self.model == "ials" and self.zeros == "unobserved",
        }
        names = [name for name, found in alone.items() if found]
        if weighed and names:
            raise ValueError(
                f"{names[0].split()[0]}: {names[0]} takes ratings that count once each; leave it out, or "
                "--half-life and the weight column"
            )

    @property
    def effective_rank(self) -> int:
        """Factors a row really has: 0 for the bias model."""
        return 0 if self.model == "bias" else self.rank

    @property
    def taken_solver(self) -> Literal["joint", "blocks", "gradients", "coordinate"]:
        """How a row's equations are solved; see `solver`."""
        solver = self.solver or ("gradients" if self.rank > JOINT_RANK else "joint")
        # what a configuration is held against, biases or a chain, has no such form, nor have drawn rows
        drawn = self.model == "ials" and bool(self.item_features or self.user_features)
        drawn = drawn or self.model not in ("als", "ials") or self.time_bins != "none"
        return "joint" if solver in IMPROVING and drawn else solver

    @property
    def taken_units(self) -> Literal["deviations", "ratings"]:
        """What ridges and initial factors are relative to; see `units`."""
        if self.units is not None:
            return self.units
        if self.model == "ials":  # counts are confidence: they are neither centred nor divided
            return "ratings"
        return "ratings" if self.model_fields_set & OF_RATINGS else "deviations"

    @property
    def ridge(self) -> Ridge:
        """Regularisation relative to λ, as the kernels take it, in `taken_units`."""
        from daskals.types import Ridge  # not above: it brings NumPy, which no --help needs

        if self.model == "ials":  # whose observations weigh c: nothing is relative to λ
            return Ridge(self.tau, 0.0, self.reg_exponent)
        return Ridge(self.tau / self.lambda_, self.gamma / self.lambda_, self.reg_exponent)

    def time_ridge(self, ratings_a_visit: float) -> Ridge:
        """Return the regularisation of the rows of a third side, as `ridge`.

        A user who rates all on one date has it for a row of his own: the more ratings a user makes on a date,
        the fewer people stand behind what its factors are fitted to.
        """
        tau = TIMES_TAU * ratings_a_visit * self.tau if self.time_tau is None else self.time_tau
        gamma = TIMES_GAMMA * self.gamma if self.time_gamma is None else self.time_gamma
        return self.ridge._replace(factors=tau / self.lambda_, bias=gamma / self.lambda_)

    def ridge_as_rated(self, deviation: float) -> Ridge:
        """Return the ridge in rating points, given the standard deviation of the training ratings."""
        ridge = self.ridge
        if self.taken_units == "ratings":
            return ridge
        return ridge._replace(factors=ridge.factors * deviation)

    @property
    def relative_eta(self) -> float:
        """Regularisation of W relative to λ."""
        return 5.0 if self.eta is None else self.eta / self.lambda_

    @property
    def initial_deviation(self) -> float:
        """Standard deviation of the initial factors."""
        if isinstance(self.init_scale, str):
            return float(max(self.effective_rank, 1) ** -0.5)
        return self.init_scale


class TrainConfig(ModelConfig, SplitConfig, ReadConfig, ListConfig):
    """All that `daskals.fit` takes: reading, split and model."""

    choose_order: bool = Field(
        default=True,
        description="Choose the weights of affinity's parts on a tenth of the training ratings, or keep "
        "those that were found good on ml-latest-small.",
    )
    refit_all: bool = Field(
        default=False,
        description="Once the model is judged, train it again on all ratings with what was found, and keep "
        "that one; the report tells the figures of the one that was judged.",
    )
    transform: Literal["none", "log1p", "rank"] = Field(
        "none",
        description="What training sees of a rating: itself, log(1 + rating), as suits counts over decades, "
        "or its rank among those of training. Predictions, intervals, errors and stars come back as ratings; "
        "an epoch's figures are of what training sees.",
    )
    time_budget: float = Field(
        120.0,
        ge=0,
        description="Seconds that --model auto may take beyond a plain training of 50 epochs, as two usual "
        "cores would take: counted in work, so that a choice is the same everywhere.",
    )
    monitor_test: bool = Field(
        default=False, description="Also report the test RMSE of every epoch (it decides nothing)."
    )
    keep_ratings: int = Field(
        25_000_000,
        ge=0,
        description="Ratings that a model carries at most, 5 or 6 bytes each, 4 more with --time-bins, so "
        "that it knows anywhere what its users have seen; with more, or 0, it reads them from the store. A "
        "frame's are carried unless 0.",
    )

    @model_validator(mode="after")
    def _adding(self) -> Self:
        if self.duplicates == "sum" and self.model != "ials":
            raise ValueError(
                f"duplicates: found sum with model {self.model}; expected last, first, mean or error: only "
                "counts, of --model=ials, add up"
            )
        return self

    @model_validator(mode="after")
    def _validates(self) -> Self:
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError("patience: no ratings to validate on; add --validation-fraction")
        if self.columns is not None and "rating" not in self.columns and self.model != "ials":
            raise ValueError(
                "columns: no column named for rating; name one, or add --model=ials, which learns from "
                "observations without ratings"
            )
        if self.transform != "none" and (self.model == "ials" or self.likelihood == "censored"):
            what = "ials, whose --confidence takes logarithms" if self.model == "ials" else "a censored scale"
            raise ValueError(
                f"transform: found {self.transform}, which does not go with {what}; leave one out"
            )
        if self.model == "ials" and (self.patience is not None or self.monitor_test):
            name = "patience" if self.patience is not None else "monitor_test"
            raise ValueError(f"{name}: ials predicts no rating whose error could be watched; leave it out")
        if self.patience is not None and self.model == "bayes":
            raise ValueError("patience: the Gibbs sampler has no epochs to choose; leave it out")
        if self.split == "users" and self.model == "bayes":
            raise ValueError("split users: samples of a Gibbs sampler fold nobody in; choose another model")
        return self
