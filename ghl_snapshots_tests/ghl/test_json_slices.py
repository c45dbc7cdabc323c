"""Entities are the exact bytes that GHL sent, whatever JSON allows; everything else is a clear error."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ghl.endpoint import Endpoint, Shape
from ghl_snapshots.ghl.json_slices import Answer, read_answer, read_object, texts_at

BARE = Endpoint(snapshot_type=SnapshotType.CALENDARS, path="/bare", holds="", scope="s")
LIST = replace(BARE, items=("items",))
OBJECT = replace(BARE, items=("item",), shape=Shape.OBJECT)
BODY = replace(BARE, shape=Shape.OBJECT)
DEEP = replace(BARE, items=("data.items", "data.others"), more=("data.hasMore",), total=("data.count",))

_SPACE = st.text(alphabet=" \t\n\r", max_size=3)
_DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=40).map(lambda text: text.lstrip("0") or "0")
_NUMBER = st.builds(
    lambda sign, whole, fraction, exponent: sign + whole + fraction + exponent,
    st.sampled_from(["", "-"]),
    _DIGITS,
    st.sampled_from(["", ".0", ".10", ".000"]),
    st.sampled_from(["", "E5", "e-7", "E+400"]),
)
_STRING = st.one_of(
    st.text().map(lambda text: json.dumps(text, ensure_ascii=True)),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])).map(
        lambda text: json.dumps(text, ensure_ascii=False)
    ),
    st.sampled_from([r'"\u0000"', r'"\ud800"', r'"\udfff\ud800"', r'"\/\b"', '"😀"', r'"\uD83D\uDE00"']),
)
_KEY = st.one_of(_STRING, st.sampled_from(['"id"', '"locationId"', '"a"', '"a"', '"items"']))


def _members(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.builds(
        lambda *parts: "".join(parts), _SPACE, _KEY, _SPACE, st.just(":"), _SPACE, values, _SPACE
    )
    return st.lists(member, max_size=4).map(lambda members: "{" + ",".join(members) + "}")


def _list(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    element = st.builds(lambda before, value, after: before + value + after, _SPACE, values, _SPACE)
    return st.lists(element, max_size=4).map(lambda elements: "[" + ",".join(elements) + "]")


JSON_TEXT = st.recursive(
    st.one_of(_NUMBER, _STRING, st.sampled_from(["true", "false", "null"])),
    lambda values: st.one_of(_members(values), _list(values)),
    max_leaves=12,
)
JSON_OBJECT = _members(JSON_TEXT)


def bodies(answer: Answer) -> list[bytes]:
    return [bytes(found.body) for found in answer.entities]


def _kind_of_error(body: bytes, endpoint: Endpoint) -> ErrorKind | None:
    try:
        read_answer(body, endpoint)
    except GhlError as error:
        return error.kind
    return None


@given(elements=st.lists(JSON_OBJECT, max_size=5), before=JSON_TEXT, after=JSON_TEXT, space=_SPACE)
def test_every_element_of_a_list_comes_back_byte_for_byte(
    elements: list[str], before: str, after: str, space: str
) -> None:
    """Whatever stands around the list: spacing, and other keys with any values."""
    items = "[" + space + f"{space},{space}".join(elements) + space + "]"
    body = f'{space}{{"x":{before},{space}"items"{space}:{space}{items},"y":{after}}}{space}'.encode()
    assert bodies(read_answer(body, LIST)) == [element.encode() for element in elements]


@given(elements=st.lists(JSON_OBJECT, max_size=5), space=_SPACE)
def test_every_element_of_a_bare_list_comes_back_byte_for_byte(elements: list[str], space: str) -> None:
    body = (space + "[" + f"{space},".join(elements) + space + "]" + space).encode()
    assert bodies(read_answer(body, BARE)) == [element.encode() for element in elements]


@given(element=JSON_OBJECT, other=JSON_TEXT)
def test_a_single_object_comes_back_byte_for_byte(element: str, other: str) -> None:
    element = f'{element.rstrip()[:-1]}{"," if ":" in element else ""}"id":"asked"}}'
    assert bodies(read_answer(f'{{"y":{other}, "item" : {element}}}'.encode(), OBJECT)) == [element.encode()]


@given(body=st.one_of(st.binary(max_size=60), JSON_TEXT.map(str.encode)))
def test_any_other_body_is_a_malformed_response_and_never_a_crash(body: bytes) -> None:
    kinds = {_kind_of_error(body, endpoint) for endpoint in (LIST, OBJECT, BARE)}
    assert kinds <= {None, ErrorKind.MALFORMED_RESPONSE}


@given(body=JSON_OBJECT)
def test_a_cut_off_answer_is_never_taken_for_a_whole_one(body: str) -> None:
    whole = f'{{"items":[{body}]}}'.encode()
    for length in range(len(whole)):
        with pytest.raises(GhlError):
            read_answer(whole[:length], LIST)


@pytest.mark.parametrize(
    "element",
    [
        rb'{"id":"a","x":"\u0000"}',
        rb'{"id":"a","x":"\ud800"}',
        b'{"id":"a","n":' + b"9" * 5000 + b"}",
        b'{"id":"a","n":1.10,"m":1E5,"k":1e200000,"z":-0}',
        b'{"id":"a","x":1,"x":2}',
        '{"id":"a","x":"😀 é"}'.encode(),
        b'{"id":"a","x":"' + b"y" * 200_000 + b'"}',
        b'{ "id" :\t"a" ,\r\n "x" : [ ] }',
        b'{"id":"a","x":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
    ids=["nul", "surrogate", "digits", "numbers", "duplicate-key", "emoji", "long", "space", "deep"],
)
def test_what_parsing_and_writing_again_would_lose_is_kept(element: bytes) -> None:
    answer = read_answer(b'{"items":[' + element + b"," + element.replace(b'"a"', b'"b"') + b"]}", LIST)
    assert bodies(answer)[0] == element
    assert [found.entity_id for found in answer.entities] == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"<html><body>502 Bad Gateway</body></html>", "not JSON"),
        (b'{"items":[{"id":"a"}', "not JSON"),
        (b'{"items":[{"x":NaN}]}', "NaN is not JSON"),
        (b'{"items":[{"x":-Infinity}]}', "-Infinity is not JSON"),
        (b'{"items":[{"x":"a\x01"}]}', "not JSON"),
        (b'{"items":[{},]}', "not JSON"),
        (b'{"items":[]} trailing', "Extra data"),
        (b'{"items":[{"x":"\xff"}]}', "not UTF-8 at byte 16"),
        (b'{"items":[{"x":"\xed\xa0\x80"}]}', "not UTF-8"),
        (b'{"agents":[]}', "'items' is missing"),
        (b'{"items":null}', "'items' is null, not a list"),
        (b'{"items":{}}', "'items' is an object, not a list"),
        (b'{"items":[{},1]}', r"items\[1\] is a string or number, not an object"),
        (b'{"items":[[]]}', r"items\[0\] is a list, not an object"),
        (b'{"items":[{"id":"a"}],"items":[]}', "'items' is there twice"),
        (b"[]", "the body is a list, not an object with 'items'"),
        (b'{"items":[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", "nested too deep"),
        (b"[" * 1_000_000, "nested too deep"),
    ],
)
def test_a_body_that_is_not_as_documented_is_named(body: bytes, reason: str) -> None:
    with pytest.raises(GhlError, match=reason) as caught:
        read_answer(body, LIST)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE


def test_a_list_where_an_object_belongs_is_named() -> None:
    with pytest.raises(GhlError, match="item is a list, not an object"):
        read_answer(b'{"item":[]}', OBJECT)
    with pytest.raises(GhlError, match="the body is an object, not a list"):
        read_answer(b'{"items":[]}', BARE)


def test_where_a_list_is_optional_the_object_around_it_says_that_there_is_none() -> None:
    optional = replace(BARE, items=("data.items",), is_optional=True)
    assert bodies(read_answer(b'{"data":{},"x":1}', optional)) == []
    assert bodies(read_answer(b'{"data":{"items":[{}]}}', optional)) == [b"{}"]
    for body in (b"{}", b'{"data":null}', b'{"data":[]}', b'{"items":[]}', b'{"data":{"items":null}}'):
        assert _kind_of_error(body, optional) is ErrorKind.MALFORMED_RESPONSE
    assert _kind_of_error(b'{"data":{}}', replace(optional, is_optional=False)) is not None


def test_an_escaped_key_is_the_same_key() -> None:
    assert bodies(read_answer(rb'{"\u0069tems":[{"a":1}]}', LIST)) == [b'{"a":1}']


def test_a_byte_order_mark_does_not_matter() -> None:
    assert bodies(read_answer(b'\xef\xbb\xbf{"items":[{"a":1}]}', LIST)) == [b'{"a":1}']


@pytest.mark.parametrize(
    ("envelope", "total", "has_more"),
    [
        ({}, None, None),
        ({"total": 51}, 51, None),
        ({"totalCount": 0, "count": 9}, 0, None),
        ({"pagination": {"total": 7, "hasMore": True}}, 7, True),
        ({"pagination": None, "hasMore": False}, None, False),
        ({"total": "12"}, 12, None),
        ({"total": -1, "hasMore": "yes"}, None, None),
        ({"total": None, "totalCount": 3}, 3, None),
    ],
)
def test_the_envelope_tells_how_much_there_is(
    envelope: dict[str, Any], total: int | None, *, has_more: bool | None
) -> None:
    answer = read_answer(json.dumps({**envelope, "items": [], "traceId": "t-1"}).encode(), LIST)
    assert (answer.total, answer.has_more, answer.trace_id) == (total, has_more, "t-1")


@pytest.mark.parametrize(
    ("element", "entity_id"),
    [
        ({"id": "a", "_id": "b"}, "a"),
        ({"_id": "b"}, "b"),
        ({"id": 17}, "17"),
        ({"id": None}, None),
        ({"id": ""}, None),
        ({"id": "x" * 3000}, None),
        ({"id": "a\x00\ud800"}, "a\ufffd\ufffd"),
        ({"id": {"nested": 1}}, None),
    ],
)
def test_ids_are_such_as_a_database_can_hold_and_index(
    element: dict[str, Any], entity_id: str | None
) -> None:
    found = read_answer(json.dumps({"items": [element]}).encode(), LIST).entities[0]
    assert found.entity_id == entity_id


def test_an_object_is_read_for_errors_and_tokens() -> None:
    assert read_object(b'{"message":"no","statusCode":401}') == {"message": "no", "statusCode": "401"}
    for body in (b"", b"<html>", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(GhlError) as caught:
            read_object(body)
        assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE


def test_a_body_that_is_the_object_comes_back_byte_for_byte() -> None:
    element = b'{ "id":"a", "traceId":"t", "n":1.10 }'
    answer = read_answer(b" " + element + b"\n", BODY)
    assert bodies(answer) == [element]
    assert (answer.entities[0].entity_id, answer.trace_id) == ("a", None)
    with pytest.raises(GhlError, match="the body is a list, not an object"):
        read_answer(b"[]", BODY)


def test_entities_may_stand_deep_in_an_answer_and_in_several_places() -> None:
    body = b'{"data":{"count":9,"items":[{"id":"a"}],"hasMore":true,"others":[{"id":"b"}]},"traceId":"t"}'
    answer = read_answer(body, DEEP)
    assert bodies(answer) == [b'{"id":"a"}', b'{"id":"b"}']
    assert (answer.total, answer.has_more, answer.trace_id) == (9, True, "t")
    assert bodies(read_answer(b'{"data":{"items":[]}}', DEEP)) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"data":{"others":[]}}', "'data.items' is missing"),
        (b'{"data":[]}', "'data' is a list, not an object with 'items'"),
        (b'{"data":{"items":[1]}}', r"data.items\[0\] is a string or number"),
        (b'{"data":{"items":[]},"data":{"items":[]}}', "'data.items' is there twice"),
    ],
)
def test_what_is_missing_deep_in_an_answer_is_named(body: bytes, reason: str) -> None:
    with pytest.raises(GhlError, match=reason):
        read_answer(body, DEEP)


@pytest.mark.parametrize(
    ("place", "texts"),
    [
        ("id", ["a"]),
        ("n.faqs", ["12"]),
        ("members[].userId", ["u1", "u2"]),
        ("flag", ["true"]),
        ("members", []),
        ("n.missing", []),
    ],
)
def test_a_parents_values_are_read_at_any_depth(place: str, texts: list[str]) -> None:
    body = b'{"id":"a","n":{"faqs":12},"members":[{"userId":"u1"},{},{"userId":"u2"},null],"flag":true}'
    assert texts_at(body, place) == texts
