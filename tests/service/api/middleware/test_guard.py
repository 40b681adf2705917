"""The gate: how keys are shown, what is answered without them, how often, and to whose pages."""

from __future__ import annotations

import asyncio
import io
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from service.access.hosts import AllowedHosts
from service.access.keyfile import KeyFile
from service.access.loopback import is_loopback
from service.api.middleware.guard import Limits
from service.settings import Settings, SettingsError, load_settings
from tests.service.access.holders import guarded, make_key, showing
from tests.service.api.test_problems import check
from tests.service.fakes import Running, image_file, running

EVERYWHERE = "0.0.0.0"  # noqa: S104


def test_both_ways_to_show_a_key_are_good(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        secret = it.secrets["admin"]
        for headers in (
            {"Authorization": f"Bearer {secret}"},
            {"authorization": f"bearer  {secret}"},
            {"X-API-Key": secret},
            {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": secret},
        ):
            assert it.service.client.get("/gallery", headers=headers).status_code == 200
        for url in (f"/gallery?key={secret}", f"/gallery?X-API-Key={secret}"):
            assert it.service.client.get(url).status_code == 401


def test_what_is_missing_is_reported_as_a_problem_with_a_challenge(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        nothing = it.service.client.get("/gallery")
        problem = check(nothing, 401, "key-required")
        assert "Authorization: Bearer" in problem["detail"]
        assert nothing.headers["WWW-Authenticate"] == 'Bearer realm="lka-reid"'
        wrong = it.service.client.get("/gallery", headers=showing("lka_00000000_" + "x" * 43))
        check(wrong, 401, "key-required")
        assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
        weak = it.service.client.get("/gallery", headers=it.headers("query"))
        assert "needs a key with scope admin" in check(weak, 403, "scope-missing")["detail"]
        assert 'error="insufficient_scope", scope="admin"' in weak.headers["WWW-Authenticate"]


@pytest.mark.parametrize("secret", ["é", "lka_" + "é" * 60, "x" * 5000, "lka_zzzzzzzz_" + "x" * 43])
def test_what_is_no_key_is_refused_like_one_that_is_unknown(tmp_path: Path, secret: str) -> None:
    with guarded(tmp_path) as it:
        response = it.service.client.get("/gallery", headers={b"X-API-Key": secret.encode()})
        check(response, 401, "key-required")


def test_a_revoked_key_stops_working_without_a_restart(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        headers = it.headers("admin")
        assert it.service.client.get("/gallery", headers=headers).status_code == 200
        it.file.revoke(it.secrets["admin"].split("_")[1])
        check(it.service.client.get("/gallery", headers=headers), 401, "key-required")


def test_the_first_key_closes_a_running_service(service: Running, tmp_path: Path) -> None:
    assert service.client.get("/gallery").status_code == 200
    secret = make_key(KeyFile(tmp_path / "keys.json"), "admin")
    assert service.client.get("/gallery").status_code == 401
    assert service.client.get("/gallery", headers=showing(secret)).status_code == 200


def test_a_damaged_file_of_keys_lets_nobody_in_and_names_no_path(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        it.file.path.write_text("damaged")
        response = it.service.client.get("/gallery", headers=it.headers("admin"))
        check(response, 503, "keys-unreadable")
        assert str(tmp_path) not in response.text
        assert it.service.client.get("/health/live").status_code == 200


def test_a_stranger_is_refused_before_the_body_is_read(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        address = urlsplit(it.service.url)
        with socket.create_connection((str(address.hostname), int(address.port or 0)), 20) as connection:
            connection.sendall(b"POST /gallery HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            assert connection.makefile("rb").readline().split()[1] == b"401"


@pytest.mark.parametrize("scope", ["query", "enroll"])
def test_too_many_requests_of_one_key_are_refused_and_the_others_are_not(tmp_path: Path, scope: str) -> None:
    with guarded(tmp_path, rate_per_s=0.001, rate_burst=2) as it:
        client, headers = it.service.client, it.headers(scope)
        statuses = [client.get("/docs/start.js", headers=headers).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        response = client.get("/docs/start.js", headers=headers)
        check(response, 429, "rate-limited")
        assert 900 < int(response.headers["Retry-After"]) <= 1000
        assert client.get("/docs/start.js", headers=it.headers("admin")).status_code == 200
        for _ in range(5):
            assert client.get("/health/live", headers=headers).status_code == 200


def test_strangers_are_limited_by_address_and_take_nothing_from_the_keys(tmp_path: Path) -> None:
    with guarded(tmp_path, rate_per_s=0.001, rate_burst=2) as it:
        statuses = [it.service.client.get("/gallery").status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert it.service.client.get("/gallery", headers=it.headers("admin")).status_code == 200


def test_without_keys_each_address_is_limited(tmp_path: Path) -> None:
    with running(tmp_path, rate_per_s=0.001, rate_burst=2) as service:
        assert [service.client.get("/gallery").status_code for _ in range(3)] == [200, 200, 429]


def test_unless_set_only_addresses_of_this_machine_are_unlimited() -> None:
    here, there = Limits.of(Settings()), Limits.of(Settings(host="0.0.0.0"))  # noqa: S104
    for limits, limited in ((here, False), (there, True)):
        assert any(limits.addresses.take("a") for _ in range(1000)) is limited
        assert any(limits.keys.take("a") for _ in range(1000))
    none = Limits.of(Settings(rate_per_s=0, host="0.0.0.0"))  # noqa: S104
    assert not any(none.keys.take("a") or none.addresses.take("a") for _ in range(1000))


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.evil.example", False),
        ("fe80::1%eth0", False),
    ],
)
def test_loopback_is_distinguished_from_the_rest(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here


@pytest.mark.parametrize(
    ("header", "is_here"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("reid.localhost", True),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@localhost", False),
        ("localhost, evil.example", False),
        ("evil-localhost", False),
        ("LOCALHOST.:8000", True),
        ("10.0.0.1:8000", False),
        ("", False),
        ("[", False),
    ],
)
def test_without_keys_only_names_of_this_machine_are_answered(
    shared_service: Running, header: str, is_here: bool
) -> None:
    assert AllowedHosts((), addresses=False).allows(header) is is_here
    response = shared_service.client.get("/gallery", headers={"Host": header})
    if header == "[":
        assert response.status_code in (400, 403)
    elif is_here:
        assert response.status_code == 200
    else:
        check(response, 403, "foreign-site")


def test_without_keys_pages_of_other_sites_change_nothing(shared_service: Running) -> None:
    files = {"image": ("x", image_file())}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        response = shared_service.client.post("/gallery", files=files, headers={"Origin": origin})
        check(response, 403, "foreign-site")
    own = shared_service.client.post("/query", files=files, headers={"Origin": shared_service.url})
    assert own.status_code == 200


def test_where_everybody_is_let_in_a_name_that_nobody_gave_it_is_not_answered(tmp_path: Path) -> None:
    # As in the Compose file: beyond loopback, without keys.
    with running(tmp_path, host=EVERYWHERE, allow_anonymous=True, metrics_public=True) as service:
        service.enroll(image_id="a")
        evil = {"Host": "evil.example"}
        for refused in (
            service.client.get("/gallery", headers=evil),
            service.client.get("/gallery/a/image", headers=evil),
            service.client.get("/docs", headers=evil),
            service.client.post("/gallery", headers=evil, files={"image": ("x", image_file())}),
            service.client.delete("/gallery/a", headers=evil),
        ):
            assert "LKA_REID_ALLOWED_HOSTS" in check(refused, 403, "foreign-site")["detail"]
        assert service.gallery.count() == 1
        for host in ("127.0.0.1:8000", "localhost", "192.168.7.5:8000", "[fd00::1]:8000"):
            assert service.client.get("/gallery", headers={"Host": host}).status_code == 200
        # Prometheus and the health checks come by any name.
        for path in ("/metrics", "/health/ready", "/health/live"):
            assert service.client.get(path, headers={"Host": "api:8000"}).status_code == 200


@pytest.mark.slow
def test_names_that_are_given_to_it_are_answered(tmp_path: Path) -> None:
    with running(tmp_path, allowed_hosts="reid.example, *.inner.example") as service:
        for host, status in {
            "reid.example": 200,
            "REID.example:8000": 200,
            "a.b.inner.example": 200,
            "inner.example": 403,
            "xreid.example": 403,
            "reid.example.evil.example": 403,
            "localhost": 200,
            "10.0.0.1": 403,
        }.items():
            assert service.client.get("/gallery", headers={"Host": host}).status_code == status, host
    with running(tmp_path, allowed_hosts="*") as service:
        assert service.client.get("/gallery", headers={"Host": "any.example"}).status_code == 200


@pytest.mark.parametrize("value", ["https://reid.example", "reid.example:8000", "*.", "*,a", "a b", "a,,b"])
def test_hosts_are_named_without_scheme_and_port(value: str) -> None:
    with pytest.raises(SettingsError, match=r"it takes host names with commas between"):
        load_settings(allowed_hosts=value)


FORM_OF = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


@pytest.mark.parametrize(
    "headers",
    [
        FORM_OF,
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "none"},
    ],
)
@pytest.mark.parametrize("anonymous", [False, True])
def test_a_form_on_another_sites_page_changes_nothing(
    tmp_path: Path, headers: dict[str, str], anonymous: bool
) -> None:
    with running(tmp_path, allow_anonymous=anonymous) as service:
        service.enroll(image_id="a")
        files = {"image": ("x", image_file())}
        for refused in (
            service.client.post("/gallery", files=files, headers=headers),
            service.client.post("/query", files=files, headers=headers),
            service.client.delete("/gallery/a", headers=headers),
        ):
            check(refused, 403, "foreign-site")
        assert service.gallery.count() == 1


def test_a_page_may_lead_here_and_not_load_what_is_here(service: Running) -> None:
    service.enroll(image_id="a")
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert service.client.get("/docs", headers=link).status_code == 200
    for path in ("/gallery", "/gallery/a/image"):
        shown = service.client.get(
            path, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        )
        check(shown, 403, "foreign-site")
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": service.url}
    assert service.client.get("/gallery", headers=own).status_code == 200
    assert service.client.delete("/gallery/a", headers=own).status_code == 204


def test_pages_that_are_trusted_may_do_all(tmp_path: Path) -> None:
    trusted = {"Origin": "https://console.example", "Sec-Fetch-Site": "cross-site"}
    with running(tmp_path, cors_origins="https://console.example") as service:
        response = service.client.post("/gallery", files={"image": ("x", image_file())}, headers=trusted)
        assert response.status_code == 201
        assert service.client.get("/gallery", headers=trusted).status_code == 200


def test_without_keys_another_server_beyond_this_machine_is_refused(service: Running) -> None:
    # As if uvicorn served the application on all interfaces, past `lka-reid serve` and its check.
    async def ask(server: str) -> int:
        transport = httpx.ASGITransport(service.app)

        async def as_if(scope: object, receive: object, send: object) -> None:
            scope["server"] = (server, 8000)  # type: ignore[index]
            await service.app(scope, receive, send)  # type: ignore[arg-type]

        transport.app = as_if
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/docs/start.js")).status_code

    assert asyncio.run(ask("10.0.0.7")) == 401
    assert asyncio.run(ask("127.0.0.1")) == 200


@pytest.mark.slow
def test_no_other_sites_page_may_read_answers_unless_it_is_named(tmp_path: Path) -> None:
    origin = {"Origin": "https://console.example"}
    preflight = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "X-API-Key",
    }
    with guarded(tmp_path / "off") as off:
        for response in (
            off.service.client.options("/query", headers=preflight),
            off.service.client.get("/gallery", headers={**origin, **off.headers("admin")}),
        ):
            assert not [name for name in response.headers if name.startswith("access-control")]
    with guarded(tmp_path / "on", cors_origins="https://other.example, https://console.example") as on:
        asked = on.service.client.options("/query", headers=preflight)
        assert asked.status_code == 200
        assert asked.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        assert "X-API-Key" in asked.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in asked.headers
        refused = on.service.client.get("/gallery", headers=origin)
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        stranger = on.service.client.options(
            "/query", headers={**preflight, "Origin": "https://evil.example"}
        )
        assert "Access-Control-Allow-Origin" not in stranger.headers


@pytest.mark.parametrize(
    "value", ["*", "console.example", "https://console.example/path", "https://*.example"]
)
def test_origins_are_named_one_by_one(value: str) -> None:
    with pytest.raises(SettingsError, match=r"it takes origins .* such as https://console\.example; no \*"):
        load_settings(cors_origins=value)
    assert load_settings(cors_origins="https://a.example,http://b.example:81").origins == (
        "https://a.example",
        "http://b.example:81",
    )


def test_an_uploads_bound_holds_for_holders_of_keys(tmp_path: Path) -> None:
    with guarded(tmp_path, max_upload_bytes=1024) as it:
        big = {"image": ("x", io.BytesIO(bytes(1024 * 1024)))}
        response = it.service.client.post("/gallery", files=big, headers=it.headers("enroll"))
        check(response, 413, "upload-too-large")
