"""Settings of the training of glasses: those in the file, and errors that name the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from negutil import config, files, paths
from negutil.errors import NegutilError
from negutil.train import settings


def test_every_source_can_be_used_and_every_profile_has_one() -> None:
    found = {source: settings.glasses(source) for source in files.read_toml(paths.CONFIGS / "glasses.toml")}
    assert {config.load(name).glasses.source for name in config.names()} <= set(found)
    assert found["released code"].delta == (1.0, 1.0)
    assert found["released code"].lens_set == "retrieval"
    assert found["paper"].delta == (0.5, 1.0)
    assert found["paper"].stage("lens").epochs == 30


def test_changes_come_on_top() -> None:
    made = settings.glasses("mini", seed=4, variant="released", modules={"gate": "scalar"})
    assert (made.seed, made.variant, made.modules) == (4, "released", {"gate": "scalar"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variant = 3", "variant is 3: it should be a valid string"),
        ('variant = "none"', "write one of 'paper', 'tokens', 'released'"),
        ("speed = 1", "the setting 'speed' is unknown"),
        ("delta = [1]", "the setting 1 of delta is missing"),
        ("validation_share = 1", "validation_share is 1.0"),
        ("gate = 3", "gate is 3: it should be an object"),
        ("gate = { lr = -1, epochs = 1, batch = 8 }", "lr is -1.0; it must be more than 0"),
        ("gate = { lr = 1, epochs = 1, batch = 8, schedule = 'up' }", "schedule is 'up'"),
        ("gate = { lr = 1 }", "cannot be used"),
        ("gate = ", "cannot be read as TOML"),
    ],
)
def test_wrong_settings_are_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    stages = [
        f"{name} = {{ lr = 1e-3, epochs = 1, batch = 8 }}" for name in settings.STAGES if not text.startswith(name)
    ]
    variant = [] if text.startswith("variant") else ['variant = "paper"']
    file = tmp_path / "glasses.toml"
    file.write_text("\n".join(["[mine]", *variant, *stages, text]))
    with pytest.raises(NegutilError, match=r"glasses\.toml") as caught:
        settings.glasses("mine", file)
    assert message in str(caught.value)


def test_an_unknown_source_lists_those_there_are() -> None:
    with pytest.raises(NegutilError, match=r"no settings 'ours' for glasses; there are paper, released code, mini"):
        settings.glasses("ours")
