// What an upload may be, and what a client hears when its file is not kept.
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { readUpload } from "../../worker/batches/upload.ts";
import { KamadoError } from "../../worker/errors.ts";

function form(bytes: number, ...fields: [name: string, value: string][]): Request {
  const body = new FormData();
  body.append("file", new Blob([Buffer.alloc(bytes, "x")]), "in.jsonl");
  for (const [name, value] of fields) body.append(name, value);
  return new Request("http://worker/v1/files", { method: "POST", body });
}

async function count(content: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of content) bytes += chunk.length;
  return bytes;
}

const BATCH: [string, string] = ["purpose", "batch"];

test("a file may have as many bytes as are allowed, and not one more", async () => {
  const most = 300_000;
  expect(await readUpload(form(most, BATCH), count, most)).toEqual({
    filename: "in.jsonl",
    bytes: most,
    seconds: undefined,
  });
  await expect(readUpload(form(most + 1, BATCH), count, most)).rejects.toMatchObject({
    status: 413,
    code: "file_too_large",
  });
});

test("an upload that is longer than memory should hold is written while it comes", async () => {
  const piece = Buffer.alloc(64 * 1024, "x");
  let [sent, written, most] = [0, 0, 0];
  const head = '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n';
  const tail = '\r\n--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n';
  const body = Readable.toWeb(
    Readable.from(
      (async function* () {
        yield Buffer.from(head);
        for (let pieces = 0; pieces < 500; pieces++, sent += piece.length) yield piece;
        yield Buffer.from(tail);
      })(),
      { objectMode: false, highWaterMark: 64 * 1024 },
    ),
  );
  const headers = new Headers({ "content-type": "multipart/form-data; boundary=x" });
  const { bytes } = await readUpload({ headers, body: body as never }, async (content) => {
    for await (const chunk of content) {
      written += chunk.length;
      most = Math.max(most, sent - written);
    }
    return written;
  });
  expect(bytes).toBe(500 * piece.length);
  expect(most).toBeLessThan(1_000_000);
});

test("what is wrong with the disk is heard, although the rest of the upload is still on its way", async () => {
  const full = new KamadoError("disk_full", "The disk is full.");
  const write = async (content: AsyncIterable<Uint8Array>) => {
    for await (const _ of content) throw full;
    return 0;
  };
  await expect(readUpload(form(5_000_000, BATCH), write)).rejects.toBe(full);
});

test("only the first file counts, and fields that are not known are ignored", async () => {
  const request = form(10, BATCH, ["what", "ever"]);
  const body = await request.formData();
  body.append("other", new Blob(["y".repeat(20)]), "other.txt");
  const both = new Request("http://worker/v1/files", { method: "POST", body });
  expect(await readUpload(both, count)).toMatchObject({ bytes: 10, filename: "in.jsonl" });
});
