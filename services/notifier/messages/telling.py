"""Decides to whom a letter speaks and in which language, and puts Slack messages together accordingly."""

from collections.abc import Callable, Mapping, Sequence

from services.notifier.messages.digest import slack_digest
from services.notifier.messages.letter import Letter
from services.notifier.messages.render import Setting, SlackMessage, slack_message
from services.notifier.messages.words import words
from shared.config import CsmSection, SlackChannel


def addressee(letter: Letter) -> str | None:
    """The id of the CSM who is meant: the owner, or whoever it is escalated to."""
    return letter.delivery.addressee or letter.task.owner


def language_of(letters: Sequence[Letter], csms: Mapping[str, CsmSection], default: str) -> str:
    """The one language of all who are meant; where they have several, or nobody is meant, the channel's."""
    spoken = {csms[csm].language for csm in map(addressee, letters) if csm is not None and csm in csms}
    return spoken.pop() if len(spoken) == 1 else default


def slack_renderer(
    section: SlackChannel, csms: Mapping[str, CsmSection], inbox_url: str | None
) -> Callable[[Sequence[Letter]], SlackMessage]:
    """Makes a channel's messages: of one letter, or of several a digest."""

    def render(letters: Sequence[Letter]) -> SlackMessage:
        setting = Setting(
            words=words(language_of(letters, csms, section.language)),
            csms=csms,
            inbox_url=inbox_url,
            has_buttons=section.signing_secret is not None,
        )
        if len(letters) == 1:
            (one,) = letters
            return slack_message(one.delivery.kind, one.task, one.trigger, setting, addressee=addressee(one))
        return slack_digest([(e.delivery.kind, e.task, e.trigger, addressee(e)) for e in letters], setting)

    return render
