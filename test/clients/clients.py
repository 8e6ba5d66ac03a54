# Python clients as their users write them, against the engine at the address given. Run by clients.test.ts with the name of one
# client, and prints what it got as one line of JSON.
import json
import sys
from typing import Literal

from pydantic import BaseModel, Field

CLIENT, URL = sys.argv[1], sys.argv[2]
QUESTION = "What is the weather in Paris in celsius?"


class Weather(BaseModel):
    """Get the weather in a city."""

    city: str = Field(max_length=40)
    unit: Literal["celsius", "fahrenheit"]


def get_weather(city: str, unit: Literal["celsius", "fahrenheit"]) -> str:
    """Get the weather in a city."""
    return "sunny"


def fits(arguments):
    return Weather.model_validate(arguments).model_dump().keys() == {"city", "unit"}


def openai():
    from openai import OpenAI, pydantic_function_tool

    client = OpenAI(base_url=URL, api_key="none", max_retries=0)
    tools = [pydantic_function_tool(Weather, name="get_weather")]
    messages = [{"role": "user", "content": QUESTION}]
    asked = {"model": "default", "temperature": 0, "tools": tools, "tool_choice": "required"}
    choice = client.chat.completions.create(messages=messages, **asked).choices[0]
    call = choice.message.tool_calls[0]
    parsed = client.chat.completions.parse(messages=messages, **asked).choices[0].message.tool_calls[0]
    with client.chat.completions.stream(messages=messages, **asked) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    told = client.chat.completions.create(model="default", messages=messages, max_tokens=8)
    flat = {"type": "function", "name": "get_weather", "parameters": Weather.model_json_schema()}
    response = client.responses.create(
        model="default", input=QUESTION, tools=[flat], tool_choice="required", temperature=0
    )
    return {
        "finish": choice.finish_reason,
        "called": fits(json.loads(call.function.arguments)),
        "parsed": isinstance(parsed.function.parsed_arguments, Weather),
        "streamed": fits(json.loads(streamed.function.arguments)),
        "told": len(told.choices[0].message.content) > 0,
        "responses": fits(json.loads(response.output[0].arguments)),
    }


def langchain():
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=URL, api_key="none", model="default", temperature=0, max_retries=0)
    bound = model.bind_tools([tool(get_weather)], tool_choice="any")
    message = bound.invoke(QUESTION)
    gathered = None
    for chunk in bound.stream(QUESTION):
        gathered = chunk if gathered is None else gathered + chunk
    call = message.tool_calls[0]
    history = [HumanMessage(QUESTION), message, ToolMessage("sunny", tool_call_id=call["id"])]
    told = model.bind(max_tokens=8).invoke(history)
    by_call = model.with_structured_output(Weather, method="function_calling").invoke(QUESTION)
    by_schema = model.with_structured_output(Weather).invoke(QUESTION)
    newer = ChatOpenAI(
        base_url=URL, api_key="none", model="default", temperature=0, max_retries=0, use_responses_api=True
    )
    response = newer.bind_tools([tool(get_weather)], tool_choice="get_weather").invoke(QUESTION)
    return {
        "called": call["name"] == "get_weather" and fits(call["args"]),
        "streamed": fits(gathered.tool_calls[0]["args"]),
        "told": len(told.content) > 0,
        "by_call": isinstance(by_call, Weather),
        "by_schema": isinstance(by_schema, Weather),
        "responses": fits(response.tool_calls[0]["args"]),
    }


def instructor():
    import instructor
    from openai import OpenAI

    client = instructor.from_openai(OpenAI(base_url=URL, api_key="none", max_retries=0))
    asked = {
        "model": "default",
        "temperature": 0,
        "response_model": Weather,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_retries": 0,
    }
    whole = client.chat.completions.create(**asked)
    *_, partial = client.chat.completions.create_partial(**asked)
    return {"called": isinstance(whole, Weather), "streamed": fits(partial.model_dump())}


def llamaindex():
    from llama_index.core.llms import ChatMessage
    from llama_index.core.prompts import PromptTemplate
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai import OpenAI

    # It knows the context of OpenAI's models only; the name of ours goes beside it.
    llm = OpenAI(
        model="gpt-4o-mini",
        additional_kwargs={"model": "default"},
        api_base=URL,
        api_key="none",
        temperature=0,
        max_retries=0,
    )
    tool = FunctionTool.from_defaults(get_weather)
    response = llm.chat_with_tools([tool], user_msg=QUESTION, tool_required=True)
    [call] = llm.get_tool_calls_from_response(response)
    *_, last = llm.stream_chat_with_tools([tool], user_msg=QUESTION, tool_required=True)
    [streamed] = llm.get_tool_calls_from_response(last)
    history = [
        ChatMessage(role="user", content=QUESTION),
        response.message,
        ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": call.tool_id}),
    ]
    told = llm.chat(history, max_tokens=8)
    shaped = llm.structured_predict(Weather, PromptTemplate("{question}"), question=QUESTION)
    return {
        "called": call.tool_name == "get_weather" and fits(call.tool_kwargs),
        "streamed": fits(streamed.tool_kwargs),
        "told": len(told.message.content) > 0,
        "shaped": isinstance(shaped, Weather),
    }


def agents():
    """Loops in which the model chooses by itself, which takes a tool template."""
    import asyncio

    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index.llms.openai import OpenAI

    model = ChatOpenAI(base_url=URL, api_key="none", model="default", max_retries=0).bind_tools([tool(get_weather)])
    history = [HumanMessage(QUESTION)]
    for _ in range(3):
        message = model.invoke(history)
        history.append(message)
        if not message.tool_calls:
            break
        history += [ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"]) for call in message.tool_calls]

    async def run():
        llm = OpenAI(
            model="gpt-4o-mini", additional_kwargs={"model": "default"}, api_base=URL, api_key="none", max_retries=0
        )
        agent = FunctionAgent(tools=[get_weather], llm=llm, system_prompt="Be brief.")
        return str(await agent.run(QUESTION))

    return {"langchain": history[-1].content, "llamaindex": asyncio.run(run())}


print(json.dumps(globals()[CLIENT]()))
