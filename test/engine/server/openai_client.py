# A Python program that uses the engine and prints what it got as one line of JSON. Run by openai-python.test.ts.
import json
import sys

from openai import BadRequestError, OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
MESSAGES = [{"role": "user", "content": "Is it locked?"}]


def chat(**fields):
    return client.chat.completions.create(model="scripted", messages=MESSAGES, **fields)


whole = chat(n=2, seed=1, presence_penalty=0.5, logit_bias={"5": -100}, extra_body={"priority": 3})
chunks = list(chat(stream=True, stream_options={"include_usage": True}, reasoning_effort="low"))
deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
schema = {"type": "object", "properties": {"locked": {"type": "boolean"}}, "required": ["locked"]}
shaped = client.chat.completions.create(
    model="scripted",
    messages=[{"role": "user", "content": "As JSON"}],
    response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
)
plain = client.completions.create(model="scripted", prompt="Once upon")
try:
    client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "a " * 9000}])
    refused = None
except BadRequestError as error:
    refused = error.code

print(
    json.dumps(
        {
            "models": [model.id for model in client.models.list()],
            "answers": [choice.message.content for choice in whole.choices],
            "usage": whole.usage.model_dump(include={"prompt_tokens", "completion_tokens"}),
            "streamed": "".join(delta.content or "" for delta in deltas),
            "thought": "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas),
            "reasoning_tokens": chunks[-1].usage.completion_tokens_details.reasoning_tokens,
            "shaped": json.loads(shaped.choices[0].message.content),
            "plain": plain.choices[0].text,
            "refused": refused,
        }
    )
)
