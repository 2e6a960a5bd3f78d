"""Requests made from the OpenAPI document: whatever fits it or breaks it, no 5xx and no answer it does not describe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from tests.runtime.station.serving_station import Serving, serving

OF_FORMS = [schemathesis.checks.positive_data_acceptance, schemathesis.checks.negative_data_rejection]
CASES, CASES_FULL = 300, 2000
WITHOUT_INPUT = 7
"""Operations for which there is one request only."""


@pytest.fixture(scope="module")
def running(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(bundle_folder, tmp_path_factory.mktemp("serving")) as station:
        yield station


def test_no_request_breaks_the_service(running: Serving, pytestconfig: pytest.Config) -> None:
    schema = schemathesis.openapi.from_url(f"{running.url}/api/v1/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) == 21
    wanted = CASES_FULL if pytestconfig.getoption("--full") else CASES
    asked: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    each = -(-wanted // (len(operations) - WITHOUT_INPUT)) + 1
    for operation in operations:
        strategy = st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        )

        @settings(
            max_examples=each, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=strategy)
        def ask(case: Any) -> None:
            answer = case.call()
            asked[case.operation.label] += 1
            statuses[answer.status_code] += 1
            # No schema can say what an image is, so a form of other files is refused though it fits; and all fields
            # of a form are text, so a number in a subject's place is a subject.
            case.validate_response(answer, excluded_checks=OF_FORMS if case.path == "/api/v1/predict" else [])

        ask()
    assert set(asked) == {operation.label for operation in operations}
    print(asked, statuses)
    assert sum(asked.values()) >= wanted
    assert not [status for status in statuses if status >= 500]
