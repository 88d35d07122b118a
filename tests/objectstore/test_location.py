"""URLs and options of stores: what they mean, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from absdb.clock import SystemClock
from absdb.errors import InvalidInputError, NotFoundError, StateError
from absdb.objectstore.local import LocalStore
from absdb.objectstore.locate import open_store
from absdb.objectstore.location import join, parse_location, shown_url
from absdb.objectstore.s3 import S3Store
from absdb.objectstore.s3_settings import read_settings


def settings(url, environment=None, **options):
    """What is known about a bucket, with nothing in the environment but this."""
    environment = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/nonexistent",
        "AWS_CONFIG_FILE": "/nonexistent/a",
        **(environment or {}),
    }
    environment.setdefault("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/b")
    return read_settings(parse_location(url, options), SystemClock(), environment)


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "scheme", "bucket", "prefix"),
        [
            ("/a/b", "file", "", "/a/b"),
            ("file:///a/b%20c", "file", "", "/a/b c"),
            ("file://localhost/a", "file", "", "/a"),
            ("./x", "file", "", os.path.abspath("x")),
            (Path("/a/b"), "file", "", "/a/b"),
            ("/a?b", "file", "", "/a?b"),
            ("s3://b", "s3", "b", ""),
            ("s3://b/", "s3", "b", ""),
            ("S3://b/x/y/", "s3", "b", "x/y"),
            ("s3://b/a%20b c#d", "s3", "b", "a%20b c#d"),
            ("gcs://b/x", "gs", "b", "x"),
            ("gs://b/x", "gs", "b", "x"),
            ("azure://c/x", "az", "c", "x"),
            ("az://c", "az", "c", ""),
        ],
    )
    def test_place_is_that_of_the_url(self, url, scheme, bucket, prefix):
        found = parse_location(url)
        assert (found.scheme, found.bucket, found.prefix) == (scheme, bucket, prefix)
        assert parse_location(found.url) == found

    def test_options_of_arguments_win(self):
        found = parse_location(
            "s3://b/x?region=a&part_size=1&empty=", {"region": "b", "flag": True, "none": None}
        )
        assert found.options == {"region": "b", "part_size": "1", "flag": "true", "empty": ""}
        assert found.url == "s3://b/x"

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("", "empty"),
            (" ", "empty"),
            ("ftp://host/x", "no store has the scheme 'ftp'"),
            ("http://host/x", "scheme"),
            ("s3://", "names no bucket"),
            ("s3:///x", "names no bucket"),
            ("s3:/bucket/x", "write s3://bucket/x for the store, or ./s3:/bucket/x for a directory"),
            ("azure:x", "write azure://x"),
            ("file://host/x", "names the host"),
            ("file://", "names no directory"),
            ("s3://b/../c", "no place"),
            ("s3://b/a//c", "no place"),
            ("s3://key:secret@b/x", "credentials"),
            ("s3://b/x?secret_key=y", "secret_key"),
            ("az://c/x?sas_token=y", "sas_token"),
            ("az://c/x?account_key=y", "account_key"),
        ],
    )
    def test_what_is_no_place_is_refused(self, url, message):
        with pytest.raises(InvalidInputError, match=message):
            parse_location(url)

    def test_join_keeps_the_options(self):
        assert join("s3://b/x?region=r", "y/z") == "s3://b/x/y/z?region=r"
        assert join("s3://b", "y") == "s3://b/y"
        assert join("/a/b", "c") == "/a/b/c"
        assert join("file:///a/", "c") == "file:///a/c"

    def test_shown_url_has_no_secrets(self):
        assert shown_url("s3://k:s@b/x?secret_key=y") == "s3://b/x"
        assert shown_url("/a?b") == "/a?b"

    def test_representation_has_no_options(self):
        assert "hush" not in repr(parse_location("s3://b/x", {"secret_key": "hush"}))


class TestOpening:
    def test_kind_follows_the_scheme(self, tmp_path):
        assert isinstance(open_store(tmp_path), LocalStore)
        assert isinstance(open_store(f"file://{tmp_path}"), LocalStore)
        assert isinstance(open_store("s3://bucket/x"), S3Store)

    def test_misspelt_option_is_refused(self):
        with pytest.raises(InvalidInputError, match=r"'reigon' is no option[^\n]*\n.*did you mean region"):
            open_store("s3://bucket/x?reigon=eu-west-1")
        with pytest.raises(InvalidInputError, match="known are none"):
            open_store("/backup", region="x")

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("part_size", "1 MiB"),
            ("part_size", "huge"),
            ("max_parts", "10001"),
            ("max_parts", "0"),
            ("path_style", "maybe"),
            ("concurrency", "0"),
            ("deadline", "soon"),
            ("endpoint", "localhost:9000"),
            ("endpoint", "https://key:secret@host"),
            ("endpoint", "https://host/?x=y"),
        ],
    )
    def test_value_that_cannot_be_is_refused(self, option, value):
        with pytest.raises(InvalidInputError):
            open_store("s3://bucket/x", **{option: value})

    @pytest.mark.parametrize("bucket", ["a", "-ab", "a b", "bücket"])
    def test_bucket_that_cannot_be_is_refused(self, bucket):
        with pytest.raises(InvalidInputError, match="bucket"):
            open_store(f"s3://{bucket}/x")


class TestEndpoints:
    @pytest.mark.parametrize(
        ("url", "base"),
        [
            ("s3://shop/x", "https://shop.s3.us-east-1.amazonaws.com"),
            ("s3://shop/x?region=eu-west-1", "https://shop.s3.eu-west-1.amazonaws.com"),
            ("s3://shop/x?region=cn-north-1", "https://shop.s3.cn-north-1.amazonaws.com.cn"),
            ("s3://shop.data/x", "https://s3.us-east-1.amazonaws.com/shop.data"),
            ("s3://shop/x?path_style=true", "https://s3.us-east-1.amazonaws.com/shop"),
            ("s3://shop/x?endpoint=http://h:9000", "http://h:9000/shop"),
            ("s3://shop/x?endpoint=http://h:9000/", "http://h:9000/shop"),
            ("s3://shop/x?endpoint=https://h&path_style=no", "https://shop.h"),
        ],
    )
    def test_bucket_is_in_host_or_path(self, url, base):
        found, _ = settings(url)
        assert found.base_url == base
        assert found.url("x/a b") == f"{base}/x/a%20b"

    def test_environment_is_asked_in_order(self):
        environment = {"AWS_DEFAULT_REGION": "r2", "AWS_ENDPOINT_URL": "http://e2"}
        assert settings("s3://shop", environment)[0].region == "r2"
        assert settings("s3://shop", environment)[0].base_url == "http://e2/shop"
        environment |= {"AWS_REGION": "r1", "AWS_ENDPOINT_URL_S3": "http://e1"}
        assert settings("s3://shop", environment)[0].region == "r1"
        assert settings("s3://shop", environment)[0].base_url == "http://e1/shop"
        found, _ = settings("s3://shop?region=r0&endpoint=http://e0", environment)
        assert (found.region, found.base_url) == ("r0", "http://e0/shop")


CREDENTIALS = """
[default]
aws_access_key_id = DEFAULT
aws_secret_access_key = default-secret

[other]
aws_access_key_id = OTHER
aws_secret_access_key = other%secret
aws_session_token = other-token
"""
CONFIG = """
[default]
region = r-default

[profile other]
region = r-other
endpoint_url = http://other

[profile elsewhere]
sso_session = x
"""


class TestCredentials:
    @pytest.fixture
    def files(self, tmp_path):
        """The environment of a user with two profiles."""
        (tmp_path / "credentials").write_text(CREDENTIALS)
        (tmp_path / "config").write_text(CONFIG)
        return {
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
        }

    def found(self, url, environment, **options):
        known, source = settings(url, environment, **options)
        current = source.current(0)
        return known.region, current.access_key, current.secret_key, current.session_token

    def test_places_are_asked_in_order(self, files):
        assert self.found("s3://shop", files) == ("r-default", "DEFAULT", "default-secret", "")
        named = {**files, "AWS_PROFILE": "other"}
        assert self.found("s3://shop", named) == ("r-other", "OTHER", "other%secret", "other-token")
        assert settings("s3://shop", named)[0].base_url == "http://other/shop"
        variables = {
            **named,
            "AWS_ACCESS_KEY_ID": "ENV",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_SESSION_TOKEN": "t",
        }
        assert self.found("s3://shop", variables) == ("r-other", "ENV", "s", "t")
        assert self.found("s3://shop?profile=default", variables)[1] == "DEFAULT"
        assert self.found("s3://shop", variables, access_key="A", secret_key="B") == ("r-other", "A", "B", "")

    def test_half_a_key_is_refused(self):
        with pytest.raises(InvalidInputError, match="go together"):
            settings("s3://shop", access_key="A")

    def test_profile_that_is_not_there(self, files):
        with pytest.raises(NotFoundError, match="'nobody'"):
            settings("s3://shop?profile=nobody", files)

    def test_profile_that_leads_elsewhere_says_what_to_do(self, files):
        with pytest.raises(StateError, match=r"sso_session[^\n]*\n.*export-credentials"):
            self.found("s3://shop?profile=elsewhere", files)

    def test_file_that_is_none_is_refused_without_repeating_it(self, files, tmp_path):
        (tmp_path / "credentials").write_text("hush = hush\n")
        with pytest.raises(InvalidInputError) as caught:
            settings("s3://shop", files)
        assert "hush" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_nothing_anywhere(self):
        with pytest.raises(StateError, match="no credentials"):
            self.found("s3://shop", {})
