"""The generated C file computes the features of schema `relative` and the verdicts of PyTorch."""

import subprocess

import numpy as np
import pytest
import torch
from compiled_c import compiled, windows
from exported import capture, checkpoint, data_of

from config.paths import CHECKOUT
from config.plugins import names
from kdgat_models.decision import Decision
from kdgat_models.errors import UnsupportedError
from kdgat_models.export.c import export_c
from kdgat_models.files import digest_files
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.store import GraphData
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.networks.classifier import classify
from kdgat_models.registry import restore

SMALL = {"gat.hidden": 6, "gat.layers": 2, "gat.heads": 3, "gat.embedding_dim": 4}
FEATURES, EDGE_FEATURES = RELATIVE.continuous, len(RELATIVE.edge_features)
MIRRORED = "7978e0e5c4e63c18a0a44d39a448aa1f"


def said_by_c(model, folder, frames, *options, most_ids=2048):
    export_c(model, folder / "detector.c", most_ids)
    return windows(compiled(folder / "detector.c", *options), frames, FEATURES, EDGE_FEATURES)


def same_as_pytorch(model, data, said):
    """Every feature, logit, suspect and verdict."""
    store, network = data.store, restore(model)
    assert len(said) == len(store)
    np.testing.assert_allclose(np.concatenate([window.x for window in said]), store.x, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(np.concatenate([window.edge_attr for window in said]), store.edge_attr, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        expected = classify(network, data.batch(np.arange(len(store))))
    logits = np.array([(window.verdict.normal, window.verdict.attacked) for window in said])
    np.testing.assert_allclose(logits, expected.logits, atol=1e-4, rtol=1e-4)
    if model.config.gat.node_head:
        nodes = np.concatenate([window.node_logit for window in said])
        np.testing.assert_allclose(nodes, expected.node_logit, atol=1e-4, rtol=1e-4)
    scores = (expected.logits[:, 1] - expected.logits[:, 0]).numpy()
    certain = abs(scores - model.decision.threshold()) > 1e-4
    verdicts = np.array([window.verdict.attack for window in said])
    assert (verdicts == (scores >= model.decision.threshold()))[certain].all()
    assert 0 < verdicts.sum() < len(said)
    times = [(window.verdict.begin, window.verdict.end) for window in said]
    np.testing.assert_array_equal(times, np.stack([store.start_time, store.end_time], 1))


@pytest.mark.parametrize("attack", ["fuzzing", "replay", "masquerade", "suppress", "DoS"])
def test_features_and_verdicts_are_those_of_python(tmp_path, attack):
    frames = capture(15.0, attack)
    data = data_of(frames)
    model = checkpoint(data, "tiny")
    same_as_pytorch(model, data, said_by_c(model, tmp_path, frames))


OPTIONS = (
    {"gat.node_head": False, "gat.fc_layers": 3},
    {"gat.self_loops": "replace", "gat.normalise": False},
    {"gat.layers": 1},
    {"gat.fc_layers": 2},
)


@pytest.mark.parametrize(("pool", "options"), list(zip(names("poolings"), OPTIONS, strict=True)))
def test_every_pooling_and_option_is_written(tmp_path, pool, options):
    frames = capture(5.0)
    data = data_of(frames)
    model = checkpoint(data, **{**SMALL, **options}, **{"gat.pooling": pool})
    same_as_pytorch(model, data, said_by_c(model, tmp_path, frames))


@pytest.mark.parametrize("vocabulary", [Vocabulary.of(range(0, 0x700, 3)), Vocabulary((), 16)], ids=["lookup", "hash"])
def test_ids_have_the_embedding_of_python(tmp_path, vocabulary):
    frames = capture(5.0)
    data = GraphData(data_of(frames).store, vocabulary)
    model = checkpoint(data, **SMALL)
    same_as_pytorch(model, data, said_by_c(model, tmp_path, frames))


def test_ids_beyond_the_room_for_them_each_count_as_new(tmp_path):
    frames = capture(5.0, "fuzzing")
    data = data_of(frames)
    model = checkpoint(data, **SMALL)
    said = said_by_c(model, tmp_path, frames, most_ids=40)
    assert len(said) == len(data.store)
    few = [window for window in data.store.node_offsets[1:] if len(set(frames.arbitration_id[:window])) <= 40]
    assert few  # the windows before the room is full are the same
    assert np.isfinite([window.verdict.score for window in said]).all()


def test_the_code_reads_and_writes_nothing_that_is_not_its_own(tmp_path):
    frames = capture(8.0, "fuzzing")
    model = checkpoint(data_of(frames), **SMALL)
    export_c(model, tmp_path / "detector.c", 40)
    lines = [
        f"{time!r} {identifier} {dlc} {payload.tobytes().hex()}"
        for time, identifier, dlc, payload in zip(
            frames.timestamp.tolist(), frames.arbitration_id, frames.dlc, frames.payload, strict=True
        )
    ]
    (tmp_path / "main.c").write_text(MAIN)
    options = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["cc", *options, "-std=c99", "-o", tmp_path / "main", tmp_path / "main.c", tmp_path / "detector.c", "-lm"]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "main"], input="\n".join(lines), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    assert int(done.stdout) == frames.size // 100


MAIN = """
#define KDGAT_DECLARATIONS
#include "detector.c"
#include <stdio.h>
static kdgat_state state;
int main(void)
{
    double time; unsigned id, dlc, byte; int windows = 0, i;
    kdgat_verdict verdict;
    kdgat_begin(&state);
    while (scanf("%lf %u %u", &time, &id, &dlc) == 3) {
        uint8_t payload[8];
        for (i = 0; i < 8; i++) { if (scanf(i ? "%2x" : " %2x", &byte) != 1) return 1; payload[i] = (uint8_t)byte; }
        windows += kdgat_push(&state, time, id, (uint8_t)dlc, payload, &verdict);
    }
    printf("%d", windows);
    return 0;
}
"""


def test_what_cannot_be_written_is_refused_with_a_reason(tmp_path):
    data = data_of(capture(3.0))
    model = checkpoint(data, **SMALL)
    other = checkpoint(data, **SMALL, **{"gat.conv": "gatv2"})
    overlapping = model._replace(config=checkpoint(data, **SMALL, **{"preprocessing.stride": 50}).config)
    cases = {
        "conv=transformer": other,
        "the stride is 50": overlapping,
        "schema relative": model._replace(schema={**model.schema, "version": 9}),
    }
    for reason, refused in cases.items():
        with pytest.raises(UnsupportedError, match=reason):
            export_c(refused, tmp_path / "detector.c")
    assert not list(tmp_path.iterdir())


def test_the_python_that_the_c_code_mirrors_is_what_it_was_when_both_were_compared():
    names_of_files = ("relative.py", "relative_measures.py", "relative_moments.py", "relative_state.py")
    files = [CHECKOUT / "kdgat_models" / "graphs" / name for name in names_of_files]
    assert digest_files(files) == MIRRORED, (
        "the features of schema relative have changed: change kdgat_models/export/templates/features.c likewise, see the tests "
        "above pass, and write the new digest here"
    )


def test_the_threshold_is_that_of_the_decision(tmp_path):
    frames = capture(5.0)
    model = checkpoint(data_of(frames), **SMALL)
    for threshold, flagged in ((-1e9, True), (1e9, False)):
        said = said_by_c(model._replace(decision=Decision({"f1": threshold})), tmp_path, frames)
        assert all(window.verdict.attack == flagged for window in said)
