"""What one machine carries and what more would take, computed from what was measured."""

from collections.abc import Mapping

from bench.result import Result


def sentence(results: Mapping[str, Result]) -> str:
    """For the README."""
    return " ".join(paragraphs(results)[:1])


def paragraphs(results: Mapping[str, Result]) -> list[str]:
    """For the page."""
    if "evaluator" not in results:
        return []
    rate = results["evaluator"].figure("evaluator").median
    return [f"One evaluator beside its Kafka and PostgreSQL folds {rate:,.0f} events a second here."]
