"""Channels in the configuration: what is refused, where in the file, and what it says to do."""

import pytest

from shared.config_file import parse_config
from shared.errors import ConfigError

BOT = "kind: slack, token: xoxb-1, channel: C1"


@pytest.mark.parametrize(
    "channel",
    [
        "{kind: slack, url: https://hooks.slack.com/x}",
        f"{{{BOT}}}",
        f"{{{BOT}, signing_secret: s, language: ja}}",
        "{kind: webhook, url: https://a.example, secret: whsec_x}",
        "{kind: webhook, preset: hubspot, with: {token: t, owners: {csm-1: 7}}}",
        "{kind: email, host: h, from: a@b.example, to: [c@d.example], user: u, password: p}",
    ],
)
def test_a_channel_has_one_way_in(channel: str) -> None:
    assert "a" in parse_config(f"channels:\n  a: {channel}\n", name="c.yaml", environ={}).channels


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("{kind: slack}", "slack takes `url` (an incoming webhook), or `token` and `channel` (a bot)"),
        (f"{{{BOT}, url: https://x.example}}", "slack takes `url`"),
        ("{kind: slack, token: xoxb-1}", "a bot needs both `token` and `channel`"),
        ("{kind: slack, url: https://x.example, signing_secret: s}", "an incoming webhook has none"),
        ("{kind: webhook, url: https://x.example}", "a webhook needs `url` and `secret`, or a `preset`"),
        ("{kind: webhook, url: https://x.example, secret: s, with: {a: b}}", "`with` is for what a `preset`"),
        ("{kind: webhook, preset: hubspot, secret: s}", "a preset signs nothing"),
        ("{kind: email, host: h, from: a@b.example, user: u}", "`user` and `password` go together"),
        (f"{{{BOT}, notify: b}}", "channels.a.notify: no other channel 'b'"),
        (f"{{{BOT}, notify: a}}", "channels.a.notify: no other channel 'a'"),
    ],
)
def test_what_cannot_work_is_one_line_with_its_place(channel: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"channels:\n  a: {channel}\n", name="c.yaml", environ={})
    assert caught.value.message.startswith("c.yaml:2: channels.a")
    assert said in caught.value.message
