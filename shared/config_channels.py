"""The configuration's channels: where calls are announced, and how each is reached."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.config_types import Section

Timing = Literal["window", "at_once"]
"""`window`: when the customer may be called and the CSM works; `at_once`: as soon as it is known."""

Scalar = str | int


class _ChannelSection(Section):
    """Any channel; what is out is out, unless it says otherwise."""

    @property
    def keeps_reference(self) -> bool:
        """Whether what was sent has a name there, by which it can be changed later."""
        return False


class SlackChannel(_ChannelSection):
    """Slack: an incoming webhook (`url`), or a bot (`token` and `channel`) that can change what it said.

    With `signing_secret` a bot's messages carry buttons, whose clicks Slack sends to `/slack/actions`.
    `language` is for calls that nobody owns; else the CSM's is used. `notify` is the channel on which
    people hear that this one takes nothing any more.
    """

    kind: Literal["slack"]
    url: str | None = None
    token: str | None = None
    channel: str | None = None
    signing_secret: str | None = None
    api_url: str = "https://slack.com/api"
    timing: Timing = "window"
    language: Literal["ja", "en"] = "en"
    allow_private: bool = False
    notify: str | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> "SlackChannel":
        if (self.url is None) == (self.token is None):
            raise ValueError("slack takes `url` (an incoming webhook), or `token` and `channel` (a bot)")
        if (self.token is None) != (self.channel is None):
            raise ValueError("a bot needs both `token` and `channel`, the id of a channel it is a member of")
        if self.signing_secret is not None and self.token is None:
            raise ValueError("`signing_secret` is for the buttons of a bot; an incoming webhook has none")
        return self

    @property
    def keeps_reference(self) -> bool:
        return self.token is not None


class WebhookChannel(_ChannelSection):
    """An endpoint that gets the trigger's JSON, signed by Standard Webhooks.

    `secret` is `whsec_` and base64; while it is being changed, `old_secrets` sign as well.
    With `preset` it is a phone or task tool instead, spoken to in its own tongue: `with` holds what the
    preset asks for. `concurrency`: so many requests are under way at once.
    """

    kind: Literal["webhook"]
    url: str | None = None
    secret: str | None = None
    old_secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    preset: str | None = None
    values: Mapping[str, Scalar | Mapping[str, Scalar]] = Field(default={}, alias="with")
    language: Literal["ja", "en"] = "en"
    timing: Timing = "window"
    allow_private: bool = False
    concurrency: int = Field(default=10, ge=1, le=100)
    notify: str | None = None

    @model_validator(mode="after")
    def _signed_or_preset(self) -> "WebhookChannel":
        if self.preset is None and (self.url is None or self.secret is None):
            raise ValueError("a webhook needs `url` and `secret`, or a `preset`")
        if self.preset is None and self.values:
            raise ValueError("`with` is for what a `preset` asks for")
        if self.preset is not None and (self.secret is not None or self.old_secrets):
            raise ValueError("a preset signs nothing: put what it asks for under `with`")
        return self

    @property
    def keeps_reference(self) -> bool:
        return self.preset is not None


class EmailChannel(_ChannelSection):
    """Mail by SMTP to whoever has to call; `to` gets the calls that nobody owns.

    `security`: `starttls` (port 587), `tls` from the first byte (465), or `none`.
    """

    kind: Literal["email"]
    host: str
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = None
    sender: str = Field(alias="from")
    to: tuple[str, ...] = ()
    timing: Timing = "window"
    language: Literal["ja", "en"] = "en"
    notify: str | None = None

    @model_validator(mode="after")
    def _sign_in_whole(self) -> "EmailChannel":
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` go together")
        return self


Channel = Annotated[SlackChannel | WebhookChannel | EmailChannel, Field(discriminator="kind")]
