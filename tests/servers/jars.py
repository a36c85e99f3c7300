"""Apache Kafka's jars: resolved by Maven once, kept in the user's cache."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.base import Missing

KAFKA_VERSION = "4.1.0"
_MAVEN_SECONDS_MAX = 600
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>usage-triggers</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def java() -> str:
    """Java 17 or later, which Kafka 4 needs; JAVA_HOME is taken first."""
    home = os.environ.get("JAVA_HOME")
    command = shutil.which(str(Path(home, "bin", "java"))) if home else shutil.which("java")
    if command is None:
        raise Missing("no Java (17 or later)")
    said = subprocess.run([command, "-version"], capture_output=True, text=True, check=False).stderr
    major = said.partition('"')[2].partition(".")[0].partition('"')[0]
    if not major.isdigit() or int(major) < 17:
        raise Missing(f"Java 17 or later is needed, found {major or 'none'}")
    return command


def kafka_jars() -> Path:
    """The directory that holds the jars; resolved on the first call on this machine, under a lock."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "usage-triggers"
    jars = cache / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            _resolve(jars)
    return jars


def _resolve(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing(f"no Maven (mvn) to fetch Apache Kafka {KAFKA_VERSION} with, and none in {jars}")
    with tempfile.TemporaryDirectory(dir=jars.parent) as scratch:
        Path(scratch, "pom.xml").write_text(_POM.format(version=KAFKA_VERSION))
        command = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={scratch}/jars"]
        try:
            done = subprocess.run(
                [*command, "-DincludeScope=runtime"],
                cwd=scratch,
                capture_output=True,
                text=True,
                check=False,
                timeout=_MAVEN_SECONDS_MAX,
            )
        except subprocess.TimeoutExpired as error:
            raise Missing(f"Maven did not fetch Apache Kafka in {_MAVEN_SECONDS_MAX} s") from error
        if done.returncode:
            raise Missing(f"Maven could not fetch Apache Kafka: {done.stdout.strip()[-300:]}")
        Path(scratch, "jars").rename(jars)  # whole or not at all
