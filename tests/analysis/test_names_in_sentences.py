"""A sentence names only metrics and API calls that exist: a misspelled name sends its reader to search for nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import botocore.session

from aurora_analysis import engines

PACKAGE = Path(__file__).parents[2] / "aurora_analysis"
FILES = [
    file for room in ("analysis", "engines", "fetch", "live") for file in PACKAGE.glob(f"{room}/**/*.py")
]
CAMEL = re.compile(r"\b[A-Z][a-z]+(?:[A-Z]+[a-z0-9]*)+\b")
PRODUCTS = {"CloudFormation", "CloudWatch", "InnoDB", "MariaDB", "MySQL", "OpenTelemetry", "PostgreSQL", "TiDB", "DataFrame", "NaN", "ApplicationName", "HttpEndpoint"}  # fmt: skip
SERVICES = ("rds", "rds-data", "pi", "logs", "cloudwatch", "secretsmanager")


def sentences(file: Path) -> Iterator[str]:
    """Texts of several words in a module, without its docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            yield from [node.value] if " " in node.value.strip() else []


def test_each_metric_and_each_call_in_a_sentence_exists():
    """CloudWatch's metrics are those that a fetch knows, and API names are in the services' own models."""
    known = set(PRODUCTS)
    for engine in ("mysql", "postgresql"):
        metrics = engines.module(engine, "metrics")
        known |= {*metrics.INSTANCE_METRICS, *metrics.CLUSTER_METRICS}
    session = botocore.session.get_session()
    for service in SERVICES:
        model = session.get_component("data_loader").load_service_model(service, "service-2")
        known |= {
            *model["operations"],
            *(name for shape in model["shapes"].values() for name in shape.get("members", ())),
        }
    named = {(word, file.name) for file in FILES for text in sentences(file) for word in CAMEL.findall(text)}
    assert len(named) > 20
    assert sorted(one for one in named if one[0] not in known) == []
