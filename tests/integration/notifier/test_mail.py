"""Mail, handed to a real SMTP server: who gets it, what it says, and what each refusal leads to."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.notifier.channels.mailer import Mailer
from services.notifier.messages.mail import MailSetting, mail_of
from shared.config import Config, EmailChannel
from shared.errors import ConfigError
from tests.integration.notifier.certificates import certificate
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import NOON, resumption, stop
from tests.unit.notifier.channels.presets import letter

FINE = "250 OK"


class Post:
    """An SMTP server on a free port: keeps what it takes, and answers as scripted."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.offered: list[EmailMessage] = []
        self.silent: asyncio.Event | None = None
        self.secured: list[bool] = []
        self.on_rcpt: list[str] = []
        self.on_data: list[str] = []
        self.port = 0

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.on_rcpt.pop(0) if self.on_rcpt else FINE
        if answer == FINE:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.on_data.pop(0) if self.on_data else FINE
        content = envelope.original_content or b""
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.offered.append(parsed)
        if self.silent is not None:
            await self.silent.wait()
        if answer == FINE:
            self.mails.append((envelope.rcpt_tos, parsed))
            self.secured.append(session.ssl is not None)
        return answer


@asynccontextmanager
async def post(**options: Any) -> AsyncIterator[Post]:
    made = Post()
    loop = asyncio.get_running_loop()
    is_tls = options.pop("is_tls", False)
    server = await loop.create_server(
        lambda: SMTP(made, loop=loop, hostname="post.example", **options),
        "127.0.0.1",
        0,
        ssl=options.pop("context") if is_tls else None,
    )
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


def by_mail(port: int, **channel: Any) -> Config:
    section = {
        "kind": "email",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "from": "Calls <calls@cs.example>",
        "to": ["team@cs.example"],
        "language": "ja",
    }
    playbook = {"on": "usage.stopped", "send": ["mail"], "escalate": {"after": "2h", "to": "lead"}}
    csm = {"time_zone": "Asia/Tokyo", "hours": "00:00-23:59", "lead": "csm-2"}
    return Config.model_validate(
        {
            "products": {"reserve": {"time_zone": "Asia/Tokyo", "playbooks": [playbook]}},
            "channels": {"mail": {**section, **channel}},
            "csms": {
                "csm-1": {**csm, "name": "佐藤", "email": "sato@cs.example", "language": "ja"},
                "csm-2": {**csm, "name": "Ito", "email": "ito@cs.example"},
            },
        }
    )


@asynccontextmanager
async def mailing(path: Path, **channel: Any) -> AsyncIterator[tuple[World, Post]]:
    async with post() as made, world(path, by_mail(made.port, **channel)) as here:
        yield here, made


def mailer(section: EmailChannel, **options: Any) -> Mailer:
    """A channel without its world, whose mails all go to one CSM."""
    setting = MailSetting(section=section)
    return Mailer(
        "mail",
        section,
        lambda _letter: ("sato@cs.example",),
        lambda letters, to, now_us: mail_of(letters[0], setting, to, now_us),
        **options,
    )


def parts(mail: EmailMessage) -> tuple[str, str]:
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


async def only_delivery(here: World) -> tuple[str, str]:
    (found,) = await here.deliveries()
    return found.state, found.last_error


async def test_whoever_has_to_call_gets_a_mail_in_their_language(tmp_path: Path) -> None:
    async with mailing(tmp_path) as (here, made):
        await here.read(stop(csm="csm-1", phone="03-1234-5678", name="<b>割烹</b> & さくら"))
        await here.send()
        ((to, mail),) = made.mails
        assert to == ["sato@cs.example"]
        assert (mail["From"], mail["Subject"]) == (
            "Calls <calls@cs.example>",
            "利用が止まりました: <b>割烹</b> & さくら 様",
        )
        plain, html = parts(mail)
        assert "03-1234-5678" in plain
        assert f"https://calls.example/tasks/{stop().id}" in plain
        assert '<a href="tel:0312345678"' in html
        assert "&lt;b&gt;割烹&lt;/b&gt; &amp; さくら 様" in html
        assert '<html lang="ja">' in html
        assert await only_delivery(here) == ("delivered", "")


async def test_mails_of_one_task_stand_together_and_each_goes_to_whom_it_is_for(tmp_path: Path) -> None:
    async with mailing(tmp_path) as (here, made):
        await here.read(stop(csm="csm-1"))
        await here.send()
        await here.after(hours=2)
        await here.read(resumption(stop()))
        await here.after(seconds=1)
        first, nudge, *ends = [mail for _, mail in made.mails]
        assert first["Message-ID"] == f"<{stop().id}.mail@cs.example>"
        assert nudge["References"] == first["Message-ID"]
        assert nudge["Subject"].startswith("Nobody has taken it: ")
        assert made.mails[1][0] == ["ito@cs.example"]
        assert "利用が再開しました" in ends[0]["Subject"]
        assert all(end["In-Reply-To"] == first["Message-ID"] for end in ends)


async def test_what_nobody_owns_goes_to_the_channels_own_addresses(tmp_path: Path) -> None:
    async with mailing(tmp_path) as (here, made):
        await here.read(stop())
        await here.send()
        assert made.mails[0][0] == ["team@cs.example"]


async def test_where_nobody_is_known_by_mail_the_delivery_says_so(tmp_path: Path) -> None:
    async with mailing(tmp_path, to=[]) as (here, _):
        await here.read(stop())
        await here.send()
        assert await only_delivery(here) == (
            "dead",
            "no mail address for nobody, and the channel has no `to`",
        )
        assert (await here.task()).is_live


@pytest.mark.parametrize(
    ("script", "state", "said"),
    [
        ({"on_rcpt": ["550 no such user"]}, "dead", "550"),
        ({"on_rcpt": ["450 mailbox busy"]}, "pending", "450"),
        ({"on_data": ["554 we think this is spam"]}, "dead", "we think this is spam"),
        ({"on_data": ["452 no room"]}, "pending", "no room"),
    ],
)
async def test_5xx_is_given_up_and_4xx_is_tried_again(
    tmp_path: Path, script: dict[str, list[str]], state: str, said: str
) -> None:
    async with mailing(tmp_path) as (here, made):
        for step, answers in script.items():
            getattr(made, step).extend(answers)
        await here.read(stop())
        await here.send()
        found, error = await only_delivery(here)
        assert (found, said in error) == (state, True)
        await here.after(seconds=7)
        assert len(made.mails) == (1 if state == "pending" else 0)


async def test_a_mail_sent_twice_is_the_same_mail(tmp_path: Path) -> None:
    async with mailing(tmp_path) as (here, made):
        made.on_data.append("451 try again")
        await here.read(stop())
        await here.send()
        await here.after(seconds=7)
        refused, taken = made.offered
        assert refused["Message-ID"] == taken["Message-ID"] == f"<{stop().id}.mail@cs.example>"
        assert parts(refused) == parts(taken)


async def test_a_server_that_falls_silent_is_left_and_may_have_the_mail() -> None:
    async with post() as made:
        made.silent = asyncio.Event()
        section = by_mail(made.port).channels["mail"]
        assert isinstance(section, EmailChannel)
        result = await mailer(section, attempt_seconds=0.3).send([letter()], NOON)
        made.silent.set()
    assert (result.verdict, result.uncertain) == ("retry", True)
    assert len(made.offered) == 1


async def test_a_server_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    async with post() as made:
        port = made.port
    async with world(tmp_path, by_mail(port)) as here:
        await here.read(stop())
        await here.send()
        state, error = await only_delivery(here)
        assert (state, bool(error)) == ("pending", True)


# Sign-in and TLS


def let_in(password: str) -> Callable[..., AuthResult]:
    def check(_server: SMTP, _session: Session, _envelope: Envelope, _method: str, given: Any) -> AuthResult:
        is_right = isinstance(given, LoginPassword) and given.password == password.encode()
        return AuthResult(success=is_right, handled=False)

    return check


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_secrets_and_mails_go_over_tls(tmp_path: Path, security: str) -> None:
    paths = certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*paths)
    options: dict[str, Any] = {"authenticator": let_in("right")}
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True, "auth_required": True}
    else:
        options |= {"is_tls": True, "context": context, "auth_require_tls": False}
    async with post(**options) as made:
        config = by_mail(made.port, security=security, host="localhost", user="u", password="right")
        section = config.channels["mail"]
        assert isinstance(section, EmailChannel)
        trusted = ssl.create_default_context(cafile=paths[0])
        for tls, verdict in ((trusted, "delivered"), (None, "retry")):
            result = await mailer(section, tls=tls).send([letter()], NOON)
            assert result.verdict == verdict, result.detail
        assert len(made.mails) == 1


async def test_a_password_that_is_wrong_disables_the_channel_by_name(tmp_path: Path) -> None:
    options = {"authenticator": let_in("right"), "auth_require_tls": False}
    async with (
        post(**options) as made,
        world(tmp_path, by_mail(made.port, user="u", password="wrong")) as here,
    ):
        await here.read(stop("c-1"))
        await here.send()
        (row,) = await here.rows("channel_states")
        assert row.disabled_us is not None
        assert "535" in row.reason
        assert made.mails == []


@pytest.mark.parametrize("values", [{"from": "calls"}, {"to": ["a@b.example", "nobody"]}])
def test_an_address_that_is_none_is_refused_at_start(values: dict[str, Any]) -> None:
    section = by_mail(25, **values).channels["mail"]
    assert isinstance(section, EmailChannel)
    with pytest.raises(ConfigError, match=r"channels\.mail: '(calls|nobody)' is no mail address"):
        Mailer("mail", section, lambda _letter: (), lambda *_: EmailMessage())


async def test_calls_beyond_a_csms_day_are_one_mail(tmp_path: Path) -> None:
    async with post() as made:
        base = by_mail(made.port).model_dump(by_alias=True)
        base["csms"]["csm-1"]["calls_per_day_max"] = 1
        async with world(tmp_path, Config.model_validate(base)) as here:
            calls = [stop(f"c-{n}", csm="csm-1", surprise=0.9 - n / 10, name=f"店{n}") for n in range(4)]
            await here.read(*calls)
            await here.after(seconds=5)
            await here.after(minutes=31)
            (_, call), (to, digest) = made.mails
            assert call["Subject"] == "利用が止まりました: 店0 様"
            assert (to, digest["Subject"]) == (["sato@cs.example"], "本日の上限を超えたお電話 3件")
            said = digest.get_content()
            assert [f"店{n} 様" in said for n in range(4)] == [False, True, True, True]
            assert f"https://calls.example/tasks/{stop('c-3').id}" in said
            assert {d.state for d in await here.deliveries() if d.kind == "digest"} == {"delivered"}
