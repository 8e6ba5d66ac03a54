// A process that writes into a history until it is killed, and says after each batch how many jobs are certainly kept. Not a test.
import { openHistory } from "../../worker/history/history.ts";
import { JobEvents } from "../../worker/logging/job-events.ts";
import { silentLog } from "../../worker/logging/log.ts";

const history = openHistory({
  folder: process.argv[2]!,
  worker: "w",
  days: 30,
  megabytes: 50,
  log: silentLog,
});
const jobEvents = new JobEvents(silentLog);
jobEvents.subscribe(history.listener);
for (let count = 0; ; count += 20) {
  for (let one = 0; one < 20; one++) {
    const job = { id: `job-${count + one}`, kind: "k", input: "x".repeat(5_000), deliver: [], policy: {} };
    jobEvents.emit({ stage: "received", job: job.id, kind: "k", message: "m", receives: 1 }, "", { job });
  }
  await history.states();
  process.stdout.write(`${count + 20}\n`);
}
