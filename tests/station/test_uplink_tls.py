"""TLS to the broker: a client certificate gets in, anything else is said in plain words."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.config import UplinkSection
from edge.errors import LinkDown
from tests.station.brokers import Mosquitto, mosquitto, needs_mosquitto
from tests.station.uplinks import case_system, post, runs, until

pytestmark = [pytest.mark.broker, needs_mosquitto]

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority of a test."""

    def __init__(self, directory: Path, name: str, until: datetime.timedelta = DAY) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        certificate = (
            self._builder(self._name, self._key, NOW + until)
            .add_extension(basic, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = self._write(f"{name}.pem", certificate)

    def issue(
        self,
        name: str,
        *,
        host: str = "localhost",
        begin: datetime.timedelta = -3 * DAY,
        until: datetime.timedelta = DAY,
    ) -> Path:
        """A certificate and its key, in ``name.pem`` and ``name.key``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(host)]
        if host == "localhost":
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        certificate = (
            self._builder(subject, key, NOW + until, NOW + begin)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        secret = self._directory / f"{name}.key"
        secret.touch(mode=0o600)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return self._write(f"{name}.pem", certificate)

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        end: datetime.datetime,
        begin: datetime.datetime = NOW - 3 * DAY,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._directory / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


def _broker(directory: Path, authority: Authority, certificate: Path) -> Mosquitto:
    lines = (
        f"cafile {authority.file}",
        f"certfile {certificate}",
        f"keyfile {certificate.with_suffix('.key')}",
        "require_certificate true",
        "use_identity_as_username true",
    )
    return mosquitto(directory, *lines, url_scheme="mqtts")


@runs
async def test_a_station_with_its_certificate_delivers(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate = authority.issue("S1")
    files = {
        "ca_file": authority.file,
        "cert_file": certificate,
        "key_file": certificate.with_suffix(".key"),
    }
    with _broker(tmp_path / "broker", authority, authority.issue("broker")) as broker:
        access = UplinkSection(broker=broker.url, **files)
        async with (
            post(tmp_path / "station") as station,
            case_system(access, tmp_path / "centre"),
            station.delivering(broker.url, **files),
        ):
            await station.append(b"x" * 500_000)
            await until(station.is_empty)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("expired", "the broker's certificate has expired"),
        ("other host", "the certificate belongs to another host"),
        ("other authority", "the broker's certificate is not trusted"),
        ("no client certificate", "the broker demands a certificate"),
    ],
)
def test_a_certificate_that_does_not_hold_is_said_in_plain_words(
    tmp_path: Path, case: str, words: str
) -> None:
    @runs
    async def connect() -> None:
        authority = Authority(tmp_path, "ca")
        served = authority.issue(
            "broker",
            host="elsewhere.example" if case == "other host" else "localhost",
            until=-DAY if case == "expired" else DAY,
        )
        trusted = Authority(tmp_path, "other") if case == "other authority" else authority
        with _broker(tmp_path / "broker", authority, served) as broker:
            async with post(tmp_path / "station") as station:
                with pytest.raises(LinkDown, match=words):
                    await station.uplink(broker.url, ca_file=trusted.file).connect()

    connect()


@pytest.mark.parametrize(
    ("case", "words", "step"),
    [
        ("expired", "this station's certificate has expired", "ask the centre for a new one"),
        ("not yet", "this station's certificate is not valid yet", "check this machine's clock"),
        ("other", "does not trust our certificate's issuer", "issued cert_file"),
        ("broker not yet", "the broker's certificate is not valid yet", "this machine's clock"),
    ],
)
def test_whose_certificate_does_not_hold_is_told_apart(
    tmp_path: Path, case: str, words: str, step: str
) -> None:
    @runs
    async def connect() -> None:
        authority = Authority(tmp_path, "ca")
        later = {"begin": DAY, "until": 2 * DAY}
        served = authority.issue("broker", **(later if case == "broker not yet" else {}))
        issuer = Authority(tmp_path, "other") if case == "other" else authority
        when = {"expired": {"until": -DAY}, "not yet": later}.get(case, {})
        own = issuer.issue("S1", **when)
        files = {
            "ca_file": authority.file,
            "cert_file": own,
            "key_file": own.with_suffix(".key"),
        }
        with _broker(tmp_path / "broker", authority, served) as broker:
            async with post(tmp_path / "station") as station:
                with pytest.raises(LinkDown, match=words) as caught:
                    await station.uplink(broker.url, **files).connect()
                assert step in caught.value.next_step.en

    connect()


@runs
async def test_the_certificate_that_ends_first_is_warned_of(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca", until=400 * DAY)
    own = authority.issue("S1", until=25 * DAY)
    files = {"ca_file": authority.file, "cert_file": own, "key_file": own.with_suffix(".key")}
    served = authority.issue("broker", until=5 * DAY)
    with _broker(tmp_path / "broker", authority, served) as broker:
        async with (
            post(tmp_path / "station") as station,
            station.delivering(broker.url, **files),
        ):
            await until(lambda: station.state("").level == "ok")
            await until(lambda: "the broker's" in station.state("certificate").text.en)
            state = station.state("certificate")
            assert "4 days" in state.text.en
            assert state.level == "warning"
            gauges = station.health.snapshot().gauges
            assert 4 < gauges["uplink.certificate_days_left"] < 5
