"""The service over HTTP, asked in this process: answers as the model gives them, limits, errors, versions."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import shutil
import threading
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest

from daskals.config.serving import Limits
from daskals.errors import ModelError, RowError, StoreError
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.model.order.scoring import OrderScorer
from daskals.registry.registry import CHAMPION, Registry
from daskals.registry.run_versions import publish_run
from daskals.serving.web.answers import Answers
from daskals.serving.web.live import Live, spare_what_lasts
from daskals.serving.web.log import FIELDS, JsonLines
from daskals.serving.web.service import make_service
from jobs import serve
from tests.cases.asking import LIMITS, PROFILE, ask
from tests.cases.commands import run


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder)


@pytest.fixture(scope="module")
def live(folder) -> Live:
    return Live(folder)


def listed(response: httpx.Response, *names: str) -> list[tuple]:
    assert response.status_code == 200, response.text
    return [tuple(one[name] for name in names) for one in response.json()["items"]]


def as_model(table, *names: str) -> list[tuple]:
    known = table.astype(object).where(table.notna(), None)
    return list(zip(*(known[name].tolist() for name in names), strict=True))


@pytest.mark.parametrize("order", ["rating", "affinity"])
def test_lists_are_the_models_own_whoever_else_asks(live, model, order):
    """Twenty questions at once are scored together; every bit is as the model alone gives it."""
    users = [int(user) for user in model.user_ids.to_pylist()[:16]]
    asked = [("GET", f"/v1/recommend?user={user}&n={3 + user % 5}&order={order}") for user in users]
    body = {"ratings": PROFILE, "n": 12, "order": order}
    filters = {"min_ratings": 5, "genres": ["Animation"], "year_to": 2005, "deny": ["Aladdin (1992)"]}
    asked += [
        ("POST", "/v1/recommend", body),
        ("POST", "/v1/recommend", {**body, "filters": filters}),
        ("POST", "/v1/recommend", {"user": users[0], "order": order, "include_seen": True}),
    ]
    answers = ask(live, *asked)
    names = ("item", "title", "year", "score", "stars")
    for user, answer in zip(users, answers, strict=False):
        assert answer.json()["order"] == order
        assert listed(answer, *names) == as_model(model.recommend(user, 3 + user % 5, order=order), *names)
    person = model.fold_in([(one["item"], one["rating"]) for one in PROFILE])
    assert listed(answers[-3], *names) == as_model(model.recommend(person, 12, order=order), *names)
    same = Filters(5, ("Animation",), (None, 2005), None, ("Aladdin (1992)",))
    assert listed(answers[-2], *names) == as_model(
        model.recommend(person, 12, order=order, filters=same), *names
    )
    everything = model.recommend(users[0], 10, order=order, include_seen=True)
    assert listed(answers[-1], *names) == as_model(everything, *names)


def test_an_answer_is_the_same_to_the_byte_whoever_waits_with_it(live, model):
    """Sixty questions at once, known people and new ones, and each of them alone."""
    rng = np.random.default_rng(7)
    items, users = model.item_ids.to_pylist(), model.user_ids.to_pylist()
    asked = []
    for number in range(60):
        body = {"n": int(rng.integers(1, 30)), "order": ("rating", "rating", "affinity")[number % 3]}
        if number % 2:
            rated = rng.choice(len(items), int(rng.integers(0, 6)), replace=False)
            body["ratings"] = [{"item": items[row], "rating": row % 9 / 2 + 1} for row in rated.tolist()]
        else:
            body["user"] = users[int(rng.integers(len(users)))]
        asked.append(("POST", "/v1/recommend", body))
    together = ask(live, *asked)
    for request, answer in zip(asked, together, strict=True):
        [alone] = ask(live, request)
        assert (answer.status_code, answer.content) == (200, alone.content)
        content = json.dumps(answer.json(), ensure_ascii=False, separators=(",", ":"))
        assert answer.text == content, "as the JSON library writes it"


def test_one_who_cannot_be_placed_spoils_nobodys_list(live, model, monkeypatch):
    place = Model.place

    def refusing(self, people):
        if any(1 in one.rows.tolist() for one in people):
            raise RowError("has no solution", row=0)
        return place(self, people)

    bodies = [{"ratings": [{"item": item, "rating": 4}]} for item in model.item_ids.to_pylist()[:3]]
    asked = [("POST", "/v1/recommend", body) for body in bodies]
    calm = ask(live, *asked)
    monkeypatch.setattr(Model, "place", refusing)
    first, second, third = ask(live, *asked)
    assert (first.content, third.content) == (calm[0].content, calm[2].content)
    assert (second.status_code, second.json()) == (422, {"error": "row 0: has no solution."})


def test_what_is_read_directly_is_what_fastapi_reads(live, monkeypatch):
    asked = [
        ("GET", "/v1/recommend?user=1"),
        ("GET", "/v1/recommend?user=2&n=3&order=rating"),
        ("GET", "/v1/recommend?n=007&user=2"),
        ("GET", "/v1/recommend?user=2&user=3"),
        ("GET", "/v1/recommend?user=2&include_seen=true"),
        ("GET", "/v1/recommend?user="),
        ("GET", "/v1/recommend?user=%FF&m=2"),
        ("POST", "/v1/recommend", {"ratings": PROFILE, "n": 4.0, "filters": {"min_ratings": 3}}),
        ("POST", "/v1/recommend", {"user": "2", "order": None}),
        ("POST", "/v1/recommend", {"ratings": []}),
        ("POST", "/v1/recommend"),
        ("POST", "/v1/recommend?user=1", {"user": 2}),
        *((method, url, *((body,) if body is not None else ())) for method, url, body, *_ in WRONG),
    ]
    directly = ask(live, *asked)
    monkeypatch.setattr("daskals.serving.web.guard.read_directly", lambda scope, body: None)
    for request, one, other in zip(asked, directly, ask(live, *asked), strict=True):
        assert (one.status_code, one.content) == (other.status_code, other.content), request
        assert dict(one.headers) == dict(other.headers), request


def test_weights_neighbours_reasons_and_predictions_are_the_models_own(live, model):
    user, item = 1, "Alien (1979)"
    key = model.item_ids[model.find_item(item)].as_py()
    weighed, similar, explained, placed, pairs, own = ask(
        live,
        ("POST", "/v1/recommend", {"user": user, "alpha": 0.1}),
        ("GET", f"/v1/similar?item={key}&n=4&min_ratings=2"),
        ("POST", "/v1/explain", {"ratings": PROFILE, "item": key, "order": "rating"}),
        ("POST", "/v1/explain", {"user": user, "item": item, "order": "affinity"}),
        ("POST", "/v1/predict", {"pairs": [{"user": user, "item": key}, {"user": -5, "item": key}]}),
        ("POST", "/v1/predict", {"ratings": PROFILE, "items": [item]}),
    )
    assert weighed.json()["order"] == "rating"
    assert listed(weighed, "item", "score") == as_model(model.recommend(user, alpha=0.1), "item", "score")
    near = model.similar_items(key, 4, filters=Filters(2))
    assert listed(similar, "item", "similarity") == as_model(near, "item", "similarity")
    person = model.fold_in([(one["item"], one["rating"]) for one in PROFILE])
    answer = explained.json()
    parts = answer["baseline"] + answer["prior_taste"] + answer["prior_bias"]
    assert answer["rating"] == pytest.approx(parts + sum(one["contribution"] for one in answer["ratings"]))
    assert answer["rating"] == pytest.approx(float(model.predict_profile(person, [key])[0]), abs=1e-4)
    answer = placed.json()
    total = answer["popularity"] + answer["rating"] + sum(one["contribution"] for one in answer["ratings"])
    assert answer["score"] == pytest.approx(total)
    alone = model.predict([user, -5], [key, key], clip=True)
    found = pairs.json()["predictions"]
    assert [one["rating"] for one in found] == alone.rating.tolist()
    assert [one["known_user"] for one in found] == [True, False]
    expected = np.clip(model.predict_profile(person, [key]), *model.limits).tolist()
    assert own.json()["predictions"] == [{"item": key, "rating": expected[0]}]


YEARS = {"year_from": 3, "year_to": 2}
PAIR = [{"user": 1, "item": 1}]
LONG = [{"item": 1, "rating": 3}] * 6
WRONG = [
    ("GET", "/v1/recommend?user=999999", None, 404, "user: the model does not know user '999999'; "),
    ("GET", "/v1/recommend?user=0001", None, 404, "the model does not know user '0001'"),
    ("GET", "/v1/similar?item=Toy", None, 404, "item: the model does not know item 'Toy'; "),
    ("GET", "/v1/recommend", None, 422, "user: Field required."),
    ("POST", "/v1/recommend", {"user": 2**70}, 404, f"the model does not know user {2**70}"),
    ("POST", "/v1/recommend", {"user": 4.5}, 422, "Input should be a valid integer."),
    ("POST", "/v1/recommend", {"user": 1, "n": "4"}, 422, "n: expected a whole number."),
    ("POST", "/v1/recommend", {"user": 1, "include_seen": 0}, 422, "include_seen: Input should be a valid b"),
    ("POST", "/v1/recommend", {"ratings": [{"item": 1, "rating": "5"}]}, 422, "should be a valid number."),
    ("POST", "/v1/recommend", {"user": 1, "filters": {"year_to": 20000}}, 422, "should be less than or e"),
    ("GET", "/v1/recommend?user=1" + 31 * "&genre=Drama", None, 422, "genre: List should have at most 30 "),
    ("GET", f"/v1/similar?item={1001 * 'x'}", None, 422, "item: String should have at most 1000 characters."),
    ("GET", "/v1/similar?item=1&genre=Jazz", None, 404, "genres: found 'Jazz'; expected of "),
    ("GET", "/v1/recommend?user=1&n=0", None, 422, "n: Input should be greater than or equal to 1."),
    ("GET", "/v1/recommend?user=1&n=31", None, 422, "n: found 31; expected at most 30."),
    ("GET", "/v1/recommend?user=1&order=taste", None, 422, "order: Input should be 'affinity' or 'rating'."),
    ("GET", "/v1/recommend?user=1&genre=Jazz", None, 404, "genres: found 'Jazz'; expected of "),
    ("POST", "/v1/recommend", {}, 422, "found both or none of user and ratings; expected one of them."),
    ("POST", "/v1/recommend", {"user": True}, 422, "user.int: Input should be a valid integer."),
    ("POST", "/v1/recommend", {"user": 1, "N": 3}, 422, "N: Extra inputs are not permitted."),
    ("POST", "/v1/recommend", {"ratings": LONG}, 422, "ratings: found 6; expected at most 5."),
    ("POST", "/v1/recommend", {"ratings": LONG[:2]}, 422, "is rated twice; expected one rating"),
    ("POST", "/v1/recommend", {"ratings": [{"item": 1, "rating": 9}]}, 422, "a rating of 9; expected a "),
    ("POST", "/v1/recommend", {"user": 1, "order": "affinity", "alpha": 1}, 422, "affinity together with "),
    ("POST", "/v1/recommend", {"user": 1, "filters": YEARS}, 422, "years: found 3 to 2"),
    ("POST", "/v1/predict", {"ratings": PROFILE}, 422, "expected either pairs, or ratings together with "),
    ("POST", "/v1/predict", {"pairs": PAIR * 7}, 422, "pairs: found 7; expected at most 6."),
    ("POST", "/v1/recommend", {"user": "x" * 5000}, 413, "found a body of more than 4,000 bytes"),
    ("GET", "/nothing", None, 404, "Not Found: GET /nothing; /docs tells what there is"),
    ("DELETE", "/health", None, 405, "Method Not Allowed: DELETE /health"),
]  # fmt: skip


def test_what_is_wrong_is_said_in_one_line_of_json(live):
    answers = ask(
        live, *((method, url, body) if body is not None else (method, url) for method, url, body, *_ in WRONG)
    )
    for (method, url, _, status, text), answer in zip(WRONG, answers, strict=True):
        assert answer.status_code == status, (method, url, answer.text)
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["error"]
        assert text in answer.json()["error"], (method, url)
        assert "\n" not in answer.json()["error"]


def test_a_body_that_is_no_json_is_said_to_be_none(live):
    bodies = [b"\xff", b'{"user": "\xc3"}', b"[" * 100_000, b"", b"null", b"{", b'{"user": 1e999}']
    service = make_service(live, Limits(max_body=1_000_000))

    async def ask_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=service)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            head = {"content-type": "application/json"}
            return [await client.post("/v1/recommend", content=body, headers=head) for body in bodies]

    for body, answer in zip(bodies, asyncio.run(ask_all()), strict=True):
        assert (answer.status_code, list(answer.json())) == (422, ["error"]), body


def test_an_address_tells_all_methods_that_it_takes(live):
    answers = ask(live, *(("OPTIONS", f"/v1/{name}") for name in ("recommend", "similar", "explain")))
    assert [(one.status_code, one.headers["allow"]) for one in answers] == [
        (405, "GET, POST"), (405, "GET"), (405, "POST")
    ]  # fmt: skip


def test_the_document_tells_what_is_taken(live, model):
    [answer] = ask(live, ("GET", "/openapi.json"))
    document = answer.json()
    schemas = document["components"]["schemas"]
    assert (schemas["RecommendQuestion"]["properties"]["n"]["minimum"],
            schemas["RecommendQuestion"]["properties"]["n"]["maximum"]) == (1, LIMITS.max_n)  # fmt: skip
    for kind in ("RecommendQuestion", "ExplainQuestion", "PredictQuestion"):
        assert schemas[kind]["properties"]["ratings"]["anyOf"][0]["maxItems"] == LIMITS.max_profile
    assert schemas["PredictQuestion"]["properties"]["pairs"]["anyOf"][0]["maxItems"] == LIMITS.max_pairs
    rating = schemas["RatingGiven"]["properties"]["rating"]
    assert (rating["minimum"], rating["maximum"]) == model.profile_limits
    lengths = [one for one in document["paths"]["/v1/similar"]["get"]["parameters"] if one["name"] == "n"]
    assert lengths[0]["schema"]["maximum"] == LIMITS.max_n
    for kind, names in (("RecommendQuestion", ["user"]), ("PredictQuestion", ["pairs"])):
        assert schemas[kind]["oneOf"][0]["required"] == names
        assert schemas[kind]["oneOf"][0]["properties"]["ratings"] == {"type": "null"}
    year = schemas["FilterSpec"]["properties"]["year_from"]["anyOf"][0]
    assert year == {"type": "integer", "minimum": -10_000, "maximum": 10_000}


def test_whole_numbers_may_be_written_with_a_point(live):
    """JSON has one kind of number, and some languages write 7 as 7.0."""
    plain = {"ratings": [{"item": 1, "rating": 3}], "n": 2, "filters": {"year_from": 1900}}
    pointed = {"ratings": [{"item": 1.0, "rating": 3.0}], "n": 2.0, "filters": {"year_from": 1900.0}}
    one, other = ask(live, ("POST", "/v1/recommend", plain), ("POST", "/v1/recommend", pointed))
    assert (one.status_code, one.content) == (200, other.content)


def test_filters_that_leave_nothing_leave_an_empty_list(live):
    for answer in ask(
        live,
        *(
            ("GET", f"/v1/recommend?user=1&min_ratings=100000&order={order}")
            for order in ("rating", "affinity")
        ),
        ("GET", "/v1/similar?item=1&min_ratings=100000"),
    ):
        assert listed(answer, "item") == []


def test_a_token_guards_all_that_tells_of_the_model(live):
    paths = ["/v1/recommend?user=1", "/metrics", "/health", "/docs", "/docs/files/swagger-ui.css", "/nothing"]
    asked = [("GET", path) for path in paths]
    closed = [answer.status_code for answer in ask(live, *asked, token="secret")]
    assert closed == [401, 401, 200, 200, 200, 401]
    shown = ask(live, *asked, token="secret", headers={"Authorization": "Bearer secret"})
    assert [answer.status_code for answer in shown] == [200, 200, 200, 200, 200, 404]
    [wrong] = ask(live, asked[0], token="secret", headers={"Authorization": "Bearer Secret"})
    assert (wrong.status_code, "www-authenticate" in wrong.headers) == (401, True)
    assert "http" not in shown[3].text.replace("http-equiv", "").replace("http://here", ""), "from here alone"


def test_too_slow_too_many_and_faults_are_told_and_the_service_goes_on(live, monkeypatch):
    quick = ("GET", "/v1/similar?item=1")
    slow = Limits(time_limit=0.2, max_waiting=1)

    def sleeping(self, question):
        time.sleep(0.5)
        return b"{}"

    monkeypatch.setattr(Answers, "recommend", sleeping)
    statuses = [one.status_code for one in ask(live, *[("GET", "/v1/recommend?user=1")] * 6, limits=slow)]
    assert set(statuses) == {503, 504}

    def broken(self, question):
        raise ZeroDivisionError("the text quotes a rating: 4.5")

    monkeypatch.setattr(Answers, "recommend", broken)
    first, second = ask(live, ("GET", "/v1/recommend?user=1"), quick)
    assert (first.status_code, second.status_code) == (500, 200)
    assert first.json() == {"error": "the service failed; its log tells more"}


@pytest.mark.parametrize(
    ("broken", "order", "other"),
    [("top_items", "rating", "affinity"), ("top_of_scores", "affinity", "rating")],
)
def test_a_list_that_cannot_be_scored_ends_no_thread(live, monkeypatch, broken, order, other):
    def failing(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(f"daskals.serving.web.batches.{broken}", failing)
        asked = [("GET", f"/v1/recommend?user={user}&order={order}") for user in range(1, 9)]
        answers = ask(live, *asked, ("GET", f"/v1/recommend?user=1&order={other}"))
    assert [one.status_code for one in answers] == [500] * 8 + [200]


def test_lists_by_affinity_that_wait_together_are_scored_together(live, monkeypatch):
    calls, scores_of = [], OrderScorer.scores_of
    held = threading.Event()

    def counted(self, known, factors):
        held.wait(5.0)  # while the first is scored the others gather
        calls.append(len(factors))
        return scores_of(self, known, factors)

    monkeypatch.setattr(OrderScorer, "scores_of", counted)
    threading.Timer(0.3, held.set).start()
    answers = ask(live, *[("GET", f"/v1/recommend?user={1 + k % 8}&order=affinity") for k in range(24)])
    assert [one.status_code for one in answers] == [200] * 24
    assert sum(calls) == 24
    assert len(calls) <= 6


def test_users_whose_ratings_are_gone_are_told_apart_from_wrong_requests(live, monkeypatch):
    def gone(self, remedy):
        raise StoreError("does not exist", where="ratings.store")

    bare = Answers(replace(live.state.answers.model, kept=None), "bare", 1)
    monkeypatch.setattr(Model, "history", gone)
    monkeypatch.setattr(live, "state", live.state._replace(answers=bare))
    of_the_model, new = ask(
        live, ("GET", "/v1/recommend?user=1"), ("POST", "/v1/recommend", {"ratings": PROFILE})
    )
    assert (of_the_model.status_code, new.status_code) == (503, 200)


def test_log_and_figures_tell_of_requests_but_not_who_rated_what(live, caplog):
    with caplog.at_level(logging.INFO, logger="daskals.serve"):
        *_, figures = ask(
            live,
            ("GET", "/v1/recommend?user=77"),
            ("POST", "/v1/recommend", {"ratings": [{"item": "Psycho (1960)", "rating": 4.5}]}),
            ("GET", "/v1/unheard-of/77"),
            ("GET", "/metrics"),
        )
    lines = [vars(record) for record in caplog.records if record.getMessage() == "request"]
    assert [line["route"] for line in lines].count("/v1/recommend") == 2
    written = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert {name for line in written for name in line} <= {"time", "level", "event", *FIELDS}
    told = json.dumps([{**line, "time": "", "id": "", "ms": "", "bytes": ""} for line in written])
    for secret in ("77", "Psycho", "4.5", "unheard"):
        assert secret not in told
    assert {line["route"] for line in lines} == {"/v1/recommend", "other", "/metrics"}
    assert 'daskals_model{model="' in figures.text
    assert "daskals_model_generation 1.0" in figures.text


def test_a_newer_version_is_taken_up_and_a_damaged_one_is_told(folder, model, tmp_path, monkeypatch):
    monkeypatch.setattr("daskals.serving.live_model.POLL_SECONDS", 0.0)
    registry = Registry(tmp_path / "registry")
    first = publish_run(registry, folder, name="first", aliases=[CHAMPION])
    taken_up: list[str] = []
    live = Live(tmp_path / "registry", lambda: taken_up.append(live.state.answers.name if taken_up else ""))
    [health] = ask(live, ("GET", "/health"))
    assert (health.json()["model"], health.json()["generation"]) == (first.id, 1)
    other = replace(model, item_rows=model.item_rows[:, :].copy())
    other.item_rows[0, : model.rank] *= -1
    other.save(tmp_path / "other")
    second = publish_run(registry, tmp_path / "other", name="second", aliases=[CHAMPION])
    live.look()
    live.look()
    assert taken_up == ["", second.id]
    health, recommended = ask(live, ("GET", "/health"), ("GET", "/v1/recommend?user=1&order=rating"))
    assert (health.json()["model"], health.json()["generation"]) == (second.id, 2)
    assert listed(recommended, "item", "score") == as_model(
        other.recommend(1, order="rating"), "item", "score"
    )
    shutil.rmtree(tmp_path / "registry" / "files")
    live._server._stamp = None  # as if another version had been published
    live.look()
    health, again = ask(live, ("GET", "/health"), ("GET", "/v1/recommend?user=1&order=rating"))
    assert health.json()["model"] == second.id
    assert f"version {second.id}: catalogue.parquet is missing" in health.json()["notice"]
    assert again.json() == recommended.json()


def test_what_lasts_is_spared_by_collections_of_garbage():
    try:
        spare_what_lasts()
        assert gc.get_freeze_count() > 10_000
        assert sum(map(len, map(gc.get_objects, range(3)))) < gc.get_freeze_count() / 10
    finally:
        gc.unfreeze()


def test_the_command_refuses_before_it_serves(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("DASKALS_TOKEN", raising=False)
    open_to_all = run(serve, folder, "--host", "0.0.0.0")
    assert open_to_all.exit_code == 1
    assert "--host: found 0.0.0.0, where other machines reach it, and no token" in open_to_all.output
    assert (
        "--max-n: found '0'; expected greater than or equal to 1" in run(serve, folder, "--max-n", 0).output
    )
    with pytest.raises(ModelError, match="does not exist"):
        Live(tmp_path / "nowhere")
    assert run(serve, folder, "--openapi", tmp_path / "api.json").exit_code == 0
    document = json.loads((tmp_path / "api.json").read_text())
    assert document["paths"].keys() == {
        "/v1/recommend", "/v1/explain", "/v1/predict", "/v1/similar", "/health", "/metrics"
    }  # fmt: skip
