// How many hosts a worker remembers. The order of requests is tested with the pages: page-reader.test.ts.
import { expect, test } from "vitest";
import { HostPace } from "../../worker/pages/host-pace.ts";
import { FakeClock } from "../fakes/clock.ts";

const never = new AbortController().signal;

test("hosts that nobody waits for are forgotten, and no other", async () => {
  const pace = new HostPace({ clock: new FakeClock(), destinations: [], gapMs: 1_000 });
  const turn = { patienceMs: 0, signal: never };
  const events: string[] = [];
  const { promise: may, resolve: go } = Promise.withResolvers<void>();
  const busy = new URL("https://busy.example/");
  const first = pace.take(busy, { ...turn, gapMs: "none" }, () => may.then(() => void events.push("first")));
  for (let n = 0; n < 3_000; n++) await pace.take(new URL(`https://${n}.example/`), turn, async () => {});
  expect(pace.size).toBe(1_000);
  const second = pace.take(busy, turn, async () => void events.push("second"));
  go();
  await Promise.all([first, second]);
  expect(events).toEqual(["first", "second"]);
});
