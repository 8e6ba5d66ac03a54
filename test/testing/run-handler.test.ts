// kamado/testing: a handler is run as the worker runs it, and what a test forgot is said.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { readPicture, runHandler, samplePicture } from "../../testing/testing.ts";
import { defineHandler } from "../../worker/job/handler.ts";

const doorCheck = defineHandler({
  kind: "door.check",
  summary: "Says whether a door is open.",
  input: z.strictObject({ photo: z.string(), floor: z.int().default(1) }),
  output: z.strictObject({ door: z.enum(["open", "closed", "uncertain"]), floor: z.int() }),
  inputs: ({ photo }) => ({ photo: { from: photo, as: "image" as const } }),
  async run({ floor }, { model, inputs, progress }) {
    progress(0.5);
    const image = inputs.photo;
    const { choice } = await model.decide({
      instructions: "Is it open?",
      content: "",
      image,
      options: ["open", "closed"],
    });
    return { door: choice, floor };
  },
  request: ({ door }, base, { floor }) =>
    door === "uncertain" ? null : { method: "PUT", url: `${base}/${floor}`, body: { door } },
});
const input = { photo: "s3://kamado/in/door.jpg" };

test("gives the output, the questions, the progress and the call of a rest destination", async () => {
  const photo = samplePicture();
  const ran = await runHandler(doorCheck, input, {
    inputs: { photo },
    decide: () => ({ open: 0.9, closed: 0.1 }),
  });
  expect(ran.output).toEqual({ door: "open", floor: 1 });
  expect(ran.asked).toEqual([expect.objectContaining({ image: photo, options: ["open", "closed"] })]);
  expect(ran.progress).toEqual([0.5]);
  expect(ran.request("https://home.example/doors")).toEqual({
    method: "PUT",
    url: "https://home.example/doors/1",
    body: { door: "open" },
  });
});

test("an option without a probability has none, and a handler without a call gives null", async () => {
  const script = { inputs: { photo: samplePicture() }, decide: () => ({ open: 0.5 }) };
  const { output, request } = await runHandler(doorCheck, input, script);
  expect(output.door).toBe("uncertain");
  expect(request("https://home.example")).toBeNull();
});

test("what the script lacks is named, with what to write", async () => {
  await expect(runHandler(doorCheck, input)).rejects.toThrow(
    "The handler asks for the image at s3://kamado/in/door.jpg: give it as inputs: { photo: samplePicture() }.",
  );
  await expect(runHandler(doorCheck, input, { inputs: { photo: samplePicture() } })).rejects.toThrow(
    "The handler uses decide, and this test has no answer for it: give `decide` in the script.",
  );
});

test("input that a sender could not send is refused, and output that does not fit its schema too", async () => {
  await expect(runHandler(doorCheck, { photo: 7 as never })).rejects.toThrow(z.ZodError);
  const broken = { ...doorCheck, run: async () => ({ door: "ajar", floor: 1 }) as never };
  await expect(runHandler(broken, input, { inputs: { photo: samplePicture() } })).rejects.toThrow(z.ZodError);
});

test("a page is read by the worker's own reader, unless the test says what is in it", async () => {
  const page = defineHandler({
    kind: "page",
    summary: "Gives the text of a page.",
    input: z.string(),
    output: z.string(),
    run: async (html, { pages }) => (await pages.article(html)).text,
  });
  const html = "<nav><a href=/>Home</a></nav><p>The bakery opened in 1977.</p>";
  expect((await runHandler(page, html)).output).toContain("The bakery opened in 1977.");
  const article = () => ({ title: null, text: "nothing" });
  expect((await runHandler(page, html, { article })).output).toBe("nothing");
});

test("a sample picture is a picture, always the same, and a file is read as the worker reads it", async () => {
  const sample = samplePicture({ width: 30, height: 20 });
  expect(sample).toMatchObject({
    width: 30,
    height: 20,
    sha256: samplePicture({ width: 30, height: 20 }).sha256,
  });
  const file = join(mkdtempSync(join(tmpdir(), "kamado-picture-")), "sample.png");
  writeFileSync(file, Buffer.from(sample.dataUri.split(",")[1]!, "base64"));
  expect(await readPicture(file)).toMatchObject({ width: 30, height: 20 });
  writeFileSync(file, "no picture");
  await expect(readPicture(file)).rejects.toMatchObject({ code: "image_undecodable" });
});

test("a page is given by what is known of it, by its text alone, or by the error for one that may fail", async () => {
  const reader = defineHandler({
    kind: "page.read",
    summary: "Says what it was given.",
    input: z.strictObject({ url: z.string() }),
    output: z.unknown(),
    inputs: ({ url }) => ({ page: { from: url, as: "page" as const, mayFail: true as const } }),
    run: async (_, { inputs }) => inputs.page,
  });
  const given = async (page: unknown) =>
    (await runHandler(reader, { url: "https://a.example/" }, { inputs: { page } })).output;
  const rest = { title: null, canonicalUrl: null, obstacle: null };
  expect(await given({ text: "It rains." })).toMatchObject({ ...rest, text: "It rains.", format: "html" });
  expect(await given("It rains.")).toMatchObject({ ...rest, markdown: "It rains.", format: "text" });
  const gone = new Error("It is gone.");
  expect(await given(gone)).toBe(gone);
});
