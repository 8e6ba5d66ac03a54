// `kamado queue purge`: deletes every job that waits. It asks first, because no job comes back.
import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { makeAwsClients } from "../../aws/clients.ts";
import { KamadoError } from "../../errors.ts";
import { EXIT } from "../../logging/terminal.ts";
import { depthOf, purgeQueue } from "../../queue/whole-queue.ts";
import { queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";

export function queueCommand(): Command {
  const queue = new Command("queue").description("delete every job that waits (queue purge)");
  const purge = queue
    .command("purge")
    .description(
      "delete every job in the queue for good, those in flight included; results and dead letters stay",
    )
    .option("--yes", "do not ask")
    .option("--json", "print one JSON line")
    .action(async (_, command: Command) => {
      process.exitCode = await purgeAll(flagsOf(command));
    });
  examples(purge, ["queue purge", "queue purge --yes --json"]);
  return queue;
}

async function purgeAll({ yes, json }: ReturnType<typeof flagsOf>): Promise<number> {
  const { cloud } = await queuesHere(configOf());
  const clients = makeAwsClients(cloud.aws);
  try {
    const urls = cloud.queues?.map(({ url }) => url) ?? [cloud.queueUrl];
    const depths = await Promise.all(urls.map((url) => depthOf(clients.sqs, url)));
    const jobs = depths.reduce(
      (sum, { waiting, inFlight, delayed }) => sum + waiting + inFlight + delayed,
      0,
    );
    if (yes !== true && !(await isSure(jobs, urls))) return EXIT.failed;
    for (const url of urls) await purgeQueue(clients.sqs, url);
    const text =
      json === true
        ? JSON.stringify({ purged: urls, jobs })
        : `${urls.join(", ")}: about ${jobs} jobs deleted`;
    process.stdout.write(`${text}\n`);
    return EXIT.ok;
  } finally {
    clients.destroy();
  }
}

async function isSure(jobs: number, urls: readonly string[]): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new KamadoError("invalid_input", "queue purge deletes every job for good; give --yes as well.", {
      hint: "Nothing was deleted. `kamado status` says how many jobs there are.",
    });
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await lines.question(`Delete about ${jobs} jobs in ${urls.join(", ")} for good? [y/N] `);
  lines.close();
  const sure = /^y(es)?$/i.test(answer.trim());
  if (!sure) process.stderr.write("Nothing was deleted.\n");
  return sure;
}
