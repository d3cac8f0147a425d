"""Train the student that ships with the package, on the can-train-and-test recordings and on simulated vehicles.

    python deployments/pretrained.py DATA ROOT

DATA holds set_01 ... set_04 as published (DATA/set_01/SPLIT/*.csv); ROOT takes all that is written. The recordings of each
set lie beside those of the others and of the simulator in one dataset, `mixed`: what is published as training is learnt from,
and its test captures are only evaluated. A large teacher is trained, then the tiny student that learns from it. At the end the
student lies in kdgat_models/pretrained/student.kdgat. It takes some half an hour on two cores.
"""

import os
import subprocess
import sys
from pathlib import Path

SETS = ("set_01", "set_02", "set_03", "set_04")
PUBLISHED = Path(__file__).resolve().parents[1] / "kdgat_models" / "pretrained" / "student.kdgat"
CATALOGUE = """datasets:
  mixed:
    domain: automotive
    source: can-train-and-test, set_01 to set_04, and vehicles of the simulator
    licence: research use, cite Lampe & Meng 2024
    readers: [four_column_csv]
    splits:
      train_01_attack_free: {role: train}
      train_02_with_attacks: {role: train}
      test_01_known_vehicle_known_attack: {role: test}
      test_02_unknown_vehicle_known_attack: {role: test}
      test_03_known_vehicle_unknown_attack: {role: test}
      test_04_unknown_vehicle_unknown_attack: {role: test}
      test_05_suppress: {role: test}
      test_06_masquerade: {role: test}
"""


def assemble(data: Path, folder: Path) -> None:
    """One dataset out of several: a link to each capture, whose name says which set it is from."""
    from kdgat_models.can.simulate import write_demo

    write_demo(folder)
    for name in SETS:
        for capture in sorted((data / name).glob("*/*.csv")):
            link = folder / capture.parent.name / f"{capture.stem}-{name}.csv"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(capture.resolve())


def main() -> None:
    """Assemble, train, bundle."""
    data, root = (Path(argument).resolve() for argument in sys.argv[1:3])
    assemble(data, root / "data" / "mixed")
    catalogue = root / "mixed.yaml"
    catalogue.write_text(CATALOGUE)
    kdgat = [sys.executable, "-m", "flows.cli", "--catalog", str(catalogue)]
    environment = {**os.environ, "KDGAT_ROOT": str(root / "experiments")}
    run = ["run", "--modality", "automotive", "--dataset", "mixed", "--data-dir", str(root / "data")]
    run += ["--variants", "large,tiny_kd", "--models", "gat", "--on-bad-rows", "quarantine"]
    subprocess.run([*kdgat, *run], check=True, env=environment)
    bundle = ["bundle", "--dataset", "mixed", "--variant", "tiny_kd", "--output", str(PUBLISHED)]
    PUBLISHED.parent.mkdir(exist_ok=True)
    subprocess.run([*kdgat, *bundle], check=True, env=environment)


if __name__ == "__main__":
    main()
