// Whose turn it is among tenants: slots and slot time are shared evenly by those that wait, nobody starves, no slot idles, and who is alone
// notices nothing.
import { describe, expect, test } from "vitest";
import { nextToRun } from "../../worker/consumer/prefetch-buffer.ts";
import { type Tenant, TenantShares } from "../../worker/consumer/tenant-shares.ts";
import fc from "../properties.ts";

type Waiting = { tenant: Tenant; priority: number; group: null; tookMs: number };
type Ran = { tenant: Tenant; from: number; to: number };

/** Slots over a list of messages in order of arrival. Time passes only from one end of a run to the next. */
class Slots {
  readonly #slots: number;
  readonly shares: TenantShares;
  readonly waiting: Waiting[] = [];
  readonly ran: Ran[] = [];
  #running: Ran[] = [];
  now = 0;

  constructor(slots: number) {
    this.#slots = slots;
    this.shares = new TenantShares(() => this.now);
  }

  send(tenant: Tenant, tookMs: number, count = 1, priority = 5): void {
    for (let i = 0; i < count; i++) {
      this.waiting.push({ tenant, priority, group: null, tookMs });
      this.shares.entered(tenant);
    }
  }

  fill(): void {
    while (this.#running.length < this.#slots && this.waiting.length > 0) {
      this.shares.update();
      const index = nextToRun(this.waiting, new Set(), (one, other) => this.shares.compare(one, other));
      const [{ tenant, tookMs }] = this.waiting.splice(index, 1) as [Waiting];
      const run = { tenant, from: this.now, to: this.now + tookMs };
      this.shares.started(tenant);
      this.#running.push(run);
      this.ran.push(run);
    }
  }

  /** The run that ends next ends, and its slot is filled. */
  step(): void {
    this.fill();
    const next = this.#running.toSorted((a, b) => a.to - b.to)[0];
    if (!next) return;
    this.now = next.to;
    this.#running = this.#running.filter((run) => run !== next);
    this.shares.ended(next.tenant);
    this.fill();
  }
}

const usedBy = ({ ran, now }: Slots, tenant: Tenant) =>
  ran.filter((run) => run.tenant === tenant).reduce((sum, { from, to }) => sum + Math.min(to, now) - from, 0);

test("a tenant with a thousand messages delays the single one of another by what runs, and by no more", () => {
  const slots = new Slots(1);
  slots.send("crowd", 100, 1_000);
  for (let i = 0; i < 7; i++) slots.step();
  slots.send("single", 100);
  slots.step();
  expect(slots.ran.at(-1)?.tenant).toBe("single");
});

test("tenants that wait share the slots evenly at every moment, whatever they sent", () => {
  const slots = new Slots(4);
  slots.send("many", 100, 400);
  slots.fill();
  slots.send("fewer", 100, 40);
  for (let i = 0; i < 20; i++) slots.step();
  expect(slots.shares.list()).toMatchObject([
    { tenant: "many", running: 2 },
    { tenant: "fewer", running: 2 },
  ]);
});

test("with one slot they share its time evenly, however long the jobs of each are", () => {
  const slots = new Slots(1);
  slots.send("long", 1_000, 20);
  slots.send("short", 20, 1_000);
  for (let i = 0; i < 500; i++) slots.step();
  expect(usedBy(slots, "long") / usedBy(slots, "short")).toBeCloseTo(1, 0);
});

test("what a tenant used while nobody else waited is not held against it", () => {
  const slots = new Slots(1);
  slots.send("before", 100, 1_000);
  for (let i = 0; i < 500; i++) slots.step();
  slots.send("newcomer", 100, 1_000);
  for (let i = 0; i < 20; i++) slots.step();
  const latest = slots.ran.slice(-20).map(({ tenant }) => tenant);
  expect(latest.filter((tenant) => tenant === "before")).toHaveLength(10);
});

test("messages of nobody in particular are one tenant among the others", () => {
  const slots = new Slots(1);
  slots.send(null, 100, 100);
  slots.send("named", 100, 100);
  for (let i = 0; i < 20; i++) slots.step();
  expect(usedBy(slots, null)).toBe(usedBy(slots, "named"));
});

test("priority orders the messages of one tenant, and takes no turn from another", () => {
  const slots = new Slots(1);
  slots.send("loud", 100, 10, 9);
  slots.send("quiet", 100, 1, 0);
  slots.send("quiet", 100, 1, 1);
  for (let i = 0; i < 4; i++) slots.step();
  expect(slots.ran.map(({ tenant }) => tenant)).toEqual(["loud", "quiet", "loud", "quiet", "loud"]);
  expect(slots.waiting.filter(({ tenant }) => tenant === "quiet")).toEqual([]);
});

test("names that come once take no memory for ever", () => {
  const slots = new Slots(2);
  for (let i = 0; i < 300; i++) {
    slots.send(`name-${i}`, 10);
    slots.send(`name-${i}-too`, 10);
    slots.step();
  }
  for (let i = 0; i < 600; i++) slots.step();
  expect(slots.shares.list()).toEqual([]);
});

const LONGEST_MS = 1_000;
const took = fc.integer({ min: 1, max: LONGEST_MS });

describe("whatever arrives", () => {
  test("nobody starves, even if new tenants come all the time", () => {
    const arrivals = fc.array(fc.record({ others: fc.integer({ min: 0, max: 4 }), tookMs: took }), {
      minLength: 150,
      maxLength: 150,
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), took, arrivals, (count, tookMs, all) => {
        const slots = new Slots(count);
        slots.send("patient", tookMs, 200);
        let longest = 0;
        for (const [index, { others, tookMs }] of all.entries()) {
          const waiting = slots.waiting.filter(({ tenant }) => tenant !== "patient").length;
          for (let i = waiting; i < others; i++) slots.send(`new-${index}-${i}`, tookMs);
          slots.step();
          const latest = slots.ran.findLast(({ tenant }) => tenant === "patient")!;
          longest = Math.max(longest, slots.now - latest.to);
        }
        // Its lead over the clock is one run at most, which passes at the rate of a fair share; then those before it run once.
        const most = 4 + 1 + count;
        expect(longest).toBeLessThanOrEqual(LONGEST_MS * (most + most));
      }),
      { numRuns: 50 },
    );
  });

  const message = fc.record({
    priority: fc.integer({ min: 0, max: 9 }),
    group: fc.constantFrom(null, "a", "b"),
    tenant: fc.constantFrom<Tenant>(null, "x", "y", "z"),
  });
  const running = fc.subarray(["a", "b"]).map((groups) => new Set(groups));
  const order = fc
    .shuffledSubarray<Tenant>([null, "x", "y", "z"], { minLength: 4 })
    .map((names) => (one: Tenant, other: Tenant) => names.indexOf(one) - names.indexOf(other));

  test("a message starts if any may: no slot idles for the sake of fairness", () => {
    fc.assert(
      fc.property(fc.array(message), running, order, (waiting, groups, compare) => {
        const mayStart = waiting.some(({ group }) => group === null || !groups.has(group));
        expect(nextToRun(waiting, groups, compare) >= 0).toBe(mayStart);
      }),
    );
  });

  test("a tenant that is alone is served as if there were no tenants: priority, then age, groups in order", () => {
    fc.assert(
      fc.property(fc.array(message), running, order, (all, groups, compare) => {
        const waiting = all.map((one) => ({ ...one, tenant: "alone" }));
        const first = new Set(groups);
        const may = [...waiting.entries()].filter(([, { group }]) => {
          if (group === null) return true;
          return !first.has(group) && first.add(group) !== undefined;
        });
        const [best] = may.toSorted(([, a], [, b]) => b.priority - a.priority);
        expect(nextToRun(waiting, groups, compare)).toBe(best?.[0] ?? -1);
      }),
    );
  });

  test("the tenant whose turn it is gets the slot, whatever the priorities", () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1 }), order, (waiting, compare) => {
        const alone = waiting.map((one) => ({ ...one, group: null }));
        const index = nextToRun(alone, new Set(), compare);
        const [first] = alone.map(({ tenant }) => tenant).toSorted(compare);
        expect(alone[index]!.tenant).toBe(first);
      }),
    );
  });
});
