// What the page and its health address know about a worker.
import { expect, test } from "vitest";
import { viewService } from "../../worker/cli/commands/status-view.ts";
import { shownEngine } from "../../worker/console/state.ts";
import { KamadoError } from "../../worker/errors.ts";
import { createRig } from "../rig.ts";

test("a worker's state is plain data: /state shows all of it", async () => {
  const { worker } = createRig();
  expect(worker.state().engine).toEqual({
    url: "http://engine",
    model: "none",
    answers: false,
    isDemo: false,
  });
  expect(structuredClone(worker.state())).toMatchObject({ status: "STARTING", running: 0, waiting: 0 });
});

test("the search service is named where there is one, in the state and by `kamado status`", () => {
  expect(createRig().worker.state()).not.toHaveProperty("search");
  const state = createRig({ search: "brave" }).worker.state();
  expect(state.search).toBe("brave");
  const service = { pid: 1, startedAt: "2026-01-01", web: "http://w", state, isSilent: false, engine: null };
  expect(viewService(service).join("\n")).toMatch(/search +brave/);
});

test("why the engine does not answer is said with its code and what to do; that it loads is no error", () => {
  const cause = new KamadoError("config_invalid", "KAMADO_MODEL: /m.gguf does not exist.", { hint: "Look." });
  const error = { code: "config_invalid", message: "KAMADO_MODEL: /m.gguf does not exist.", hint: "Look." };
  expect(shownEngine({ isHealthy: false, cause })).toEqual({ answers: false, error });
  const loads = new KamadoError("engine_unavailable", "It loads.", { detail: { isLoading: true } });
  expect(shownEngine({ isHealthy: false, cause: loads })).toEqual({ answers: false });
  expect(shownEngine({ isHealthy: true, cause: null })).toEqual({ answers: true });
});

test("a job whose result is on its way is shown as delivering, not as running", async () => {
  const arrived = Promise.withResolvers<void>();
  const rig = createRig({ deliver: () => arrived.promise });
  await rig.send("a");
  rig.consumer.start();
  await rig.complete("a");
  expect(rig.worker.state()).toMatchObject({ running: 0, delivering: 1 });
  arrived.resolve();
  await rig.clock.advance(1_000);
  expect(rig.worker.state()).toMatchObject({ running: 0, delivering: 0 });
});

test("jobs that run are known with the moment they were received, and gone when they have ended", async () => {
  const rig = createRig();
  await rig.send("a");
  await rig.send("b");
  rig.consumer.start();
  await rig.clock.advance(10);
  const shown = () => rig.worker.state().current.map(({ id, kind }) => [id, kind]);
  expect(shown()).toEqual([
    ["a", "work"],
    ["b", "work"],
  ]);
  expect(rig.worker.state().current[0]!.since).toEqual(expect.any(Number));
  await rig.complete("a");
  expect(shown()).toEqual([["b", "work"]]);
  await rig.complete("b");
  expect(shown()).toEqual([]);
});

test("a second message of a job that runs does not end the first one's entry", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(10);
  const since = rig.worker.state().current[0]!.since;
  await rig.clock.advance(1_000);
  await rig.send("a");
  await rig.clock.advance(1_000);
  expect(rig.worker.state().current).toEqual([{ id: "a", kind: "work", since }]);
});
