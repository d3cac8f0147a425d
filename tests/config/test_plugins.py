"""What is chosen by name: the table of what is built in, and what packages add, of which each fault costs only itself."""

import importlib
import json
import subprocess
import sys
from typing import Annotated, get_args

import pytest
from installed import install
from pydantic import BaseModel, TypeAdapter, ValidationError

from config import plugins
from config.choices import OneOf, chosen
from config.errors import ConfigError, PluginError
from config.paths import CHECKOUT
from config.plugins import find, load, load_entry, misplaced, names, package_files, registered
from config.registry import REGISTRY, Kind
from config.resolver import resolve
from config.schema import PipelineConfig

POOLING = "def double(width):\n    return ('double', width)\n"
# Stages are records of one table, which tests/tasks/ is about.
BUILT_IN = [(kind, name) for kind, entry in REGISTRY.items() if kind != "stages" for name in entry.built_in]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages on sys.path; what was known of entry points before is forgotten, and so is what it adds."""
    monkeypatch.syspath_prepend(tmp_path)
    plugins._entry_points.cache_clear()
    yield tmp_path
    plugins._entry_points.cache_clear()
    sys.modules.pop("rings", None)


def add(site, **points):
    """A package `rings` whose entry points of poolings are `points`."""
    return install(site, "kdgat-rings", {"kdgat.poolings": points}, {"rings.py": POOLING})


def test_each_kind_is_in_the_table():
    assert get_args(Kind) == tuple(REGISTRY)


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_what_is_built_in_lies_in_a_file_of_its_own_and_can_be_loaded(kind, name):
    entry = find(kind, name)
    assert (CHECKOUT / f"{entry.module.replace('.', '/')}.py").is_file()
    assert load(kind, name) is not None
    others = [find(kind, other).module for other in names(kind) if other != name]
    assert entry.module not in others


def test_a_name_is_known_without_the_library():
    """`config` imports nothing heavy to know what may be chosen."""
    resolve("gat", "small", **{"gat.conv": "gatv2"})
    source = "import sys, config.resolver as r; r.resolve('gat', 'small', **{'gat.conv': 'gat'}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=CHECKOUT, check=True)
    assert done.stdout == "False\n"


def test_an_unknown_name_is_told_all_that_there_are_and_the_nearest():
    with pytest.raises(ConfigError) as caught:
        find("poolings", "maen")
    assert str(caught.value) == "unknown pooling 'maen'; there are: mean, max, mean_max, attention. Did you mean mean?"
    with pytest.raises(ConfigError, match=r"there are: relative, reference$"):
        find("feature_schemas", "???")


def test_a_package_adds_a_name_that_config_takes_and_forms_offer(site):
    add(site, double="rings:double")
    assert names("poolings") == ["mean", "max", "mean_max", "attention", "double"]
    assert load("poolings", "double")(3) == ("double", 3)
    assert find("poolings", "double").provider == "kdgat-rings 0.1"
    config = resolve("gat", "small", **{"gat.pooling": "double"})
    assert config.gat.pooling == "double"
    offered = PipelineConfig.model_json_schema()["$defs"]["GATArchitecture"]["properties"]["pooling"]["enum"]
    assert offered == names("poolings")


def test_without_the_package_the_name_is_an_error_with_all_that_there_are(site):
    with pytest.raises(ConfigError, match=r"gat.pooling = 'double': unknown pooling 'double'; there are: mean, max"):
        resolve("gat", "small", **{"gat.pooling": "double"})


def test_a_name_is_known_though_its_package_cannot_be_imported(site):
    """Whoever uses it is told why, and nobody else."""
    install(site, "kdgat-rings", {"kdgat.poolings": {"double": "rings:double"}}, {"rings.py": "import no_such_module"})
    assert resolve("gat", "small", **{"gat.pooling": "mean"}).gat.pooling == "mean"
    assert "double" in names("poolings")
    with pytest.raises(PluginError, match=r"double \(kdgat.poolings\) of kdgat-rings 0.1 .* No module named 'no_such_module'"):
        load("poolings", "double")


@pytest.mark.parametrize("source", ["raise RuntimeError('never')", "import sys; sys.exit(3)", "def other(): ...", "def ("])
def test_whatever_stops_the_import_of_a_plug_in_is_an_error_with_its_name(site, source):
    install(site, "kdgat-rings", {"kdgat.poolings": {"double": "rings:double"}}, {"rings.py": source})
    with pytest.raises(PluginError, match="double"):
        load("poolings", "double")


def test_what_is_built_in_cannot_be_replaced(site):
    add(site, mean="rings:double", other="rings:double")
    assert find("poolings", "mean").built_in
    assert names("poolings").count("mean") == 1
    [refused] = [entry for entry in registered("poolings") if entry.problem]
    assert (refused.name, refused.provider) == ("mean", "kdgat-rings 0.1")
    assert "is built in" in (refused.problem or "")
    assert "other" in names("poolings")


def test_of_two_packages_that_want_one_name_none_gets_it(site):
    add(site, double="rings:double", other="rings:double")
    install(site, "kdgat-twin", {"kdgat.poolings": {"double": "twin:double"}})
    assert "double" not in names("poolings")
    assert "other" in names("poolings")
    with pytest.raises(ConfigError, match=r"kdgat-rings 0.1 is refused: kdgat-twin 0.1 has that name, too"):
        find("poolings", "double")


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ({"a/b": "rings:double"}, "a name has letters"),
        ({"double": "rings"}, "is no reference"),
        ({"double": "rings:double [extra]"}, "is no reference"),
    ],
)
def test_an_entry_point_that_is_none_of_ours_is_refused_with_the_reason(site, points, problem):
    add(site, **points)
    [refused] = [entry for entry in registered("poolings") if not entry.built_in]
    assert problem in (refused.problem or "")
    assert names("poolings") == list(REGISTRY["poolings"].built_in)


def test_a_group_that_does_not_exist_is_noticed(site):
    install(site, "kdgat-rings", {"kdgat.poolins": {"double": "rings:double"}})
    [entry] = misplaced()
    assert "there is no group kdgat.poolins" in (entry.problem or "")


def test_a_file_of_entry_points_that_cannot_be_read_costs_that_package_only(site):
    add(site, double="rings:double")
    broken = install(site, "kdgat-broken", {"kdgat.poolings": {}})
    (broken / "kdgat_broken-0.1.dist-info" / "entry_points.txt").write_text("[kdgat.poolings]\nno equals sign\n")
    assert "double" in names("poolings")
    [entry] = misplaced()
    assert (entry.provider, "cannot be read" in (entry.problem or "")) == ("kdgat-broken 0.1", True)


def test_a_distribution_without_a_name_is_passed_over(site):
    importlib.import_module("importlib_metadata")  # MLflow does so: its finder then takes the place of Python's own
    (site / "left_behind-1.dist-info").mkdir()
    assert names("poolings") == list(REGISTRY["poolings"].built_in)


def test_the_source_of_a_plug_in_is_that_of_its_whole_package_and_is_not_imported(site):
    files = {"shapes/__init__.py": "raise RuntimeError", "shapes/of/rings.py": "", "shapes/notes.txt": "", "single.py": ""}
    install(site, "kdgat-rings", {}, files)
    own = ("shapes/__init__.py", "shapes/of/rings.py")
    assert package_files("shapes.of.rings") == {name: site / name for name in own}
    assert package_files("single") == {"single.py": site / "single.py"}
    with pytest.raises(PluginError, match="no_such_package"):
        package_files("no_such_package.rings")


def test_what_a_config_chooses_is_found_in_all_of_its_records(site):
    add(site, double="rings:double")
    config = resolve("gat", "small", **{"gat.pooling": "double", "loss.name": "focal"})
    assert {(entry.kind, entry.name) for entry in chosen(config)} >= {
        ("convolutions", "transformer"),
        ("poolings", "double"),
        ("losses", "focal"),
        ("fusion", "dqn"),
        ("feature_schemas", "relative"),
    }
    assert {entry.kind for entry in chosen(config.loss)} == {"losses"}


class Several(BaseModel):
    pools: tuple[Annotated[str, OneOf("poolings")], ...] = ()
    maybe: Annotated[str, OneOf("losses")] | None = None


def test_names_in_a_list_and_names_that_may_be_left_out_are_found_and_checked():
    assert [entry.name for entry in chosen(Several(pools=("max", "mean"), maybe="focal"))] == ["max", "mean", "focal"]
    assert list(chosen(Several())) == []
    with pytest.raises(ValidationError, match="unknown pooling 'x'"):
        Several(pools=("max", "x"))


def test_the_choices_of_a_form_are_plain_texts():
    schema = TypeAdapter(Annotated[str, OneOf("losses")]).json_schema()
    assert json.loads(json.dumps(schema)) == {"type": "string", "enum": ["cross_entropy", "weighted", "focal"]}


def test_a_reference_of_ours_that_is_wrong_is_no_fault_of_a_package():
    entry = find("losses", "focal")
    with pytest.raises(ImportError):
        load_entry(entry._replace(reference="kdgat_models.no_such_module:thing"))
