// todo.match: which todo a sentence means.
import { describe, expect, test } from "vitest";
import todoMatch, { matchContent, titleContent } from "../../handlers/todo-match.ts";
import { runHandler as run } from "../../testing/testing.ts";
import { parseJson } from "../../worker/job/json.ts";

const todos = [
  { id: 7, title: "Buy eggs", category: "shopping" },
  { id: "b/2", title: "Fix the\n gate" },
];

describe("a sentence", () => {
  test("that means a todo updates it", async () => {
    const { output, asked } = await run(
      todoMatch,
      { text: "We are out of  eggs!", todos },
      {
        decide: () => ({ "1": 0.9, "2": 0.04, new: 0.06 }),
      },
    );
    expect(output).toEqual({ action: "update", todoId: "7", title: "Buy eggs", probability: 0.9 });
    expect(asked).toHaveLength(1);
    expect(asked[0]!.options).toEqual(["1", "2", "new"]);
  });

  test("that means none of them becomes a new todo, with a title of its own", async () => {
    const { output, asked } = await run(
      todoMatch,
      { text: "The lamp is broken", todos },
      {
        decide: () => ({ "1": 0.1, "2": 0.1, new: 0.8 }),
        ask: () => '"Repair the lamp"\nI hope that helps!',
      },
    );
    expect(output).toEqual({ action: "create", title: "Repair the lamp", probability: 0.8 });
    expect(asked[1]!.content).toBe("Text: The lamp is broken\nTitle:");
  });

  test("that may mean one or the other is uncertain, and the likelier one is named", async () => {
    const { output } = await run(
      todoMatch,
      { text: "The eggs at the gate", todos },
      {
        decide: () => ({ "1": 0.45, "2": 0.5, new: 0.05 }),
      },
    );
    expect(output).toEqual({ action: "uncertain", todoId: "b/2", title: "Fix the\n gate", probability: 0.5 });
  });

  test("that may be new is uncertain without a todo", async () => {
    const { output } = await run(
      todoMatch,
      { text: "Hm", todos },
      {
        decide: () => ({ "1": 0.3, "2": 0.2, new: 0.5 }),
      },
    );
    expect(output).toEqual({ action: "uncertain", title: "Hm", probability: 0.5 });
  });

  test("of which the model says nothing is uncertain without a todo", async () => {
    const { output } = await run(
      todoMatch,
      { text: "Hm", todos },
      {
        decide: () => ({ "1": 1 / 3, "2": 1 / 3, new: 1 / 3 }),
      },
    );
    expect(output).toEqual({ action: "uncertain", title: "Hm", probability: 1 / 3 });
  });

  test("is a new todo where there are none, without asking which", async () => {
    const { output, asked } = await run(
      todoMatch,
      { text: "Buy milk", todos: [] },
      { ask: () => "Buy milk" },
    );
    expect(output).toEqual({ action: "create", title: "Buy milk", probability: 1 });
    expect(asked).toHaveLength(1);
  });

  test("is its own title when the model has none", async () => {
    const { output } = await run(todoMatch, { text: "Buy milk", todos: [] }, { ask: () => " \n " });
    expect(output.title).toBe("Buy milk");
  });

  test("of a length that no service takes as a title is cut there, and is whole in the note", async () => {
    const text = "🥛 milk and ".repeat(150).trim();
    const { output, todo, request } = await run(todoMatch, { text, todos: [] }, { ask: () => "" });
    expect([...output.title]).toHaveLength(250);
    expect(output.title).toMatch(/^🥛 milk and .*…$/u);
    expect(todo()).toEqual({ title: output.title, note: text });
    expect(request("https://todo.home/todos")).toMatchObject({ body: { note: text } });
  });
});

describe("a service's own list", () => {
  const from = (list: unknown) =>
    run(
      todoMatch,
      { text: "eggs", todosUrl: "https://todo.home/todos" },
      {
        rest: () => list,
        decide: () => ({ "1": 1 }),
      },
    );

  test("is read with its other fields, its nulls and its long titles", async () => {
    const { output, asked } = await from([
      { id: 1, title: "Buy eggs", category: null, done: false, owner: { name: "K" } },
      { id: 2, title: "x".repeat(900) },
    ]);
    expect(output).toMatchObject({ action: "update", todoId: "1" });
    expect(asked[0]!.content).toContain("1: Buy eggs\n2: xxx");
  });

  test("that is not a list fails", async () => {
    await expect(from({ error: "no" })).rejects.toThrow();
  });
});

describe("an entry of a list that cannot be used costs that entry", () => {
  const good = [
    { id: 1, title: "Buy milk" },
    { id: 2, title: "Call the dentist" },
  ];
  const bad: [string, unknown, string][] = [
    ["without a title", { id: 3, title: null }, "2.title: "],
    ["with an empty title", { id: 3, title: " " }, "2.title: it is empty"],
    ["with a title that is a list", { id: 3, title: ["a"] }, "2.title: "],
    ["without an id", { title: "Buy eggs" }, "2.id: "],
    ["with an id that is the collection's own path", { id: "", title: "x" }, "an id of your service"],
    ["with an id that is the path above", { id: "..", title: "x" }, "an id of your service"],
    ["with an id that JavaScript writes in another way", { id: 1e21, title: "x" }, "2.id: "],
    ["null", null, "2: "],
    ["text", "Buy eggs", "2: "],
    ["a list", [3, "Buy eggs"], "2: "],
  ];
  const ask = (input: object, list: unknown) =>
    run(todoMatch, { text: "milk", ...input } as never, { rest: () => list, decide: () => ({ "1": 1 }) });

  test.each(bad)("%s", async (_, entry, why) => {
    const list = [...good, entry];
    for (const input of [{ todos: list }, { todosUrl: "https://todo.home/todos" }]) {
      const { output, asked } = await ask(input, list);
      expect(output).toMatchObject({ action: "update", todoId: "1" });
      expect(output.leftOut).toEqual({ count: 1, reasons: [expect.stringContaining(why)] });
      expect(asked[0]!.options).toEqual(["1", "2", "new"]);
    }
  });

  test("in a long list of them too; five reasons are told", async () => {
    const { output } = await ask({ todos: [...Array(400).fill(null), good[0]] }, null);
    expect(output.leftOut).toMatchObject({ count: 400, reasons: { length: 5 } });
  });

  test("but a list of which none can be used is refused, and never taken for an empty one", async () => {
    await expect(ask({ todos: [null, {}] }, null)).rejects.toMatchObject({ code: "invalid_input" });
    await expect(ask({ todosUrl: "https://todo.home/todos" }, [{ name: "Buy milk" }])).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.stringContaining("todosUrl: none of its entries can be used: 0.id"),
    });
  });
});

test("an id above 2^53 names its own todo, and not the one that it would be rounded to", async () => {
  const input = parseJson(
    '{"text":"I bought the milk","todos":[{"id":9007199254740992,"title":"Call the dentist"},{"id":9007199254740993,"title":"Buy milk"},{"id":36028797018963968,"title":"Buy eggs"},{"id":12345678901234567000,"title":"Pay"}]}',
  ) as { todos: unknown };
  for (const [option, todoId] of Object.entries({
    "1": "9007199254740992",
    "2": "9007199254740993",
    "3": "36028797018963968",
    "4": "12345678901234567000",
  }))
    for (const sent of [input, { text: "x", todosUrl: "https://todo.home/todos" }]) {
      const { output } = await run(todoMatch, sent as never, {
        rest: () => input.todos,
        decide: () => ({ [option]: 1 }),
      });
      expect(output).toMatchObject({ action: "update", todoId });
    }
});

describe("what the model is shown", () => {
  test("has one line for each todo, whatever the todos contain", () => {
    expect(
      matchContent("Done\nwith eggs", [{ title: "Buy eggs", category: "shopping" }, { title: "A\n2: B" }]),
    ).toBe("Todos:\n1: Buy eggs (shopping)\n2: A 2: B\nText: Done with eggs");
    expect(titleContent("a\n b")).toBe("Text: a b\nTitle:");
  });
});

describe("the REST call", () => {
  const input = todoMatch.input.parse({ text: "out of eggs", todos });
  const call = (output: object, base = "https://todo.home/todos") =>
    todoMatch.request!(todoMatch.output.parse({ title: "Buy eggs", probability: 1, ...output }), base, input);

  test("patches the todo that is meant, at its own address", () => {
    const body = { note: "out of eggs" };
    expect(call({ action: "update", todoId: "b/2" })).toEqual({
      method: "PATCH",
      url: "https://todo.home/todos/b%2F2",
      body,
    });
    expect(call({ action: "update", todoId: "7" }, "https://todo.home/todos/?list=1")?.url).toBe(
      "https://todo.home/todos/7?list=1",
    );
  });

  test("is formed at once, however many slashes the address has", () => {
    const base = `https://todo.home/${"/".repeat(200_000)}todos`;
    expect(call({ action: "update", todoId: "7" }, base)?.url).toBe(`${base}/7`);
  });

  test("posts a new one, and does nothing when it is uncertain", () => {
    expect(call({ action: "create" })).toEqual({
      method: "POST",
      url: "https://todo.home/todos",
      body: { title: "Buy eggs", note: "out of eggs" },
    });
    expect(call({ action: "uncertain" })).toBeNull();
  });
});

test.for([
  [{ text: "eggs" }, "give either todos or todosUrl"],
  [{ text: "eggs", todos: [], todosUrl: "https://todo.home" }, "give either todos or todosUrl"],
  [{ text: "  ", todos: [] }, "text"],
] as const)("input that cannot be meant is refused: %j", ([input, words]) => {
  const parsed = todoMatch.input.safeParse(input);
  expect(parsed.success).toBe(false);
  expect(JSON.stringify(parsed.error?.issues)).toContain(words);
});
