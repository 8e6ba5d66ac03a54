// A run of a table ends when something that it measures ends by itself.
import { describe, expect, test } from "vitest";
import { startOurEngine } from "../../bench/engine-process.ts";
import { Session } from "../../bench/session.ts";

describe("a session", () => {
  const session = () => new Session(() => {});

  test("stops waiting when it ends, with the first reason", async () => {
    const one = session();
    const waiting = one.during(new Promise(() => {}));
    one.end(new Error("first"));
    one.end(new Error("second"));
    await expect(waiting).rejects.toThrow("first");
    await expect(one.during(Promise.resolve("late"))).rejects.toThrow("first");
  });

  test("ends when an engine that is measured is killed", async () => {
    const one = session();
    const engine = await startOurEngine({ backend: "scripted", slots: 1 }, one);
    const waiting = one.during(new Promise(() => {}));
    process.kill(engine.pid, "SIGKILL");
    await expect(waiting).rejects.toThrow("Our engine ended (SIGKILL)");
    await engine.stop();
  });

  test("continues when an engine was stopped, and says why one cannot start", async () => {
    const one = session();
    await (await startOurEngine({ backend: "scripted", slots: 1 }, one)).stop();
    expect(one.signal.aborted).toBe(false);
    const broken = startOurEngine({ backend: "scripted", slots: 1, script: '{"loadFails":"no"}' }, one);
    await expect(broken).rejects.toThrow("Our engine cannot start: no");
  });
});
