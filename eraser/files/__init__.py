"""Read and write image files with everything they carry: depth, profile, EXIF, XMP, resolution, texts, quality.

Pillow does what fits in its 8-bit modes, libvips the rest (docs/decisions/0001-image-files.md). Both are imported when
the first file is touched.
"""

from eraser.files.headers import probe
from eraser.files.photo import FORMATS, Facts, LossWarning, Photo
from eraser.files.reading import MOST_MEGAPIXELS, read
from eraser.files.writing import check_output, write
from eraser.metadata import Metadata

__all__ = [
    "FORMATS",
    "MOST_MEGAPIXELS",
    "Facts",
    "LossWarning",
    "Metadata",
    "Photo",
    "check_output",
    "probe",
    "read",
    "write",
]
