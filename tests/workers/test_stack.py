"""A stack's workbooks are loaded by processes and by Dask workers, which talk over TLS: each opens the stack itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme
from distributed import Security

from retailpipe import Environment
from tests.conftest import Program
from tests.support.dask_cluster import Cluster
from tests.support.many_workbooks import assert_each_loaded_once

SETTINGS = {
    "CA_FILE": "ca.pem",
    **{f"{role}__CERT": "own.pem" for role in ("SCHEDULER", "WORKER", "CLIENT")},
    **{f"{role}__KEY": "own.key" for role in ("SCHEDULER", "WORKER", "CLIENT")},
}


@pytest.fixture
def security(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Security:
    """Certificates, which Dask's variables name."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    own = authority.issue_cert("127.0.0.1")
    own.cert_chain_pems[0].write_to_path(folder / "own.pem")
    own.private_key_pem.write_to_path(folder / "own.key")
    for name, file in SETTINGS.items():
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", str(folder / file))
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "true")
    ca, cert, key = (str(folder / name) for name in ("ca.pem", "own.pem", "own.key"))
    return Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)


def test_workers_load_the_workbooks_of_a_stack(
    on_aws: Environment, samples: Path, security: Security, tmp_path: Path, program: Program
) -> None:
    files = sorted(samples.iterdir())[:6]

    here = program("ingest", "--stack", "dev", "--jobs", "2", *files[:3])
    with Cluster(tmp_path, security) as cluster:
        cluster.add_workers(1)
        assert cluster.address.startswith("tls://")
        there = program("ingest", "--stack", "dev", "--workers", cluster.address, "--json", *files[3:])

    assert here.returncode == 0, here.stderr
    assert there.returncode == 0, there.stderr
    assert [load["status"] for load in json.loads(there.stdout)] == ["loaded"] * 3
    assert_each_loaded_once(on_aws, [f"input/{file.name}" for file in files])
