"""Discovery keeps broken plugins apart, conflicts name both sides, and references mean what they say."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zoo_core.config import decode, encode
from zoo_core.errors import NameConflictError, PluginLoadError, UnknownNameError, UsageError, ZooError
from zoo_core.interfaces import ModelConfig
from zoo_core.registry import Plugin, Reference, Registry, discover, parse_reference, registry, resolve, using
from zoo_core.registry.moved import MOVED, RENAMED
from zoo_core.samplers import Ancestral, Latent
from zoo_core.schedulers import Cosine
from zoo_core.specs import CheckpointSpec, ModelSpec, RecipeSpec, SamplerSpec
from zoo_core.testing import environment, fake_zoo, installed, write_fake_plugin, write_plugin
from zoo_core.testing.fake_config import FakeConfig

HEAD = "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n\n"
GOOD = HEAD + "@hookimpl\ndef zoo_specs():\n    return [ModelSpec(name='fine', target='a:B')]\n"


def returning(expression: str) -> str:
    return HEAD + f"@hookimpl\ndef zoo_specs():\n    return {expression}\n"


BROKEN = {
    "import error": ("import nothing_like_that", "import", "nothing_like_that"),
    "syntax error": ("def (", "import", "SyntaxError"),
    "exit at import": ("import sys\nsys.exit(3)", "import", "SystemExit: 3"),
    "an interrupt of its own": ("raise KeyboardInterrupt", "import", "KeyboardInterrupt"),
    "a BaseException of its own": ("class Mine(BaseException): pass\nraise Mine('no')", "import", "Mine: no"),
    "error without a text": ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", "import", "E"),
    "misspelt hook": (HEAD + "@hookimpl\ndef zoo_spec():\n    return []", "register", "zoo_spec"),
    "wrong signature": (HEAD + "@hookimpl\ndef zoo_specs(registry):\n    return []", "register", "registry"),
    "hook without its mark": ("def zoo_specs():\n    return []", "hook", "@zoo_core.hookimpl"),
    "no hook": ("", "hook", "@zoo_core.hookimpl"),
    "raising hook": (returning("1 / 0"), "hook", "ZeroDivisionError"),
    "exit in the hook": (HEAD + "@hookimpl\ndef zoo_specs():\n    raise SystemExit", "hook", "SystemExit"),
    "raising generator": (HEAD + "@hookimpl\ndef zoo_specs():\n    yield ModelSpec(name='a')\n    1 / 0", "specs", "ZeroDivisionError"),
    "returns None": (returning("None"), "hook", "None"),
    "returns a number": (returning("3"), "specs", "int"),
    "returns strings": (returning("['ddpm']"), "specs", "str"),
    "a kind of its own": (HEAD + "class MySpec(Spec): pass\n@hookimpl\ndef zoo_specs():\n    return [MySpec(name='a')]", "specs", "MySpec"),
    "upper case": (returning("[ModelSpec(name='DDPM')]"), "specs", "'DDPM'"),
    "empty name": (returning("[ModelSpec(name='')]"), "specs", "''"),
    "a name like a path": (returning("[ModelSpec(name='a/b')]"), "specs", "'a/b'"),
    "a name with a line break": (returning("[ModelSpec(name='a\\n')]"), "specs", r"'a\n'"),
    "a name that is no string": (returning("[ModelSpec(name=None)]"), "specs", "name must be a string"),
    "a recipe of no family": (returning("[RecipeSpec(name='tiny')]"), "specs", "''"),
    "the same name twice": (returning("[ModelSpec(name='a'), ModelSpec(name='a')]"), "specs", "offered twice"),
    "a summary that is no string": (returning("[ModelSpec(name='a', summary=None)]"), "specs", "summary must be a string"),
    "capabilities in one string": (returning("[ModelSpec(name='a', capabilities='decode')]"), "hook", "capabilities"),
    "capabilities that are no names": (returning("[ModelSpec(name='a', capabilities={1, 'a'})]"), "hook", "capabilities"),
    "capabilities that are no set": (returning("[ModelSpec(name='a', capabilities=3)]"), "hook", "capabilities"),
    "defaults that are no mapping": (returning("[SamplerSpec(name='a', defaults=3)]"), "hook", "defaults"),
    "defaults that are no JSON": (returning("[SamplerSpec(name='a', defaults={'a': object()})]"), "hook", "defaults"),
    "a folder that is none": (returning("[CheckpointSpec(name='a', folder=3)]"), "hook", "folder"),
    "pins that are no mapping": (returning("[CheckpointSpec(name='a', files=['x'])]"), "hook", "files"),
    "a pin of one part": (returning("[CheckpointSpec(name='a', files={'x': ('y',)})]"), "hook", "files"),
    "a pin whose size is text": (returning("[CheckpointSpec(name='a', files={'x': ('y', '1')})]"), "hook", "size"),
    "a pin whose sha256 is a number": (returning("[CheckpointSpec(name='a', files={'x': Pin(sha256=1, size=1)})]"), "hook", "sha256"),
    "a hub that is none": (returning("[CheckpointSpec(name='a', hub='x/y')]"), "hook", "hub"),
    "pins that are not there": (returning("checkpoints(__name__)"), "hook", "checkpoints.json"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_breaks_nothing_but_itself(case: str, tmp_path: Path) -> None:
    source, step, why = BROKEN[case]
    write_plugin(tmp_path, "zoo-broken", source)
    write_plugin(tmp_path, "zoo-fine", GOOD)
    with installed(tmp_path, names=["zoo-broken", "zoo-fine"]) as found:
        (broken,) = found.failures
        assert (broken.dist, broken.version, broken.module, broken.specs) == ("zoo-broken", "1.0", "zoo_broken", ())
        assert broken.failure is not None
        assert broken.failure.step == step
        assert why in broken.failure.why
        assert "\n" not in str(broken.failure)
        assert not broken.failure.newer
        assert found.spec(ModelSpec, "fine").target == "a:B"
        assert found.spec(SamplerSpec, "ancestral")


NEWER = {
    "a field": (returning("[ModelSpec(name='a', colour='red')]"), "ModelSpec has no field 'colour'"),
    "a kind": ("from zoo_core.specs import AudioSpec", "no AudioSpec"),
    "a kind by its module": ("from zoo_core import specs\nspecs.AudioSpec", "no AudioSpec"),
    "a module": ("import zoo_core.audio", "no zoo_core.audio"),
}


@pytest.mark.parametrize("case", NEWER)
def test_what_this_zoo_core_does_not_know_means_made_for_a_newer_one(case: str, tmp_path: Path) -> None:
    source, why = NEWER[case]
    with installed(write_plugin(tmp_path, "zoo-new", source), names=["zoo-new"]) as found:
        (plugin,) = found.failures
        assert str(plugin.failure) == f"made for a newer zoo-core ({why})"


OLD = {
    "from zoo_core.training.datasets import folder": "zoo_core.data.loaders",
    "from zoo_core.images import save_samples": "zoo_core.figures.samples.save_samples",
    "from zoo_core.hub import Files": "zoo_core.checkpoint.files.Files",
    "from zoo_core.samplers.base import Walk": "zoo_core.samplers.base.DenoiserSampler",
}


@pytest.mark.parametrize("source", OLD)
def test_a_plugin_that_imports_a_moved_name_hears_the_new_one(source: str, tmp_path: Path) -> None:
    with installed(write_plugin(tmp_path, "zoo-old", source), names=["zoo-old"]) as found:
        (plugin,) = found.failures
        assert plugin.failure is not None
        assert plugin.failure.why.endswith(f"(it is {OLD[source]} now)")
        assert not plugin.failure.newer


@pytest.mark.parametrize("target", sorted(set(MOVED.values())))
def test_every_new_module_is_there(target: str) -> None:
    assert find_spec(f"zoo_core.{target}")


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_name_is_gone_and_its_new_place_has_it(old: str) -> None:
    module, _, name = RENAMED[old].rpartition(".")
    assert hasattr(import_module(f"zoo_core.{module}"), name)
    home, _, before = old.rpartition(".")
    assert not hasattr(import_module(f"zoo_core.{home}"), before)


@pytest.mark.parametrize("old", MOVED)
def test_no_moved_name_is_a_module_still(old: str) -> None:
    with suppress(ModuleNotFoundError):  # a module where there was a package
        assert old == "hub" or find_spec(f"zoo_core.{old}") is None


@pytest.mark.parametrize("source", ["dict(colour='red').nothing", "from json import AudioSpec", "def f(): pass\nf(colour='red')"])
def test_other_slips_are_not_blamed_on_the_version(source: str, tmp_path: Path) -> None:
    with installed(write_plugin(tmp_path, "zoo-slip", source), names=["zoo-slip"]) as found:
        (plugin,) = found.failures
        assert plugin.failure is not None
        assert not plugin.failure.newer


def test_ctrl_c_in_a_plugin_stops_the_zoo(tmp_path: Path) -> None:
    write_plugin(tmp_path, "zoo-stop", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**6): pass")
    with pytest.raises(KeyboardInterrupt), installed(tmp_path, names=["zoo-stop"]):
        pass


def test_strict_raises_from_what_the_plugin_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plugin(tmp_path, "zoo-broken", "1 / 0")
    monkeypatch.setenv("ZOO_STRICT", "1")
    told = r"plugin zoo_broken \(zoo-broken\) failed at import: ZeroDivisionError: division by zero -- mend .*zoo_broken.py:1"
    with pytest.raises(PluginLoadError, match=told) as caught, installed(tmp_path, names=["zoo-broken"]):
        pass
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_a_plugin_prints_never_reaches_stdout(tmp_path: Path) -> None:
    write_plugin(
        tmp_path, "zoo-loud", "print('at import')\n" + HEAD + "@hookimpl\ndef zoo_specs():\n    print('in the hook')\n    return []"
    )
    (tmp_path / "loud_target.py").write_text("print('in the target')\nName = 1")
    source = "from zoo_core.registry import registry, resolve; registry(); resolve('loud_target:Name'); print('mine')"
    done = subprocess.run(
        [sys.executable, "-c", source], env={**environment(tmp_path), "ZOO_PLUGINS": "zoo-loud"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "mine\n"
    assert done.stderr == "at import\nin the hook\nin the target\n"


def test_what_a_plugins_children_write_never_reaches_stdout_and_a_warning_is_a_line(tmp_path: Path) -> None:
    source = "import os, warnings\nos.system('echo child')\nos.write(1, b'raw\\n')\nwarnings.warn('odd\\nmatter')\n"
    write_plugin(tmp_path, "zoo-loud", source + returning("os.system('echo hook') and []"))
    env = {**environment(tmp_path), "ZOO_PLUGINS": "zoo-loud"}
    script = f"exec {sys.executable} -c 'from zoo_core.registry import registry; registry(); import os; os.write(1, b\"mine\")'"
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "mine"
    assert "child\nraw\nhook\n" in done.stderr
    assert "zoo: warning: plugin zoo_loud: UserWarning: odd matter\n" in done.stderr
    assert "warnings.warn" not in done.stderr
    closed = subprocess.run(["sh", "-c", script.replace('b"mine"', 'b""') + " >&- 2>&-"], env=env, check=False)
    assert closed.returncode in (0, 1)  # 1 is this test's own write


def test_damaged_metadata_hides_nothing_but_its_own_distribution(tmp_path: Path) -> None:
    write_plugin(tmp_path, "zoo-fine", GOOD)
    write_plugin(tmp_path, "zoo-half", GOOD.replace("fine", "half"))
    (tmp_path / "zoo_half-1.0.dist-info" / "METADATA").unlink()
    write_plugin(tmp_path, "zoo-garbled", GOOD.replace("fine", "garbled"))
    (tmp_path / "zoo_garbled-1.0.dist-info" / "entry_points.txt").write_text("[zoo]\nno equals sign\n")
    with installed(tmp_path) as found:
        assert found.spec(ModelSpec, "fine")
        assert found.spec(ModelSpec, "half")


# Selection


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two plugins: zoo-a offers the families ``a`` and ``both``, zoo-b ``b`` and ``both``."""
    for name in "ab":
        write_plugin(tmp_path, f"zoo-{name}", returning(f"[ModelSpec(name={name!r}), ModelSpec(name='both', target='of:{name}')]"))
    return tmp_path


@pytest.mark.parametrize("name", ["zoo-a", "zoo_a", "Zoo.A"])
def test_plugins_are_selected_by_distribution_or_by_entry_point(two: Path, name: str) -> None:
    with installed(two, names=[name]) as found:
        assert [plugin.dist for plugin in found.plugins] == ["zoo-core", "zoo-a"]


def test_selecting_none_leaves_the_core(two: Path) -> None:
    with installed(two, names=[]) as found:
        assert [plugin.name for plugin in found.plugins] == ["core"]


def test_selecting_what_is_not_installed_says_so(two: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean zoo-a"), installed(two, names=["zoo-aa"]):
        pass


@pytest.mark.parametrize(
    ("value", "dists"), [("", ["zoo-core"]), ("zoo-b", ["zoo-core", "zoo-b"]), (" zoo-b, zoo-a,", ["zoo-core", "zoo-a", "zoo-b"])]
)
def test_the_environment_selects_plugins(two: Path, monkeypatch: pytest.MonkeyPatch, value: str, dists: list[str]) -> None:
    monkeypatch.setattr("zoo_core.registry.discovery._current", [])
    monkeypatch.setenv("ZOO_PLUGINS", value)
    monkeypatch.syspath_prepend(two)
    assert [plugin.dist for plugin in registry().plugins] == dists
    assert registry() is registry()


def test_a_name_that_the_environment_selects_in_vain_fails_when_something_is_claimed(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.registry.discovery._current", [])
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-aa,zoo-b")
    monkeypatch.syspath_prepend(two)
    assert list(registry().claims(ModelSpec)) == ["b", "both"]
    assert [plugin.dist for plugin in registry().failures] == ["zoo-aa"]
    with pytest.raises(UnknownNameError, match=r"ZOO_PLUGINS: unknown plugin 'zoo-aa' -- did you mean zoo-a"):
        registry().spec(ModelSpec, "b")


def test_a_temporary_registry_ends_with_its_block() -> None:
    before = registry()
    with using(Registry(())) as temporary:
        assert registry() is temporary
    assert registry() is before


def test_an_installed_plugin_is_found_from_a_subprocess(tmp_path: Path) -> None:
    source = "from zoo_core.registry import registry; print(*registry().claims('family'))"
    env = {**environment(write_fake_plugin(tmp_path)), "ZOO_PLUGINS": "zoo-fake"}
    done = subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "fake fake-conditional fake-denoiser fake-filler fake-latent fake-text\n"


# Names


def test_two_claims_on_a_name_are_both_listed_and_the_error_names_both(two: Path) -> None:
    with installed(two, names=["zoo-a", "zoo-b"]) as found:
        assert [claim.plugin.dist for claim in found.claims(ModelSpec)["both"]] == ["zoo-a", "zoo-b"]
        with pytest.raises(NameConflictError, match=r"'both' is claimed by zoo-a and zoo-b -- say which: zoo-a:both or zoo-b:both"):
            found.spec(ModelSpec, "both")
        assert found.spec(ModelSpec, "zoo-a:both").target == "of:a"
        assert found.spec(ModelSpec, "zoo-b:both").target == "of:b"
        assert found.spec(ModelSpec, "Zoo_B:both").target == "of:b"
        assert found.spec(ModelSpec, "a")


def test_a_plugin_cannot_take_a_name_of_the_core(tmp_path: Path) -> None:
    own = "[SamplerSpec(name='ancestral', target='sly:Sampler'), SamplerSpec(name='a', target='zoo_core.samplers:Ancestral')]"
    write_plugin(tmp_path, "zoo-sly", returning(own))
    with installed(tmp_path, names=["zoo-sly"]) as found:
        assert found.spec(SamplerSpec, "ancestral").target == "zoo_core.samplers:Ancestral"
        assert found.spec(SamplerSpec, "zoo-core:ancestral").target == "zoo_core.samplers:Ancestral"
        assert found.spec(SamplerSpec, "zoo-sly:ancestral").target == "sly:Sampler"
        assert found.claim(SamplerSpec, "ancestral", "zoo-sly").plugin.dist == "zoo-sly"
        assert found.name_of("sampler", Ancestral) == "ancestral"
        assert found.claim_or_none(SamplerSpec, "ancestral") == found.claim(SamplerSpec, "zoo-core:ancestral")


def test_what_is_encoded_where_a_name_is_ambiguous_names_the_distribution(tmp_path: Path) -> None:
    write_fake_plugin(tmp_path)
    write_plugin(tmp_path, "zoo-sly", returning("[ModelSpec(name='fake', config='sly:Config')]"))
    with installed(tmp_path, names=["zoo-fake", "zoo-sly"]) as found:
        assert encode(FakeConfig())["name"] == "zoo-fake:fake"
        assert decode(ModelConfig, encode(FakeConfig())) == FakeConfig()
        assert decode(ModelConfig, {**encode(FakeConfig()), "name": "fake"}, prefer="zoo-fake") == FakeConfig()
        with pytest.raises(NameConflictError):
            decode(ModelConfig, {**encode(FakeConfig()), "name": "fake"})
        assert found.claim_of("family", FakeConfig).plugin.dist == "zoo-fake"


def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    with fake_zoo() as found:
        with pytest.raises(UnknownNameError, match=r"unknown sampler 'ancestrl' -- did you mean ancestral\?"):
            found.spec(SamplerSpec, "ancestrl")
        with pytest.raises(UnknownNameError, match="installed first"):
            found.spec(ModelSpec, "os.system")
        with pytest.raises(UnknownNameError):
            found.spec(ModelSpec, "zoo-core:fake")


def test_recipes_are_unique_within_their_family_alone() -> None:
    with fake_zoo() as found:
        assert found.spec(RecipeSpec, "fake/tiny").target != found.spec(RecipeSpec, "fake-denoiser/tiny").target
        assert list(found.claims(RecipeSpec)) == ["fake-denoiser/tiny", "fake/images", "fake/tiny"]


def test_a_class_is_found_back_under_the_name_that_adds_no_defaults() -> None:
    with fake_zoo() as found:
        assert found.name_of("sampler", Ancestral) == "ancestral"
        assert found.name_of("sampler", Latent) == "latent"
        assert found.name_of("scheduler", Cosine) == "cosine"
        assert found.name_of("family", FakeConfig) == "fake"
        with pytest.raises(UnknownNameError, match="not registered as a sampler"):
            found.name_of("sampler", Cosine)


def test_all_targets_of_the_core_resolve() -> None:
    core = discover([])
    assert not core.failures
    for plugin in core.plugins:
        for spec in plugin.specs:
            for target in (getattr(spec, "target", ""), getattr(spec, "config", "")):
                assert not target or resolve(target)


@pytest.mark.parametrize("target", ["nothing_like_that:Name", "json:nothing", "json", "", ":", "json:", "os.path:join.nothing"])
def test_a_target_that_does_not_resolve_is_a_plugin_error(target: str) -> None:
    with pytest.raises(PluginLoadError, match="cannot load"):
        resolve(target)


def test_a_target_may_exit_without_ending_the_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exiting_target.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginLoadError, match="SystemExit"):
        resolve("exiting_target:Name")


# References


@pytest.mark.parametrize(
    ("text", "kind", "name", "revision"),
    [
        ("ddpm-afhq-cat", "name", "ddpm-afhq-cat", None),
        ("v1.0_x", "name", "v1.0_x", None),
        ("zoo-ddpm:ddpm-afhq-cat", "name", "zoo-ddpm:ddpm-afhq-cat", None),
        ("Zoo_DDPM:cat", "name", "Zoo_DDPM:cat", None),
        ("org/repo", "hub", "org/repo", None),
        ("Org.X/Repo_1@v1.0", "hub", "Org.X/Repo_1", "v1.0"),
        ("org/repo@refs/pr/1", "hub", "org/repo", "refs/pr/1"),
        ("local:runs/cat", "local", "runs/cat", None),
        ("local:../x:y@z", "local", "../x:y@z", None),
    ],
)
def test_a_reference_has_one_of_four_forms(text: str, kind: str, name: str, revision: str | None) -> None:
    reference = parse_reference(text)
    assert (reference.kind, reference.name, reference.revision) == (kind, name, revision)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "local:", "local:a\0b", "Cat", "a/b/c", "a/", "a/..", "org/repo@", "org/repo@../x", "org/repo@a b", "a b"),
        *("a:b:c", ":a", "a:", "cat\n", "org/repo\n", "https://huggingface.co/org/repo", "cat@v1", "-cat", "cat-", "a" * 97, "ö"),
        *("o\u0308rg/repo", "\x1b[31m", "org/re\0po"),
    ],
)
def test_what_has_none_of_the_forms_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a checkpoint reference"):
        parse_reference(text)


@given(st.text() | st.from_regex(r"[a-zA-Z0-9:/@._~\-\0]{0,40}") | st.builds("local:{}".format, st.text()))
@example("/\0")
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference
    if reference.kind == "local":
        try:
            assert isinstance(reference.path, Path)
        except UsageError:
            return
    if reference.kind == "hub":
        assert ".." not in text
        assert reference.name.count("/") == 1


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "a" * 5000, "~\ud800"])
def test_a_local_path_that_no_system_takes_is_refused_in_the_zoos_own_words(path: str) -> None:
    with pytest.raises(UsageError, match="not a path"):
        _ = Reference(kind="local", name=path).path


def test_a_run_folder_means_its_export(tmp_path: Path) -> None:
    reference = parse_reference(f"local:{tmp_path}")
    assert reference.path == tmp_path
    (tmp_path / "recipe.json").touch()
    assert reference.path == tmp_path / "export"


@pytest.fixture
def checkpointed() -> Iterator[None]:
    plugins = [Plugin(name=d, module="m", dist=d, version="1", specs=(CheckpointSpec(name="cat", summary=d),)) for d in ("zoo-a", "zoo-b")]
    with using(Registry(tuple(plugins))):
        yield


@pytest.mark.usefixtures("checkpointed")
def test_a_reference_by_name_finds_its_checkpoint() -> None:
    assert parse_reference("zoo-b:cat").spec().summary == "zoo-b"
    with pytest.raises(NameConflictError):
        parse_reference("cat").spec()
    with pytest.raises(UnknownNameError, match="did you mean cat"):
        parse_reference("cats").spec()


@given(st.text(max_size=30), st.sampled_from(["family", "sampler", "recipe", "checkpoint"]))
def test_any_name_is_found_or_refused(name: str, kind: str) -> None:
    with fake_zoo() as found:
        try:
            claim = found.claim(kind, name)
        except ZooError:
            return
        assert claim.spec.key == name.rpartition(":")[2]
