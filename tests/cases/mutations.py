"""What this project writes, damaged in one place: each reading is an error by name, or all as it was.

Files are damaged as disks and hands do it (`damage`), and arrays and attributes lie with valid checksums, as
somebody would write them who wants to do harm (`lie`). Lies within the ranges are no damage that a reader can
see; they must only do no harm.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr

from daskals.errors import DaskalsError
from daskals.model.fitted import Model
from daskals.model.order.learnt import Order, OrderSettings
from daskals.model.training_ratings import KeptRatings
from daskals.ratings.split import SplitSpec
from daskals.registry.registry import Registry
from daskals.registry.run_versions import publish_run
from daskals.store.checkpoint_files import list_states, read_state, write_state
from daskals.store.layout import CHECKSUM, sealed
from daskals.store.reader import open_store
from daskals.store.splits import Split, ensure_split, load_block
from daskals.store.writer import write_store
from daskals.training.checkpoint import parsed_state
from daskals.training.gibbs.state import GibbsState
from daskals.training.state import TrainingState
from daskals.types import SIDES, TEST, TRAIN
from tests.cases.store_cases import make_table

SPEC = SplitSpec("random", 0.3)
WEIRD = [
    -1, 0, 1, 2, 255, 256, 1 << 31, 1 << 40, 1 << 63, 10**400, 1.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "../..", "\x1b[2J", True, False, None, [], {}, [None], [1 << 40, 1 << 40], {"": ""}, [[[]]],
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Something on disk, and how all of it is read."""

    name: str
    folder: Path
    read: Callable[[Path], str]


class Damaged(AssertionError):
    """A mutation that was neither refused by name nor harmless."""


def make_targets(root: Path, artefacts: Path) -> list[Target]:
    """Write a store with its split, models of all kinds, checkpoints and a registry."""
    with tarfile.open(artefacts) as archive:
        archive.extractall(root / "before", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    before = root / "before"
    weights = np.linspace(0.5, 2.0, 30).astype(np.float32)
    store = write_store(make_table(weights=weights), root / "store")
    ensure_split(store, SPEC)
    ratings = open_store(before / "ratings.store")
    targets = [Target("store", root / "store", read_store)]
    for kind in ("als", "hierarchical", "bayes"):
        model = Model.load(before / kind)
        if kind != "hierarchical":
            split = ensure_split(ratings, SplitSpec(**model.report["data"]["split"]))
            kept = KeptRatings.of(ratings, split)
            kept = replace(kept, ages=np.resize(np.arange(256, dtype=np.uint8), len(kept.items)))
            model = replace(model, kept=kept, order=order_of(model))
        model.save(root / kind)
        targets.append(Target(kind, root / kind, read_model))
        states = list_states(before / kind / "checkpoints")
        if states:
            state = read_state(states[-1])
            attributes = {name: one for name, one in state.attributes.items() if name != "arrays"}
            write_state(root / f"{kind}-states", len(state.attributes["history"]), attributes, state.arrays)
            targets.append(Target(f"{kind} checkpoint", root / f"{kind}-states", read_checkpoint))
    registry = Registry(root / "registry")
    for kind in ("hierarchical", "als"):
        registry.promote(publish_run(registry, root / kind, name=kind).id, note="fit")
    for path in (root / "registry" / "files").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    targets.append(Target("registry", root / "registry", read_registry))
    shutil.rmtree(before)
    return targets


def order_of(model: Model) -> Order:
    core = np.arange(min(5, len(model.item_ids)), dtype=np.int64)
    return Order(
        OrderSettings(own_half_life=0.25),
        core,
        np.eye(len(core), dtype=np.float32),
        np.empty(0, np.float32),
        np.linspace(0.1, 0.9, len(model.item_ids)).astype(np.float32),
        np.ones(len(core), np.float32),
        moments=np.arange(255),
    )


# --- reading all of it -------------------------------------------------------------------------------------


class Digest:
    """A hash of whatever is read."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, *values: object) -> None:
        for value in values:
            if isinstance(value, np.ndarray):
                self._hash.update(f"{value.dtype}{value.shape}".encode())
                plain = value.tolist() if value.dtype.kind == "T" else value.tobytes()
                self._hash.update(plain if isinstance(plain, bytes) else repr(plain).encode())
            elif isinstance(value, pa.Array | pa.ChunkedArray | pa.Table):
                self._hash.update(repr(value.to_pylist()).encode("utf-8", "replace"))
            else:
                self._hash.update(repr(value).encode("utf-8", "replace"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def read_store(path: Path) -> str:
    digest, store = Digest(), open_store(path)
    split = Split(store, SPEC.key())
    for side in SIDES:
        stored = store.read(side, 0, store.n_rows(side), ("timestamps", "positions"))
        digest.add(*stored.block, stored.timestamps, stored.positions, split.train_counts(side))
        digest.add(store.read_column(side, "weights", 0, store.n_ratings))
        for part in (TRAIN, TEST):
            digest.add(*load_block(store.path, side, 0, store.n_rows(side), split.key, part))
    digest.add(store.user_ids, store.item_ids, store.catalogue(), store.tags(), *store.genres())
    manifest = replace(store.manifest, tables={})
    digest.add(manifest, split.n_train, split.n_validation, split.n_test, split.mean, split.standard)
    return str(digest)


def read_model(path: Path) -> str:
    digest, model = Digest(), Model.load(path)
    users, items = np.arange(-1, len(model.user_ids)), np.arange(-1, len(model.item_ids))
    pairs = np.repeat(users, len(items)), np.tile(items, len(users))
    digest.add(model.predict_rows(*pairs), model.mean, model.limits, json.dumps(model.report, sort_keys=True))
    digest.add(
        model.user_counts, model.item_counts, model.user_ids, model.item_ids, model.catalogue, model.weights
    )
    if model.samples is not None:
        digest.add(*model.samples.arrays().values(), model.samples.noise_variance, model.samples.ends)
    if model.order is not None:
        digest.add(model.order.settings, *model.order.arrays().values())
    if model.kept is not None:
        rows = np.arange(len(model.user_ids))
        digest.add(*model.kept.seen(rows), *model.kept.train(rows), model.kept.counts(), *model.kept.own(0))
        user = model.user_ids[0].as_py()
        for order in ("affinity", "rating"):
            digest.add(model.recommend(user, 5, order=order, output="arrow"))
    return str(digest)


def read_checkpoint(path: Path) -> str:
    digest = Digest()
    for folder in list_states(path):
        state = read_state(folder)
        attributes = {name: one for name, one in state.attributes.items() if name not in ("arrays", CHECKSUM)}
        digest.add(json.dumps(attributes, sort_keys=True), sorted(state.arrays))
        digest.add(*(state.arrays[name] for name in sorted(state.arrays)))
        if "alpha" in state.attributes:
            digest.add(parsed_state(folder, GibbsState.from_stored).state.sweep)
        else:
            digest.add(parsed_state(folder, TrainingState.from_stored).state.epoch)
    return str(digest)


def read_registry(path: Path) -> str:
    digest, registry = Digest(), Registry(path)
    digest.add(registry.aliases(), registry.history(), registry.versions())
    for version in registry.ids():
        registry.verify(version)
    digest.add(registry.load().factors_sha256())
    return str(digest)


# --- damages -----------------------------------------------------------------------------------------------


def damage(folder: Path, rng: random.Random) -> Callable[[], None]:
    """Damage one file as a disk or a hand would; return what puts it back."""
    path = rng.choice(sorted(one for one in folder.rglob("*") if one.is_file()))
    before = path.read_bytes()
    content = bytearray(before)
    place = rng.randrange(max(1, len(content)))
    kind = rng.choice(
        ["flip", "flip", "flip", "cut", "remove", "zeros", "insert", "empty", "json", "json", "digit"]
    )
    if kind == "remove":
        path.unlink()
    elif kind in ("json", "digit") and path.suffix == ".json":
        text = before.decode()
        if kind == "digit":
            digits = [n for n, letter in enumerate(text) if letter.isdigit()]
            at = rng.choice(digits) if digits else 0
            path.write_text(
                text[:at] + str((int(text[at]) + 1) % 10 if digits else text[:1]) + text[at + 1 :]
            )
        else:
            path.write_text(json.dumps(changed(json.loads(text), rng)))
    else:
        if kind in ("flip", "json", "digit") and content:
            content[place] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del content[place:]
        elif kind == "zeros":
            content[place : place + 16] = bytes(len(content[place : place + 16]))
        elif kind == "insert":
            content[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif kind == "empty":
            content.clear()
        path.write_bytes(bytes(content))

    def put_back() -> None:
        path.write_bytes(before)

    return put_back


def changed(values: Any, rng: random.Random) -> Any:
    """Return JSON values with one of them replaced, left out or renamed, anywhere in them."""
    if isinstance(values, dict) and values and rng.random() < 0.85:
        name = rng.choice(sorted(values))
        if rng.random() < 0.7:
            return {**values, name: changed(values[name], rng)}
        rest = {key: one for key, one in values.items() if key != name}
        return rest if rng.random() < 0.5 else {**rest, f"{name}x": values[name]}
    if isinstance(values, list) and values and rng.random() < 0.7:
        place = rng.randrange(len(values))
        return [*values[:place], changed(values[place], rng), *values[place + 1 :]]
    return rng.choice(WEIRD)


def lie(folder: Path, rng: random.Random) -> Callable[[], None]:
    """Write other numbers or attributes, with checksums that hold; return what puts them back."""
    metadata = sorted(one for one in folder.rglob("zarr.json"))
    if not metadata:
        return damage(folder, rng)
    path = rng.choice(metadata)
    content = json.loads(path.read_text())
    kept = {one: one.read_bytes() for one in path.parent.rglob("*") if one.is_file()}

    def put_back() -> None:
        for one in path.parent.rglob("*"):
            if one.is_file() and one not in kept:
                one.unlink()
        for one, before in kept.items():
            one.parent.mkdir(parents=True, exist_ok=True)
            one.write_bytes(before)

    if content["node_type"] == "array" and rng.random() < 0.8 and _lie_in_numbers(path.parent, rng):
        return put_back
    if content["node_type"] == "array":
        content["shape"] = [rng.choice([0, 1, size + 1, size * 2, 3 << 40]) for size in content["shape"]]
        if rng.random() < 0.5:
            content["chunk_grid"]["configuration"]["chunk_shape"] = [
                max(1, size) for size in content["shape"]
            ]
    else:
        told = {name: one for name, one in content["attributes"].items() if name != CHECKSUM}
        told = changed(told, rng) if told else {}
        content["attributes"] = sealed(told) if isinstance(told, dict) and told else told
    path.write_text(json.dumps(content))
    return put_back


def _lie_in_numbers(folder: Path, rng: random.Random) -> bool:
    """Replace one number of an array; tell whether it has any."""
    array = zarr.open_array(folder, mode="r+")
    values = np.asarray(array[:])
    if not values.size or values.dtype.kind not in "iuf":
        return False
    place = tuple(rng.randrange(size) for size in values.shape)
    info = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
    lies = [info.max, info.min, 0, info.max // 2]
    values[place] = rng.choice([*lies, np.nan, np.inf, -np.inf] if values.dtype.kind == "f" else lies)
    array[:] = values
    return True


def whole_of(targets: list[Target]) -> dict[str, str]:
    """Return what each target reads as."""
    return {target.name: target.read(target.folder) for target in targets}


def mutate(targets: list[Target], whole: dict[str, str], seed: str) -> str:
    """Damage one target, read it, put it back; return how it ended.

    Raises Damaged where it was neither refused nor read as it was.
    """
    rng = random.Random(seed)
    target, lies = rng.choice(targets), rng.random() < 0.4
    put_back = (lie if lies else damage)(target.folder, rng)
    try:
        found = target.read(target.folder)
    except DaskalsError as error:
        if "\n" in str(error):
            raise Damaged(f"{seed}, {target.name}: of several lines: {error}") from error
        return "refused"
    except Exception as error:
        raise Damaged(f"{seed}, {target.name}: {type(error).__name__}: {error}") from error
    finally:
        put_back()
    if found == whole[target.name]:
        return "as it was"
    if not lies:
        raise Damaged(f"{seed}, {target.name}: differs and nobody said so")
    return "lies within ranges"
