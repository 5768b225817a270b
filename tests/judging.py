"""Judging by policies with the real OPA: short ways to ask."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline import resources
from pipeline.core.cancel import Cancel
from pipeline.core.finding import Severity
from pipeline.core.policy import Document
from pipeline.tools.opa.call import Opa
from pipeline.tools.opa.judge import Judgement, judge
from pipeline.tools.opa.library import Library, load

IMAGE = {"user": "app", "env": [], "labels": {}, "exposed": [], "entrypoint": ["/x"], "cmd": [], "size": 1}
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p%d}\nspec: {containers: [{name: c, image: 'x:1'}]}\n"
# As a stranger writes it: one stage, root, a tag for a base, lists left behind.
ORDINARY = b"""FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568 TOKEN_TTL=3600
WORKDIR /app
COPY requirements.txt .
RUN apt-get update && apt-get install -y gcc && pip install -r requirements.txt
COPY . .
EXPOSE 80
CMD python app.py
"""


def opa(timeout: float = 30, environ: Mapping[str, str] | None = None) -> Opa:
    return Opa({"PATH": os.environ["PATH"], **(environ or {})}, Cancel(), timeout)


def asked(tmp_path: Path, *documents: Document, timeout: float = 30, **policies: str) -> Judgement:
    """Judge with the built-in policies and with `policies`, file name (without `.rego`) to source."""
    return judge(opa(timeout), library(tmp_path, **policies), documents or [Document("image", "image", IMAGE)])


def library(tmp_path: Path, **policies: str) -> Library:
    for name, source in policies.items():
        (tmp_path / f"{name}.rego").write_text(source)
    return load(resources.policies(), tmp_path, [f"{name}.rego" for name in policies])


def broken(judgement: Judgement) -> dict[str, Severity]:
    return {finding.rule: finding.severity for finding in judgement.findings if finding.observed == "violation"}
