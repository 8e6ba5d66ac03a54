// `kamado status`: what runs on this machine, how much waits in the queues, and what went wrong, on one screen.
import { Command } from "commander";
import { type AwsClients, makeAwsClients } from "../../aws/clients.ts";
import type { Cloud } from "../../aws/resources.ts";
import { EXIT } from "../../logging/terminal.ts";
import { printableJson } from "../../printable.ts";
import { type Depth, depthOf } from "../../queue/whole-queue.ts";
import { type Here, queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples, notes } from "../examples.ts";
import { flagsOf } from "../flags.ts";
import { engineHealthOf, stateOf } from "../running-service.ts";
import { runningOf, type Status, viewService, viewStatus } from "./status-view.ts";

const EXIT_CODES =
  "Exit codes: 0 all is well, 1 it runs but something does not answer, 3 nothing runs or no queue answers.";

export function statusCommand(): Command {
  const command = examples(new Command("status"), ["status", "status --json | jq .queues"]);
  return notes(command, EXIT_CODES)
    .description("show what runs here, what waits in the queues, and the dead letters")
    .option("--json", "print one JSON line")
    .action(async (_, command: Command) => {
      const isJson = flagsOf(command).json === true;
      const status = await readStatus(await queuesHere(configOf()), (service) => {
        if (!isJson) process.stdout.write(`${viewService(service).join("\n")}\n`);
      });
      const shown = isJson ? printableJson(status) : viewStatus(status);
      process.stdout.write(`${shown}\n`);
      process.exitCode = codeOf(status);
    });
}

/** `onService`: called before it throws because a queue does not answer, which says nothing of the worker here. */
async function readStatus(
  here: Here,
  onService: (service: NonNullable<Status["service"]>) => void,
): Promise<Status> {
  const clients = makeAwsClients(here.cloud.aws);
  try {
    const [service, queues] = await Promise.all([
      readService(here),
      readQueues(here.cloud, clients).catch((thrown: unknown) => ({ thrown })),
    ]);
    if ("thrown" in queues) {
      if (service) onService(service);
      throw queues.thrown;
    }
    const running = runningOf(service?.state ?? null);
    return { service, running, queues };
  } finally {
    clients.destroy();
  }
}

async function readService(here: Here): Promise<Status["service"]> {
  const { found } = here;
  if (found.is !== "running") return null;
  const { pid, startedAt, web } = found.service;
  const [state, engine] = await Promise.all([stateOf(here), engineHealthOf(found.service, here.config)]);
  const isSilent = state === "silent";
  return { pid, startedAt, web: web.url, state: isSilent ? null : state, isSilent, engine };
}

async function readQueues(cloud: Cloud, { sqs }: AwsClients): Promise<Status["queues"]> {
  const { queues, queueUrl, deliveriesQueueUrl, deadQueueUrl, deadDeliveriesQueueUrl } = cloud;
  const at = async (url: string) => ({ url, ...(await depthOf(sqs, url)) });
  // A queue that Kamado can do without may be missing.
  const maybe = (url: string | undefined) => (url === undefined ? null : at(url).catch(() => null));
  const jobs = Promise.all((queues ?? [{ url: queueUrl }]).map(({ url }) => at(url)));
  const [own, outbox, dead, deadDeliveries] = await Promise.all([
    jobs,
    maybe(deliveriesQueueUrl),
    maybe(deadQueueUrl),
    deadDeliveriesQueueUrl === deadQueueUrl ? null : maybe(deadDeliveriesQueueUrl),
  ]);
  const all = (depth: Depth | null) => (depth ? depth.waiting + depth.inFlight + depth.delayed : 0);
  return { jobs: own, outbox, deadJobs: all(dead), deadDeliveries: all(deadDeliveries) };
}

function codeOf({ service }: Status): number {
  if (!service) return EXIT.unavailable;
  if (service.isSilent) return EXIT.failed;
  const isWell = service.state === null || ["READY", "BUSY", "PAUSED"].includes(service.state.status);
  return isWell ? EXIT.ok : EXIT.failed;
}
