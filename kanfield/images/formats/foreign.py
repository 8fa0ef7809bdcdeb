"""The names of file formats that are not read, for refusals that say which it is."""

from __future__ import annotations

_ISO_MEDIA = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "a raw camera file (CR3)",
    b"qt  ": "a QuickTime video",
}
# The first bytes, and where they begin.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "DICOM"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\xd8", "JPEG of a rare kind"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"P7\n", "PAM"),
    (0, b"P7 332", "an XV thumbnail"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 or NetCDF"),
    (0, b"CDF\x01", "NetCDF"),
    (0, b"CDF\x02", "NetCDF"),
    (0, b"SIMPLE  =", "FITS"),
    (344, b"n+1\0", "NIfTI"),
    (344, b"ni1\0", "NIfTI"),
    (0, b"NRRD", "NRRD"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"BLENDER", "a Blender file"),
    (0, b"gimp xcf", "a GIMP file (XCF)"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"FUJIFILMCCD-RAW", "a raw camera file (RAF)"),
    (0, b"FOVb", "a raw camera file (X3F)"),
    (0, b"IIRO", "a raw camera file (ORF)"),
    (0, b"IIRS", "a raw camera file (ORF)"),
    (0, b"IIU\0", "a raw camera file (RW2)"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"\0\0\x01\xba", "an MPEG video"),
    (0, b"\0\0\x01\xb3", "an MPEG video"),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a sound file (WAV)"),
    (0, b"ID3", "a sound file (MP3)"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\xabKTX", "KTX"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"FLIF", "FLIF"),
)


def foreign_format(data: bytes) -> str | None:
    r"""What a file is that no decoder knows, or None where its first bytes do not tell.

    >>> foreign_format(b"\0\0\0\x18ftypheic"), foreign_format(b'<?xml version="1.0"?><svg></svg>')
    ('HEIC', 'SVG')
    >>> foreign_format(bytes(9)) is None
    True
    """
    if data[4:8] == b"ftyp":
        return _ISO_MEDIA.get(data[8:12], "an MP4 video")
    for start, signature, name in _SIGNATURES:
        if data.startswith(signature, start):
            return name
    return _text_format(data[:1024])


def remedy(name: str) -> str:
    """What to do with a file of such a format, for the end of a refusal.

    >>> remedy("HEIC")
    'convert it to PNG or TIFF'
    """
    if "camera" in name:
        return "develop it with a raw converter and save it as TIFF"
    if "video" in name:
        return "take a picture out of it and convert it to PNG"
    if name in {"a text file", "a web page"} or "sound" in name:
        return "give an image file"
    if "Git LFS" in name:
        return "fetch the picture with `git lfs pull`"
    return "convert it to PNG or TIFF"


def _text_format(start: bytes) -> str | None:
    """The kind of text that a file begins with, or None where it is none."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"<svg" in text.lower():
        return "SVG"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if text[:14].lower() == b"<!doctype html" or text[:5].lower() == b"<html":
        return "a web page"
    if text and all(byte >= 32 or byte in b"\t\n\r\f" for byte in text):
        try:
            text[:512].decode("ascii")
        except UnicodeDecodeError:
            return None
        return "a text file"
    return None
