import pytest

from config.catalog import catalog
from config.cluster import SHIPPED, load_profile, profile_files
from config.errors import ConfigError
from config.resolver import resolve


@pytest.fixture
def profile(tmp_path, monkeypatch):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    (tmp_path / "slurm").mkdir()

    def write(text, name="own"):
        (tmp_path / "slurm" / f"{name}.yaml").write_text(text)
        return load_profile(name)

    return write


@pytest.mark.parametrize("name", sorted(file.stem for file in SHIPPED.glob("*.yaml")))
def test_each_shipped_profile_is_valid(name):
    assert load_profile(name).description


def test_a_v100_and_a_cpu_profile_ship():
    gpu = load_profile("v100")
    assert (gpu.gres, gpu.gpus, gpu.constraint) == ("gpu:v100:1", 1, "v100")
    assert load_profile(gpu.preprocessing).gpus == 0


def test_own_profiles_lie_below_the_root_and_hide_shipped_ones(profile):
    assert profile("partition: mine", "cpu").partition == "mine"
    assert {"cpu", "default", "v100"} <= set(profile_files())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acount: x", "did you mean account"),
        ("walltime: 4h", "walltime"),
        ("gres: v100", "gres"),
        ("cores: 0", "cores"),
        ("exports: [HOME, PREFECT_API_KEY]", "looks like a secret"),
        ("preprocessing: own", "names the profile itself"),
        ("cores: [", "is not YAML"),
    ],
)
def test_a_wrong_profile_is_an_error_that_names_the_field(profile, text, message):
    with pytest.raises(ConfigError, match=message):
        profile(text)


def test_an_unknown_profile_is_an_error_that_lists_all(profile):
    with pytest.raises(ConfigError, match=r"no SLURM profile 'v1000'; there are: cpu, default, v100"):
        load_profile("v1000")


@pytest.mark.parametrize(("walltime", "hours"), [("00:30:00", 0.5), ("1-12:00:00", 36)])
def test_walltimes_are_read(profile, walltime, hours):
    assert profile(f"walltime: '{walltime}'").walltime_hours == hours


@pytest.mark.parametrize(("gres", "count"), [("gpu", 1), ("gpu:2", 2), ("gpu:v100", 1), ("gpu:a100:4", 4)])
def test_gpus_are_counted(profile, gres, count):
    assert profile(f"gres: {gres}").gpus == count


def test_a_dataset_may_need_more_memory_and_the_user_has_the_last_word(monkeypatch):
    entry = catalog()["hcrl_sa"].model_copy(update={"resources": {"memory_gb": {"graphs": 9.0}}})
    monkeypatch.setitem(catalog(), "hcrl_sa", entry)
    assert resolve("vgae", "large", dataset="hcrl_sa").resources.memory_gb["graphs"] == 9
    assert resolve("vgae", "large", dataset="demo").resources.memory_gb == {}
    assert (
        resolve("vgae", "large", **{"dataset": "hcrl_sa", "resources.memory_gb.graphs": 1}).resources.memory_gb["graphs"] == 1
    )
