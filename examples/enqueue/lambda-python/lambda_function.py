"""A complete Lambda (Python 3.10 or later; boto3 is part of the runtime): asks a question about every picture that
arrives in a bucket. Set it on the bucket's ObjectCreated events.

    QUEUE_URL   the queue of jobs; the function's role needs sqs:SendMessage on it
    TOPIC_ARN   the topic for the answers
    QUESTION    what to ask
"""

import hashlib
import json
import os
from urllib.parse import unquote_plus

import boto3

SQS = boto3.client("sqs")
BATCH = 10


def job_of(record: dict) -> dict:
    bucket, upload = record["s3"]["bucket"]["name"], record["s3"]["object"]
    key = unquote_plus(upload["key"])
    # The same upload has the same id, so an event that S3 sends twice is answered once.
    name = f"{bucket}/{key}/{upload.get('sequencer', '')}"
    return {
        "id": hashlib.sha256(name.encode()).hexdigest()[:32],
        "kind": "image.check",
        "input": {
            "image": f"s3://{bucket}/{key}",
            "question": os.environ.get("QUESTION", "Is there a person in the picture?"),
        },
        "deliver": [{"sns": os.environ["TOPIC_ARN"]}],
    }


def lambda_handler(event, _context):
    jobs = [job_of(record) for record in event["Records"]]
    for start in range(0, len(jobs), BATCH):
        entries = [
            {"Id": str(index), "MessageBody": json.dumps(job)}
            for index, job in enumerate(jobs[start : start + BATCH])
        ]
        answer = SQS.send_message_batch(QueueUrl=os.environ["QUEUE_URL"], Entries=entries)
        # A call that succeeds may have left some out. Lambda then calls again with the same event, and the jobs have
        # the same ids, so those that were sent run once.
        if answer.get("Failed"):
            raise RuntimeError(f"not sent: {answer['Failed']}")
    return {"sent": [job["id"] for job in jobs]}
