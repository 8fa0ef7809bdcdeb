"""Reading ``metrics.json``, so that nothing behind it meets a value that no fit writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_LARGEST = 1e300  # of the numbers that are added and averaged
_REQUIRED: dict[str, Any] = {  # what every fit has written; other keys came later
    **dict.fromkeys(("psnr", "seconds", "steps"), float),
    **dict.fromkeys(("held_out_psnr", "ssim", "wrong_pixels"), (float, None)),
    "lossless": bool,
    "target_reached": (bool, None),
    "run": str,
}
_TYPES: dict[str, Any] = {
    **_REQUIRED,
    **dict.fromkeys(("parameters", "parameters_per_pixel"), float),
    **dict.fromkeys(("lpips", "psnr_8bit", "peak_memory_bytes"), (float, None)),
    "model": str,
    **dict.fromkeys(("preset", "encoding"), (str, None)),
    "spectrum": (dict, None),
}


def read_metrics_file(path: Path) -> dict[str, Any]:
    """The content of a run's ``metrics.json``, finite and of the types that a fit writes.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "metrics.json"
    ...     _ = file.write_text('{"psnr": NaN, "seconds": 2}')
    ...     read_metrics_file(file)
    Traceback (most recent call last):
    ValueError: not metrics
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict) or not _REQUIRED.keys() <= content.keys() or not _is_finite(content):
        raise ValueError("not metrics")
    for key in _TYPES.keys() & content.keys():
        kinds = _TYPES[key] if isinstance(_TYPES[key], tuple) else (_TYPES[key],)
        if not any(_is_a(content[key], kind) for kind in kinds):
            raise ValueError(key)
    # The range of an 8- or 16-bit image is known without it.
    low_high = content.get("value_range", None if content["wrong_pixels"] is None else [0, 1])
    if not (isinstance(low_high, list) and len(low_high) == 2 and all(_is_a(end, float) for end in low_high)):
        raise ValueError("value_range")
    bias = (content.get("spectrum") or {}).get("bias")
    if not (bias is None or _is_a(bias, float)):
        raise ValueError("bias")
    return content


def _is_finite(value: Any) -> bool:
    """Whether every number in JSON's values is one that can be reckoned with."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, (int, float)) or -_LARGEST < value < _LARGEST


def _is_a(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind)
