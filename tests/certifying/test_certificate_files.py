"""Certificates that were edited or made to deceive, and the keys of environments."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from retailpipe import Environment, StoreError, UsageError, certify, check_certificate, forget
from retailpipe.certifying.envelope import read_envelope, sealed, signed_bytes
from retailpipe.certifying.keys import EnvironmentKey, PublicKey
from tests.certifying.conftest import certified

Document = dict[str, Any]


@pytest.fixture
def certificate(offline: Environment) -> Path:
    """The certificate of shop.xlsx."""
    return next((offline.folder / "certificates").glob("*.json"))


def problem(environment: Environment, certificate: Path) -> str:
    """The only problem of a certificate that is wrong."""
    check = check_certificate(environment, certificate)
    assert not check.ok
    [found] = check.problems
    return found


def payload(certificate: Path) -> bytes:
    return base64.b64decode(json.loads(certificate.read_text())["payload"])


def signed_by(certificate: Path, key: EnvironmentKey, content: bytes) -> None:
    """Replace the certificate by one with another payload, which a key has signed."""
    certificate.write_bytes(sealed(content, key.public_key.sha256, key.sign(signed_bytes(content))))


def test_edited_payload_is_found(offline: Environment, certificate: Path) -> None:
    document = json.loads(certificate.read_text())
    edited = payload(certificate).replace(b'"in_bronze":4', b'"in_bronze":5')
    document["payload"] = base64.b64encode(edited).decode()
    certificate.write_text(json.dumps(document))

    assert problem(offline, certificate) == "its signature is wrong: it was changed, or another key signed it"


def test_missing_certificate_is_named(offline: Environment) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*missing\.json"):
        check_certificate(offline, offline.folder / "missing.json")


def test_every_changed_bit_of_the_payload_is_found(offline: Environment, certificate: Path) -> None:
    document = json.loads(certificate.read_text())
    original = bytearray(payload(certificate))
    for place in range(0, len(original), 97):
        edited = bytearray(original)
        edited[place] ^= 1
        certificate.write_text(json.dumps({**document, "payload": base64.b64encode(edited).decode()}))
        assert "its signature is wrong" in problem(offline, certificate)


def test_certificate_that_another_key_signed_is_found(offline: Environment, certificate: Path, tmp_path: Path) -> None:
    other = EnvironmentKey.of(tmp_path / "other")
    signed_by(certificate, other, payload(certificate))
    fingerprint = other.public_key.sha256

    assert f"it was signed with key '{fingerprint}', which is not one of this environment" in problem(
        offline, certificate
    )


def test_exchanged_public_key_is_found(offline: Environment, certificate: Path, tmp_path: Path) -> None:
    other = EnvironmentKey.of(tmp_path / "other")
    [public] = certificate.parent.glob("key-*.pem")
    public.write_text(other.public_key.pem)

    assert f"not with {other.public_key.sha256}" in problem(offline, certificate)


def test_signature_that_names_a_trusted_key_must_be_of_it(
    offline: Environment, certificate: Path, tmp_path: Path
) -> None:
    mine, other = EnvironmentKey.of(offline.folder), EnvironmentKey.of(tmp_path / "other")
    content = payload(certificate)
    certificate.write_bytes(sealed(content, mine.public_key.sha256, other.sign(signed_bytes(content))))

    assert "its signature is wrong" in problem(offline, certificate)


def test_key_can_be_given(offline: Environment, certificate: Path, tmp_path: Path) -> None:
    [public] = certificate.parent.glob("key-*.pem")
    stranger = Environment.local(tmp_path / "stranger", database_url="postgresql://nobody@127.0.0.1:9/none")
    other = tmp_path / "other.pem"
    other.write_text(EnvironmentKey.of(tmp_path / "other").public_key.pem)

    assert check_certificate(stranger, certificate, key=public).ok
    assert "if you trust that key, pass its file with --key" in problem(stranger, certificate)
    assert not check_certificate(stranger, certificate, key=other).ok


def test_other_workbook_is_found(offline: Environment, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.xlsx").write_bytes(b"another")

    check = check_certificate(offline, certificate, workbook=tmp_path / "shop.xlsx")

    assert "is not its workbook" in check.problems[0]


def test_certificate_of_a_forgotten_load_is_found(loaded: Environment) -> None:
    certificate = Path(certified(loaded).certificate)
    forget(loaded, "input/shop.xlsx", keep_workbook=True)

    check = check_certificate(loaded, certificate, warehouse=True)
    assert check.problems == ("load 1 of input/shop.xlsx is not in the warehouse any more",)


def _without_signature(document: Document) -> Document:
    return {**document, "signatures": []}


def _with_two_signatures(document: Document) -> Document:
    return {**document, "signatures": document["signatures"] * 2}


def _of_another_type(document: Document) -> Document:
    return {**document, "payloadType": "text/plain"}


def _with_more(document: Document) -> Document:
    return {**document, "more": 1}


def _with_a_path_as_key(document: Document) -> Document:
    return {**document, "signatures": [{**document["signatures"][0], "keyid": "../../etc/passwd"}]}


def _not_base64(document: Document) -> Document:
    return {**document, "payload": "§" + document["payload"]}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_without_signature, "exactly one signature"),
        (_with_two_signatures, "exactly one signature"),
        (_of_another_type, "its payloadType is 'text/plain'"),
        (_with_more, "it is not a DSSE envelope"),
        (_with_a_path_as_key, "not one of this environment"),
        (_not_base64, "its payload is not base64"),
    ],
)
def test_envelope_of_another_form_is_refused(
    offline: Environment, certificate: Path, edit: Callable[[Document], Document], words: str
) -> None:
    certificate.write_text(json.dumps(edit(json.loads(certificate.read_text()))))

    assert words in problem(offline, certificate)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not JSON"),
        (b"[1]", "it is not a JSON object"),
        (b"\xff\xfe", "it is not JSON"),
        (b'{"payload": "a", "payload": "b"}', "the same key twice"),
        (b'{"payload": NaN}', "the number NaN"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested too deeply"),
        (b'{"payload": ' + b"9" * 5_000 + b"}", "it is not JSON"),
        (b'"' + b"a" * (1 << 20) + b'"', "more than 1,048,576 bytes"),
    ],
    ids=["empty", "list", "not UTF-8", "repeated key", "NaN", "deep list", "deep object", "long number", "huge"],
)
def test_hostile_json_is_refused(offline: Environment, certificate: Path, content: bytes, words: str) -> None:
    certificate.write_bytes(content)

    assert words in problem(offline, certificate)


def _other_statement(document: Document) -> None:
    document["_type"] = "https://in-toto.io/Statement/v0.1"


def _other_predicate(document: Document) -> None:
    document["predicateType"] = "https://slsa.dev/provenance/v1"


def _no_subject(document: Document) -> None:
    document["subject"] = []


def _other_rows(document: Document) -> None:
    document["predicate"]["rows"]["in_workbook"] = 7


def _lost_cells(document: Document) -> None:
    document["predicate"]["cells"]["lost"] = 1


def _other_digest(document: Document) -> None:
    document["predicate"]["columns"][1]["sha256"] = "0" * 64


def _broken_invariant(document: Document) -> None:
    document["predicate"]["invariants"][0]["ok"] = False


def _text_as_count(document: Document) -> None:
    document["predicate"]["rows"]["in_bronze"] = "4"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_other_statement, "its statement is not an https://in-toto.io/Statement/v1"),
        (_other_predicate, "it is a statement of another kind"),
        (_no_subject, "its statement has another form"),
        (_other_rows, "are not those of the workbook"),
        (_lost_cells, "its cells do not add up"),
        (_other_digest, "the digest of the table is not that of its columns"),
        (_broken_invariant, "it lists an invariant that does not hold"),
        (_text_as_count, "'4' is not a count"),
    ],
)
def test_signed_statement_that_contradicts_itself_is_refused(
    offline: Environment, certificate: Path, edit: Callable[[Document], None], words: str
) -> None:
    document = json.loads(payload(certificate))
    edit(document)
    signed_by(certificate, EnvironmentKey.of(offline.folder), json.dumps(document).encode())

    assert words in problem(offline, certificate)


def test_names_in_a_certificate_do_not_reach_the_database(loaded: Environment) -> None:
    certificate = Path(certified(loaded).certificate)
    document = json.loads(payload(certificate))
    document["predicate"]["columns"][1]["name"] = '" from bronze.loads; drop table bronze.loads; --'
    signed_by(certificate, EnvironmentKey.of(loaded.folder), json.dumps(document).encode())

    check = check_certificate(loaded, certificate, warehouse=True)

    assert any("has no column" in each for each in check.problems)
    assert certify(loaded)[0].ok


def test_payload_with_a_repeated_key_is_refused_though_it_is_signed(offline: Environment, certificate: Path) -> None:
    content = payload(certificate).replace(b'{"_type"', b'{"_type":"x","_type"', 1)
    signed_by(certificate, EnvironmentKey.of(offline.folder), content)

    assert problem(offline, certificate) == "its payload has the same key twice in an object"


def test_signed_bytes_are_those_of_the_standard() -> None:
    assert signed_bytes(b"{}") == b"DSSEv1 28 application/vnd.in-toto+json 2 {}"
    assert read_envelope(sealed(b"{}", "key", b"s")).opened(lambda message, sig: sig == b"s") == {}


def test_private_key_is_for_its_owner_alone(offline: Environment, certificate: Path) -> None:
    key = certificate.parent / "private_key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600

    key.chmod(0o644)

    with pytest.raises(StoreError, match="other users can read the key"):
        EnvironmentKey.of(offline.folder)


def test_damaged_private_key_is_named(offline: Environment, certificate: Path) -> None:
    (certificate.parent / "private_key.pem").write_text("no key")

    with pytest.raises(StoreError, match=r"private_key\.pem is damaged"):
        EnvironmentKey.of(offline.folder)


def test_processes_that_start_at_once_use_the_same_key(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from retailpipe.certifying.keys import EnvironmentKey; "
    code += "print(EnvironmentKey.of(Path(sys.argv[1])).public_key.sha256)"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "new")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    fingerprints = {process.communicate(timeout=60)[0].strip() for process in processes}

    assert len(fingerprints) == 1
    assert len(fingerprints.pop()) == 64


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    file = tmp_path / "key.pem"
    file.write_bytes(rsa.generate_private_key(65537, 2048).public_key().public_bytes(*form))
    with pytest.raises(UsageError, match="is a key of another kind"):
        PublicKey.from_file(file)

    file.write_bytes(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*form))
    assert len(PublicKey.from_file(file).sha256) == 64
    file.write_text("x")
    with pytest.raises(UsageError, match="is not a public key"):
        PublicKey.from_file(file)
