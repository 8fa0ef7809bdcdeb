"""Settings: where they come from, which one wins, and runs that are told to do the same again."""

from __future__ import annotations

import csv
import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from kanfield.cli import main
from kanfield.config.checks import check
from kanfield.config.image_stats import ImageStats
from kanfield.config.parse import read_settings, settings_from, to_plain
from kanfield.config.presets import PRESET_KEYS, PRESETS, preset_settings
from kanfield.config.resolve import merge_flags, missing_keys, resolve
from kanfield.config.settings import Phase, Settings
from kanfield.errors import InputError
from kanfield.fields import find_family
from kanfield.runs.checkpoint import read_checkpoint
from kanfield.training.fit import fit
from kanfield.training.schedule import phase_at, scale_phases, warm_up_and_decay

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SCALE = ImageStats(256, 256, seen=65536, channels=3)
SMALL = {"options": {"widths": [8], "grids": [8, 4]}, "batch_size": 64, "threads": 1}


@pytest.fixture
def image(tmp_path):
    y, x = np.mgrid[:12, :16]
    pixels = (128 + 100 * np.sin(x / 3) * np.cos(y / 4)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def _last(run):
    return read_checkpoint(run / "checkpoints/last.safetensors").tensors


def _equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- presets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_every_gap(name):
    settings = resolve(Settings(preset=name), SCALE)
    assert {key: getattr(settings, key) for key in PRESET_KEYS} == preset_settings(name, SCALE)


def test_smooth_is_the_default_and_lossless_brings_its_own():
    assert resolve(Settings(), SCALE).preset == "smooth"
    assert resolve(Settings(lossless=True), SCALE).preset == "lossless"
    assert resolve(Settings(lossless=True, preset="compact"), SCALE).preset == "compact"


def test_a_preset_leaves_alone_what_was_given():
    settings = resolve(
        Settings(preset="smooth", options={"widths": [5], "grids": [7, 9]}, steps=3, lr=1e-2),
        SCALE,
    )
    assert (settings.options["widths"], settings.options["grids"]) == ([5], [7, 9])
    assert (settings.steps, settings.lr) == (3, 1e-2)


def test_seconds_take_the_place_of_the_presets_steps():
    settings = resolve(Settings(seconds=2.0), SCALE)
    assert (settings.steps, settings.seconds) == (None, 2.0)


def test_one_rate_moves_both_in_proportion():
    preset = preset_settings("smooth", SCALE)
    settings = resolve(Settings(lr=2 * preset["lr"]), SCALE)
    assert settings.adam_lr == pytest.approx(2 * preset["adam_lr"])


def test_resolving_does_not_change_what_it_was_given():
    settings = Settings()
    resolve(settings, SCALE)
    assert settings == Settings()


def test_resolving_twice_changes_nothing():
    once = resolve(Settings(lr=0.02, lossless=True), SCALE)
    assert resolve(once, SCALE) == once


# ---- flags, file, preset -----------------------------------------------------------------------


def test_a_flag_beats_the_file_and_the_file_the_preset(image, tmp_path):
    (tmp_path / "c.yaml").write_text("steps: 7\nbatch_size: 32\noptions: {widths: [8], grids: [8, 4]}\n")
    main(
        [
            "fit",
            str(image),
            "--config",
            str(tmp_path / "c.yaml"),
            "--steps",
            "3",
            "--out",
            str(tmp_path),
            "--quiet",
        ]
    )
    written = yaml.safe_load((tmp_path / "a/kan-0001/config.yaml").read_text())
    assert written["steps"] == 3  # flag
    assert written["batch_size"] == 32  # file
    assert written["lr"] == preset_settings("smooth", ImageStats(16, 12, 192, 1))["lr"]  # preset


@pytest.mark.parametrize(("flag", "key"), [("--seed", "seed"), ("--held-out", "held_out")])
def test_a_flag_beats_the_file_whatever_its_value(image, tmp_path, flag, key):
    file = "steps: 2\nseed: 7\nheld_out: 0.5\noptions: {widths: [8], grids: [8, 4]}\n"
    (tmp_path / "c.yaml").write_text(file)
    value = {"seed": 0, "held_out": "0.25"}[key]
    words = ["fit", str(image), "--config", str(tmp_path / "c.yaml"), flag, str(value)]
    main([*words, "--out", str(tmp_path), "--quiet"])
    assert yaml.safe_load((tmp_path / "a/kan-0001/config.yaml").read_text())[key] == value


def test_a_budget_flag_replaces_the_files_budget():
    assert merge_flags(Settings(steps=5), {"seconds": 2.0}) == Settings(seconds=2.0)
    assert merge_flags(Settings(seconds=2.0), {"steps": 5}) == Settings(steps=5)


def test_flags_that_were_not_given_change_nothing():
    base = Settings(steps=5, lr=0.1)
    assert merge_flags(base, {"steps": None, "lr": None}) == base


def test_an_image_flag_beats_the_files_image(image, tmp_path):
    (tmp_path / "c.yaml").write_text("image: gone.png\nsteps: 2\noptions: {widths: [8], grids: [8, 4]}\n")
    main(["fit", str(image), "--config", str(tmp_path / "c.yaml"), "--out", str(tmp_path), "--quiet"])
    assert (tmp_path / "a/kan-0001/metrics.json").exists()


# ---- reading -----------------------------------------------------------------------------------


def test_settings_and_image_survive_the_file(tmp_path):
    settings = resolve(
        Settings(
            options={"grids": [[4, 16], 8], "widths": [8]},
            phases=[Phase(20, 1e-2), Phase(10, 1e-3)],
            held_out="0.25",
            target_psnr=40.0,
            timelapse=True,
        ),
        SCALE,
    )
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(to_plain(settings, "a b.png")))
    assert read_settings(tmp_path / "c.yaml") == (settings, "a b.png")


def test_a_number_that_yaml_takes_for_text_is_a_number(tmp_path):
    (tmp_path / "c.yaml").write_text("lr: 1e-3\n")
    assert read_settings(tmp_path / "c.yaml")[0].lr == 1e-3


def test_a_fraction_held_out_may_be_written_as_a_number(tmp_path):
    (tmp_path / "c.yaml").write_text("held_out: 0.25\n")
    assert read_settings(tmp_path / "c.yaml")[0].held_out == "0.25"


@pytest.mark.parametrize(
    ("key", "near"), [("stepz", "steps"), ("batchsize", "batch_size"), ("xyzzy", None), (3, None)]
)
def test_an_unknown_key_names_the_nearest_or_all(key, near):
    with pytest.raises(InputError, match=f"unknown key '{key}'") as caught:
        settings_from({key: 1}, "c.yaml: ")
    assert (f"did you mean {near}?" if near else "known keys: model, preset") in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "belongs"),
    [
        ("steps", "many", "a whole number"),
        ("steps", 2.5, "a whole number"),
        ("steps", True, "a whole number"),
        ("seed", None, "a whole number"),
        ("lr", "fast", "a number"),
        ("lr", True, "a number"),
        ("lossless", 1, "true or false"),
        ("lossless", "yes", "true or false"),
        ("model", ["kan"], "text"),
        ("optimizer", "sgd", "muon or adam"),
        ("precision", "fp8", "fp32 or fp64 or tf32x3 or tf32 or bf16"),
        ("phases", [{"steps": 5}], "a list of {steps: N, lr: X}"),
        ("phases", [{"steps": 5, "lr": 1, "x": 2}], "a list of {steps: N, lr: X}"),
        ("phases", [5], "a list of {steps: N, lr: X}"),
    ],
)
def test_a_value_of_the_wrong_type_says_what_belongs_there(key, value, belongs):
    with pytest.raises(InputError) as caught:
        settings_from({key: value}, "c.yaml: ")
    said = str(caught.value)
    assert said.startswith(f"c.yaml: {key}: ") and said.endswith(f"({belongs})")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("model", "options", "phrases"),
    [
        ("kan", {"widths": 64}, ("widths", "a list of whole numbers")),
        ("kan", {"widths": [64, "x"]}, ("widths", "'x'", "a whole number")),
        ("kan", {"grids": "64,10"}, ("grids", "lists of whole numbers")),
        ("kan", {"precision": "tf32"}, ("precision", "--precision")),
        ("kan", {"frequenzy": 3}, ("frequenzy", "init_frequency")),
        ("siren", {"omega_0": "fast"}, ("omega_0", "a number")),
        ("siren", {"order": 2}, ("--model siren", "order")),
        ("hashgrid", {"levels": 2.5}, ("levels", "a whole number")),
    ],
)
def test_options_are_typed_alike_for_every_family(model, options, phrases):
    with pytest.raises(InputError) as caught:
        resolve(Settings(model=model, options=options), SCALE)
    assert all(phrase in str(caught.value) for phrase in phrases) and "\n" not in str(caught.value)


def test_an_option_of_the_field_beside_the_settings_is_pointed_to_its_place():
    with pytest.raises(InputError, match=r"unknown key 'widths'.*options: \{widths"):
        settings_from({"widths": [64]})


def test_widths_alone_take_the_presets_grids():
    settings = resolve(Settings(options={"widths": [5, 6, 7, 8]}), SCALE)
    first, hidden = preset_settings("smooth", SCALE)["options"]["grids"][:2]
    assert settings.options["grids"] == [first, hidden, hidden, hidden, hidden]


# ---- the rates of another optimiser ------------------------------------------------------------


@pytest.mark.parametrize("model", ["kan", "siren", "rff", "hashgrid", "mlp"])
def test_adam_trains_at_its_own_rate(model):
    recipe = find_family(model).recipe("adam")
    assert resolve(Settings(model=model, optimizer="adam"), SCALE).lr == recipe.lr
    encoding = "directions" if model == "kan" else None  # on grids its rate is another
    assert resolve(Settings(model=model, encoding=encoding), SCALE).lr == find_family(model).recipe("muon").lr


@pytest.mark.parametrize("model", ["kan", "siren", "rff", "mlp"])
def test_adam_laid_over_a_runs_own_configuration_trains_at_its_own_rate(model):
    run = resolve(Settings(model=model), SCALE)
    settings = resolve(merge_flags(run, {"optimizer": "adam"}), SCALE)
    assert settings.lr == find_family(model).recipe("adam").lr
    assert merge_flags(run, {"optimizer": "muon"}).lr == run.lr
    assert merge_flags(run, {"optimizer": "adam", "lr": 0.5}).lr == 0.5


def test_adam_laid_over_a_file_with_the_rate_of_the_usual_optimiser_drops_it():
    file = Settings(model="rff", lr=0.02)
    assert merge_flags(file, {"optimizer": "adam"}).lr is None
    assert merge_flags(file, {"optimizer": "muon"}).lr == 0.02


def test_phases_count_steps_not_seconds():
    with pytest.raises(InputError, match="leave --seconds out"):
        resolve(Settings(phases=[Phase(5, 1e-3)], seconds=3.0), SCALE)


@pytest.mark.parametrize("phase", [Phase(0, 1e-3), Phase(5, 0.0), Phase(5, float("nan"))])
def test_an_impossible_phase_is_refused(phase):
    with pytest.raises(InputError, match="phases"):
        resolve(Settings(phases=[phase]), SCALE)


def test_no_phases_at_all_are_refused():
    with pytest.raises(InputError, match="phases"):
        resolve(Settings(phases=[]), SCALE)


# ---- doing it again ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        "--seed 3 --lr 0.02",
        "--grids 4+8,2+4 --order 2",
        "--optimizer adam --lr 0.01",
        "--held-out 0.25 --target-psnr 60 --precision fp64",
        "--lossless",
        "--size 9",
    ],
)
def test_a_run_repeats_bit_for_bit_from_its_own_configuration(image, tmp_path, flags):
    words = shlex.split("--widths 8 --grids 8,4 --batch-size 64 --threads 1 --steps 30 --quiet")
    if "--grids" in flags:
        words = [w for w in words if w not in ("--grids", "8,4")]
    main(["fit", str(image), "--out", str(tmp_path), *words, *flags.split()])
    first, second = tmp_path / "a/kan-0001", tmp_path / "a/kan-0002"
    main(["fit", "--config", str(first / "config.yaml"), "--out", str(tmp_path), "--quiet"])
    assert _equal(_last(first), _last(second))
    assert (first / "config.yaml").read_text() == (second / "config.yaml").read_text()


# ---- rates -------------------------------------------------------------------------------------


def test_the_rate_warms_up_and_falls_to_zero():
    factors = [warm_up_and_decay(i / 1000) for i in range(1001)]
    top = factors.index(max(factors))
    assert factors[0] == 0 and factors[-1] == 0 and max(factors) == pytest.approx(1)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_every_step_has_its_phase():
    phases = [Phase(2, 0.1), Phase(3, 0.2)]
    assert [phase_at(phases, step) for step in range(5)] == [
        (phases[0], 0),
        (phases[0], 1),
        (phases[1], 0),
        (phases[1], 1),
        (phases[1], 2),
    ]


@pytest.mark.parametrize("steps", [1, 2, 7, 30, 300])
def test_scaled_phases_keep_their_order_and_add_up(steps):
    phases = scale_phases([Phase(10, 0.3), Phase(15, 0.2), Phase(5, 0.1)], steps)
    assert sum(phase.steps for phase in phases) == steps
    assert all(phase.steps > 0 for phase in phases)
    assert [phase.lr for phase in phases] == sorted((phase.lr for phase in phases), reverse=True)


def _fit_in_phases(image, tmp_path, **more):
    settings = Settings(phases=[Phase(20, 1e-2), Phase(10, 1e-3)], **SMALL, **more)
    return fit(image, settings, out=tmp_path)


def test_rates_follow_the_phases(image, tmp_path):
    run = _fit_in_phases(image, tmp_path)
    rows = list(csv.DictReader((run.path / "metrics.csv").open()))
    rates = {int(row["step"]): float(row["lr"]) for row in rows}
    assert rates == {10: 1e-2, 20: 1e-2, 30: 1e-3}


def test_a_phase_starts_with_a_fresh_optimiser(image, tmp_path):
    run = _fit_in_phases(image, tmp_path)
    counts = {t.item() for name, t in _last(run.path).items() if name.endswith(".step")}
    # Adam counts its steps: those of the last phase alone.
    assert counts == {10}


def test_steps_scale_the_phases(image, tmp_path):
    run = _fit_in_phases(image, tmp_path, steps=15)
    counts = {t.item() for name, t in _last(run.path).items() if name.endswith(".step")}
    assert run.metrics["steps"] == 15 and counts == {5}


def test_phases_can_be_given_to_fit_as_phases(image, tmp_path):
    run = fit(image, out=tmp_path, phases=[Phase(4, 1e-2)], **SMALL)
    assert run.metrics["steps"] == 4


def test_fit_refuses_an_unknown_setting(image, tmp_path):
    with pytest.raises(InputError, match=r"unknown key 'stepz'; did you mean steps\?"):
        fit(image, out=tmp_path / "runs", stepz=3)
    assert not (tmp_path / "runs").exists()


def test_the_annotated_example_explains_every_key_and_runs(image, tmp_path):
    example = Path(__file__).parent.parent / "configs/example.yaml"
    keys = list(yaml.safe_load(example.read_text()))
    assert sorted(keys) == sorted(["image", *(field.name for field in dataclasses.fields(Settings))])
    settings, named = read_settings(example)
    assert named is None
    run = fit(image, dataclasses.replace(settings, steps=3), out=tmp_path)
    assert run.settings.options["grids"] == settings.options["grids"]


def test_a_preset_flag_replaces_what_presets_decide():
    file = Settings(preset="smooth", options={"widths": [9], "grids": [5, 5]}, lr=0.5, seed=3)
    assert merge_flags(file, {"preset": "compact"}) == Settings(preset="compact", seed=3)
    assert merge_flags(file, {"preset": "smooth"}) == file


def test_a_rate_flag_moves_the_files_other_rate():
    moved = merge_flags(Settings(lr=1e-2, adam_lr=4e-3), {"lr": 2e-2})
    assert (moved.lr, moved.adam_lr) == (2e-2, pytest.approx(8e-3))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("range_steps", -3),
        *(("smoothness", -0.1), ("smoothness", 0.5)),
    ],
)
def test_settings_without_a_flag_are_checked_too(key, value):
    with pytest.raises(InputError, match=f"{key}: {value} is impossible"):
        check(Settings(**{key: value}))


def test_smoothness_is_the_kans():
    with pytest.raises(InputError, match=r"smoothness: 0\.001 is impossible, it is the KAN's"):
        check(Settings(model="siren", smoothness=1e-3))


@pytest.mark.parametrize("model", ["kan", "siren", "hashgrid"])
def test_resolved_settings_lack_nothing_that_a_run_needs(model):
    assert missing_keys(resolve(Settings(model=model), SCALE)) == []


def test_a_run_that_names_no_encoding_is_still_whole():
    """Runs of before there were encodings."""
    settings = dataclasses.replace(resolve(Settings(encoding="directions"), SCALE), encoding=None)
    assert missing_keys(settings) == []


def test_another_model_drops_the_encoding_and_size_of_a_kan():
    kan = resolve(Settings(encoding="grid", parameters=20_000), SCALE)
    other = merge_flags(kan, {"model": "siren"})
    assert (other.encoding, other.parameters, other.options) == (None, None, None)
    assert resolve(other, SCALE).model == "siren"
