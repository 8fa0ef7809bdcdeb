"""Pictures in tiles: the split, the blend, windows of files, and runs that are like any other."""

from __future__ import annotations

import json
import weakref

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image, held_out_mask, read_image, write_image
from kanfield.images.windows import open_windows
from kanfield.runs.rendering import evaluate_field
from kanfield.tiles import entry
from kanfield.tiles.blend import TiledField, axis_weight
from kanfield.tiles.budget import LEAST_BATCH, with_budget
from kanfield.tiles.collect import measure_again
from kanfield.tiles.held_out import held_out_window
from kanfield.tiles.picture import Picture, survey
from kanfield.tiles.plan import Axis, Plan, Tile, plan_for
from kanfield.tiles.run import TiledRun, field_bands
from kanfield.tiles.work import work
from kanfield.training.evaluation import evaluate
from kanfield.training.target import Target

SMALL = {
    "tiles": 32,
    "steps": 20,
    "batch_size": 64,
    "threads": 1,
    "options": {"widths": [8], "grids": [8, 4]},
}


def pixels(height: int = 80, width: int = 96, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth waves with a little noise."""
    rng = np.random.default_rng(seed)
    y, x, c = np.mgrid[:height, :width, :channels]
    values = 128 + 60 * np.sin(x / 5 + c + seed) + 40 * np.cos(y / 7) + rng.normal(0, 2, x.shape)
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.fixture
def here(monkeypatch):
    """Tiles are fitted in this process: starting others takes longer than small tiles."""
    monkeypatch.setattr("kanfield.metrics.lpips", lambda a, b: (None, "not asked for"))
    monkeypatch.setattr(entry, "supervise", lambda run, devices, console: work(run.path))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> TiledRun:
    """A finished run; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    tifffile.imwrite(folder / "a.tif", pixels(), photometric="rgb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "supervise", lambda run, devices, console: work(run.path))
        patch.setattr("kanfield.metrics.lpips", lambda a, b: (None, "not asked for"))
        return entry.fit(folder / "a.tif", out=folder / "runs", **SMALL)


# ---- the split ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "side"), [(1, 32), (31, 32), (33, 32), (35, 32), (96, 32), (1027, 512)])
def test_parts_cover_an_axis_and_none_is_left_with_a_few_pixels(length, side):
    plan = Plan(length, 16, side)
    axis = plan.rows
    sizes = np.diff(axis.borders)
    assert sizes.sum() == length and sizes.max() - sizes.min() <= 1 and sizes.max() <= side
    assert axis.count == 1 or sizes.min() >= 2 * axis.overlap  # at most two parts meet anywhere
    for number in range(axis.count):
        first = axis.start(number)
        assert 0 <= first <= max(0, axis.borders[number] - axis.overlap * (number > 0))
        assert min(length, axis.borders[number + 1] + axis.overlap) <= first + axis.frame <= length


def test_a_picture_is_split_by_its_pixels_or_by_what_is_asked_for():
    assert plan_for(Settings(), 1024, 1024) is None
    assert len(plan_for(Settings(), 1024, 1025).tiles) == 6
    for name, value in {
        "model": "siren",
        "encoding": "directions",
        "options": {"num_directions": 4},
        "spectrum": True,
        "preset": "compact",
        "parameters": 10**6,
    }.items():
        assert plan_for(Settings(**{name: value}), 2048, 2048) is None
    grids_of_one_field = Settings(options={"resolutions": [[64, 64], [2048, 2048]]})
    assert plan_for(grids_of_one_field, 2048, 2048) is None  # a run's own settings repeat it
    assert len(plan_for(Settings(), 8000, 8000).tiles) == 256
    assert plan_for(Settings(tiles=1), 8000, 8000) is None
    assert plan_for(Settings(tiles=64), 64, 64) is None
    assert len(plan_for(Settings(tiles=64), 64, 65).tiles) == 2
    with pytest.raises(InputError, match=r"--spectrum is of one field, .* add --tiles 1"):
        plan_for(Settings(spectrum=True), 8000, 8000)


@pytest.mark.parametrize("preset", ["smooth", "compact"])
def test_a_picture_is_seen_no_less_for_being_split_and_a_pixel_as_long_in_any_large_one(preset):
    def samples(height: int, width: int) -> float:
        plan = plan_for(Settings(tiles=512), height, width)
        frame = ImageStats(*plan.frame[::-1], plan.frame[0] * plan.frame[1], 3)
        of_tile = resolve(Settings(preset=preset), frame)
        of_tile = with_budget(Settings(preset=preset), of_tile, plan, frame)
        assert of_tile.batch_size >= LEAST_BATCH
        return of_tile.steps * of_tile.batch_size / frame.pixels

    for height, width in ((600, 800), (2000, 3000), (4000, 6000)):
        one = resolve(Settings(preset=preset), ImageStats(width, height, height * width, 3))
        assert samples(height, width) == pytest.approx(
            one.steps * one.batch_size / (height * width), rel=0.02
        )
    assert samples(30_000, 40_000) == pytest.approx(samples(4000, 6000), rel=0.01)


@pytest.mark.parametrize(
    "given",
    [
        {"steps": 77},
        {"seconds": 5.0},
        {"target_psnr": 40.0},
        {"lossless": True},
        {"lossless": True, "preset": "smooth"},
        {"encoding": "directions"},
    ],
)
def test_a_budget_or_target_that_was_given_is_every_tiles_own(given):
    settings, frame = Settings(**given), ImageStats(532, 532, 532 * 532, 3)
    of_tile = resolve(settings, frame)
    assert with_budget(settings, of_tile, plan_for(Settings(), 4000, 6000), frame) == of_tile


def test_a_batch_that_was_given_is_every_tiles_own():
    settings, frame = Settings(batch_size=512), ImageStats(532, 532, 532 * 532, 3)
    found = with_budget(settings, resolve(settings, frame), plan_for(Settings(), 4000, 6000), frame)
    usual = with_budget(Settings(), resolve(Settings(), frame), plan_for(Settings(), 4000, 6000), frame)
    assert found.batch_size == 512
    assert found.steps * 512 == pytest.approx(usual.steps * usual.batch_size, rel=0.01)


# ---- the blend ---------------------------------------------------------------------------------


def test_weights_sum_to_one_to_the_bit_and_are_positive():
    axis = Axis(100, 3, 4)
    p = torch.linspace(0, 100, 100_001, dtype=torch.float64)
    weights = torch.stack([axis_weight(axis, number, p) for number in range(3)])
    assert (weights >= 0).all()
    assert (weights.sum(0) == 1).all()
    assert ((weights > 0).sum(0) <= 2).all()


def test_weights_are_smooth_to_second_order():
    axis = Axis(100, 2, 4)
    seams = torch.tensor([46.0, 54.0], dtype=torch.float64)  # where the blend begins and ends
    for step in (-1e-6, 1e-6):
        p = (seams + step).requires_grad_()
        (first,) = torch.autograd.grad(axis_weight(axis, 1, p).sum(), p, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), p)
        assert first.abs().max() < 1e-10 and second.abs().max() < 1e-5
    p = torch.linspace(40, 60, 20_001, dtype=torch.float64)
    second = axis_weight(axis, 1, p).diff().diff() / (20 / 20_000) ** 2
    assert second.diff().abs().max() < 1e-3  # no jump: steps of the grid times the third derivative


class Wave(nn.Module):
    """A smooth field of two channels, another for every tile."""

    def __init__(self, number: int) -> None:
        super().__init__()
        torch.manual_seed(number)
        self.a, self.b = nn.Parameter(torch.randn(2, 2).double()), nn.Parameter(torch.randn(2).double())

    def forward(self, x):
        return torch.sin(x @ self.a + self.b)


@pytest.fixture
def waves() -> TiledField:
    plan = Plan(80, 96, 32)
    return TiledField(plan, 2, lambda tile: Wave(10 * tile.row + tile.column))


def _reference(field: TiledField, x: float, y: float) -> torch.Tensor:
    """The sum over all tiles of weight times field at a position in pixels, as it is written."""
    plan, total = field.plan, torch.zeros(2, dtype=torch.float64)
    for tile in plan.tiles:
        rows, columns = plan.window(tile)
        longest = max(plan.frame)
        place = [2 * (x - columns.start) - plan.frame[1], 2 * (y - rows.start) - plan.frame[0]]
        value = Wave(10 * tile.row + tile.column)(torch.tensor([place], dtype=torch.float64) / longest)[0]
        weight = axis_weight(plan.rows, tile.row, torch.tensor([y]).double())
        weight = weight * axis_weight(plan.columns, tile.column, torch.tensor([x]).double())
        total = total + weight * value
    return total.detach()


def test_scattered_points_and_grids_are_the_sum_over_all_tiles(waves):
    ys, xs = (
        torch.tensor([0.5, 26.0, 27.5, 52.9, 79.5]).double(),
        torch.tensor([1.5, 30.0, 33.3, 64.0]).double(),
    )
    expected = torch.stack([torch.stack([_reference(waves, float(x), float(y)) for x in xs]) for y in ys])
    torch.testing.assert_close(waves.grid(ys, xs), expected, rtol=0, atol=1e-12)
    points = torch.cartesian_prod(ys, xs).flip(1)
    coords = (2 * points - torch.tensor([96.0, 80.0])) / 96
    torch.testing.assert_close(waves(coords).reshape(5, 4, 2), expected, rtol=0, atol=1e-12)


def test_derivatives_across_a_seam_are_those_of_the_blend(waves):
    """By the product rule: against finite differences of the blended values, first and second."""
    x = torch.tensor([[(2 * 32.7 - 96) / 96, (2 * 27.4 - 80) / 96], [0.9, 0.7]], dtype=torch.float64)
    x.requires_grad_()
    assert torch.autograd.gradcheck(waves, (x,))
    assert torch.autograd.gradgradcheck(waves, (x,))


def test_derivatives_do_not_jump_at_the_ends_of_a_seam(waves):
    def second(position: float) -> torch.Tensor:
        x = torch.tensor([[(2 * position - 96) / 96, 0.1]], dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(waves(x).sum(), x, create_graph=True)
        return torch.autograd.grad(first[0, 0], x)[0][0, 0]

    for end in (28.0, 32.0, 36.0):
        assert abs(second(end - 1e-7) - second(end + 1e-7)) < 1e-4 * (1 + abs(second(end)))


class Constant(nn.Module):
    """One gray everywhere, given as an 8-bit value that need not be whole."""

    def __init__(self, gray: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([gray * 2 / 255 - 1]))

    def forward(self, x):
        return self.value.expand(len(x), 1)


@pytest.mark.parametrize("gray", [0, 1, 127, 128, 254, 255])
def test_where_all_fields_round_to_the_right_value_so_does_the_blend(gray):
    """Lossless survives: weights are positive and sum to one."""
    plan = Plan(80, 96, 32)
    errors = np.random.default_rng(gray).choice([-0.499, 0.499], (3, 3))
    field = TiledField(plan, 1, lambda tile: Constant(gray + errors[tile.row, tile.column]))
    like = Image(np.zeros((80, 96, 1), np.uint8), "L")
    for rows, values in field_bands(field, (80, 96), (0, 0, 96, 80)):
        assert (Image.from_values(values, like).pixels == gray).all(), rows


# ---- windows of files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bigtiff": True, "byteorder": ">"},
        {"tile": (32, 48)},
        {"tile": (16, 16), "compression": "zstd", "predictor": True},
        {"rowsperstrip": 7, "compression": "deflate"},
    ],
    ids=["contiguous", "BigTIFF", "tiles", "zstd tiles", "strips"],
)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "gray"])
def test_windows_of_a_tiff_are_those_of_the_whole(tmp_path, options, kind):
    whole = pixels().astype("uint8" if kind == "gray" else kind)
    tifffile.imwrite(
        tmp_path / "a.tif",
        whole[..., 0] if kind == "gray" else whole,
        **options,
        photometric="minisblack" if kind == "gray" else "rgb",
    )
    truth, windows = read_image(tmp_path / "a.tif"), open_windows(tmp_path / "a.tif")
    assert (windows.height, windows.width) == (80, 96)
    for rows, columns in (
        (slice(0, 80), slice(0, 96)),
        (slice(13, 51), slice(40, 96)),
        (slice(79, 80), slice(0, 1)),
    ):
        part = windows.read(rows, columns)
        assert np.array_equal(part.pixels, truth.pixels[rows, columns])
        assert (part.mode, part.band_names) == (truth.mode, truth.band_names)


def test_windows_of_npy_and_what_has_none(tmp_path):
    np.save(tmp_path / "a.npy", pixels().astype(np.float64))
    part = open_windows(tmp_path / "a.npy").read(slice(3, 5), slice(0, 96))
    assert np.array_equal(part.pixels, pixels()[3:5].astype(np.float32))
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    tifffile.imwrite(
        tmp_path / "planar.tif", pixels().transpose(2, 0, 1), planarconfig="separate", photometric="rgb"
    )
    (tmp_path / "text.tif").write_text("II*\0 but no TIFF")
    for name in ("a.png", "planar.tif", "text.tif", "none.tif"):
        assert open_windows(tmp_path / name) is None


def test_held_out_patterns_run_on_over_borders():
    plan = Plan(20, 30, 16)
    windows = [(slice(0, 9), slice(0, 17)), (slice(9, 20), slice(17, 30))]
    for pattern in ("checkerboard", "every-second"):
        whole = held_out_mask(20, 30, pattern, 0).reshape(20, 30)
        for rows, columns in windows:
            assert np.array_equal(held_out_window(plan, pattern, 0, rows, columns), whole[rows, columns])
    whole = held_out_window(plan, "0.3", 5, slice(0, 20), slice(0, 30))
    assert whole.sum() == 180
    for rows, columns in windows:
        assert np.array_equal(held_out_window(plan, "0.3", 5, rows, columns), whole[rows, columns])


# ---- runs --------------------------------------------------------------------------------------


def test_a_tiled_run_is_a_run_like_any_other(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert {"config.yaml", "metrics.json", "tiles.csv", "reconstruction.png", "error.png"} <= names
    assert len((finished.path / "tiles.csv").read_text().splitlines()) == 10
    assert finished.metrics["tiles"] == 9 and finished.metrics["steps"] == 180
    run = entry.load(finished.path)
    assert isinstance(run, TiledRun) and run.psnr == finished.psnr
    assert run.settings.tiles == 32 and run.settings.options["widths"] == [8]


def test_its_figures_are_those_of_the_blended_field_over_all_pixels(finished):
    target = Target(finished.image, torch.zeros(1))
    result = evaluate(finished.field, target)
    assert finished.metrics["psnr"] == pytest.approx(result.psnr, abs=1e-4)
    assert finished.metrics["wrong_pixels"] == pytest.approx(int(result.wrong.sum()), abs=20)
    drawn = read_image(finished.path / "reconstruction.png")
    assert np.array_equal(drawn.pixels, finished.render().pixels)
    from kanfield import metrics

    assert finished.metrics["ssim"] == pytest.approx(
        metrics.ssim(finished.image.pixels, drawn.pixels), abs=1e-6
    )
    assert entry.evaluate_run(finished.path)["psnr"] == finished.metrics["psnr"]


def test_bands_of_rows_add_up_to_the_whole(finished, monkeypatch):
    monkeypatch.setattr("kanfield.metrics.lpips", lambda a, b: (None, "not asked for"))
    monkeypatch.setattr("kanfield.tiles.run._BAND", 96 * 3 * 7)  # seven rows at a time
    again = measure_again(finished)
    for key in ("psnr", "psnr_8bit", "ssim"):
        assert again[key] == pytest.approx(finished.metrics[key], abs=1e-6)


def test_a_crop_is_the_part_of_the_whole_at_any_scale(finished):
    whole = finished.render(scale=2).pixels
    part = finished.render(scale=2, crop=(20, 10, 70, 60)).pixels
    assert np.array_equal(part, whole[20:120, 40:140])


def test_a_gradient_across_seams_is_that_of_the_drawing(finished):
    """Against central differences of the field itself, at a hundredth of a pixel."""
    field, step = finished.field, 0.01
    ys = torch.arange(20.5, 60, 7, dtype=torch.float64)
    xs = torch.arange(25.5, 70, 3, dtype=torch.float64)
    across = (field.grid(ys, xs + step) - field.grid(ys, xs - step)) / (2 * step)
    down = (field.grid(ys + step, xs) - field.grid(ys - step, xs)) / (2 * step)
    expected = ((across**2 + down**2).mean(-1).sqrt() / 2).numpy()
    values = finished.derivative("gradient")[20:60:7, 25:70:3]
    assert values == pytest.approx(expected, rel=0.02, abs=2e-3)


def test_weights_are_mapped_where_they_are_touched(finished):
    run = TiledRun(finished.folder)
    run.render(crop=(0, 0, 10, 10))
    assert run.field._tile.cache_info().currsize == 1
    assert sum(p.numel() for p in run.field.parameters()) == finished.metrics["parameters"]


def test_results_do_not_depend_on_the_order(finished, tmp_path):
    content = json.loads((finished.path / "tiles.json").read_text())
    copy = tmp_path / "again"
    for name in ("tiles", "claims", "deaths"):
        (copy / name).mkdir(parents=True)
    (copy / "config.yaml").write_text((finished.path / "config.yaml").read_text())
    (copy / "tiles.json").write_text(json.dumps({**content, "order": content["order"][::-1]}))
    assert work(copy) == 9
    for tile in finished.split.plan.tiles:
        name = f"tiles/{tile.name}/checkpoints/best.safetensors"
        assert (copy / name).read_bytes() == (finished.path / name).read_bytes()


def test_masks_and_hidden_pixels_count_in_pixels_of_the_picture(here, tmp_path):
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    mask = np.zeros((80, 96, 1), np.uint8)
    mask[:40, :50] = 255  # all that the first tile sees, and parts of others
    write_image(tmp_path / "mask.png", Image(mask, "L"))
    run = entry.fit(
        tmp_path / "a.png", out=tmp_path, held_out="checkerboard", mask=str(tmp_path / "mask.png"), **SMALL
    )
    assert run.metrics["missing_pixels"] == 2000 and run.metrics["ssim"] is None
    hidden = held_out_mask(80, 96, "checkerboard", 0) & (mask.ravel() == 0)
    drawn = evaluate_field(run.field, Target(run.image, torch.zeros(1)).coordinates(torch.arange(80 * 96)))
    error = np.square(drawn.double().numpy() - pixels().reshape(-1, 3) / 255)[hidden].mean()
    assert run.metrics["held_out_psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-4)
    assert not run.folder.tile(Tile(0, 0)).best.exists() and run.folder.tile(Tile(2, 2)).best.exists()
    assert run.render(crop=(0, 0, 4, 4)).pixels.ravel().tolist() == [128] * 48
    assert entry.evaluate_run(run.path)["held_out_psnr"] == run.metrics["held_out_psnr"]


def test_the_same_picture_by_windows_and_decoded_gives_the_same_tiles(here, finished, tmp_path):
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    run = entry.fit(tmp_path / "a.png", out=tmp_path, **SMALL)
    assert (run.path / "pixels.npy").is_file() and not (finished.path / "pixels.npy").exists()
    assert run.metrics["psnr"] == finished.metrics["psnr"]


def test_a_flat_tile_ends_at_once_where_a_psnr_is_asked_for(here, tmp_path):
    picture = pixels()
    picture[:, :48] = 90
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb")
    run = entry.fit(tmp_path / "a.tif", out=tmp_path, target_psnr=30.0, **{**SMALL, "steps": 200})
    steps = {tile.name: run.folder.tile_metrics(tile.name)["steps"] for tile in run.split.plan.tiles}
    assert steps["0000-0000"] < 100 and steps["0000-0002"] >= steps["0000-0000"]


def test_float_and_deep_pixels_keep_one_range_over_all_tiles(here, tmp_path):
    values = pixels(channels=1).astype(np.float32) / 7 - 3
    values[:30, :40] = np.nan
    tifffile.imwrite(tmp_path / "f.tif", values[..., 0])
    run = entry.fit(tmp_path / "f.tif", out=tmp_path, **SMALL)
    assert run.metrics["value_range"] == pytest.approx([np.nanmin(values), np.nanmax(values)])
    assert run.metrics["missing_pixels"] == 1200 and (run.path / "reconstruction.tiff").is_file()
    deep = pixels(channels=1).astype(np.uint16) * 10
    tifffile.imwrite(tmp_path / "d.tif", deep[..., 0])
    run = entry.fit(tmp_path / "d.tif", out=tmp_path, **SMALL)
    assert run.metrics["value_range"] == [deep.min(), deep.max()]


def test_a_large_result_is_written_as_a_tiled_bigtiff(here, finished, monkeypatch, tmp_path):
    monkeypatch.setattr("kanfield.tiles.collect._WHOLE", 1000)
    monkeypatch.setattr("kanfield.tiles.collect._TILE", 32)
    monkeypatch.setattr("kanfield.tiles.collect._PREVIEW", 20)
    monkeypatch.setattr("kanfield.tiles.run._BAND", 96 * 3 * 13)
    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb")
    run = entry.fit(tmp_path / "a.tif", out=tmp_path, **SMALL)
    with tifffile.TiffFile(run.path / "reconstruction.tiff") as file:
        assert file.is_bigtiff and file.pages[0].is_tiled
    drawn = read_image(run.path / "reconstruction.tiff").pixels
    assert np.array_equal(drawn, run.render().pixels)
    small = read_image(run.path / "reconstruction.png").pixels
    assert np.array_equal(small, drawn[::5, ::5])
    assert run.metrics["psnr"] == pytest.approx(finished.metrics["psnr"], abs=1e-9)


@pytest.mark.slow
def test_lossless_holds_for_the_whole_when_it_holds_for_every_tile(here, tmp_path):
    y, x = np.mgrid[:40, :44]
    waves = (100 + 40 * np.sin(x / 9) + 30 * np.cos(y / 11)).astype(np.uint8)[..., None]
    run = entry.fit(Image(waves, "L"), out=tmp_path, tiles=32, lossless=True, threads=1)
    assert run.metrics["lossless"] and run.metrics["wrong_pixels"] == 0 and run.metrics["tiles"] == 4
    assert np.array_equal(run.render().pixels, waves)


def test_a_look_at_the_picture_holds_one_band_at_a_time():
    plan, bands = Plan(600, 40, 100), []

    def read(rows: slice, columns: slice) -> Image:
        # The first says of what kind the picture is, the last goes only after this one is here.
        assert sum(band() is not None for band in bands) <= 2, "bands are kept"
        pixels = np.full((rows.stop - rows.start, 40, 3), rows.start % 256, np.uint8)
        bands.append(weakref.ref(pixels))
        return Image(pixels, "RGB")

    found = survey(Picture(600, 40, read), plan)
    assert len(bands) == plan.rows.count > 3 and found.known == 600 * 40
