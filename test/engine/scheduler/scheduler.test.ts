// The scheduler: what it reports about answers is beside the answers themselves.
import { expect, test, vi } from "vitest";
import { openScripted } from "../../../worker/engine/backends/scripted/open.ts";
import { type Generation, GREEDY } from "../../../worker/engine/generation/backend.ts";
import { INTERACTIVE } from "../../../worker/engine/scheduler/queue-order.ts";
import { Scheduler } from "../../../worker/engine/scheduler/scheduler.ts";

const GENERATION: Generation = {
  prompt: { text: "x" },
  maxTokens: 5,
  sampling: GREEDY,
  stop: [],
  schema: undefined,
  topLogprobs: undefined,
  conversation: undefined,
};

test("a listener to answers that throws is logged, and spoils neither an answer nor its slot", async () => {
  const error = vi.fn();
  const scheduler = new Scheduler({
    slots: 1,
    maxQueue: 0,
    stallMs: 1_000,
    onAnswered: () => {
      throw new Error("broken");
    },
    log: { error },
  });
  await scheduler.load(async () => openScripted({ script: '{"rules":[{"answer":"yes"}]}', slots: 1 }));
  for (const _ of ["first", "second"]) {
    const request = { generation: GENERATION, count: 1, rank: INTERACTIVE, thinkingBudget: 0 };
    const [admitted] = await scheduler.admit(request);
    let text = "";
    const onPiece = (piece: { text: string }) => {
      text += piece.text;
    };
    const answered = await scheduler.run(admitted!, onPiece, new AbortController().signal);
    expect([text, answered.finish]).toEqual(["yes", "stop"]);
  }
  expect(error).toHaveBeenCalledTimes(2);
  expect(scheduler.health().slots.busy).toBe(0);
});
