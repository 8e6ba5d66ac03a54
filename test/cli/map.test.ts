// `kamado map` as its users run it: on a Kamado that runs here and without one, killed in the middle and resumed. CI runs it with 500 files
// (.ci/run).
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { kamado, runKamado, SCRIPTED, served } from "./process.ts";

const FILES = Number(process.env.KAMADO_TEST_MAP_FILES ?? 32);
const IS_LONG = process.env.KAMADO_TEST_MAP_FILES !== undefined;
const NOT_ASKED_FOR = "it starts one more process; KAMADO_TEST_MAP_FILES=500 runs it, as .ci/run does";
const TIMEOUT = 300_000;
const folder = mkdtempSync(join(tmpdir(), "kamado-map-"));
const record = join(folder, "record.jsonl");
const script = join(folder, "script.json");
const here = { KAMADO_DATA_DIR: join(folder, "data") };
const alone = {
  ...SCRIPTED,
  KAMADO_DATA_DIR: join(folder, "alone"),
  KAMADO_SCRIPT: script,
  KAMADO_SLOTS: "4",
};
let service: Awaited<ReturnType<typeof served>>;
/** The current folder of the commands of a test. */
let cwd: string;
let serial = 0;

beforeAll(async () => {
  const rules = [
    { when: "crooked", do: "fail" },
    // With few files each takes longer, so that a kill comes before the last one on a busy machine too.
    { answer: "Yes.", waitMs: IS_LONG ? 30 : 150 },
  ];
  writeFileSync(script, JSON.stringify({ record, rules }));
  service = await served(["--in-memory"], {
    ...here,
    KAMADO_SCRIPT: script,
    KAMADO_SLOTS: "4",
    KAMADO_MAX_ATTEMPTS: "1",
  });
});
afterAll(async () => {
  service?.child.kill("SIGTERM");
  await service?.exited;
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});
beforeEach(() => {
  cwd = join(folder, `test${++serial}`);
  mkdirSync(join(cwd, "notes"), { recursive: true });
  rmSync(record, { force: true });
});

const writeNotes = (count: number, prefix = `${serial}`) => {
  for (let at = 1; at <= count; at++) writeFileSync(join(cwd, `notes/n${at}.txt`), `${prefix}-${at}.`);
};
const map = (...args: string[]) => runKamado(["map", "prompt", ...args], here, { cwd });
const linesOf = (name = "out.jsonl") =>
  readFileSync(join(cwd, name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const countLines = (name: string) =>
  existsSync(join(cwd, name)) ? readFileSync(join(cwd, name), "utf8").split("\n").length - 1 : 0;

/** The prompts that the engine got, each as often as it did. */
const runs = () =>
  readFileSync(record, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ what }) => what === "begun")
    .map(({ prompt }) => /\d+-\d+\./.exec(prompt)?.[0]);

/** Kills the command, with all that it started, when so many results are in its file. */
async function killAt(child: ChildProcess, lines: number): Promise<void> {
  const exited = once(child, "exit");
  while (countLines("out.jsonl") < lines) await sleep(5);
  process.kill(-child.pid!, "SIGKILL");
  await exited;
}

const sources = (count: number) => Array.from({ length: count }, (_, at) => `notes/n${at + 1}.txt`);
const prompts = (count: number) => Array.from({ length: count }, (_, at) => `${serial}-${at + 1}.`);

test("killed in the middle and resumed: the output is complete and in order, and no input runs twice", {
  timeout: TIMEOUT,
}, async () => {
  writeNotes(FILES);
  const args = ["notes", "--out", "out.jsonl", "--concurrency", "8"];
  await killAt(kamado(["map", "prompt", ...args], here, { cwd }), FILES / 4);
  expect(countLines("out.jsonl")).toBeLessThan(FILES);
  // As a kill in the midst of a write leaves it.
  appendFileSync(join(cwd, "out.jsonl"), '{"index":');
  const before = linesOfWhole();
  const { code, errors } = await map(...args, "--resume", "--json");
  expect({ code, errors }).toMatchObject({ code: 0 });
  const after = linesOf();
  expect(after.map(({ index }) => index)).toEqual(sources(FILES).map((_, at) => at));
  expect(after.map(({ source }) => source)).toEqual(sources(FILES));
  expect(after.every(({ status, output }) => status === "succeeded" && output.text === "Yes.")).toBe(true);
  expect(after.slice(0, before.length)).toEqual(before);
  expect(runs().toSorted()).toEqual(prompts(FILES).toSorted());
  expect(after.some(({ reused }) => reused)).toBe(true);
});

const linesOfWhole = () =>
  readFileSync(join(cwd, "out.jsonl"), "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));

test("with nothing running the jobs run alone; killed and resumed, what is in the file does not run again", {
  timeout: TIMEOUT,
}, async () => {
  writeNotes(20);
  const args = ["map", "prompt", "notes", "--out", "out.jsonl", "--concurrency", "2"];
  await killAt(kamado(args, alone, { cwd }), 6);
  const before = linesOf();
  const first = runs();
  const { code, errors } = await runKamado([...args, "--resume"], alone, { cwd });
  expect({ code, errors }).toEqual({ code: 0, errors: expect.stringContaining("no Kamado runs here") });
  expect(errors).toMatch(/succeeded +20 of 20 \(\d+ were in the file before\)/);
  expect(linesOf().map(({ source }) => source)).toEqual(sources(20));
  const again = runs().slice(first.length);
  expect(again.filter((prompt) => before.some((_, at) => prompt === prompts(20)[at]))).toEqual([]);
  // No model is started for a file that is complete.
  expect((await runKamado([...args, "--resume"], alone, { cwd })).errors).not.toContain(
    "no Kamado runs here",
  );
});

test("what is wrong with an input is said before anything is sent, and costs only itself", async () => {
  writeFileSync(
    join(cwd, "a.csv"),
    `\ufeffprompt,maxTokens\r\n"${serial}-1.",5\r\nzwei,viele\r\n\r\n"${serial}-\n2.",\r\na,b,c\r\n`,
  );
  const { out, errors, code } = await map("a.csv", "--concurrency", "1");
  const lines = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.map(({ source, status }) => `${source} ${status}`)).toEqual([
    "a.csv:2 succeeded",
    "a.csv:3 failed",
    "a.csv:5 succeeded",
    "a.csv:7 failed",
  ]);
  expect(errors).toMatch(
    /2 inputs of 4 will fail[\s\S]*a\.csv:3: input\.maxTokens[\s\S]*a\.csv:7: this row has 3 cells/,
  );
  expect(errors).toMatch(/failed +2: 2 invalid_input/);
  expect(code).toBe(1);
});

test("a file that changed is done again and said, one that failed too, and lines come back into order", async () => {
  writeNotes(4);
  writeFileSync(join(cwd, "notes/n2.txt"), "crooked");
  const args = ["notes", "--out", "out.jsonl", "--retries", "0"];
  const first = await map(...args);
  expect([first.code, linesOf().map(({ status }) => status)]).toEqual([
    1,
    ["succeeded", "failed", "succeeded", "succeeded"],
  ]);
  expect(first.errors).toMatch(/failed +1: 1 \w+/);
  writeFileSync(join(cwd, "notes/n2.txt"), `${serial}-2.`);
  writeFileSync(join(cwd, "notes/n3.txt"), `${serial}-33.`);
  writeFileSync(join(cwd, "notes/n0.txt"), `${serial}-0.`);
  rmSync(join(cwd, "notes/n4.txt"));
  const { code, errors } = await map(...args, "--resume");
  expect({ code, errors }).toMatchObject({
    code: 0,
    errors: expect.stringContaining("notes/n3.txt has changed since"),
  });
  expect(linesOf().map(({ index, source, status }) => [index, source, status])).toEqual([
    [0, "notes/n0.txt", "succeeded"],
    [1, "notes/n1.txt", "succeeded"],
    [2, "notes/n2.txt", "succeeded"],
    [3, "notes/n3.txt", "succeeded"],
    [4, "notes/n4.txt", "succeeded"],
  ]);
  expect(errors).toContain("1 result of inputs that were not given this time");
  expect(runs().filter((prompt) => prompt === `${serial}-1.`)).toHaveLength(1);
});

test("a file of results that is there already is refused with what to do, and so is a file of something else", async () => {
  writeNotes(1);
  writeFileSync(join(cwd, "out.jsonl"), "my notes");
  const refused = await map("notes", "--out", "out.jsonl");
  expect(refused).toMatchObject({
    code: 2,
    errors: expect.stringMatching(/is there already\.[\s\S]*--resume/),
  });
  expect(await map("notes", "--out", "out.jsonl", "--resume")).toMatchObject({
    code: 2,
    errors: expect.stringContaining("this is no file of results"),
  });
  expect(readFileSync(join(cwd, "out.jsonl"), "utf8")).toBe("my notes");
});

test("Ctrl-C stops in order, cancels what waits, and says how to go on", { timeout: TIMEOUT }, async () => {
  writeNotes(24);
  const child = kamado(["map", "prompt", "notes", "--out", "out.jsonl", "--concurrency", "4"], here, { cwd });
  const errors = text(child.stderr!);
  const exited = once(child, "exit");
  while (countLines("out.jsonl") < 4) await sleep(5);
  child.kill("SIGINT");
  const [code] = await exited;
  expect(code).toBe(130);
  expect(await errors).toMatch(
    /stopping[\s\S]* of 24 are in out\.jsonl; the same command with --resume goes on/,
  );
  const before = linesOf();
  expect(before.map(({ index }) => index)).toEqual(before.map((_, at) => at));
  expect((await map("notes", "--out", "out.jsonl", "--resume")).code).toBe(0);
  expect(linesOf().map(({ source }) => source)).toEqual(sources(24));
});

test("the summary says what was used, and what it would have cost elsewhere", async () => {
  writeNotes(3);
  const prices = { currency: "USD", models: { large: { input: 2, cachedInput: 0.5, output: 8 } } };
  writeFileSync(join(cwd, "prices.json"), JSON.stringify(prices));
  const args = ["notes/*.txt", "--prices", "prices.json", "--out", "out.jsonl"];
  const { out, errors, code } = await map(...args, "--json", "--quiet");
  const { promptTokens, cachedTokens, completionTokens, cost, ...summary } = JSON.parse(out);
  expect(summary).toMatchObject({ inputs: 3, succeeded: 3, failed: 0, failures: {}, ran: 3 });
  const used = linesOf().map(({ receipt }) => receipt.completionTokens);
  expect(completionTokens).toBe(used.reduce((sum, one) => sum + one, 0));
  const expected = ((promptTokens - cachedTokens) * 2 + cachedTokens * 0.5 + completionTokens * 8) / 1e6;
  expect(cost).toEqual({ currency: "USD", byModel: { large: expected } });
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  const again = await map("notes", "--prices", "prices.json");
  expect(again.errors).toMatch(/3 of 3 \(3 in the bucket\)/);
  expect(again.errors).toContain("would have cost");
});

test.each([
  [["nowhere"], "nowhere: there is no such file or folder"],
  [["*.nothing"], "*.nothing: no file fits"],
  [["notes", "--resume"], "--resume: there is nothing to go on with without --out"],
  [["notes", "--as", "promt"], "--as promt: prompt has no such field"],
  [["notes", "--input", '{"promt": 1}'], "promt is no field of prompt; did you mean prompt?"],
  [["notes", "--input", "[]"], "--input"],
  [["notes", "--concurrency", "0"], "must be a whole number from 1"],
  [["notes", "--format", "xml"], "Allowed choices are file, lines, jsonl, json, csv"],
  [["notes", "--prices", "notes/n1.txt"], "--prices notes/n1.txt: it cannot be read as JSON"],
  [["notes", "--out", "no/where.jsonl"], "there is no such folder"],
])("what is wrong with the command ends it before anything is sent: %j", async (args, words) => {
  writeNotes(1);
  const { out, errors, code } = await map(...args);
  expect({ out, code, errors }).toEqual({ out: "", code: 2, errors: expect.stringContaining(words) });
  expect(existsSync(record)).toBe(false);
});

test("a full disk ends it with an error, what was written stays, and it goes on when there is room", {
  timeout: TIMEOUT,
}, async (context) => {
  if (!IS_LONG) return context.skip(NOT_ASKED_FOR);
  writeNotes(12);
  // A limit of the shell: the file may have 2 KiB.
  const start = join(import.meta.dirname, "../../worker/cli/start.mjs");
  const args = [start, "map", "prompt", "notes", "--out", "out.jsonl", "--concurrency", "4"];
  const child = spawn("bash", ["-c", 'ulimit -f 2; exec "$0" "$@"', process.execPath, ...args], {
    ...{ cwd, env: { PATH: process.env.PATH, HOME: cwd, ...here, NODE_DISABLE_COMPILE_CACHE: "1" } },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  expect({ code, errors }).toMatchObject({
    code: 3,
    errors: expect.stringMatching(/disk_full[\s\S]*--resume/),
  });
  const before = linesOf();
  expect(before.length).toBeGreaterThan(1);
  expect((await map("notes", "--out", "out.jsonl", "--resume")).code).toBe(0);
  expect(linesOf().map(({ source }) => source)).toEqual(sources(12));
  expect(linesOf().slice(0, before.length)).toEqual(before);
});

/** A red pixel. */
const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC",
  "base64",
);

test("pictures are uploaded, and a table names them by their path; the fields that are shared come from --input", async () => {
  mkdirSync(join(cwd, "doors"));
  for (const name of ["a.png", "b.png"]) writeFileSync(join(cwd, "doors", name), PICTURE);
  writeFileSync(join(cwd, "doors/list.csv"), "image,threshold\na.png,0.7\nfile:b.png,\nmissing.png,\n");
  const args = ["map", "image.check", "doors", "--input", '{"question": "Is it red?"}', "--out", "out.jsonl"];
  const { code } = await runKamado(args, here, { cwd });
  const lines = linesOf();
  expect(lines.map(({ source, status }) => `${source} ${status}`)).toEqual([
    "doors/a.png succeeded",
    "doors/b.png succeeded",
    "doors/list.csv:2 succeeded",
    "doors/list.csv:3 succeeded",
    "doors/list.csv:4 failed",
  ]);
  expect(lines[4].error).toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining("missing.png"),
  });
  expect(code).toBe(1);
  // The same picture with the same question.
  expect(lines[3]).toMatchObject({ id: lines[1].id, output: lines[1].output });
});

test("standard input holds lines of JSON, or one text", async () => {
  const input = `{"prompt": "${serial}-1."}\n{"id": "mine-${serial}", "input": {"prompt": "${serial}-2."}}\n`;
  const lines = await runKamado(["map", "prompt", "-"], here, { cwd, input });
  const found = lines.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(found.map(({ source, id }) => [source, id])).toEqual([
    ["stdin:1", expect.stringMatching(/^map-/)],
    ["stdin:2", `mine-${serial}`],
  ]);
  const text = await runKamado(["map", "prompt", "-"], here, { cwd, input: `${serial}-3.\n` });
  expect(JSON.parse(text.out)).toMatchObject({ source: "stdin", status: "succeeded" });
  expect(runs().toSorted()).toEqual(prompts(3));
});

test("an unknown kind is named with the nearest", async () => {
  writeNotes(1);
  expect(await runKamado(["map", "promt", "notes"], here, { cwd })).toMatchObject({
    code: 2,
    errors: expect.stringContaining("prompt"),
  });
});
