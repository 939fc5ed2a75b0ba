"""A bill of materials of a checkpoint: CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json), with a model card (ML-BOM).

It is a function of the checkpoint and of what is installed: no date, and an id from the digests.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import UUID, uuid5

from zoo_core.cards.card import LIBRARY
from zoo_core.trust.provenance import distribution_url

__all__ = ["bill_of_materials"]

_NAMESPACE = UUID("0b1e6d0c-6f2c-5a57-9c1d-4f6a3c1b7f11")
# The licences on cards whose names in SPDX differ in more than case from what the Hub calls them are left as names.
_SPDX = (
    *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-SA-4.0", "CC0-1.0"),
    *("MIT", "MPL-2.0", "Unlicense"),
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FRAMEWORKS = ("torch", "numpy", "safetensors")


def bill_of_materials(facts: Mapping[str, Any], digests: Mapping[str, str], distributions: Mapping[str, str]) -> dict[str, Any]:
    """The bill of materials of a checkpoint.

    Args:
        facts: description of :func:`zoo_core.info`.
        digests: sha256 of each file in hex, by its name.
        distributions: versions of zoo-core and of the plugins that it needs, by name.

    Returns:
        A document in JSON values.

    Example:
        >>> import zoo_core
        >>> bom = bill_of_materials(zoo_core.info("realnvp-moons"), {"config.json": "ab" * 32}, {"zoo-core": "0.1.0"})
        >>> bom["metadata"]["component"]["type"], [each["name"] for each in bom["components"]][:2]
        ('machine-learning-model', ['config.json', 'data of realnvp-moons'])
    """
    hub = facts["hub"]
    name = str(facts["name"])
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": name,
        "description": str(facts["summary"]),
        "modelCard": _card(facts),
        **({"version": hub["commit"], "purl": f"pkg:huggingface/{hub['repo']}@{hub['commit']}"} if hub else {}),
        **({"licenses": [{"license": _license(str(facts["license"]))}]} if facts["license"] else {}),
    }
    files = [_file(file, digest) for file, digest in sorted(digests.items())]
    data = [_data(name, facts)] if facts["training"].get("data") or facts["datasets"] else []
    packages = [_package(each, release) for each, release in {**_frameworks(), **distributions}.items()]
    tool = {"type": "application", "name": LIBRARY, "version": distributions.get(LIBRARY, "")}
    needed = [part["bom-ref"] for part in (*files, *data, *packages)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(_NAMESPACE, repr((sorted(digests.items()), sorted(packages, key=str))))}",
        "version": 1,
        "metadata": {"component": model, "tools": {"components": [tool]}},
        "components": [*files, *data, *packages],
        "dependencies": [{"ref": "model", "dependsOn": needed}, *({"ref": ref} for ref in needed)],
    }


def _card(facts: Mapping[str, Any]) -> dict[str, Any]:
    capabilities = sorted(map(str, facts["capabilities"]))
    return {
        "modelParameters": {
            "task": "image classification" if "classify" in capabilities else "generation",
            "architectureFamily": str(facts["family"]),
            "modelArchitecture": f"{facts['family']}, {facts['parameters']} parameters",
            "datasets": [{"ref": "data"}] if facts["training"].get("data") or facts["datasets"] else [],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_numbers(facts["metrics"]))},
        "properties": [{"name": "zoo-core:capability", "value": each} for each in capabilities],
    }


def _numbers(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The numbers of metrics.json, as far as they are numbers."""
    from zoo_core.cards.metrics_json import metric_records
    from zoo_core.errors import ConfigError

    try:
        records = metric_records(metrics) if metrics else ()
    except ConfigError:
        return
    for record in records:
        entry: dict[str, Any] = {"type": str(record["metric"]), "value": repr(record["value"]), "slice": str(record.get("dataset", ""))}
        value, error = record["value"], record.get("stderr")
        if isinstance(error, int | float) and error:
            entry["confidenceInterval"] = {"lowerBound": repr(value - 2 * error), "upperBound": repr(value + 2 * error)}
        yield entry


def _file(name: str, digest: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}


def _data(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The data set, whose digest is that of its decoded samples."""
    recorded = facts["training"].get("data")
    digest = recorded.get("digest") if isinstance(recorded, Mapping) else None
    about: dict[str, Any] = {"type": "dataset", "name": ", ".join(map(str, facts["datasets"])) or "not stated"}
    hashes = {"hashes": [{"alg": "SHA-256", "content": digest}]} if isinstance(digest, str) and _SHA256.fullmatch(digest) else {}
    return {"type": "data", "bom-ref": "data", "name": f"data of {name}", "data": [about], **hashes}


def _package(name: str, release: str) -> dict[str, Any]:
    url = distribution_url(name, release)
    return {"type": "library", "bom-ref": url, "name": name, "version": release, "purl": url}


def _frameworks() -> dict[str, str]:
    found = {}
    for name in _FRAMEWORKS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _license(name: str) -> dict[str, str]:
    """An id of SPDX, or the name as it stands."""
    known = {each.lower(): each for each in _SPDX}
    return {"id": known[name.lower()]} if name.lower() in known else {"name": name}
