"""Scenarios: options and faults from a file."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from simulator.cli import main
from simulator.faults import FaultPlan
from simulator.scenario import read_scenario, shipped_names


def scenario_file(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_shipped_scenarios() -> None:
    """Four come with the simulator."""
    assert shipped_names() == ["calm", "chaos", "rough", "throttled"]


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_can_be_played(name: str) -> None:
    """Its faults exist and do not exceed 1 together."""
    scenario = read_scenario(name)
    plan = FaultPlan({}, None)  # type: ignore[arg-type] # nothing is drawn

    plan.set_probabilities(scenario.faults)

    assert scenario.options


def test_a_file_has_the_names_of_the_command_line(tmp_path: Path) -> None:
    """Faults may be written flat or in tables."""
    options = 'max-concurrent = 3\nlatency = "5:1"\n'
    faults = '[fault]\nreset = 1\nidp.reset = 0.5\n"send.reset" = 0.25'
    scenario = read_scenario(scenario_file(tmp_path, options + faults))

    assert scenario.options == {"max_concurrent": 3, "latency": "5:1"}
    assert scenario.faults == {"reset": 1.0, "idp.reset": 0.5, "send.reset": 0.25}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rat = 5", "rat: unknown option; known options: latency, rate"),
        ("rate =", "not TOML"),
        ("rate = 'x'", "not a valid float"),
        ("latency = 'soon'", "is not of the form MS"),
        ("fault = 5", "fault must be a table"),
        ("[fault]\nreset = 'often'", "reset: a probability must be a number"),
        ("[fault]\nreset = 2", "reset: a probability must be between 0 and 1"),
        ("[fault]\nreboot = 0.1", "reboot: unknown fault"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_status_2(
    tmp_path: Path, text: str, complaint: str
) -> None:
    """What a user can get wrong never ends in a traceback."""
    result = CliRunner().invoke(main, ["--scenario", scenario_file(tmp_path, text)])

    assert result.exit_code == 2
    assert complaint in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--scenario", "stormy"], "stormy: unknown scenario; known scenarios: calm, chaos"),
        (["--scenario", "/nowhere/x.toml"], "No such file"),
        (["--fault", "reset"], "is not of the form NAME=PROBABILITY"),
        (["--fault", "rest=0.1"], "rest: unknown fault"),
        (["--account", "1:2"], "an account must have the form ID:CLIENT_ID:CLIENT_SECRET"),
        (["--campaign", "1:x:2"], "is not of the form ID:CAMPAIGN_ID:ENGAGEMENT_ID"),
        (["--latency", "-1"], "milliseconds must be finite and at least 0"),
        (["--latency", "nan"], "milliseconds must be finite and at least 0"),
        (["--rate", "-1"], "--rate"),
        (["--rate", "nan"], "nan is not a finite number"),
        (["--retry-after", "inf"], "inf is not a finite number"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_status_2(options: list[str], complaint: str) -> None:
    """What a user can get wrong never ends in a traceback."""
    result = CliRunner().invoke(main, options)

    assert result.exit_code == 2
    assert complaint in result.output
    assert isinstance(result.exception, SystemExit)
