"""Where a channel may connect to: the public network, however an address is dressed."""

import socket

import aiohttp
import pytest

from services.notifier.channels.addresses import CheckedResolver, is_public, public_socket
from services.notifier.channels.http import Answer, HttpClient, Request

FORBIDDEN = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 127.1.2.3
127.255.255.255 169.254.169.254 169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.8
192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::10.0.0.1
::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.168.1.1
::ffff:7f00:1 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:db8::1 2001:10::1 2001:20::1 2002::1
2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101::1 fc00::1 fd00::1 fdff::1 fe80::1 fe80::1%eth0 fec0::1
ff02::1 ff0e::1 5f00::1 4000::1 localhost 0x7f.1 2130706433 127.1 not-an-address
"""
PUBLIC = """
8.8.8.8 1.1.1.1 93.184.216.34 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 169.253.255.255
172.15.255.255 172.32.0.1 192.0.1.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1
223.255.255.255 2001:4860:4860::8888 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8
"""

REQUEST = Request(url="https://hooks.example:8443/in", body=b"{}", headers={"x-a": "b"})


@pytest.mark.parametrize("address", FORBIDDEN.split())
def test_forbidden(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public(address: str) -> None:
    assert is_public(address)


class Network:
    """Notes where a connection is about to be made, and makes none."""

    def __init__(self) -> None:
        self.towards: list[tuple[str, int]] = []

    def __call__(self, found: aiohttp.AddrInfoType) -> socket.socket:
        public_socket(found).close()
        self.towards.append(found[4][:2])
        raise ConnectionRefusedError("nobody is there")


class FlipFlop:
    """A name that is public when it is asked first and private ever after."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked_count = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked_count += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def sent(resolve: FlipFlop, request: Request = REQUEST) -> tuple[Answer, Network]:
    network = Network()
    client = HttpClient(
        lambda: aiohttp.TCPConnector(resolver=CheckedResolver(resolve), socket_factory=network)
    )
    try:
        return await client.send(request), network
    finally:
        await client.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1"])
async def test_a_name_that_leads_inwards_is_not_connected_to(address: str) -> None:
    answer, network = await sent(FlipFlop([address]))
    assert answer.forbidden
    assert address in answer.error
    assert "allow_private" in answer.error
    assert network.towards == []


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    answer, network = await sent(FlipFlop(["93.184.216.34", "10.0.0.1"]))
    assert answer.forbidden
    assert network.towards == []


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    resolve = FlipFlop(["93.184.216.34"], ["127.0.0.1"])
    answer, network = await sent(resolve)
    assert resolve.asked_count == 1
    assert network.towards == [("93.184.216.34", 8443)]
    assert (answer.error, answer.forbidden, answer.uncertain) == ("nobody is there", False, False)


async def test_an_ipv6_address_is_connected_to_as_such() -> None:
    _, network = await sent(FlipFlop(["2606:4700:4700::1111"]))
    assert network.towards == [("2606:4700:4700::1111", 8443)]


async def test_where_the_first_address_does_not_answer_the_next_is_tried() -> None:
    _, network = await sent(FlipFlop(["93.184.216.34", "93.184.216.35"]))
    assert network.towards[:2] == [("93.184.216.34", 8443), ("93.184.216.35", 8443)]


async def test_an_address_in_the_url_needs_no_resolver_and_is_looked_at_all_the_same() -> None:
    resolve = FlipFlop(["8.8.8.8"])
    refused, _ = await sent(resolve, Request(url="http://10.0.0.1/", body=b""))
    _, network = await sent(resolve, Request(url="http://93.184.216.34/", body=b""))
    assert refused.forbidden
    assert network.towards == [("93.184.216.34", 80)]
    assert resolve.asked_count == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]/", "http://0x7f.1/", "http://2130706433/", "http://localhost/"]
)
async def test_no_odd_spelling_leads_to_this_machine(url: str) -> None:
    answer, network = await sent(FlipFlop(["127.0.0.1"]), Request(url=url, body=b""))
    assert answer.forbidden
    assert network.towards == []


async def test_a_name_that_resolves_to_nothing_is_an_error_and_not_a_fault() -> None:
    answer, _ = await sent(FlipFlop([]))
    assert answer.error == "hooks.example has no address"
    assert not answer.uncertain


async def test_a_name_that_no_resolver_takes_is_an_error_and_not_a_fault() -> None:
    client = HttpClient(lambda: aiohttp.TCPConnector(resolver=CheckedResolver(unheard_of)))
    answer = await client.send(REQUEST)
    await client.close()
    assert (answer.error, answer.uncertain) == ("hooks.example cannot be resolved", False)


async def unheard_of(host: str, _port: int) -> list[str]:
    raise UnicodeError(f"label too long: {host}")
