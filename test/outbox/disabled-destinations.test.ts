// A destination that answered 410 gets nothing more, until a probe or a person finds that it works again.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { DisabledDestinations, nextProbeAt } from "../../worker/outbox/disabled-destinations.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";
import { createRig } from "../rig.ts";

const HOUR = 3_600_000;
const HOOK = { callback: "https://gone.example/hook" };
const gone = (more: object = {}) =>
  new KamadoError("delivery_rejected", "it answered 410", { detail: { httpStatus: 410, ...more } });

function rig() {
  const clock = new FakeClock();
  const bucket = new FakeBucket({ clock });
  return { clock, bucket, make: () => new DisabledDestinations({ bucket, clock }) };
}

test("a probe is let through after an hour, then after growing times of at most a day", async () => {
  const { clock, make } = rig();
  const destinations = make();
  await destinations.turnOff(HOOK, "410");
  const hours: number[] = [];
  for (let hour = 1; hour <= 100; hour++) {
    await clock.advance(HOUR);
    if ((await destinations.off(HOOK)) !== null) continue;
    hours.push(hour);
    await destinations.turnOff(HOOK, "410");
  }
  expect(hours).toEqual([1, 3, 7, 15, 31, 55, 79]);
});

test("one delivery is the probe, whichever worker makes it; the others are still refused", async () => {
  const { clock, make } = rig();
  const workers = [make(), make()];
  await workers[0]!.turnOff(HOOK, "410");
  await clock.advance(HOUR);
  const answers = await Promise.all(workers.flatMap((one) => [one.off(HOOK), one.off(HOOK)]));
  expect(answers.filter((off) => off === null)).toHaveLength(1);
});

test("a probe that the receiver takes turns the destination on for every worker", async () => {
  const { clock, make } = rig();
  const [one, other] = [make(), make()];
  await one.turnOff(HOOK, "410");
  expect(await other.off(HOOK)).not.toBeNull();
  await clock.advance(HOUR);
  expect(await one.off(HOOK)).toBeNull();
  await one.worked(HOOK);
  expect([await one.off(HOOK), await other.off(HOOK), await one.all()]).toEqual([null, null, []]);
});

test("an entry that an older version wrote is probed an hour after it was turned off", () => {
  const at = new Date(0).toISOString();
  expect(nextProbeAt({ to: "callback:https://gone.example", at, reason: "410" })).toBe(HOUR);
});

describe("a delivery", () => {
  async function deliver(respond: () => KamadoError | null, destination: object = HOOK) {
    const rig = createRig({
      deliver: async () => {
        const error = respond();
        if (error) throw error;
      },
    });
    rig.consumer.start();
    const work = async (name: string) => {
      await rig.send(name, { deliver: [destination] });
      await rig.complete(name);
    };
    return { rig, work };
  }

  test("to a destination that works again is made, and those after it too", async () => {
    let isGone = true;
    const { rig, work } = await deliver(() => (isGone ? gone() : null));
    await work("a");
    await work("b");
    isGone = false;
    await work("c");
    expect(rig.deliveries).toHaveLength(0);
    await rig.clock.advance(HOUR);
    await work("d");
    await work("e");
    expect(rig.deliveries.map(({ job }) => job.id)).toEqual(["d", "e"]);
  });

  test("whose REST service answers 410 for one item is refused; the service stays on for everybody", async () => {
    let isGone = true;
    const { rig, work } = await deliver(() => (isGone ? gone({ isOfItem: true }) : null), {
      rest: "https://todo.example/todos",
    });
    await work("a");
    isGone = false;
    await work("b");
    expect(rig.deliveries.map(({ job }) => job.id)).toEqual(["b"]);
    expect(rig.deadDeliveries.messages.map(({ attributes }) => attributes["kamado-code"])).toEqual([
      "delivery_rejected",
    ]);
  });
});
