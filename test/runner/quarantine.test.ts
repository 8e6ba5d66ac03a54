// A job that is suspected of killing the engine runs alone.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { Quarantine } from "../../worker/runner/quarantine.ts";
import { settled } from "../fakes/clock.ts";

describe("a job that must run alone", () => {
  const never = new AbortController().signal;

  test("waits until the others have left, and then lets no other in", async () => {
    const quarantine = new Quarantine();
    const inside: string[] = [];
    const leave = await quarantine.enter(false, never);
    const suspect = quarantine.enter(true, never).then((gone) => {
      inside.push("suspect");
      return gone;
    });
    const later = quarantine.enter(false, never).then(() => inside.push("later"));
    await settled();
    expect(inside).toEqual([]);
    leave();
    const gone = await suspect;
    await settled();
    expect(inside).toEqual(["suspect"]);
    gone();
    await later;
    expect(inside).toEqual(["suspect", "later"]);
  });

  test("that stops waiting does not keep others waiting", async () => {
    const quarantine = new Quarantine();
    await quarantine.enter(false, never);
    const cut = new AbortController();
    const suspect = quarantine.enter(true, cut.signal);
    const later = quarantine.enter(false, never);
    cut.abort(new KamadoError("stopping", "The worker stops."));
    await expect(suspect).rejects.toMatchObject({ code: "stopping" });
    await later;
    await expect(quarantine.enter(false, cut.signal)).rejects.toMatchObject({ code: "stopping" });
  });
});
