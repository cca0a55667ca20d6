import pytest


@pytest.fixture(scope="module")
def bucket():
    """The bucket `logs` of a local S3 server; yields a function that stores an object."""
    pytest.importorskip("obstore", reason="the extra cloud is not installed")
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_REGION", "us-east-1")
        import boto3

        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="logs")
        yield lambda key, body: client.put_object(Bucket="logs", Key=key, Body=body)
        client.close()
    server.stop()
