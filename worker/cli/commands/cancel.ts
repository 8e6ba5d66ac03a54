// `kamado cancel ID`: takes a job back, wherever it is. The workers see to it; this only leaves word for them.
import { Command } from "commander";
import { systemClock } from "../../async/clock.ts";
import { makeAwsClients } from "../../aws/clients.ts";
import { loadConfig } from "../../config/config.ts";
import { KamadoError } from "../../errors.ts";
import { JobId } from "../../job/envelope.ts";
import { type Canceled, cancelJob } from "../../job-lock/cancellations.ts";
import { EXIT } from "../../logging/terminal.ts";
import { createResults } from "../../storage/results.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { cloudOrLocal } from "../cloud.ts";
import { flagsOf } from "../flags.ts";

export function cancelCommand(): Command {
  return new Command("cancel")
    .argument("<id>", "the job's id")
    .description("cancel a job: it is stopped if it runs, and not started if it waits or has yet to arrive")
    .option("--json", "print one JSON line")
    .action(async (id: string, _, command: Command) => {
      const canceled = await cancel(id);
      const words = flagsOf(command).json === true ? JSON.stringify({ id, ...canceled }) : say(id, canceled);
      process.stdout.write(`${words}\n`);
      process.exitCode = canceled.is === "ended" ? EXIT.failed : EXIT.ok;
    });
}

async function cancel(id: string): Promise<Canceled> {
  const parsed = JobId.safeParse(id);
  if (!parsed.success)
    throw new KamadoError("invalid_input", `id: ${parsed.error.issues[0]!.message} is expected.`);
  const config = loadConfig();
  const clients = makeAwsClients(cloudOrLocal(config).aws);
  try {
    const bucket = s3Bucket(clients.s3, config.bucket);
    return await cancelJob(id, { bucket, results: createResults(bucket), clock: systemClock });
  } finally {
    clients.destroy();
  }
}

function say(id: string, canceled: Canceled): string {
  if (canceled.is === "ended") return `${id} has ended already (${canceled.status}); nothing is changed`;
  if (canceled.is === "running") return `${id} runs; its worker stops it within seconds`;
  const until = new Date(canceled.untilEpochMs).toISOString().slice(0, 10);
  return `${id} does not run; it will not be started when it comes before ${until}`;
}
