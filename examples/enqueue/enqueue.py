"""Uploads a picture and asks a question about it; prints the answer. Needs boto3.

    QUEUE_URL=… TOPIC_ARN=… BUCKET=… python examples/enqueue/enqueue.py door.jpg "Is the door locked?"

The three variables name your queue, topic and bucket; their defaults are those of the embedded AWS (`npm start`). To
use it, set these instead. The keys can be anything:

    export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path

import boto3

QUEUE_URL = os.environ.get("QUEUE_URL", "http://127.0.0.1:4566/000000000000/kamado-jobs")
TOPIC_ARN = os.environ.get("TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:kamado-results")
BUCKET = os.environ.get("BUCKET", "kamado")

s3 = boto3.client("s3")


def ask(picture: Path, question: str) -> str:
    """Sends the job and returns its id."""
    job_id = str(uuid.uuid4())
    key = f"in/{job_id}{picture.suffix}"
    s3.upload_file(str(picture), BUCKET, key)
    job = {
        "id": job_id,
        "kind": "image.check",
        "input": {"image": f"s3://{BUCKET}/{key}", "question": question},
        "deliver": [{"sns": TOPIC_ARN}],
    }
    boto3.client("sqs").send_message(QueueUrl=QUEUE_URL, MessageBody=json.dumps(job))
    return job_id


def wait_for(job_id: str, seconds: float = 300) -> dict:
    """The result, which is stored in the bucket wherever else it is delivered. This needs s3:ListBucket, too: without
    it S3 does not say whether the object is missing."""
    end, pause = time.monotonic() + seconds, 0.25
    while True:
        try:
            return json.load(s3.get_object(Bucket=BUCKET, Key=f"results/{job_id}.json")["Body"])
        except s3.exceptions.NoSuchKey:
            if time.monotonic() > end:
                raise TimeoutError(f"no result for {job_id} yet; the job stays in the queue") from None
        time.sleep(pause)
        pause = min(2.0, pause * 2)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: enqueue.py PICTURE QUESTION")
    result = wait_for(ask(Path(sys.argv[1]), sys.argv[2]))
    print(json.dumps(result.get("output") or result.get("error")))
    sys.exit(0 if result["status"] == "succeeded" else 1)
