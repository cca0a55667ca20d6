import pytest

from object_store import object_store


@pytest.fixture(scope="module")
def bucket():
    """The bucket `logs` of a local S3 server; yields a function that stores an object."""
    with object_store():
        import boto3

        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="logs")
        yield lambda key, body: client.put_object(Bucket="logs", Key=key, Body=body)
        client.close()
