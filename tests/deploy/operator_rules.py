"""Writes the alert rules in the form of the Prometheus Operator (`make generated`)."""

import yaml

from tests.deploy.tools import DEPLOY, Manifest, read

PLACE = DEPLOY / "kubernetes" / "components" / "prometheus-operator" / "rules.yaml"


def manifest() -> Manifest:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "usage-triggers"},
        "spec": {"groups": read(DEPLOY / "prometheus" / "rules.yaml")["groups"]},
    }


if __name__ == "__main__":
    print("# Made by `make generated` from deploy/prometheus/rules.yaml.")
    print(yaml.safe_dump(manifest(), sort_keys=False, allow_unicode=True, width=110), end="")
