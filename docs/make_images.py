"""Draw the README's pictures anew with the installed engine: `python docs/make_images.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from eraser import demo

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for scene in demo.SCENES:
            report = demo.show(scene, Path(folder))
            row = Image.open(scene.paths(Path(folder))["side-by-side"])
            path = IMAGES / f"{scene.name}.jpg"
            row.convert("RGB").save(
                path, quality=90, subsampling=0, optimize=True, icc_profile=row.info.get("icc_profile")
            )
            print(f"{path}: {report['seconds']} s")


if __name__ == "__main__":
    main()
