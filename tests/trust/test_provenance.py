"""Provenance and bills of materials: their fields by hand, and by the libraries of the formats."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import zoo_core
from zoo_core.cli.group import zoo
from zoo_core.config import dump_json
from zoo_core.errors import NotFoundError, UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.testing.hub import LoopbackHub
from zoo_core.trust.bom import bill_of_materials
from zoo_core.trust.provenance import provenance

from .helpers import TRAINING

pytest_plugins = ["zoo_core.testing.hub"]


@pytest.fixture
def reference(run: Path, fakes: None) -> str:
    return f"local:{run}"


def printed(*args: str) -> Any:
    done = CliRunner().invoke(zoo, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_statement_says_recipe_data_versions_and_commit(run: Path, reference: str) -> None:
    statement = json.loads(printed("show", reference, "--provenance"))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (run / "export").iterdir()}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": name, "digest": {"sha256": digests[name]}} for name in ("model.safetensors", "config.json")]
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["externalParameters"] == {"recipe": TRAINING["recipe"], "command": TRAINING["command"]}
    data, python, *code = definition["resolvedDependencies"]
    assert data["digest"] == {"sha256": "cd" * 32}
    assert data["annotations"]["config"] == {"name": "folder", "path": "cats"}
    assert python["uri"] == "pkg:generic/python@3.11.7"
    core = {"name": "zoo-core", "uri": "pkg:pypi/zoo-core@0.1.0", "digest": {"gitCommit": "ab" * 20}}
    assert code == [{"name": "torch", "uri": "pkg:pypi/torch@2.15.0"}, core]
    assert details["builder"]["id"] == "pkg:pypi/zoo-core@0.1.0"
    assert details["byproducts"] == [{"name": "training.json", "digest": {"sha256": digests["training.json"]}}]


def test_the_library_of_in_toto_accepts_the_statement_and_every_field_of_the_predicate(reference: str) -> None:
    statements = pytest.importorskip("in_toto_attestation.v1.statement")
    slsa = pytest.importorskip("in_toto_attestation.predicates.provenance.v1.provenance_pb2")
    from google.protobuf.json_format import Parse, ParseError

    statement = provenance(fetch(reference)).to_dict()
    statements.Statement.copy_from_pb(Parse(json.dumps(statement), statements.spb.Statement())).validate()
    predicate = Parse(json.dumps(statement["predicate"]), slsa.Provenance())
    assert predicate.build_definition.resolved_dependencies[0].digest == {"sha256": "cd" * 32}
    with pytest.raises(ParseError, match="no field named"):
        Parse(json.dumps({**statement["predicate"], "recipe": {}}), slsa.Provenance())


def test_teachers_and_uncommitted_changes_are_named(run: Path, reference: str) -> None:
    teacher = {"reference": "ddpm-afhq-cat", "sha256": "ef" * 32}
    training = {**TRAINING, "recipe": {"trainer": {"teacher": teacher}}, "commit": "ab" * 20 + "+changes", "commits": {"zoo-x": "12" * 20}}
    (run / "export" / "training.json").write_text(dump_json(training))
    needed = {entry["name"]: entry for entry in provenance(fetch(reference)).predicate["buildDefinition"]["resolvedDependencies"]}
    assert needed["ddpm-afhq-cat"]["digest"] == {"sha256": "ef" * 32}
    assert needed["zoo-core"]["annotations"] == {"uncommitted changes": True}
    assert needed["zoo-x"]["digest"] == {"gitCommit": "12" * 20}


@pytest.mark.parametrize(
    "training", [{}, {"recipe": 3, "versions": [], "data": 1, "commit": 5}, {"versions": {"torch": 3, "\ud800": "\ud800"}, "commit": "x"}]
)
def test_a_record_of_any_shape_gives_a_statement(run: Path, reference: str, training: dict[str, Any]) -> None:
    (run / "export" / "training.json").write_text(dump_json(training))
    assert provenance(fetch(reference)).to_dict()["subject"]


def test_a_recipe_of_any_depth_gives_a_statement_and_only_digests_are_said(run: Path, reference: str) -> None:
    recipe: dict[str, Any] = {"reference": "deep", "sha256": "ef" * 32}
    for _ in range(900):
        recipe = {"part": recipe}
    text = dump_json({**TRAINING, "recipe": 0, "data": {"count": 1, "digest": "../x"}})
    (run / "export" / "training.json").write_text(text.replace('"recipe": 0', f'"recipe": {json.dumps(recipe)}'))
    names = {entry["name"]: entry for entry in provenance(fetch(reference)).predicate["buildDefinition"]["resolvedDependencies"]}
    assert "deep" not in names
    assert "digest" not in names["data"]


def test_without_a_record_there_is_no_statement(run: Path, reference: str) -> None:
    (run / "export" / "training.json").unlink()
    with pytest.raises(NotFoundError, match=r"has no training\.json: nothing says how it was trained"):
        provenance(fetch(reference))
    with pytest.raises(UsageError, match="a document of its own"):
        CliRunner().invoke(zoo, ["show", reference, "--provenance", "--card"], catch_exceptions=False)


def bom_of(reference: str, out: Path) -> dict[str, Any]:
    printed("export", reference, "--bom", "--out", str(out))
    loaded: dict[str, Any] = json.loads(out.read_text())
    return loaded


def test_a_bill_of_materials_has_the_files_the_data_and_the_packages(run: Path, reference: str, hub: LoopbackHub, tmp_path: Path) -> None:
    bom = bom_of(reference, tmp_path / "bom.json")
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    parts = {part["bom-ref"]: part for part in bom["components"]}
    assert len(parts) == len(bom["components"])
    weights = hashlib.sha256((run / "export" / "model.safetensors").read_bytes()).hexdigest()
    assert parts["file:model.safetensors"]["hashes"] == [{"alg": "SHA-256", "content": weights}]
    assert parts["data"]["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert parts[f"pkg:pypi/zoo-core@{zoo_core.__version__}"]["version"] == zoo_core.__version__
    assert {part["name"] for part in bom["components"]} >= {"torch", "numpy", "safetensors", "zoo-fake"}
    needed = bom["dependencies"][0]
    assert (needed["ref"], set(needed["dependsOn"])) == ("model", set(parts))
    assert bom["metadata"]["component"]["modelCard"]["modelParameters"]["architectureFamily"] == "fake"
    assert bom_of(reference, tmp_path / "again.json") == bom


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "realnvp-moons", "ddpm-afhq-cat"])
def test_the_schema_of_cyclonedx_accepts_it(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    reference = request.getfixturevalue("reference") if name == "local" else name
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    bom = bom_of(reference, tmp_path / "bom.json")
    assert validator.validate_str(json.dumps(bom)) is None
    if name == "ddpm-afhq-cat":
        assert bom["metadata"]["component"]["licenses"] == [{"license": {"id": "CC-BY-NC-4.0"}}]
        assert len(bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]) > 5
    assert validator.validate_str(json.dumps({**bom, "components": [*bom["components"], {"type": "nothing"}]})) is not None


def test_a_repository_is_named_by_its_commit_and_an_unknown_licence_by_its_name() -> None:
    facts = {**zoo_core.info("realnvp-moons"), "hub": {"repo": "zoo/moons", "commit": "12" * 20}, "license": "openrail"}
    model = bill_of_materials(facts, {}, {})["metadata"]["component"]
    assert model["purl"] == f"pkg:huggingface/zoo/moons@{'12' * 20}"
    assert model["licenses"] == [{"license": {"name": "openrail"}}]


def test_numbers_have_intervals_of_two_standard_errors_and_licences_the_ids_of_spdx() -> None:
    record = {"metric": "fd", "value": 5.0, "stderr": 0.5, "dataset": "mnist"}
    facts = {**zoo_core.info("realnvp-moons"), "license": "cc-by-nc-4.0", "metrics": {"metrics": [record]}}
    model = bill_of_materials(facts, {}, {})["metadata"]["component"]
    assert model["licenses"] == [{"license": {"id": "CC-BY-NC-4.0"}}]
    [number] = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    interval = {"lowerBound": "4.0", "upperBound": "6.0"}
    assert number == {"type": "fd", "value": "5.0", "slice": "mnist", "confidenceInterval": interval}


@pytest.mark.parametrize("digest", ["zz" * 32, "AB" * 32, "ab" * 20, 5, None])
def test_what_is_no_number_and_no_digest_is_left_out(digest: object) -> None:
    facts = {**zoo_core.info("realnvp-moons"), "metrics": {"metrics": [{"metric": 5}]}, "training": {"data": {"digest": digest}}}
    bom = bill_of_materials(facts, {}, {})
    assert bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == []
    [data] = [part for part in bom["components"] if part["type"] == "data"]
    assert "hashes" not in data
