"""Statements of another form, dates without a zone, and dates that have just passed are refused."""

import base64
import json
from typing import Any

import pytest

from zoo_core.errors import TrustError
from zoo_core.trust.envelope import after, check_date, date_of, read

DIGEST = "ab" * 32
STATEMENT: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "model.sig", "digest": {"sha256": DIGEST}}],
    "predicateType": "urn:x",
    "predicate": {"serial": 1},
}
TWICE = [{"name": "x", "digest": {"sha256": DIGEST}}, {"name": "x", "digest": {"sha256": "cd" * 32}}]


def bundle(statement: dict[str, Any]) -> bytes:
    """A signature file with that statement, and a signature of nothing."""
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    envelope = {"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "", "keyid": ""}]}
    material = {"verificationMaterial": {"publicKey": {"hint": ""}}, "dsseEnvelope": envelope}
    return json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", **material}).encode()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, r"'https://in-toto.io/Statement/v0.1' is no https"),
        ({"subject": TWICE}, "its subjects are not names with a sha256 each"),
        *(
            ({"subject": [{"name": "x", "digest": {"sha256": odd}}]}, "its subjects are not names with a sha256 each")
            for odd in ("ab" * 20, "AB" * 32, "../x", "")
        ),
        ({"subject": [{"name": "x", "digest": {"sha256": 5}}]}, "'5' is not text"),
        ({"subject": [{"name": 5, "digest": {"sha256": DIGEST}}]}, "'5' is not text"),
        ({"subject": [{"name": "x", "digest": {"sha1": "ab" * 20}}]}, "it has no 'sha256'"),
        ({"subject": 5}, "a value in it is of another type"),
        *(({"predicate": odd}, "its predicate is not an object") for odd in ([], "x", 5, None)),
        ({"predicateType": 5}, "'5' is not text"),
    ],
)
def test_a_statement_of_another_form_is_refused_in_one_line(changes: dict[str, Any], told: str) -> None:
    assert read(bundle(STATEMENT), "x.sig").to_dict() == STATEMENT
    with pytest.raises(TrustError, match=f"x.sig is not a signature file: .*{told}") as caught:
        read(bundle({**STATEMENT, **changes}), "x.sig")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("odd", ["2090-01-01T00:00:00", "2090-01-01", "soon", "", 5, None, "0001-01-01T00:00:00+23:59"])
def test_what_is_no_date_with_a_zone_is_refused(odd: object) -> None:
    assert date_of("2090-01-01T00:00:00Z", "x.sig").year == 2090
    with pytest.raises(TrustError, match=r"x\.sig has '.*' where a date should be"):
        date_of(odd, "x.sig")


def test_a_date_counts_to_the_second() -> None:
    check_date(after(1e-3), "the index", "why", "stop")
    with pytest.raises(TrustError, match=r"the index expired on .*: why -- stop"):
        check_date(after(-1e-5), "the index", "why", "stop")
