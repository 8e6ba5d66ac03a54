# A Python program that runs a batch with OpenAI's own client and prints what came of it as one line of JSON. Run by serve.test.ts, which
# kills the worker meanwhile.
import json
import sys
import time

from openai import APIConnectionError, OpenAI

URL, LINES = sys.argv[1], int(sys.argv[2])
client = OpenAI(base_url=URL, api_key="none", max_retries=10)


def line(number):
    messages = [{"role": "user", "content": f"question {number}"}]
    body = {"model": "default", "messages": messages, "max_tokens": 8}
    return {"custom_id": f"python-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


content = "\n".join(json.dumps(line(number)) for number in range(LINES))
file = client.files.create(file=("in.jsonl", content.encode()), purpose="batch")
batch = client.batches.create(
    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"by": "python"}
)
print(batch.id, file=sys.stderr, flush=True)
while batch.status not in ("completed", "failed", "expired", "cancelled"):
    time.sleep(0.2)
    try:
        batch = client.batches.retrieve(batch.id)
    except APIConnectionError:
        pass  # The worker was killed, and starts again.
output = [json.loads(one) for one in client.files.content(batch.output_file_id).text.splitlines()]
print(
    json.dumps(
        {
            "status": batch.status,
            "counts": batch.request_counts.model_dump(),
            "error_file": batch.error_file_id,
            "ids": sorted(one["custom_id"] for one in output),
            "answers": sorted({one["response"]["body"]["choices"][0]["message"]["content"] for one in output}),
            "listed": batch.id in [one.id for one in client.batches.list()],
        }
    )
)
