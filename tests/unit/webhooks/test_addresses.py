"""Which addresses are the internet's."""

from ipaddress import ip_address

import pytest

from aigc_platform.webhooks.addresses import is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.0.1", "198.18.0.1", "::", "::1", "::127.0.0.1",
        "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "fe80::1", "fc00::1", "ff02::1",
        "2001:db8::1", "2001::1", "5f00::1", "100::1",
    ],
)  # fmt: skip
def test_not_the_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e"])
def test_the_internet(address: str) -> None:
    assert is_public(ip_address(address))
