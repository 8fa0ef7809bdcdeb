"""The end of a tiled run: the whole picture drawn band by band, measured and written by one process."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanfield import metrics
from kanfield.files import replacing, write_json
from kanfield.images import Image, write_image
from kanfield.images.formats.tiff import tiff_options
from kanfield.tiles.held_out import held_out_window
from kanfield.tiles.progress import write_table
from kanfield.tiles.run import TiledRun, field_bands
from kanfield.training.evaluation import error_map
from kanfield.training.results import mean_ssim, target_reached, view_8bit

_WHOLE = 1 << 28  # bytes of a picture that is written from memory, in the usual format
_TILE = 256  # pixels a side of the tiles of a TIFF that is written band by band
_PREVIEW = 4096  # pixels of the longer side of what is shown of such a picture
_SSIM_HALO = 10  # rows that two bands share, so that every position of SSIM's window is in one
_LPIPS_BAND = 1 << 24  # pixels that LPIPS compares at a time


def collect(run: TiledRun) -> dict[str, Any]:
    """Draw and measure the whole picture; write it, its error map and, last, ``metrics.json``.

    Args:
        run: All of whose tiles are done.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: The picture is no longer that of the run.
        OSError: The disk is full.
    """
    measure = Measure(run)
    like, folder = run.split.like, run.folder
    if measure.whole:
        for _ in measure.bands():
            pass
        reconstruction = like.with_pixels(np.concatenate(measure.kept))
        write_image(folder.path / f"reconstruction{like.suffix}", reconstruction)
        if like.suffix != ".png":
            write_image(folder.reconstruction, reconstruction.to_8bit())
    else:
        _write_tiff(measure)
        write_image(folder.reconstruction, like.with_pixels(np.concatenate(measure.kept)).to_8bit())
    write_image(folder.error_map, Image(np.concatenate(measure.errors), "L"))
    write_table(run)
    content = measure.content()
    write_json(folder.metrics, content)
    return content


def measure_again(run: TiledRun) -> dict[str, Any]:
    """The content of ``metrics.json``, measured on the picture as it is now; no file is written."""
    measure = Measure(run)
    for _ in measure.bands():
        pass
    return measure.content()


class Measure:
    """What is added up while the picture is drawn from its top to its bottom.

    Args:
        run: Whose field is drawn.

    Attributes:
        whole: Whether the drawing is small enough to be kept.
        kept: Pixels of the drawing, band by band: all, or every so many of a large one.
        errors: The error map in the same way.
    """

    def __init__(self, run: TiledRun) -> None:
        self.run, like = run, run.split.like
        self.whole = like.height * like.width * like.channels * like.pixels.dtype.itemsize <= _WHOLE
        self._every = 1 if self.whole else -(-max(like.height, like.width) // _PREVIEW)
        self.kept: list[NDArray[Any]] = []
        self.errors: list[NDArray[np.uint8]] = []
        self._views: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        self._seen, self._held_out, self._seams = (np.zeros(like.channels) for _ in range(3))
        self._counts = {"seen": 0, "held_out": 0, "seams": 0, "missing": 0, "wrong": 0}
        self._blended = [
            np.any([np.abs(np.arange(axis.length) + 0.5 - border) < axis.overlap for border in inner], axis=0)
            if (inner := axis.borders[1:-1])
            else np.zeros(axis.length, bool)
            for axis in (run.split.plan.rows, run.split.plan.columns)
        ]
        self._ssim: list[tuple[float, int]] = []
        self._last: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._squared_8bit, self._values_8bit = 0, 0

    def bands(self) -> Iterator[NDArray[Any]]:
        """The pixels of the drawing in bands of rows, each measured as it comes."""
        like = self.run.split.like
        field, shape = self.run.field, (like.height, like.width)
        for rows, values in field_bands(field, shape, (0, 0, like.width, like.height)):
            truth = self.run.picture.window(rows, slice(0, like.width))
            drawn = Image.from_values(values, like)
            self._add(rows, truth, values, drawn)
            yield drawn.pixels

    def _add(self, rows: slice, truth: Image | None, values: NDArray[np.float32], drawn: Image) -> None:
        every, counts = self._every, self._counts
        phase = -rows.start % every
        self.kept.append(drawn.pixels[phase::every, ::every].copy())
        if truth is None:
            counts["missing"] += drawn.height * drawn.width
            self.errors.append(np.zeros((*drawn.pixels.shape[:2], 1), np.uint8)[phase::every, ::every])
            return
        known = np.ones(drawn.pixels.shape[:2], bool) if truth.missing is None else ~truth.missing
        settings = self.run.settings
        unseen = np.zeros_like(known)
        if settings.held_out is not None:
            columns = slice(0, drawn.width)
            unseen = held_out_window(self.run.split.plan, settings.held_out, settings.seed, rows, columns)
        with np.errstate(over="ignore", invalid="ignore"):  # of missing pixels, which nobody looks at
            squared = np.square(values - truth.to_unit(truth.pixels))
        for name, which, sums in (
            ("seen", known & ~unseen, self._seen),
            ("held_out", known & unseen, self._held_out),
            ("seams", known & ~unseen & self._is_blended(rows), self._seams),
        ):
            counts[name] += int(which.sum())
            sums += squared[which].sum(axis=0)
        counts["missing"] += int((~known).sum())
        counts["wrong"] += int(((truth.pixels != drawn.pixels).any(axis=2) & known).sum())
        error = error_map(truth, drawn).pixels
        self.errors.append(error[phase::every, ::every].copy())
        if not counts["missing"]:
            self._compare(truth, drawn)

    def _is_blended(self, rows: slice) -> NDArray[np.bool_]:
        """Where several tiles have a say, shape ``(rows, width)``."""
        down, across = self._blended
        return down[rows, None] | across[None, :]

    def _compare(self, truth: Image, drawn: Image) -> None:
        """What is measured of stored pixels, where all are known."""
        views = view_8bit(truth), view_8bit(drawn)
        self._squared_8bit += int(np.square(views[0].astype(np.int64) - views[1]).sum())
        self._values_8bit += views[0].size
        if self.whole:
            self._views.append(views)
        pair = truth.pixels, drawn.pixels
        if self._last is not None:
            pair = np.concatenate([self._last[0], pair[0]]), np.concatenate([self._last[1], pair[1]])
        like = self.run.split.like
        similarity = mean_ssim(*(like.with_pixels(pixels) for pixels in pair))
        if similarity is not None:
            self._ssim.append((similarity, len(pair[0]) - _SSIM_HALO))
        self._last = pair[0][-_SSIM_HALO:], pair[1][-_SSIM_HALO:]

    def content(self) -> dict[str, Any]:
        """The content of ``metrics.json``, once all bands were drawn."""
        run, like, counts = self.run, self.run.split.like, self._counts
        settings, plan = run.settings, run.split.plan
        tiles = [run.folder.tile_metrics(name) for name in sorted(run.folder.done())]
        psnr = _psnr(self._seen.mean(), counts["seen"])
        wrong = None if like.is_float else counts["wrong"]
        parameters = sum(tile["parameters"] for tile in tiles)
        worked = [tile for tile in tiles if tile["parameters"]]
        peaks = [tile["peak_memory_bytes"] for tile in worked if tile["peak_memory_bytes"] is not None]
        environment = ("backend", "instruction_set", "threads", "device", "torch")
        return {
            "psnr": 0.0 if psnr is None else psnr,
            "held_out_psnr": _psnr(self._held_out.mean(), counts["held_out"]),
            "seam_psnr": _psnr(self._seams.mean(), counts["seams"]),
            "inside_psnr": _psnr((self._seen - self._seams).mean(), counts["seen"] - counts["seams"]),
            "band_psnr": {
                name: _psnr(each, counts["seen"])
                for name, each in zip(like.band_names, self._seen.tolist(), strict=True)
            },
            **self._qualities(),
            "value_range": list(like.value_range),
            "tonemap": settings.tonemap,
            "alpha": settings.alpha,
            "missing_pixels": counts["missing"],
            "lossless": wrong == 0,
            "wrong_pixels": wrong,
            "target_reached": target_reached(settings, psnr or 0.0, wrong),
            "seconds": round(sum(tile["seconds"] for tile in worked), 3),
            "steps": sum(tile["steps"] for tile in worked),
            "best_step": sum(tile["best_step"] for tile in worked),
            "parameters": parameters,
            "parameters_per_pixel": parameters / (like.height * like.width),
            "peak_memory_bytes": max(peaks, default=None),
            **{key: _common(tile[key] for tile in worked) for key in environment},
            "seed": settings.seed,
            "model": settings.model,
            "preset": settings.preset,
            "encoding": settings.encoding,
            "run": str(run.path),
            "seconds_to_psnr": {},
            "steps_to_psnr": {},
            "spectrum": None,
            "tiles": len(plan.tiles),
            "tile_side": plan.side,
            "tile_overlap": plan.overlap,
        }

    def _qualities(self) -> dict[str, Any]:
        """Qualities of the whole picture; None where part of it is unknown."""
        if self._counts["missing"]:
            reason = "part of the image is unknown (--mask, or pixels without a value)"
            return {"psnr_8bit": None, "ssim": None, "lpips": None, "lpips_reason": reason}
        rows = sum(count for _, count in self._ssim)
        ssim = sum(value * count for value, count in self._ssim) / rows if rows else None
        error = self._squared_8bit / self._values_8bit
        distance, reason_or_none = self._lpips()
        return {
            "psnr_8bit": metrics.psnr(error, peak=255.0) if error else None,
            "ssim": ssim,
            "lpips": distance,
            "lpips_reason": reason_or_none,
        }

    def _lpips(self) -> tuple[float | None, str | None]:
        """LPIPS of the whole, or the mean of bands where that is too much at a time."""
        if not self.whole:
            return None, f"LPIPS is computed of pictures up to {_WHOLE:,} bytes"
        views = [np.concatenate(each) for each in zip(*self._views, strict=True)]
        height, width = views[0].shape[:2]
        count = -(-height * width // _LPIPS_BAND)
        total = 0.0
        for number in range(count):
            rows = slice(height * number // count, height * (number + 1) // count)
            distance, reason = metrics.lpips(views[0][rows], views[1][rows])
            if distance is None:
                return None, reason
            total += distance * (rows.stop - rows.start) / height
        return total, None


def _psnr(squared: float, count: int) -> float | None:
    """In dB of a sum of squared errors; None of no pixels."""
    return metrics.psnr(float(squared) / count) if count else None


def _common(values: Iterator[Any]) -> Any:
    """What all tiles have in common, or all that there is, joined."""
    found = list(dict.fromkeys(values))
    return found[0] if len(found) == 1 else ", ".join(map(str, found))


def _write_tiff(measure: Measure) -> None:
    """Write the drawing as a tiled BigTIFF, row of tiles by row of tiles, while it is drawn."""
    import tifffile

    like = measure.run.split.like
    with (
        replacing(measure.run.path / "reconstruction.tiff") as temporary,
        tifffile.TiffWriter(temporary, bigtiff=True) as file,
        contextlib.closing(_tiles(measure.bands(), like)) as tiles,
    ):
        file.write(
            tiles,
            shape=(like.height, like.width, like.channels),
            dtype=like.pixels.dtype,
            tile=(_TILE, _TILE),
            **tiff_options(like),
        )


def _tiles(bands: Iterator[NDArray[Any]], like: Image) -> Generator[NDArray[Any], None, None]:
    """Squares of the drawing in the order in which TIFF has them; those at its ends are filled up."""
    across = -(-like.width // _TILE)
    held: list[NDArray[Any]] = []
    left = like.height
    for band in bands:
        held.append(band)
        rows = sum(map(len, held))
        while rows >= min(_TILE, left) and left:
            joined = np.concatenate(held)
            strip, rest = joined[:_TILE], joined[_TILE:]
            square = np.zeros((_TILE, across * _TILE, like.channels), like.pixels.dtype)
            square[: len(strip), : like.width] = strip
            for column in range(across):
                yield square[:, column * _TILE : (column + 1) * _TILE]
            held, rows, left = [rest], len(rest), left - len(strip)
