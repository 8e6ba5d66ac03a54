// Pages that change by themselves: how often they are drawn, for whom, and what a reader who does not read costs.
import { Hono } from "hono";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createConsole } from "../../worker/console/console.ts";
import { type LivePage, LivePages } from "../../worker/console/live.ts";
import { emptyConsole, FakeJobs, jobOf } from "./fake-services.ts";

/** Reads events one after another. */
function readerOf(answer: Response) {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  onTestFinished(() => reader.cancel().catch(() => {}));
  let rest = "";
  return {
    async next(): Promise<string> {
      while (!rest.includes("\n\n")) {
        const { value, done } = await reader.read();
        if (done) return "";
        rest += value;
      }
      const [event, ...others] = rest.split("\n\n");
      rest = others.join("\n\n");
      return event!;
    },
    leave: () => reader.cancel(),
  };
}

/** A page whose text a test sets. */
function setUp() {
  const listeners = new Set<() => void>();
  const live = new LivePages((changed) => {
    listeners.add(changed);
    return () => void listeners.delete(changed);
  });
  const page = { text: "one", drawn: 0 };
  const app = new Hono();
  const of = (given: Partial<LivePage>): LivePage => ({
    key: "page",
    everyMs: 1,
    onChange: true,
    draw: async () => {
      page.drawn++;
      return page.text;
    },
    ...given,
  });
  app.get("/:key", (context) => live.answer(context, of({ key: context.req.param("key") })));
  app.get("/timed/:ms", (context) =>
    live.answer(context, of({ key: "timed", onChange: false, everyMs: Number(context.req.param("ms")) })),
  );
  const change = (text: string) => {
    page.text = text;
    for (const listener of listeners) listener();
  };
  return {
    live,
    app,
    page,
    listeners,
    change,
    open: async (path: string) => readerOf(await app.request(path)),
  };
}

test("a page is sent when it is opened, and again after each change", async () => {
  const { open, change } = setUp();
  const reader = await open("/a");
  expect(await reader.next()).toBe("event: live\ndata: one");
  change("two\nlines");
  expect(await reader.next()).toBe("event: live\ndata: two\ndata: lines");
});

test("it is drawn once for all who look at the same page, and for others apart", async () => {
  const { open, page, change } = setUp();
  const readers = await Promise.all(["/a", "/a", "/a", "/b"].map(open));
  for (const reader of readers) await reader.next();
  expect(page.drawn).toBe(2);
  change("two");
  for (const reader of readers) expect(await reader.next()).toContain("two");
  expect(page.drawn).toBe(4);
});

test("what did not change is not sent", async () => {
  const { open, page, change } = setUp();
  const reader = await open("/timed/1");
  await reader.next();
  await expect.poll(() => page.drawn).toBeGreaterThan(5);
  change("two");
  expect(await reader.next()).toContain("two");
});

test("nobody looks: nothing is drawn, and changes are not listened to", async () => {
  const { open, live, listeners } = setUp();
  expect(listeners.size).toBe(0);
  const [one, other] = [await open("/a"), await open("/b")];
  await one.next();
  await other.next();
  expect([live.readers, listeners.size]).toEqual([2, 1]);
  await one.leave();
  await other.leave();
  await expect.poll(() => [live.readers, listeners.size]).toEqual([0, 0]);
});

test("many changes at once are one drawing, and a reader who is slow gets the newest", async () => {
  const { open, page, change } = setUp();
  const reader = await open("/a");
  await reader.next();
  const before = page.drawn;
  for (let at = 0; at < 1_000; at++) change(`change ${at}`);
  let last = "";
  while (!last.includes("999")) last = await reader.next();
  expect(page.drawn - before).toBeLessThan(10);
});

test("a reader who never reads keeps nothing but the newest page", async () => {
  const { app, live, page, change } = setUp();
  const answer = await app.request("/timed/1");
  onTestFinished(() => answer.body!.cancel());
  for (let at = 0; at < 20; at++) {
    const drawn = page.drawn;
    change(`${at} ${"x".repeat(100_000)}`);
    await expect.poll(() => page.drawn).toBeGreaterThan(drawn);
  }
  const reader = answer.body!.getReader();
  let bytes = 0;
  let text = "";
  while (!text.includes(" 19 ") && !text.includes("data: 19 ")) {
    const { value } = await reader.read();
    bytes += value!.length;
    text = new TextDecoder().decode(value);
  }
  reader.releaseLock();
  // At most what was on its way when it stopped reading, and the newest.
  expect(bytes).toBeLessThan(500_000);
  expect(live.readers).toBe(1);
});

test("more readers than there may be are told so", async () => {
  const { app, open } = setUp();
  const readers = await Promise.all(Array.from({ length: 200 }, () => open("/a")));
  expect((await app.request("/a")).status).toBe(503);
  await readers[0]!.leave();
  await expect
    .poll(async () => {
      const answer = await app.request("/a");
      await answer.body?.cancel();
      return answer.status;
    })
    .toBe(200);
});

test("a drawing that fails keeps the page as it was, and the next one is tried", async () => {
  const { app, live } = setUp();
  const draw = vi.fn(async () => "fine").mockRejectedValueOnce(new Error("the history is away"));
  app.get("/failing/now", (context) => live.answer(context, { key: "f", draw, everyMs: 1, onChange: false }));
  const reader = readerOf(await app.request("/failing/now"));
  expect(await reader.next()).toContain("fine");
});

describe("the console", () => {
  test("sends the list of jobs when one comes, and ends with its reader", async () => {
    const jobs = new FakeJobs();
    const app = createConsole({ ...emptyConsole(), jobs });
    const reader = readerOf(
      await app.request("/console/jobs?state=open", { headers: { accept: "text/event-stream" } }),
    );
    expect(await reader.next()).toContain("Nothing found");
    jobs.change(jobOf({ id: "fresh", state: "running" }));
    expect(await reader.next()).toMatch(/data-key="fresh"/);
    expect(jobs.listeners).toBe(1);
    await reader.leave();
    await expect.poll(() => jobs.listeners).toBe(0);
  });
});
