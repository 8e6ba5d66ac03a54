// What a person sees of a research.
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { asText, Steps } from "../../worker/cli/commands/research-view.ts";

test("in a pipe each step has a line when it begins and one when it is done", async () => {
  const stream = new PassThrough();
  const steps = new Steps(stream as unknown as NodeJS.WriteStream);
  for (const what of [
    "Searching: a, b",
    "Reading 3 pages: 0 read",
    "Reading 3 pages: 2 read, 1 failed",
    "Writing the answer",
  ])
    steps.show(0.5, what);
  steps.end();
  expect((await text(stream.end())).split("\n")).toEqual([
    "Searching: a, b …",
    "✓ Searching: a, b",
    "Reading 3 pages: 0 read …",
    "✓ Reading 3 pages: 2 read, 1 failed",
    "Writing the answer …",
    "✓ Writing the answer",
    "",
  ]);
});

test("of a step that was seen only now and then, no figures are given that it has passed", async () => {
  const stream = new PassThrough();
  const steps = new Steps(stream as unknown as NodeJS.WriteStream);
  steps.show(0.5, "Asking 6 parts: 2 done, about 4 s left");
  steps.end();
  steps.isSampled = true;
  steps.show(0.5, "Searching: town fair, fair 2026");
  steps.show(0.5, "Asking 6 parts: 0 done, about 4 s left");
  steps.end();
  expect((await text(stream.end())).split("\n").filter((line) => line.startsWith("✓"))).toEqual([
    "✓ Asking 6 parts: 2 done",
    "✓ Searching: town fair, fair 2026",
    "✓ Asking 6 parts",
  ]);
});

test("on a terminal the line of a step changes, and stays when it is done", async () => {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
  const steps = new Steps(stream as unknown as NodeJS.WriteStream);
  steps.show(0.1, "Asking 4 parts: 1 done");
  steps.show(0.5, "Asking 4 parts: 3 done");
  steps.end();
  const shown = await text(stream.end());
  expect(shown).toContain(
    "… Asking 4 parts: 1 done\n  10 %\n\u001b[2A\u001b[0J… Asking 4 parts: 3 done\n  50 %\n\u001b[2A\u001b[0J",
  );
  expect(shown.trimEnd().endsWith("Asking 4 parts: 3 done")).toBe(true);
});

test("a report on a terminal has addresses behind its links, and no backslashes", () => {
  expect(asText("1\\. [The \\[fair\\]](<https://a.example/>) **But** <https://b.example/>")).toBe(
    "1. The [fair] <https://a.example/> But https://b.example/",
  );
});
