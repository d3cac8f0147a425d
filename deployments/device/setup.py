"""Compiles the feature code out of the templates that `kdgat export --to c` is made of."""

import os
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).resolve().parent
TEMPLATES = Path(os.environ.get("KDGAT_TEMPLATES", HERE.parents[1] / "kdgat_models" / "export" / "templates"))
SIZES = """#define KDGAT_FEATURES_ONLY
#define KDGAT_WINDOW 100
#define KDGAT_MOST_IDS 2048
#define KDGAT_FEATURES 41
#define KDGAT_EDGE_FEATURES 5"""

interface, *rest = ((TEMPLATES / name).read_text() for name in ("interface.c", "features.c", "detector.c"))
source = Path("build") / "features.c"
source.parent.mkdir(exist_ok=True)
source.write_text("\n".join([interface.replace("@SIZES@", SIZES), *rest]))
setup(ext_modules=[Extension("kdgat_device.features", [str(source)], extra_compile_args=["-O3", "-std=c99"], libraries=["m"])])
