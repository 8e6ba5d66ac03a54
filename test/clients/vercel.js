// The Vercel AI SDK as its users write it, against the engine at the address given. Run by clients.test.ts, from the folder where the
// packages are installed, and prints what it got as one line of JSON.
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [what, baseURL] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey: "none" });
const Weather = z.object({ city: z.string().max(40), unit: z.enum(["celsius", "fahrenheit"]) });
const tools = {
  get_weather: tool({
    description: "Get the weather in a city.",
    inputSchema: Weather,
    execute: async () => "sunny",
  }),
};
const prompt = "What is the weather in Paris in celsius?";
const fits = ({ toolCalls }) =>
  toolCalls.length > 0 && toolCalls.every(({ input }) => Weather.safeParse(input).success);

/** With one of the two APIs: of responses, which is the SDK's default, or of chats. */
async function forced(model) {
  const asked = { model, tools, toolChoice: "required", prompt, temperature: 0, maxRetries: 0 };
  const whole = await generateText(asked);
  const stream = streamText(asked);
  const streamed = { toolCalls: await stream.toolCalls };
  const messages = [{ role: "user", content: prompt }, ...whole.response.messages];
  const told = await generateText({ model, messages, maxOutputTokens: 8, maxRetries: 0 });
  // The SDK names an earlier text of a response by its id.
  const again = [...messages, ...told.response.messages, { role: "user", content: "And in Rome?" }];
  const more = await generateText({ model, messages: again, maxOutputTokens: 8, maxRetries: 0 });
  const { object } = await generateObject({ model, schema: Weather, prompt, temperature: 0, maxRetries: 0 });
  return {
    finish: whole.finishReason,
    called: fits(whole),
    streamed: fits(streamed),
    told: told.text.length > 0 && more.text.length > 0,
    object: Weather.safeParse(object).success,
  };
}

/** A loop in which the model chooses by itself, which takes a tool template. */
async function agent(model) {
  const { text, steps } = await generateText({
    model,
    tools,
    prompt,
    stopWhen: stepCountIs(5),
    maxRetries: 0,
  });
  const stream = streamText({ model, tools, prompt, stopWhen: stepCountIs(5), maxRetries: 0 });
  return { text, steps: steps.length, streamed: await stream.text };
}

const run = what === "agents" ? agent : forced;
console.log(
  JSON.stringify({ responses: await run(openai("default")), chat: await run(openai.chat("default")) }),
);
