// `kamado cancel ID`: cancels a job. It stores the cancellation in the bucket; the workers act on it.
import { Command } from "commander";
import { type Canceled, createClient } from "../../../client/client.ts";
import { makeAwsClients } from "../../aws/clients.ts";
import { EXIT, prose } from "../../logging/terminal.ts";
import { queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";

export function cancelCommand(): Command {
  return examples(new Command("cancel"), ["cancel 01JABC", "cancel 01JABC --json"])
    .argument("<id>", "the job's id")
    .description(
      "cancel a job: stops it if it runs, and prevents its start if it waits or has not arrived yet",
    )
    .option("--json", "print one JSON line")
    .action(async (id: string, _, command: Command) => {
      const canceled = await cancel(id);
      const isJson = flagsOf(command).json === true;
      const text = isJson ? JSON.stringify({ id, ...canceled }) : prose(textOf(id, canceled));
      process.stdout.write(`${text}\n`);
      process.exitCode = canceled.is === "ended" ? EXIT.failed : EXIT.ok;
    });
}

async function cancel(id: string): Promise<Canceled> {
  const { config, cloud } = await queuesHere(configOf());
  const clients = makeAwsClients(cloud.aws);
  try {
    return await createClient({ ...clients, queueUrl: cloud.queueUrl, bucket: config.bucket }).cancel(id);
  } finally {
    clients.destroy();
  }
}

function textOf(id: string, canceled: Canceled): string {
  if (canceled.is === "ended") return `${id} has already ended (${canceled.status}); its result stays`;
  if (canceled.is === "running") return `${id} is running; its worker stops it within seconds`;
  const until = new Date(canceled.untilEpochMs).toISOString().slice(0, 10);
  return `${id} is neither running nor done; if it waits in the queue or arrives before ${until}, it will not be started`;
}
