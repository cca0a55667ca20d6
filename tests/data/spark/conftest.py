import pytest

_CONFIGURATION = """<configuration><property>
  <name>fs.viewfs.mounttable.cluster.link./data</name><value>{}</value>
</property></configuration>"""


@pytest.fixture(scope="session")
def mounted(tmp_path_factory):
    """The folder behind viewfs://cluster/data, a file system of Hadoop without a server."""
    folder = tmp_path_factory.mktemp("hadoop")
    (folder / "data").mkdir()
    (folder / "core-site.xml").write_text(_CONFIGURATION.format((folder / "data").as_uri()))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HADOOP_CONF_DIR", str(folder))
        yield folder / "data"


@pytest.fixture(scope="session")
def spark(tmp_path_factory, mounted):
    """A Spark session on two cores of this machine, which `prepare` finds as the active one."""
    from pyspark.sql import SparkSession

    from nextclick.data.spark.spark_session import spark_session

    with pytest.MonkeyPatch.context() as environment:
        folder = tmp_path_factory.mktemp("spark")
        environment.setenv("SPARK_LOCAL_DIRS", str(folder))
        with spark_session("local[2]") as session:
            gateway = session.sparkContext._gateway
            yield session
        process = gateway.proc
        gateway.shutdown()
        process.stdin.close()
        process.wait()
        SparkSession._instantiatedSession = None
        session.sparkContext.__class__._gateway = None
        session.sparkContext.__class__._jvm = None
