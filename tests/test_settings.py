"""Settings: what each place may say, which place wins, and what a refusal tells."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import InvalidInputError
from absdb.setting_kinds import GIB, KIB, MIB, TIB, Kind, Setting
from absdb.setting_table import SETTINGS
from absdb.settings import Settings, load_settings, parse_conf, render_default

BY_NAME = {setting.name: setting for setting in SETTINGS}


def load(conf: str = "", **arguments: object) -> Settings:
    """Settings from a file and arguments, in an empty environment."""
    return load_settings(conf, arguments=arguments, environment={})


class TestTable:
    def test_every_setting_is_an_attribute_with_its_default(self):
        fields = {
            field.name: field.default for field in dataclasses.fields(Settings) if field.name != "origins"
        }
        assert fields == {setting.name: setting.default for setting in SETTINGS}

    @pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
    def test_defaults_and_limits_are_accepted_and_render(self, setting):
        values = [setting.default, *setting.choices]
        values += [limit for limit in (setting.minimum, setting.maximum) if limit is not None]
        for value in values:
            assert setting.accept(value) == value
            assert setting.accept(setting.render(value)) == value
        assert setting.meaning
        assert not setting.meaning.endswith(".")
        assert setting.expected()

    def test_values_as_designed(self):
        settings = Settings()
        assert settings.wal_segment_size == 16 * MIB
        assert settings.wal_sync_mode == "fsync"
        assert settings.wal_group_wait == 0.004
        assert settings.checkpoint_interval == 300
        assert settings.history_retention == 30 * 86400
        assert settings.page_compression is None
        assert [setting.name for setting in SETTINGS if setting.creation_only] == ["wal_segment_size"]


class TestDefaultFile:
    def test_says_nothing_until_a_line_is_uncommented(self):
        assert parse_conf(render_default()) == {}
        assert load(render_default()) == Settings()

    def test_every_setting_stands_there_with_its_default(self):
        text = re.sub(r"(?m)^#(\w+ =)", r"\1", render_default())
        assert list(parse_conf(text)) == list(BY_NAME)
        assert load(text) == Settings()

    def test_tells_meaning_and_limits(self):
        text = render_default()
        for setting in SETTINGS:
            assert setting.meaning in text
            assert setting.expected() in text
        assert text.count("Can only be chosen when the instance is created") == 1
        assert max(map(len, text.splitlines())) <= 120
        assert text.endswith("\n")


class TestValues:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("16MB", 16 * MIB),
            ("64 KiB", 64 * KIB),
            ("64kb", 64 * KIB),
            ("1 GiB", GIB),
            ("2TB", 2 * TIB),
            ("65536", 65536),
            ("65536 B", 65536),
            ("65536 bytes", 65536),
            ("1.5 GiB", 3 * GIB // 2),
            ("0.5 KiB", 512),
            ("0", 0),
        ],
    )
    def test_sizes(self, text, size):
        assert load(f"cache_bytes = {text}").cache_bytes == size

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("30d", 30 * 86400),
            ("15s", 15),
            ("7 days", 7 * 86400),
            ("1 day", 86400),
            ("2 W", 14 * 86400),
            ("1 week", 7 * 86400),
            ("36h", 36 * 3600),
            ("1.5 hours", 5400),
            ("90 min", 5400),
            ("90 minutes", 5400),
            ("4 ms", 0.004),
            ("250 us", 0.00025),
            ("45 seconds", 45),
            ("0", 0),
            ("0.1 s", 0.1),
        ],
    )
    def test_durations(self, text, seconds):
        assert load(f"history_retention = {text}").history_retention == seconds

    def test_python_values(self):
        settings = load(
            cache_bytes=1000.0,
            history_retention=dt.timedelta(days=2),
            checkpoint_interval=90,
            page_rows="1_000",
        )
        assert settings.cache_bytes == 1000
        assert isinstance(settings.cache_bytes, int)
        assert settings.history_retention == 2 * 86400.0
        assert isinstance(settings.checkpoint_interval, float)
        assert settings.page_rows == 1000

    @pytest.mark.parametrize(("text", "value"), [("none", None), ("LZ4", "lz4"), ("zstd", "zstd")])
    def test_choices(self, text, value):
        assert load(f"page_compression = {text}").page_compression == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("Ada", "Ada"),
            ("Ada Lovelace  # a comment", "Ada Lovelace"),
            ('"R&D #2"', "R&D #2"),
            ("'  blanks '  # kept", "  blanks "),
            ("'say \"hi\"'", 'say "hi"'),
            ("", ""),
            ("# nothing but a comment", ""),
            ("a = b", "a = b"),
        ],
    )
    def test_text(self, text, value):
        assert load(f"author = {text}").author == value

    @pytest.mark.parametrize("word", ["on", "True", "YES", "1", "off", "false", "no", "0"])
    def test_flags(self, word):
        flag = Setting("loud", Kind.FLAG, False, "whether to be loud")
        assert flag.accept(word) is (word.lower() in ("on", "true", "yes", "1"))
        assert flag.accept(flag.render(flag.accept(word))) is flag.accept(word)
        assert flag.expected() == "on or off"
        for bad in ("maybe", 1, None):
            with pytest.raises(ValueError, match="neither"):
                flag.accept(bad)

    @given(st.integers(0, 64 * TIB))
    def test_any_size_renders_and_reads_back(self, size):
        setting = BY_NAME["cache_bytes"]
        assert setting.accept(setting.render(size)) == size

    @given(st.integers(0, 36500 * 86400 * 1000))
    def test_any_duration_renders_and_reads_back(self, milliseconds):
        setting = BY_NAME["history_retention"]
        assert setting.accept(setting.render(milliseconds / 1000)) == milliseconds / 1000

    def test_path_is_text(self):
        assert load(wal_archive_target=Path("archive")).wal_archive_target == "archive"


class TestRefusals:
    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("wal_segment_size = 3 KiB", "it is below 4 KiB"),
            ("wal_segment_size = 2 GiB", "it is above 1 GiB"),
            ("wal_segment_size = 5000", "it is not a multiple of 4 KiB"),
            ("wal_segment_size = -1", "it is not a number with a unit"),
            ("wal_segment_size = many", "it is not a number with a unit"),
            ("wal_segment_size =", "it is not a number with a unit"),
            ("wal_segment_size = 16 MBit", "'mbit' is not a unit; B, KiB, MiB, GiB, TiB are"),
            ("cache_bytes = 1.0001 KiB", "it is not a whole number of bytes"),
            ("wal_group_wait = 5", "it has no unit; us, ms, s, min, h, d, w are units"),
            ("wal_group_wait =", "it is not a number with a unit"),
            ("history_retention = 2 m", "'m' is not a unit"),
            ("history_retention = 1 million years", "it is not a number with a unit"),
            ("page_rows = 0", "it is below 1"),
            ("page_rows = 65537", "it is above 65536"),
            ("page_rows = 1.5", "it is not a whole number"),
            ("page_rows = ten", "it is not a whole number"),
            ("wal_sync_mode = maybe", "it is not one of the choices"),
            ("page_compression = gzip", "it is not one of the choices"),
        ],
    )
    def test_a_bad_value_tells_place_and_expectation(self, line, problem):
        with pytest.raises(InvalidInputError, match=re.escape(problem)) as caught:
            load_settings(f"# first\n\n{line}\n", environment={}, conf_name="/data/shop/absdb.conf")
        name = line.split()[0]
        assert str(caught.value).startswith(f"/data/shop/absdb.conf, line 3: {name} = ")
        assert caught.value.hint == f"{name} is {BY_NAME[name].expected()}"
        assert caught.value.name == name

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            (True, "not a number"),
            (1.5, "not a whole number"),
            (float("nan"), "not a number"),
            ([], "not a number"),
        ],
    )
    def test_a_bad_argument(self, value, problem):
        with pytest.raises(InvalidInputError, match=f"argument: page_rows = .*{problem}"):
            load(page_rows=value)

    def test_arguments_of_the_wrong_kind(self):
        for arguments in ({"author": 5}, {"author": "two\nlines"}, {"page_rows": dt.timedelta(1)}):
            with pytest.raises(InvalidInputError):
                load(**arguments)

    @pytest.mark.parametrize(
        ("key", "hint"),
        [
            ("wal_segmentsize", "the nearest one is wal_segment_size"),
            ("checkpoint_intervall", "the nearest one is checkpoint_interval"),
            ("retention", "the nearest one is history_retention"),
            ("zzz", "the settings are wal_segment_size, wal_sync_mode"),
        ],
    )
    def test_an_unknown_key_names_the_nearest(self, key, hint):
        with pytest.raises(
            InvalidInputError, match=f"absdb.conf, line 2: there is no setting '{key}'"
        ) as caught:
            load(f"\n{key} = 1")
        assert hint in caught.value.hint
        with pytest.raises(InvalidInputError, match="argument: there is no setting"):
            load(**{key: 1})
        with pytest.raises(InvalidInputError, match="there is no setting"):
            Settings().origin(key)

    @pytest.mark.parametrize(
        ("conf", "problem"),
        [
            ("page_rows 5", "line 1: 'page_rows 5' is not a setting"),
            ("= 5", "line 1: '= 5' has no key"),
            ("author = 'open", "is not a quoted text"),
            ("author = 'a' b", "is not a quoted text"),
            ("page_rows = 1\n\nPAGE_ROWS = 2", "line 3: page_rows was set in line 1 already"),
        ],
    )
    def test_a_bad_line(self, conf, problem):
        with pytest.raises(InvalidInputError, match=problem) as caught:
            load(conf)
        assert caught.value.hint

    @given(
        st.lists(
            st.sampled_from([*BY_NAME, *"=#'\"\n 190.-", "MiB", "days", "none", "\u2028", "\ufeff"]),
            max_size=20,
        )
    )
    def test_any_text_is_read_or_refused_with_its_place(self, pieces):
        with contextlib.suppress(InvalidInputError):
            load("".join(pieces))
            return
        with pytest.raises(InvalidInputError, match=r"absdb\.conf, line \d+: "):
            load("".join(pieces))


class TestOrder:
    CONF = "page_rows = 10\nrun_limit = 4\nauthor = file\n"
    ENVIRONMENT = {"ABSDB_PAGE_ROWS": "20", "ABSDB_RUN_LIMIT": "5", "ABSDB_AUTHOR": "  ", "ABSDB_DEEP": "1"}  # noqa: RUF012

    def test_argument_environment_file_default(self):
        settings = load_settings(self.CONF, arguments={"page_rows": 30}, environment=self.ENVIRONMENT)
        found = {name: (getattr(settings, name), settings.origin(name)) for name in BY_NAME}
        assert found["page_rows"] == (30, "argument")
        assert found["run_limit"] == (5, "environment ABSDB_RUN_LIMIT")
        assert found["author"] == ("file", "absdb.conf, line 3")
        assert found["cache_bytes"] == (256 * MIB, "default")

    def test_none_is_not_given(self):
        settings = load_settings(self.CONF, arguments={"page_rows": None}, environment={})
        assert (settings.page_rows, settings.origin("page_rows")) == (10, "absdb.conf, line 1")

    def test_a_bad_variable_is_named(self):
        with pytest.raises(InvalidInputError, match="environment ABSDB_RUN_LIMIT: run_limit = many"):
            load_settings(environment={"ABSDB_RUN_LIMIT": "many"})

    def test_a_value_that_another_place_overrules_is_checked_all_the_same(self):
        with pytest.raises(InvalidInputError, match="line 1"):
            load("page_rows = many", page_rows=5)

    def test_the_processs_own_environment(self, monkeypatch):
        monkeypatch.setenv("ABSDB_SEQUENCE_BLOCK", "7")
        settings = load_settings()
        assert (settings.sequence_block, settings.origin("sequence_block")) == (
            7,
            "environment ABSDB_SEQUENCE_BLOCK",
        )

    def test_windows_line_ends_and_a_byte_order_mark(self):
        settings = load("\ufeffpage_rows = 10\r\n# x\r\nrun_limit = 4\r\n")
        assert (settings.page_rows, settings.run_limit, settings.origin("run_limit")) == (
            10,
            4,
            "absdb.conf, line 3",
        )

    def test_rows_for_a_view(self):
        rows = {row["name"]: row for row in load("history_retention = 7d").rows()}
        assert list(rows) == list(BY_NAME)
        assert rows["history_retention"] == {
            "name": "history_retention",
            "value": "7 days",
            "origin": "absdb.conf, line 1",
            "default": "30 days",
            "meaning": BY_NAME["history_retention"].meaning,
        }


class TestSettings:
    def test_frozen_and_checked(self):
        settings = Settings(page_rows=5, history_retention="7 days")
        assert settings.history_retention == 7 * 86400
        assert settings.origin("page_rows") == "argument"
        assert settings.origin("run_limit") == "default"
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.page_rows = 6
        with pytest.raises(InvalidInputError, match="page_rows"):
            Settings(page_rows=0)
        with pytest.raises(InvalidInputError, match="page_rows"):
            dataclasses.replace(settings, page_rows=0)

    def test_where_a_value_came_from_does_not_make_it_another(self):
        assert load("page_rows = 10") == load(page_rows=10) == Settings(page_rows=10)

    def test_author_falls_back_to_the_systems_user(self, monkeypatch):
        assert Settings(author="ada").author_name() == "ada"
        monkeypatch.setenv("LOGNAME", "somebody")
        assert Settings().author_name() == "somebody"
        monkeypatch.setattr("getpass.getuser", lambda: {}["no user"])
        assert Settings().author_name() == "unknown"

    def test_what_was_chosen_at_creation_stays(self):
        settings = load("page_rows = 10").created_with({"wal_segment_size": 64 * KIB})
        assert settings.wal_segment_size == 64 * KIB
        assert settings.origin("wal_segment_size") == "chosen at creation"
        assert settings.origin("page_rows") == "absdb.conf, line 1"
        same = load(wal_segment_size=64 * KIB).created_with({"wal_segment_size": 64 * KIB})
        assert same.wal_segment_size == 64 * KIB

    def test_asking_for_another_value_than_at_creation_is_refused(self):
        for settings, place in (
            (load("wal_segment_size = 32 KiB"), "absdb.conf, line 1"),
            (load(wal_segment_size="32 KiB"), "argument"),
        ):
            with pytest.raises(InvalidInputError, match="was created with 64 KiB") as caught:
                settings.created_with({"wal_segment_size": 64 * KIB})
            assert str(caught.value).startswith(f"{place}: wal_segment_size = 32 KiB, but")
            assert "only be chosen when an instance is created" in caught.value.hint

    def test_what_can_change_is_not_taken_from_creation(self):
        assert Settings().created_with({"page_rows": 5}).page_rows == 65536
