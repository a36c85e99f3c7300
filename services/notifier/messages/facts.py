"""What a preset's template or a mail may say of a letter: plain values, in the words of whoever is meant."""

from collections.abc import Mapping
from typing import Any

from services.notifier.messages import status, wording
from services.notifier.messages.letter import Letter
from services.notifier.messages.render import dialled, task_url, titled
from services.notifier.messages.telling import addressee, language_of
from services.notifier.messages.words import words
from services.notifier.planning.zones import local_day, zone
from shared.clock import rfc3339
from shared.config import CsmSection


def facts_of(
    letter: Letter, csms: Mapping[str, CsmSection], default_language: str, inbox_url: str | None
) -> dict[str, Any]:
    """The names that docs/channels.md lists; what is unknown is empty, never absent."""
    task, data = letter.task, letter.task.trigger.data
    said = words(language_of([letter], csms, default_language))
    owner = addressee(letter) or ""
    csm = csms.get(owner)
    due_us = task.plan.times.due_us or task.plan.times.notify_us
    title, name = titled(letter.delivery.kind, task, said), wording.customer(task, said)
    phone = data.customer.phone or ""
    url = task_url(inbox_url, task) if inbox_url else ""
    evidence = [f"{line.label}: {line.text}" for line in wording.evidence(task, said)]
    reasons = [f"- {reason}" for reason in wording.reasons(task.trigger, said)]
    lines = [phone, wording.window(task, said), *evidence, *reasons, url]
    return {
        "language": said.language,
        "title": title,
        "name": name,
        "summary": f"{title}: {name}",
        "text": "\n".join(line for line in lines if line),
        "status": status.said(task, said, csms),
        "outcome": task.outcome or "",
        "phone": phone,
        "dialled": dialled(phone),
        "window": wording.window(task, said),
        "owner": owner,
        "owner_name": csm.name if csm is not None else "",
        "owner_email": (csm.email or "") if csm is not None else "",
        "due_at": rfc3339(due_us),
        "due_ms": due_us // 1000,
        "due_on": local_day(due_us, zone(task.plan.contact.zone)).isoformat(),
        "task_id": task.id,
        "trigger_id": letter.trigger.id,
        "delivery_id": letter.delivery.id,
        "task_url": url,
        "product": data.product,
        "rule": data.rule,
        "day": data.day.isoformat(),
        "customer": {name: getattr(data.customer, name) for name in data.customer.__struct_fields__},
    }
