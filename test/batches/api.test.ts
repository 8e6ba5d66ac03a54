// /v1/files and /v1/batches as OpenAI's own client for Node uses them.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import OpenAI, { BadRequestError, ConflictError, NotFoundError, toFile } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { all, chat, jsonl, Rig } from "./rig.ts";

let rig: Rig;
beforeAll(() => {
  rig = new Rig();
});
afterAll(() => rig.close());

const upload = async (content: string, more: object = {}) =>
  rig.client.files.create({
    file: await toFile(Buffer.from(content), "in.jsonl"),
    purpose: "batch",
    ...more,
  });

const failure = async (work: Promise<unknown>) => {
  const thrown = await work.catch((error: unknown) => error);
  if (thrown instanceof OpenAI.APIError) return thrown;
  throw new Error("it did not fail as the client says it", { cause: thrown });
};

const DAY = 86_400;

describe("files", () => {
  test("are kept as they came, listed and deleted", async () => {
    const text = jsonl([chat("a"), chat("ü")]);
    const file = await upload(text);
    expect(file).toEqual({
      id: expect.stringMatching(/^file-/),
      object: "file",
      bytes: Buffer.byteLength(text),
      created_at: expect.any(Number),
      expires_at: file.created_at + 30 * DAY,
      filename: "in.jsonl",
      purpose: "batch",
      status: "processed",
      status_details: null,
    });
    expect(await rig.client.files.retrieve(file.id)).toEqual(file);
    expect(await (await rig.client.files.content(file.id)).text()).toBe(text);
    expect((await all(await rig.client.files.list())).map(({ id }) => id)).toContain(file.id);
    expect(await rig.client.files.delete(file.id)).toEqual({ id: file.id, object: "file", deleted: true });
    for (const gone of [rig.client.files.retrieve(file.id), rig.client.files.content(file.id)])
      expect(await failure(gone)).toBeInstanceOf(NotFoundError);
    expect(readdirSync(join(rig.folder, "files"))).not.toContain(file.id);
  });

  test("are kept for as long as the upload asks for, but no longer than the owner keeps any", async () => {
    const short = await upload("x", { expires_after: { anchor: "created_at", seconds: 3_600 } });
    expect(short.expires_at! - short.created_at).toBe(3_600);
    const after = { anchor: "created_at", seconds: 5 };
    expect(await failure(upload("x", { expires_after: after }))).toMatchObject({
      status: 400,
      param: "expires_after[seconds]",
    });
  });

  test("come in pages, in either order and by purpose", async () => {
    const ids = [];
    for (const text of ["1", "2", "3"]) ids.push((await upload(text)).id);
    const first = await rig.client.files.list({ limit: 2 });
    expect(first.data.map(({ id }) => id)).toEqual([ids[2], ids[1]]);
    expect(first.has_more).toBe(true);
    const found = await all(await rig.client.files.list({ limit: 2 }));
    expect(found.slice(0, 3).map(({ id }) => id)).toEqual(ids.toReversed());
    const oldest = await all(await rig.client.files.list({ limit: 2, order: "asc" }));
    expect(oldest.slice(-3).map(({ id }) => id)).toEqual(ids);
    expect((await rig.client.files.list({ purpose: "vision" })).data).toEqual([]);
    expect(await failure(rig.client.files.list({ limit: 0 }))).toBeInstanceOf(BadRequestError);
  });

  test.each([
    ["of another purpose", { purpose: "fine-tune" }, "purpose"],
    ["without content", { file: undefined }, "file"],
  ])("%s are refused, and leave nothing behind", async (_, fields, param) => {
    const before = readdirSync(join(rig.folder, "files"));
    const error = await failure(upload("x", fields));
    expect(error).toMatchObject({ status: 400, type: "invalid_request_error", param });
    expect(readdirSync(join(rig.folder, "files"))).toEqual(before);
  });

  test("whose upload breaks off leave nothing behind", async () => {
    const before = readdirSync(join(rig.folder, "files"));
    const head = '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n';
    for (const body of [`${head}half of it`, head, "nothing of the kind"]) {
      const headers = { "content-type": "multipart/form-data; boundary=x" };
      const answer = await rig.app.request("/v1/files", { method: "POST", headers, body });
      expect([answer.status, (await answer.json()).error.type]).toEqual([400, "invalid_request_error"]);
    }
    expect((await rig.app.request("/v1/files", { method: "POST", body: "{}" })).status).toBe(400);
    expect(readdirSync(join(rig.folder, "files"))).toEqual(before);
  });

  test("whose name is a path are stored under their id all the same", async () => {
    const file = await rig.client.files.create({
      file: await toFile(Buffer.from("x"), "../../../etc/passwd"),
      purpose: "batch",
    });
    expect(file.filename).toBe("passwd");
    expect(readdirSync(join(rig.folder, "files"))).toContain(file.id);
  });

  test("that a batch still reads are not deleted", async () => {
    const batch = await rig.start([chat("a")]);
    expect(await failure(rig.client.files.delete(batch.input_file_id))).toMatchObject({
      code: "file_in_use",
    });
    await rig.until(batch.id, "completed");
    await rig.client.files.delete(batch.input_file_id);
  });
});

describe("batches", () => {
  test("come in pages, newest first", async () => {
    const ids: string[] = [];
    for (const name of ["a", "b", "c"]) ids.push((await rig.start([chat(name)])).id);
    const page = await rig.client.batches.list({ limit: 2 });
    expect(page.data.map(({ id }) => id)).toEqual([ids[2], ids[1]]);
    const found = await all(await rig.client.batches.list({ limit: 2 }));
    expect(found.slice(0, 3).map(({ id }) => id)).toEqual(ids.toReversed());
    expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
    for (const id of ids) await rig.until(id, "completed");
  });

  test.each([
    ["embeddings", { endpoint: "/v1/embeddings" }, "endpoint"],
    ["responses", { endpoint: "/v1/responses" }, "endpoint"],
    ["a window of days", { completion_window: "2d" }, "completion_window"],
    ["a window longer than a queue keeps messages", { completion_window: "400h" }, "completion_window"],
    ["too much metadata", { metadata: { a: "x".repeat(513) } }, "metadata.a"],
  ])("with %s are refused", async (_, fields, param) => {
    const error = await failure(rig.start([chat("a")], fields));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ type: "invalid_request_error", param });
  });

  test("of a file that is not there, or is no input, are refused", async () => {
    const { id } = await rig.start([chat("a")]);
    const { output_file_id } = await rig.until(id, "completed");
    for (const input_file_id of ["file-none", output_file_id!]) {
      const create = rig.client.batches.create({
        ...{ input_file_id, endpoint: "/v1/chat/completions", completion_window: "24h" },
      });
      expect(await failure(create)).toMatchObject({ status: 400, param: "input_file_id" });
    }
  });

  test("that are not there, and addresses that are none, are not found", async () => {
    for (const work of [rig.client.batches.retrieve("batch_none"), rig.client.batches.cancel("batch_none")])
      expect(await failure(work)).toBeInstanceOf(NotFoundError);
    expect(await failure(rig.client.fineTuning.jobs.list())).toMatchObject({ code: "unknown_url" });
    const create = rig.client.batches.create({} as never);
    expect(await failure(create)).toBeInstanceOf(BadRequestError);
    const statuses = [];
    for (const body of ["{", " ".repeat(100_000)])
      statuses.push((await rig.app.request("/v1/batches", { method: "POST", body })).status);
    expect(statuses).toEqual([400, 413]);
  });

  test("that have ended cannot be cancelled", async () => {
    const { id } = await rig.start([chat("a")]);
    await rig.until(id, "completed");
    expect(await failure(rig.client.batches.cancel(id))).toBeInstanceOf(ConflictError);
  });

  test("with one bad line run none, and say what is wrong in which line", async () => {
    const lines = [
      ...["a", "b"].map((name) => JSON.stringify(chat(name))),
      "{",
      "",
      JSON.stringify(chat("a")),
      JSON.stringify(chat("c", { model: "large" })),
    ];
    const before = rig.sends.size;
    const { id } = await rig.start(lines.join("\n"));
    const batch = await rig.until(id, "failed");
    expect(batch.errors!.data!.map(({ code, line, param }) => [code, line, param])).toEqual([
      ["invalid_json_line", 3, null],
      ["duplicate_custom_id", 5, "custom_id"],
      ["model_mismatch", 6, "body.model"],
    ]);
    expect(batch).toMatchObject({
      failed_at: expect.any(Number),
      output_file_id: null,
      request_counts: { total: 0 },
    });
    expect(rig.sends.size).toBe(before);
  });

  test.each([
    ["empty_file", ""],
    ["empty_file", "\n \n"],
    ["too_many_tasks", jsonl(Array.from({ length: 50_001 }, (_, at) => chat(`${at}`)))],
  ])("%s", async (code, text) => {
    const { id } = await rig.start(text);
    const { errors } = await rig.until(id, "failed");
    expect(errors!.data!.map((error) => error.code)).toEqual([code]);
  });

  test("of completions run too", async () => {
    const line = { ...chat("a"), url: "/v1/completions", body: { prompt: "Once" } };
    rig.answer = (body) => ({ status: "succeeded", output: body });
    const { id } = await rig.start([line], { endpoint: "/v1/completions" });
    const batch = await rig.until(id, "completed");
    expect(batch.model).toBeNull();
    expect((await rig.outcome(batch)).output[0].response.body).toEqual({ prompt: "Once" });
  });
});

test("files and batches are removed when their time is over", async () => {
  const own = new Rig();
  own.keepDays = 2;
  await own.restart();
  try {
    const { id } = await own.start([chat("a")]);
    await own.until(id, "completed");
    expect(readdirSync(join(own.folder, "files"))).toHaveLength(2);
    own.clock.jump(3 * DAY * 1_000);
    await own.restart();
    while ((await own.client.batches.list()).data.length > 0) await own.clock.sleep(1_000);
    expect((await own.client.files.list()).data).toEqual([]);
    expect(readdirSync(join(own.folder, "files"))).toEqual([]);
  } finally {
    await own.close();
  }
});
