// todo.match: finds the todo that a sentence is about, or proposes a new one.
import { z } from "zod";
import { LeftOut, usableEntries } from "../worker/job/entries.ts";
import { defineHandler, refuse } from "../worker/job/handler.ts";
import { oneLine } from "../worker/job/text.ts";

const Id = z
  .union([
    z.string(),
    // JavaScript writes larger numbers in another way than the service does.
    z
      .number()
      .refine((id) => Math.abs(id) < 1e21, "a number of at most 21 digits; send a longer one as a string"),
  ])
  .transform(String)
  // The id becomes the last part of a path, where these values would mean the collection itself or its parent.
  .refine((id) => !["", ".", ".."].includes(id), "an id of your service")
  .describe("The todo's id in your service.");

/** Todos as services list them: with other fields too, and null for missing ones. */
const Todo = z.object({
  id: Id,
  title: z
    .string()
    .transform((title) => title.trim().slice(0, 500))
    .refine((title) => title !== "", "it is empty")
    .describe("What is to be done."),
  category: z
    .string()
    .nullish()
    .catch(undefined)
    .transform((category) => category?.slice(0, 100))
    .optional()
    .describe("A category, such as shopping or home."),
});

type Todo = z.output<typeof Todo>;

const Todos = z.array(z.unknown()).max(500);

/** The answer of a service is trusted no more than a sender's input. */
function readTodos(field: "todos" | "todosUrl", answer: unknown) {
  const list = Todos.safeParse(answer);
  if (list.success) return usableEntries(field, Todo, list.data);
  return refuse("invalid_input", `${field}: it is not a list of todos (${list.error.issues[0]?.message}).`);
}

const MATCH = `You keep a list of todos. You are given the numbered todos and, after "Text:", a sentence that somebody wrote.
Decide which todo the sentence means, whatever its wording or language: it may report progress, ask about it, or repeat it in other words.
Answer with the number of that todo and nothing else. If the sentence means none of them, answer: new`;

const TITLE = `Somebody wrote the sentence after "Text:". Write the title of a new todo for it: a few words that say what is to be done, in the sentence's language. Answer with the title and nothing else.`;

/** What the model gets to match a sentence: one numbered line for each todo, then the sentence. */
export function matchContent(text: string, todos: readonly Pick<Todo, "title" | "category">[]): string {
  const lines = todos.map(({ title, category }, index) => {
    return `${index + 1}: ${oneLine(title)}${category ? ` (${oneLine(category)})` : ""}`;
  });
  return `Todos:\n${lines.join("\n")}\nText: ${oneLine(text)}`;
}

/** What the model gets to name a new todo. */
export function titleContent(text: string): string {
  return `Text: ${oneLine(text)}\nTitle:`;
}

/** A title as the model wrote it: the first line, without the quotation marks that models like to put around it. */
const firstLine = (answer: string) =>
  oneLine(answer.trim().split("\n")[0] ?? "")
    .replace(/^["“「『](.*)["”」』]$/, "$1")
    .trim();

/** Services take no longer ones, and the whole sentence is in the note. */
const MAX_TITLE = 250;
const short = (title: string) => {
  const characters = [...title];
  return characters.length > MAX_TITLE ? `${characters.slice(0, MAX_TITLE - 1).join("")}…` : title;
};

// Looks at each row of slashes once: without the lookbehind, a row in the middle is read anew from each of its slashes.
const TRAILING_SLASHES = /(?<!\/)\/+$/;

/** The address of one todo. The collection's address may end with a slash or have a query. */
function below(collection: string, id: string): string {
  const url = new URL(collection);
  url.pathname = `${url.pathname.replace(TRAILING_SLASHES, "")}/${encodeURIComponent(id)}`;
  return url.href;
}

export default defineHandler({
  kind: "todo.match",
  summary: "Matches a sentence in any wording to a todo, or proposes a new one.",
  input: z
    .strictObject({
      text: z.string().trim().min(1).max(2_000).describe("The sentence."),
      todos: z
        .array(z.union([Todo, z.unknown()]))
        .max(500)
        .optional()
        .describe("The todos to choose from. An entry that is none is left out."),
      todosUrl: z
        .url()
        .optional()
        .describe(
          "An address that answers GET with the todos as JSON, an array of {id, title, category?}; or one that the owner's destinations file calls a todo service.",
        ),
    })
    .refine(({ todos, todosUrl }) => (todos === undefined) !== (todosUrl === undefined), {
      message: "give either todos or todosUrl",
      path: ["todos"],
    }),
  output: z.strictObject({
    action: z.enum(["update", "create", "uncertain"]),
    todoId: z
      .string()
      .optional()
      .describe("update: the todo that is meant; uncertain: the most probable one, if any."),
    title: z.string().describe("The todo's title; create: a title for the new todo."),
    probability: z.number().min(0).max(1).describe("The probability of this action."),
    leftOut: LeftOut,
  }),

  async run({ text, todos, todosUrl }, { model, rest }) {
    const { entries: list, left } = todosUrl
      ? readTodos("todosUrl", await rest.todos(todosUrl))
      : readTodos("todos", todos);
    const newTitle = async () =>
      short(
        firstLine(await model.ask({ instructions: TITLE, content: titleContent(text), maxTokens: 48 })) ||
          oneLine(text),
      );
    if (list.length === 0)
      return { action: "create" as const, title: await newTitle(), probability: 1, ...left };

    const options = [...list.map((_, index) => String(index + 1)), "new"];
    const { choice, best, probabilities } = await model.decide({
      instructions: MATCH,
      content: matchContent(text, list),
      options,
    });
    const probability = Math.max(...Object.values(probabilities));
    const meant = list[Number(best) - 1];
    if (choice === "uncertain")
      return {
        action: "uncertain" as const,
        ...(meant && { todoId: meant.id }),
        title: meant?.title ?? oneLine(text),
        probability,
        ...left,
      };
    if (!meant) return { action: "create" as const, title: await newTitle(), probability, ...left };
    return { action: "update" as const, todoId: meant.id, title: meant.title, probability, ...left };
  },

  request({ action, todoId, title }, base, { text }) {
    if (action === "create") return { method: "POST", url: base, body: { title, note: text } };
    if (action === "update") return { method: "PATCH", url: below(base, todoId!), body: { note: text } };
    return null;
  },

  todo({ action, todoId, title }, { text }) {
    if (action === "create") return { title, note: text };
    if (action === "update") return { id: todoId!, note: text };
    return null;
  },
});
