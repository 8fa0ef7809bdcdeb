"""Which of the pictures in a TIFF file is meant, and what it says about its bands."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from kanfield.images.formats.raster import chosen_page

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_REDUCED, MASK = 1, 4  # bits of the tag NewSubfileType
GDAL_METADATA = 42112
_DECLARATION = "<?xml version='1.0' encoding='us-ascii'?>\n"


@dataclass(frozen=True)
class Picture:
    """One picture of a file.

    Attributes:
        planes: Its pages: one, or one for each channel.
        mask: A page that is zero where pixels are missing, or None.
        names: The channels' names, where the file lists them.
        notes: What of the file was not read.
        index: Its place among the file's pages; None where it lies below another.
    """

    planes: list[TiffPage]
    mask: TiffPage | None = None
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    index: int | None = None


def chosen_picture(path: Path, file: TiffFile, number: int | None = None) -> Picture:
    """The picture that is asked for, among those that are no previews, no smaller levels and no masks.

    Of a hyperstack it is a plane with all its channels.

    Args:
        path: The file's name, for errors.
        file: The open file.
        number: Which picture or plane, from 1; None for the first, or the largest if the first is a preview.

    Raises:
        InputError: There is no such picture.

    >>> import io, tifffile
    >>> data = io.BytesIO()
    >>> tifffile.imwrite(data, np.zeros((5, 2, 8, 9), np.uint8), imagej=True, metadata={"axes": "ZCYX"})
    >>> with tifffile.TiffFile(io.BytesIO(data.getvalue())) as file:
    ...     len(chosen_picture(Path("a.tif"), file).planes), chosen_picture(Path("a.tif"), file).notes
    (2, ('Only the first of 5 planes in the file was read (Z 5).',))
    """
    if file.is_ome or file.is_imagej:
        stack = _hyperstack(path, file, number)
        if stack is not None:
            return stack
    pages = _readable(file.pages)
    below = [sub for page in pages if page.subifds for sub in _readable(page.pages)]
    whole = [page for page in pages if not page.subfiletype & (_REDUCED | MASK)]
    whole_below = [page for page in below if not page.subfiletype & (_REDUCED | MASK)]
    chosen = whole[0] if whole else None
    if chosen is None or any(_area(page) > _area(chosen) for page in whole_below):
        others = [page for page in pages + below if not page.subfiletype & MASK]
        chosen = max(whole_below or others or pages, key=_area)
    if whole and (number is not None or chosen in whole):
        place, notes = chosen_page(path, len(whole), number)
        chosen = whole[place]
    else:
        notes = chosen_page(path, 1, number)[1]
    if number is None and chosen is not pages[0]:
        size = f"{pages[0].imagewidth} x {pages[0].imagelength}"
        notes = (f"The file begins with a preview of {size} pixels: its largest picture was read.",)
    masks = (page for page in pages if page.subfiletype & MASK and _same_size(page, chosen))
    index = next((place for place, page in enumerate(pages) if page is chosen), None)
    mask = None if chosen.subfiletype & MASK else next(masks, None)
    return Picture([chosen], mask, notes=notes, index=index)


def gdal_bands(page: TiffPage) -> tuple[dict[int, str], dict[int, str]]:
    """Descriptions and colours of bands, by their number from 0, as GDAL notes them."""
    found: dict[str, dict[int, str]] = {"description": {}, "colorinterp": {}}
    try:
        items = ElementTree.fromstring(str(page.tags.valueof(GDAL_METADATA, ""))).iter("Item")
        for item in items:
            role, sample = item.get("role"), item.get("sample", "")
            if role in found and sample.isdecimal() and item.text:
                found[role][int(sample)] = item.text.strip()
    except ElementTree.ParseError:
        pass  # names are welcome, not needed
    return found["description"], found["colorinterp"]


def gdal_metadata(names: tuple[str, ...], channels: int, mode: str) -> str:
    """Band names as GDAL notes them, and that bands are no colours where they are none.

    >>> gdal_metadata(("nir",), 1, "L")
    '<GDALMetadata><Item name="DESCRIPTION" sample="0" role="description">nir</Item></GDALMetadata>'
    """
    root = ElementTree.Element("GDALMetadata")
    roles = [("description", names), ("colorinterp", ("Undefined",) * channels if mode == "bands" else ())]
    for role, values in roles:
        for sample, text in enumerate(values):
            item = ElementTree.SubElement(root, "Item", name=role.upper(), sample=str(sample), role=role)
            item.text = text
    # What tags hold is ASCII; other letters become numbers that XML knows.
    written: bytes = ElementTree.tostring(root, encoding="us-ascii")
    return written.decode().removeprefix(_DECLARATION)


def _readable(pages: Any) -> list[TiffPage]:
    """The pages up to the first that is broken: those before it are whole; the first of all must be."""
    found = [pages[0].aspage()]
    try:
        found.extend(pages[place].aspage() for place in range(1, len(pages)))
    except Exception:  # whatever a damaged directory makes tifffile raise
        return found
    return found


def _area(page: TiffPage) -> int:
    return int(page.imagewidth * page.imagelength)


def _same_size(one: TiffPage, other: TiffPage) -> bool:
    return (one.imagewidth, one.imagelength) == (other.imagewidth, other.imagelength)


def _hyperstack(path: Path, file: TiffFile, number: int | None) -> Picture | None:
    """A plane of a microscope's stack with all channels, or None where there is no stack."""
    try:
        series = file.series[0]
        pages, axes, sizes = series.pages, series.get_axes(False), series.get_shape(False)
        samples = series.keyframe.samplesperpixel
    except Exception:  # the description is broken: what is left is pages
        return None
    outer = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if axis not in "YXS"]
    count = math.prod(size for _, size in outer)
    if count < 2 or count != len(pages) or any(page is None for page in pages):
        return None
    channel_axis = "C" if samples == 1 else None  # pictures in colour are several, not channels
    channels = next((size for axis, size in outer if axis == channel_axis), 1)
    place, notes = chosen_page(path, count // channels, number)
    shape = [size for axis, size in outer if axis != channel_axis]
    indices = list(np.unravel_index(place, shape)) if shape else []
    places: list[Any] = [np.arange(channels) if axis == channel_axis else indices.pop(0) for axis, _ in outer]
    numbers = np.ravel_multi_index(tuple(np.broadcast_arrays(*places)), [size for _, size in outer])
    planes = [pages[number] for number in np.atleast_1d(numbers).tolist()]
    others = [f"{axis} {size}" for axis, size in outer if axis != channel_axis and size > 1]
    if others and number is None:
        total = count // channels
        notes = (f"Only the first of {total} planes in the file was read ({', '.join(others)}).",)
    return Picture(planes, names=_ome_names(file, channels), notes=notes)


def _ome_names(file: TiffFile, channels: int) -> tuple[str, ...]:
    """The names of all channels, if the first image of the OME description has them."""
    image = re.search(r"<(?:\w+:)?Image\b.*?</(?:\w+:)?Image>", file.ome_metadata or "", re.DOTALL)
    tags = re.findall(r"<(?:\w+:)?Channel\b([^>]*)>", image[0] if image else "")
    names = [re.search(r'\bName="([^"]+)"', tag) for tag in tags]
    found = tuple(name[1] for name in names if name)
    return found if channels > 1 and len(found) == channels else ()
