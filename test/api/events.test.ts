// The stream of changes with readers that are slow or never read.
import { expect, test } from "vitest";
import { EventStream } from "../../worker/api/events.ts";
import type { Change } from "../../worker/api/services.ts";

function source() {
  const listeners = new Set<(change: Change) => void>();
  return {
    jobs: {
      subscribe(listener: (change: Change) => void) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    listeners,
    change: (id: string, summary = "") => {
      for (const listener of listeners) listener({ is: "job", job: { id, summary } as never });
    },
  };
}
const textOf = async (reader: ReadableStreamDefaultReader<Uint8Array>) =>
  new TextDecoder().decode((await reader.read()).value);
/** Everything up to the part with these words. */
async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, words: string): Promise<string> {
  let text = "";
  while (!text.includes(words)) text += await textOf(reader);
  return text;
}

test("changes that come together are one write with the last of each job, and a reader gets only those of the job it asked for", async () => {
  const { jobs, change } = source();
  const events = new EventStream({ jobs, tickMs: 1 });
  const all = events.open({})!.getReader();
  const one = events.open({ job: "a" })!.getReader();
  expect(await textOf(all)).toContain("retry:");
  await textOf(one);
  change("a", "before");
  change("b");
  change("a");
  expect((await textOf(all)).match(/^data: .*$/gm)).toHaveLength(2);
  expect((await textOf(one)).match(/^data: .*$/gm)).toEqual(['data: {"id":"a","summary":""}']);
  events.close();
});

test("a reader that never reads costs a bounded amount, hears that it missed something, and in the end is let go", async () => {
  const { jobs, change } = source();
  let isHungUp = false;
  const events = new EventStream({ jobs, heartbeatMs: 5, tickMs: 1 });
  const hangUp = () => {
    isHungUp = true;
  };
  const reader = events.open({ hangUp })!.getReader();
  await textOf(reader);
  for (let count = 0; count < 1_000; count++) change(`job-${count}`, "x".repeat(1_000));
  const text = await readUntil(reader, "event: missed");
  expect(text.length).toBeLessThan(300_000);
  await expect.poll(() => events.readers).toBe(0);
  expect(isHungUp).toBe(true);
  events.close();
});

test("beyond its number of readers nobody is let in, until one of them goes", async () => {
  const { jobs } = source();
  const events = new EventStream({ jobs, mostReaders: 1 });
  const first = events.open({})!;
  expect(events.open({})).toBeNull();
  await first.cancel();
  expect(events.open({})).not.toBeNull();
  events.close();
});

test("what is kept for readers that come back is bounded; who was away too long hears it", async () => {
  const { jobs, change } = source();
  const events = new EventStream({ jobs, tickMs: 1 });
  const first = events.open({})!.getReader();
  await textOf(first);
  change("first");
  const [, id] = /^id: (.*)$/m.exec(await textOf(first))!;
  change("second");
  const back = events.open({ since: id })!.getReader();
  await readUntil(back, '"second"');
  for (let count = 0; count < 5_000; count++) change(`more-${count}`);
  await readUntil(back, "event: missed");
  const late = events.open({ since: id })!.getReader();
  expect(await textOf(late)).toContain("event: missed");
  events.close();
});
