// Whether the workers ended by the storm's hand alone. Pure.
import type { Exit, Finding } from "./observed.ts";

export function judgeExits(exits: readonly Exit[]): Finding[] {
  return exits.flatMap((exit): Finding[] => {
    const log = `see worker-${exit.worker}.log`;
    const wrong = (what: string): Finding[] => [
      { is: "wrong", job: null, what: `worker ${exit.worker} ${what}; ${log}` },
    ];
    if (exit.isLate) return wrong("did not end after SIGTERM, and was killed");
    return wasAsked(exit) ? [] : wrong(`ended by itself: ${exit.signal ?? `exit code ${exit.code}`}`);
  });
}

/** By the signal it was sent, or in order after SIGTERM. */
const wasAsked = ({ code, signal, sent }: Exit) =>
  signal === null ? code === 0 && sent.includes("SIGTERM") : sent.includes(signal);
