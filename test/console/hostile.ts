// A worker in which everything that others wrote is one text. Not a test.
import type { ConsoleDeps } from "../../worker/console/console.ts";
import { busyConsole, ENGINE, FakeDeadLetters, FakeJobs, jobOf } from "./fake-services.ts";

export function consoleFullOf(text: string): ConsoleDeps {
  const hostile = jobOf({
    id: text,
    kind: text,
    tenant: text,
    summary: text,
    model: text,
    input: { [text]: text, image: text, deep: [{ a: text }] },
    output: { answer: text, probabilities: { [text]: 0.5 }, text: text, [text]: [text] },
    deliver: [{ callback: text }],
    deliveries: [{ at: text, key: "a", to: text, attempt: 1, outcome: "failed", error: text, tookMs: 1 }],
    stations: [{ name: text, at: 0, tookMs: 1 }],
    progress: { done: 0.5, what: text },
    policy: { model: text },
  });
  const failed = jobOf({
    id: "b",
    state: "failed",
    error: { code: text, message: text, hint: text },
    replayOf: text,
  });
  return {
    ...busyConsole(),
    jobs: new FakeJobs([hostile, failed]),
    deadLetters: new FakeDeadLetters([
      {
        messageId: text,
        queue: "deliveries",
        job: text,
        kind: text,
        at: text,
        reason: { code: text, message: text },
        to: text,
        tries: 2,
        body: text,
      },
    ]),
    destinations: {
      list: async () => [
        {
          key: text,
          to: text,
          state: "off",
          reason: text,
          since: text,
          delivered: 0,
          failed: 1,
          lastAt: null,
        },
      ],
      resend: async () => ({
        matched: 1,
        done: 0,
        failed: [{ id: text, code: text, message: text }],
      }),
    },
    schedules: {
      list: () => [
        {
          ...{ name: text, cron: text, timezone: text, kind: text, input: { [text]: text }, enabled: true },
          ...{ source: "console", next: null, last: { at: 0, outcome: text }, job: null, problem: text },
        },
      ],
      add: async () => ({}),
      edit: async () => ({}),
      remove: async () => {},
      runNow: async () => ({ id: text }),
    },
    engine: { ...ENGINE, models: async () => [text, "b"] },
    state: () => ({
      ...busyConsole().state(),
      engine: {
        url: text,
        model: text,
        answers: false,
        isDemo: true,
        error: { code: text, message: text, hint: text },
      },
    }),
  };
}
