"""The signed webhook: a trigger's JSON exactly as published, with a Standard Webhooks signature."""

import binascii
from collections.abc import Collection, Mapping, Sequence

from standardwebhooks.webhooks import Webhook

from services.notifier.channels.channel import Pace, Result
from services.notifier.channels.http import Answer, Client, Request, check_url
from services.notifier.messages.letter import Letter
from shared import tracing
from shared.clock import from_us
from shared.config import WebhookChannel
from shared.errors import ConfigError

SECRET_BYTES_MIN = 16
GONE = 410
_DETAIL_CHARS_MAX = 200


class SignedWebhook:
    """Posts to one endpoint; `webhook-id` is the trigger's id, the same at every attempt."""

    def __init__(self, name: str, section: WebhookChannel, client: Client) -> None:
        """Raises ConfigError for a url or a secret that cannot be used."""
        self._url = section.url or ""
        check_url(self._url, f"channels.{name}.url")
        self.pace = Pace(places=section.concurrency)
        self._headers = dict(section.headers)
        self._signers = tuple(
            _signer(secret, f"channels.{name}") for secret in (section.secret or "", *section.old_secrets)
        )
        self._client = client

    async def send(self, letters: Sequence[Letter], now_us: int) -> Result:
        (letter,) = letters
        signed = self._signed(letter.trigger.id, letter.value, now_us)
        headers = {**self._headers, **tracing.headers(), **signed}
        answer = await self._client.send(Request(url=self._url, body=letter.value, headers=headers))
        return result_of(answer)

    def _signed(self, webhook_id: str, body: bytes, now_us: int) -> Mapping[str, str]:
        sent_at = from_us(now_us)
        text = body.decode()
        signatures = (
            signer.sign(msg_id=webhook_id, timestamp=sent_at, data=text) for signer in self._signers
        )
        return {
            "content-type": "application/json",
            "user-agent": "usage-triggers",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(now_us // 1_000_000),
            "webhook-signature": " ".join(signatures),
        }

    async def close(self) -> None:
        await self._client.close()


def result_of(answer: Answer) -> Result:
    """Any 2xx is a success; 410 means never again; anything else is tried again.

    An endpoint that answers 401 or 404 is most often being repaired, so it is not given up at once.
    """
    if answer.is_success:
        return Result(verdict="delivered", detail=str(answer.status))
    if answer.status == GONE:
        return Result(verdict="disabled", detail="410: the endpoint wants no more")
    return failure_of(answer)


def failure_of(answer: Answer, given_up: Collection[int] = ()) -> Result:
    """What failed is tried again, unless its status is one of those that stay the same."""
    if answer.status is None:
        return Result(verdict="retry", detail=answer.error, uncertain=answer.uncertain)
    if answer.status in given_up:
        return Result(verdict="dead", detail=_detail(answer))
    return Result(verdict="retry", detail=_detail(answer), retry_after_seconds=answer.retry_after_seconds)


def _detail(answer: Answer) -> str:
    if answer.status is not None and 300 <= answer.status < 400:
        return f"{answer.status}: redirects are not followed; put the new address into the configuration"
    text = answer.body[:_DETAIL_CHARS_MAX].decode(errors="replace").strip()
    return f"{answer.status} {' '.join(text.split())}".strip()


def _signer(secret: str, place: str) -> Webhook:
    hint = f"{place}: a secret is whsec_ and base64 of 16 to 64 random bytes (`openssl rand -base64 32`)"
    try:
        raw = binascii.a2b_base64(secret.removeprefix("whsec_").strip() + "==", strict_mode=False)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(hint) from error
    if len(raw) < SECRET_BYTES_MIN:
        raise ConfigError(hint)
    return Webhook(raw)
