// The client is typed by kind, and its types are those of the handlers' schemas. `npm run types` checks what is said of types here.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, expectTypeOf, test } from "vitest";
import type { z } from "zod";
import type {
  Client,
  Destination,
  Enqueued,
  KindOf,
  Kinds,
  Policy,
  Receipt,
  Result,
} from "../../client/client.ts";
import { KINDS_FILE, kindsText } from "../../client/generate-kinds.ts";
import type articleExtract from "../../handlers/article-extract.ts";
import type imageCheck from "../../handlers/image-check.ts";
import type prompt from "../../handlers/prompt.ts";
import type textSummarize from "../../handlers/text-summarize.ts";
import type todoMatch from "../../handlers/todo-match.ts";
import type { Destination as Sent, Policy as SentPolicy } from "../../worker/job/envelope.ts";
import type { Receipt as Stored } from "../../worker/job/result.ts";

test("kinds.ts is what the handlers' schemas say; `npm run client:kinds` writes it", async () => {
  const handlers = join(import.meta.dirname, "../../handlers");
  expect(readFileSync(KINDS_FILE, "utf8")).toBe(await kindsText(handlers));
});

type Input<N extends keyof Kinds> = Kinds[N]["input"];
type Output<N extends keyof Kinds> = Kinds[N]["output"];
/** What is left of an input once its bytes are uploaded, and of optional fields that are undefined. */
type Placed<T> = { [F in keyof T]: Exclude<T[F], Uint8Array | Blob> };

test("each kind takes and gives what its handler's schema does", () => {
  expectTypeOf<Placed<Input<"image.check">>>().toExtend<z.input<typeof imageCheck.input>>();
  expectTypeOf<Placed<Input<"prompt">>>().toExtend<z.input<typeof prompt.input>>();
  expectTypeOf<Placed<Input<"article.extract">>>().toExtend<z.input<typeof articleExtract.input>>();
  expectTypeOf<Placed<Input<"text.summarize">>>().toExtend<z.input<typeof textSummarize.input>>();
  expectTypeOf<Placed<Input<"todo.match">>>().toExtend<z.input<typeof todoMatch.input>>();
  expectTypeOf<z.output<typeof imageCheck.output>>().toEqualTypeOf<Output<"image.check">>();
  expectTypeOf<z.output<typeof prompt.output>>().toExtend<Output<"prompt">>();
  expectTypeOf<z.output<typeof articleExtract.output>>().toExtend<Output<"article.extract">>();
  expectTypeOf<z.output<typeof textSummarize.output>>().toExtend<Output<"text.summarize">>();
  expectTypeOf<z.output<typeof todoMatch.output>>().toExtend<Output<"todo.match">>();
  expectTypeOf<Stored>().toExtend<Receipt>();
  expectTypeOf<keyof Stored>().toEqualTypeOf<keyof Receipt>();
});

test("destinations and policies are those of a job", () => {
  expectTypeOf<Destination>().toEqualTypeOf<Sent>();
  expectTypeOf<keyof Policy>().toEqualTypeOf<keyof z.output<typeof SentPolicy>>();
});

type Own = Kinds & { "mood.read": { input: { text: string }; output: { mood: string } } };

test("inputs and results have the types of their kind, kinds of one's own included", () => {
  type Sender = Client<Own>;
  const send = (client: Sender) => client.enqueue("mood.read", { text: "At last!" });
  expectTypeOf(send).returns.resolves.toEqualTypeOf<Enqueued<"mood.read">>();
  const wait = (client: Sender, job: Enqueued<"mood.read">) => client.wait(job);
  expectTypeOf(wait).returns.resolves.toEqualTypeOf<Result<Own, "mood.read">>();
  const outputs = (one: Result<Own, "mood.read">) =>
    one.status === "succeeded" ? one.output.mood : one.error.code;
  expectTypeOf(outputs).returns.toEqualTypeOf<string>();
  // @ts-expect-error a field of another kind
  void ((client: Sender) => client.enqueue("mood.read", { prompt: "?" }));
  // @ts-expect-error bytes where no address is meant
  void ((client: Sender) => client.enqueue("image.check", { image: "data:,", question: new Uint8Array() }));
  // @ts-expect-error an unknown kind
  void ((client: Sender) => client.enqueue("mood.wrote", {}));
});

test("a kind's types can be taken from its handler", () => {
  expectTypeOf<KindOf<typeof imageCheck>["input"]>().toEqualTypeOf<z.input<typeof imageCheck.input>>();
  expectTypeOf<KindOf<typeof imageCheck>["output"]>().toEqualTypeOf<Output<"image.check">>();
});
