import pytest


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
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
