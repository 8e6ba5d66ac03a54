// What the page and its health address know about a worker.
import { expect, test } from "vitest";
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
