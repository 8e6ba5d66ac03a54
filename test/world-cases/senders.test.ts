// What real senders put on the queue, into the bucket and on the wire, with the results they expect, taken from public trouble
// reports of such services. They go to a served Kamado with the demo model. Needs only the embedded AWS.
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { drawLock } from "../../models/demo/data/locks.ts";
import { HELD_OUT } from "../../models/demo/data/random.ts";
import type { Result } from "../../worker/job/result.ts";
import { readPage } from "../../worker/pages/read-page.ts";
import { kamado, SCRIPTED } from "../cli/process.ts";

const at = (path: string) => join(import.meta.dirname, path);
const textOf = (path: string) => readFileSync(at(path), "utf8");

const RULES = [
  { prefix: "in/pics/", kind: "image.check", input: { image: "$object", question: "Is the door locked?" } },
];

async function serve() {
  const folder = mkdtempSync(join(tmpdir(), "kamado-cases-"));
  writeFileSync(join(folder, "rules.json"), JSON.stringify(RULES));
  const todos = createServer((_, answer) => answer.end(textOf("in/34-list.json"))).listen(0, "127.0.0.1");
  await once(todos, "listening");
  const todosUrl = `http://127.0.0.1:${(todos.address() as AddressInfo).port}/todos`;
  writeFileSync(join(folder, "destinations.json"), JSON.stringify([{ match: todosUrl, allowPrivate: true }]));
  const { KAMADO_BACKEND: _, ...ports } = SCRIPTED;
  const variables = {
    ...ports,
    KAMADO_RULES_FILE: join(folder, "rules.json"),
    KAMADO_DESTINATIONS_FILE: join(folder, "destinations.json"),
    KAMADO_LOG_LEVEL: "info",
  };
  const child = kamado(["serve", "--in-memory", "--json"], variables, { until: "file" });
  let log = "";
  child.stderr!.setEncoding("utf8").on("data", (text) => (log += text));
  const exited = once(child, "exit");
  const line = await Promise.race([
    once(createInterface(child.stdout!), "line"),
    exited.then(() => Promise.reject(new Error(log))),
  ]);
  const { endpoint, queue } = JSON.parse(String(line[0])) as { endpoint: string; queue: string };
  const aws = {
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "any", secretAccessKey: "thing" },
  };
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
    todos.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    endpoint,
    todosUrl,
    queue,
    log: () => log,
    stop,
    sqs: new SQSClient(aws),
    s3: new S3Client({ ...aws, forcePathStyle: true }),
  };
}

describe("a served Kamado with the demo model", { timeout: 120_000 }, () => {
  let served: Awaited<ReturnType<typeof serve>>;
  beforeAll(async () => {
    served = await serve();
  }, 120_000);
  afterAll(() => served?.stop());

  const send = (body: string) =>
    served.sqs.send(new SendMessageCommand({ QueueUrl: served.queue, MessageBody: body }));
  const put = (Key: string, Body: Uint8Array | string, more: Record<string, string> = {}) =>
    served.s3.send(new PutObjectCommand({ Bucket: "kamado", Key, Body, ...more }));

  async function results(): Promise<Result[]> {
    const { Contents = [] } = await served.s3.send(
      new ListObjectsV2Command({ Bucket: "kamado", Prefix: "results/" }),
    );
    const gets = Contents.map(({ Key }) => served.s3.send(new GetObjectCommand({ Bucket: "kamado", Key })));
    const bodies = await Promise.all(gets.map(async (get) => (await get).Body!.transformToString()));
    // The worker writes an object without an id to find out whether it may write.
    return bodies.map((body) => JSON.parse(body) as Result).filter(({ id }) => id !== undefined);
  }
  const stored = (isIt: (result: Result) => boolean) =>
    expect
      .poll(async () => (await results()).find(isIt), { timeout: 60_000, interval: 200 })
      .toMatchObject({ status: "succeeded" })
      .then(async () => (await results()).find(isIt)!.output as never);
  const outputOf = (id: string) => stored((result) => result.id === id);

  /** Sends a job of our own behind the case and waits for it: what would have become of the case has been by then. */
  async function afterwards(): Promise<Result[]> {
    const id = `after-${crypto.randomUUID()}`;
    await send(JSON.stringify({ id, kind: "prompt", input: { prompt: "Text: buy milk\nTitle:" } }));
    await outputOf(id);
    return results();
  }

  test("ids that are numbers above 2^53 stay what they are", async () => {
    await send(textOf("in/02-bigid.json"));
    expect(await outputOf("case-02")).toMatchObject({ todoId: "9007199254740993" });
  });

  test.each(["03-nobody", "03b-head-closed"])("a page without a body tag is read: %s", async (name) => {
    await send(textOf(`in/${name}.json`));
    const { id } = JSON.parse(textOf(`in/${name}.json`));
    expect(await outputOf(id)).toMatchObject({ answers: [{ answer: "4 July" }] });
  });

  test("CloudEvents with the same id from two sources are two jobs", async () => {
    await send(textOf("in/04a.json"));
    await send(textOf("in/04b.json"));
    for (const title of ["buy milk", "call mum"])
      await stored((result) => (result.output as { text?: string } | undefined)?.text?.trim() === title);
  });

  /** A request as it stands in the file, with the lines of HTTP; resolves with status and body. */
  async function raw(path: string): Promise<{ status: number; body: string }> {
    const [head, ...rest] = textOf(path).split("\n\n");
    const body = rest.join("\n\n").trim();
    const lines = head!.split("\n").filter((line) => !/^(content-length|host):/i.test(line));
    const { hostname, port } = new URL(served.endpoint);
    const socket = connect(Number(port), hostname);
    onTestFinished(() => void socket.destroy());
    lines.push(
      `Host: ${hostname}:${port}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      "Connection: close",
    );
    socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
    let answer = "";
    for await (const piece of socket.setEncoding("utf8")) answer += piece;
    return { status: Number(answer.split(" ")[1]), body: answer };
  }

  test.each(["05", "06"])("SQS in the Query protocol is understood: %s", async (number) => {
    const { status, body } = await raw(`in/${number}-form.txt`);
    expect(status, body).toBe(200);
    expect(body).toMatch(/<SendMessageResponse[\s\S]*<MessageId>[\w-]+<\/MessageId>/);
    await outputOf(`case-${number}`);
  });

  test("an object without bytes or type is stored", async () => {
    expect(await raw("in/07-put.txt")).toMatchObject({ status: 200 });
  });

  test.each(["08-removed", "08b-delete-marker"])("an object that is gone makes no job: %s", async (name) => {
    const before = served.log().length;
    await send(textOf(`in/${name}.json`));
    const made = await afterwards();
    expect(made.filter(({ kind }) => kind === "image.check")).toEqual([]);
    expect(served.log().slice(before)).toMatch(/ignored/);
    expect(served.log().slice(before)).not.toMatch(/dead-letter/);
  });

  test("of an event with one bad record the good one runs", async () => {
    await put("in/pics/ok.png", await lock());
    await send(textOf("in/11-two-records.json"));
    expect(await stored(({ kind }) => kind === "image.check")).toMatchObject({ answer: "y" });
    await expect.poll(served.log, { timeout: 60_000 }).toMatch(/dead-letter/);
  });

  test("an S3 event by way of EventBridge is a job", async () => {
    await put("in/pics/ok.png", await lock());
    const before = (await results()).filter(({ kind }) => kind === "image.check").length;
    await send(textOf("in/12-eventbridge.json"));
    await expect
      .poll(async () => (await results()).filter(({ kind }) => kind === "image.check").length, {
        timeout: 60_000,
      })
      .toBe(before + 1);
  });

  test.each([
    ["a byte order mark before the message", "13-bom"],
    ["deliver as a string in a CloudEvent", "14-ce-string"],
    ["a date without seconds", "15-noseconds"],
    ["null for what is absent", "16-nulls"],
  ])("%s", async (_, name) => {
    await send(textOf(`in/${name}.json`));
    const id = `case-${name.slice(0, 2)}`;
    const text = await stored((result) => result.id.includes(id));
    expect((text as { text: string }).text.trim()).toBe("buy milk");
  });

  test("a pointer without its class name", async () => {
    const job = { id: "case-17", kind: "prompt", input: { prompt: "Text: buy milk\nTitle:" } };
    await put("in/ext/p.json", JSON.stringify(job));
    await send(textOf("in/17-bare-pointer.json"));
    expect(((await outputOf("case-17")) as { text: string }).text.trim()).toBe("buy milk");
  });

  test("a data: URI with percent-encoded base64 is a picture", async () => {
    await send(textOf("in/28-data-uri.json"));
    expect(await outputOf("case-28")).toMatchObject({ answer: "y" });
  });

  test("a JPEG without its last bytes is a picture", async () => {
    await put("in/h_noeoi.jpg", readFileSync(at("img/h_noeoi.jpg")));
    const input = { image: "s3://kamado/in/h_noeoi.jpg", question: "Is the door locked?" };
    await send(JSON.stringify({ id: "case-noeoi", kind: "image.check", input }));
    expect(await outputOf("case-noeoi")).toMatchObject({ answer: "y" });
  });

  const article = (id: string, key: string, question: string) =>
    send(
      JSON.stringify({
        id,
        kind: "article.extract",
        input: { s3: `s3://kamado/${key}`, questions: [question] },
      }),
    );

  test("a page in the bucket in Shift_JIS is read by its meta charset", async () => {
    await put("in/sjis.html", readFileSync(at("pages/sjis.html")));
    await article("case-sjis", "in/sjis.html", "ミラはパンをいくつ焼いたか。");
    const output = JSON.stringify(await outputOf("case-sjis"));
    expect(output).not.toContain("\uFFFD");
    expect(output).toMatch(/水車|ミラ/);
  });

  test("an object with Content-Encoding: gzip is unpacked", async () => {
    await put("in/gz.html", readFileSync(at("pages/gz.html")), { ContentEncoding: "gzip" });
    await article("case-gz", "in/gz.html", "How many loaves did Mira bake?");
    await outputOf("case-gz");
    // The toy model cannot answer this one. That it got the five sentences shows in the length of its prompts.
    const { receipt } = (await results()).find(({ id }) => id === "case-gz")!;
    expect(receipt.promptTokens).toBeGreaterThan(200);
  });

  const job = (id: string, more: object = {}) => ({
    id,
    kind: "prompt",
    input: { prompt: "Text: buy milk\nTitle:" },
    ...more,
  });
  const said = async (id: string) => ((await outputOf(id)) as { text: string }).text.trim();

  test("of a Lambda's event with several records each is a job, and the one that is none is dead-lettered", async () => {
    const record = (body: unknown) => ({ eventSource: "aws:sqs", body: JSON.stringify(body) });
    const before = served.log().length;
    await send(
      JSON.stringify({ Records: [record(job("case-r1")), record("no job"), record(job("case-r2"))] }),
    );
    expect([await said("case-r1"), await said("case-r2")]).toEqual(["buy milk", "buy milk"]);
    await expect.poll(() => served.log().slice(before), { timeout: 60_000 }).toMatch(/dead-letter/);
  });

  test("a CloudEvent whose attributes are bytes is the job of its source and id", async () => {
    const bytes = (text: string) => ({ DataType: "Binary", BinaryValue: Buffer.from(text) });
    await served.sqs.send(
      new SendMessageCommand({
        QueueUrl: served.queue,
        MessageBody: JSON.stringify(job("").input),
        MessageAttributes: {
          ce_specversion: bytes("1.0"),
          ce_type: bytes("prompt"),
          ce_source: bytes("/kafka"),
          ce_id: bytes("case-bytes"),
        },
      }),
    );
    await stored(({ id }) => /^case-bytes\.[0-9a-f]{32}$/.test(id));
  });

  test("a prompt that was cut inside an emoji is answered", async () => {
    await send(
      JSON.stringify(job("case-half", { input: { prompt: "Text: there is no milk left \ud83d\nTitle:" } })),
    );
    expect(await said("case-half")).not.toMatch(/\p{Cs}/u);
  });

  test("a job with all of Go's zero values runs", async () => {
    const policy = { expiresAt: "0001-01-01T00:00:00Z", timeoutSeconds: 0, priority: 0, model: "" };
    await send(JSON.stringify(job("case-go", { deliver: null, policy, source: "" })));
    expect(await said("case-go")).toBe("buy milk");
  });

  test("a feed is read as its entries", async () => {
    const page = JSON.parse(textOf("in/03-nobody.json")) as { input: { html: string } };
    const entry = `<item><title>T</title><description><![CDATA[${page.input.html.replace(/^.*<\/title>/, "")}]]></description></item>`;
    const html = `<rss version="2.0"><channel><title>News</title>${entry}</channel></rss>`;
    await send(JSON.stringify({ ...page, id: "case-feed", input: { ...page.input, html } }));
    expect(await outputOf("case-feed")).toMatchObject({ answers: [{ answer: "4 July" }] });
  });

  test("of a list of todos one entry without a title costs that entry", async () => {
    const input = { text: "I bought the milk", todosUrl: served.todosUrl };
    await send(JSON.stringify({ id: "case-34", kind: "todo.match", input }));
    expect(await outputOf("case-34")).toMatchObject({ todoId: "1" });
  });
});

test("readings beside Japanese words do not run into them", () => {
  expect(readPage(textOf("in/33-ruby.html")).text).toMatch(
    /^東京(\(とうきょう\)|（とうきょう）)?は大きい。$/,
  );
});

async function lock(): Promise<Buffer> {
  const { rgb, width, height } = drawLock({
    seed: HELD_OUT + 77,
    orientation: "horizontal",
    present: true,
    width: 200,
  });
  return sharp(rgb, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
