// The thread beside event-loop-watch.ts: the only part of the process that still runs when the event loop does not. No TypeScript: a thread
// would load the compiler that strips the types, about 10 MB for as long as the worker runs.
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

const { beats, beatMs, limitMs, json } = workerData;
const doing = new Map();
let lastBeat = -1;
let stillMs = 0;
let cpuAtBeat = 0;

parentPort.on("message", ({ id, what }) => {
  if (what === undefined) doing.delete(id);
  else doing.set(id, what);
});

setInterval(() => {
  const beat = Atomics.load(beats, 0);
  if (beat !== lastBeat) {
    [lastBeat, stillMs, cpuAtBeat] = [beat, 0, cpuMs()];
    return;
  }
  // Not the time on a clock: while the machine sleeps or the process is stopped, this thread does not look either.
  stillMs += beatMs;
  if (stillMs >= limitMs && isBusy()) end();
}, beatMs);

/** A process that waits, for a debugger or for a program that it started, uses no CPU; one that gets little of it takes longer. */
const isBusy = () => cpuMs() - cpuAtBeat >= limitMs / 2;

function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function end() {
  const all = [...doing.values()];
  const what = all.length === 0 ? "" : ` In hand: ${all.slice(0, 20).join(", ")}.`;
  const msg = `code ran for ${Math.round(stillMs / 1_000)} s without a pause, and held up everything else.${what} This process ends; a job that does so in every attempt is given up.`;
  const line = { level: "fatal", time: new Date().toISOString(), stage: "watch", msg };
  try {
    writeSync(2, json ? `${JSON.stringify(line)}\n` : `kamado: ${msg}\n`);
  } catch {
    // Nobody reads it.
  }
  // The main thread can take no other signal.
  process.kill(process.pid, "SIGKILL");
}
