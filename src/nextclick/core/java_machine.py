"""The Java machine of this process, through which Spark and the file systems of Hadoop work."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from typing import Any

from nextclick.core.extra_packages import import_extra
from nextclick.errors import SourceError

JAVA_REMEDY = "Java did not start; check that `java -version` prints 17 or later, and JAVA_HOME"

_own: dict[int, Any] = {}  # by process


def check_java(label: str) -> None:
    """Check that there is a Java runtime.

    Args:
        label: what needs it.

    Raises:
        SourceError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    if shutil.which(f"{home}/bin/java" if home else "java") is None:
        where = f"in JAVA_HOME ({home})" if home else "on the PATH"
        raise SourceError(
            f"{label} needs Java 17 or later, and there is no java {where}; install a Java "
            "runtime such as openjdk-17-jre-headless, or set JAVA_HOME"
        )


def java_machine(label: str) -> Any:
    """The view of the Java machine of the Spark session of this process, or of its own one.

    The machine ends with the process. Its classes are those of PySpark and of the folder that
    HADOOP_CONF_DIR names.

    Args:
        label: what needs it.

    Raises:
        SourceError: PySpark or Java is missing.
        PySparkRuntimeError: Java does not start.
    """
    context = import_pyspark(label).SparkContext
    if context._jvm is not None:
        return context._jvm
    process = os.getpid()  # a fork must not share the connections of its parent
    if process not in _own:
        check_java(label)
        from pyspark.java_gateway import launch_gateway

        _own[process] = launch_gateway(popen_kwargs={"stderr": subprocess.DEVNULL}).jvm
    return _own[process]


def import_pyspark(label: str) -> Any:
    """Import PySpark, and ignore its warning about the version of pandas.

    Raises:
        SourceError: it is not installed.
    """
    # it warns at the first call of Java, too
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    return import_extra("pyspark", "spark", label)
