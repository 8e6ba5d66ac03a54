// A server of ours changes nothing for others in its process, whichever starts first.
import { expect, onTestFinished, test } from "vitest";
import { startTodoService } from "../../examples/todo-service/service.ts";
import { startWeb } from "../../worker/console/server.ts";

const OF_NODE = { Request, Response };

// The first test, because it loads the engine's code.
test("an engine whose code is loaded after another server has started ends its streams", async () => {
  const page = await startWeb({ port: 0, state: () => ({}) as never });
  onTestFinished(() => page.stop());
  const { collect, scripted, user } = await import("../engine/running.ts");
  const { client, close } = await scripted({ rules: [{ answer: "word ".repeat(200) }] });
  onTestFinished(close);
  const stream = await client.chat.completions.create({
    model: "scripted",
    messages: user("x"),
    stream: true,
  });
  expect((await collect(stream)).at(-1)!.choices[0]!.finish_reason).toBe("stop");
});

test.each([
  ["the page", async () => (await startWeb({ port: 0, state: () => ({}) as never })).stop],
  ["the Todo service", async () => (await startTodoService({ port: 0 })).stop],
  ["the engine", async () => (await (await import("../engine/running.ts")).scripted()).close],
])("%s leaves Request and Response as they are", async (_, start) => {
  onTestFinished(await start());
  expect({ Request, Response }).toEqual(OF_NODE);
});
