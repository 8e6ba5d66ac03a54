// `kamado dead`: lists, shows, redrives and purges the dead letters of jobs and deliveries. How they are printed is in dead-view.ts.
import { Command } from "commander";
import { plural } from "../../amounts.ts";
import { systemClock } from "../../async/clock.ts";
import { type AwsClients, makeAwsClients } from "../../aws/clients.ts";
import type { Cloud } from "../../aws/resources.ts";
import { sqsDeadLetterQueue } from "../../dead-letters/dead-letter-queue.ts";
import { type DeadLetter, isMeant } from "../../dead-letters/read.ts";
import { DeadLetterQueues } from "../../dead-letters/redrive.ts";
import { KamadoError, toKamadoError } from "../../errors.ts";
import { JobId } from "../../job/envelope.ts";
import { silentLog } from "../../logging/log.ts";
import { EXIT, paint } from "../../logging/terminal.ts";
import { createDeliveryLog, type DeliveryLog } from "../../outbox/delivery-log.ts";
import { DisabledDestinations } from "../../outbox/disabled-destinations.ts";
import { printable, printableJson } from "../../printable.ts";
import { sqsQueue } from "../../queue/sqs.ts";
import type { Bucket } from "../../storage/bucket.ts";
import { createResults } from "../../storage/results.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples, notes } from "../examples.ts";
import { type Flags, flagsOf } from "../flags.ts";
import { factsOf, viewAlive, viewDeadLetter, viewDone, viewList } from "./dead-view.ts";

const HELP = `While a command runs, the dead letters are hidden from other readers of the queue. \
They are visible again when it ends; if it is killed, after two minutes. \
It uses the queues of KAMADO_QUEUE_URL, or else of a \`kamado serve\` on this machine.
Exit codes: 0 done, 1 only partly done, 2 wrong usage, 3 a queue or the bucket is not available.`;

const EXAMPLES = [
  "dead",
  "dead show 01JABC",
  "dead redrive --all",
  "dead redrive --destination example.org",
  "dead purge 01JABC 01JABD",
];

export function deadCommand(): Command {
  const dead = notes(examples(new Command("dead"), EXAMPLES), HELP).description(
    "list dead letters, send them back, or delete them",
  );
  dead
    .command("list", { isDefault: true })
    .description("list the dead letters and the destinations that are turned off")
    .option("--queue <name>", "only one of the two queues: jobs or deliveries")
    .option("--json", "print one JSON line for each dead letter")
    .action((_, command: Command) => withDeadLetters(command, list));
  dead
    .command("show <id>")
    .description(
      "show everything about one dead letter, by the id of its job or message; for any other job, its deliveries",
    )
    .option("--json", "print JSON with the body")
    .action((id: string, _, command: Command) => withDeadLetters(command, (session) => show(session, id)));
  selecting(dead.command("redrive"))
    .description(
      "send dead letters back to where they came from; this also turns their destinations on again",
    )
    .option(
      "--destination <where>",
      "the deliveries to this destination: its label, its host, or the beginning of its address",
    )
    .action((ids: string[], _, command: Command) =>
      withDeadLetters(command, (session) => redrive(session, ids)),
    );
  selecting(dead.command("purge"))
    .description("delete dead letters for good")
    .option("--yes", "confirm --all")
    .action((ids: string[], _, command: Command) =>
      withDeadLetters(command, (session) => purge(session, ids)),
    );
  return dead;
}

const selecting = (command: Command) =>
  command
    .argument("[ids...]", "ids of jobs or messages")
    .option("--all", "all dead letters")
    .option("--queue <name>", "only one of the two queues: jobs or deliveries")
    .option("--json", "print one JSON line");

/** What one command works with. */
type Session = {
  queues: DeadLetterQueues;
  found: DeadLetter[];
  /** Dead letters that can be seen only now, because others are gone. */
  readAgain(): Promise<DeadLetter[]>;
  disabledDestinations: DisabledDestinations;
  deliveryLog: DeliveryLog;
  flags: Flags;
};

/** Opens the queues for one command; at its end others see again what it left. */
async function withDeadLetters(command: Command, act: (session: Session) => Promise<number>): Promise<void> {
  const flags = flagsOf(command);
  const { queue } = flags;
  if (queue !== undefined && queue !== "jobs" && queue !== "deliveries")
    throw new KamadoError("invalid_input", "--queue: give jobs or deliveries.");
  const { config, cloud } = await queuesHere(configOf());
  const clients = makeAwsClients(cloud.aws);
  const bucket = s3Bucket(clients.s3, config.bucket);
  const disabledDestinations = new DisabledDestinations({ bucket, clock: systemClock });
  const queues = openQueues(clients, cloud, bucket, disabledDestinations);
  try {
    const readAgain = () => queues.open(queue);
    const found = await readAgain();
    const deliveryLog = createDeliveryLog({ bucket, log: silentLog });
    process.exitCode = await act({ queues, found, readAgain, disabledDestinations, deliveryLog, flags });
  } finally {
    await queues.close();
    clients.destroy();
  }
}

function openQueues(
  { sqs }: AwsClients,
  cloud: Cloud,
  bucket: Bucket,
  disabledDestinations: DisabledDestinations,
): DeadLetterQueues {
  const others = (cloud.queues ?? []).filter(({ url }) => url !== cloud.queueUrl);
  return new DeadLetterQueues({
    bucket,
    dead: {
      jobs: sqsDeadLetterQueue(sqs, cloud.deadQueueUrl),
      deliveries: sqsDeadLetterQueue(sqs, cloud.deadDeliveriesQueueUrl),
    },
    origin: {
      jobs: [sqsQueue(sqs, cloud.queueUrl), ...others.map(({ url }) => sqsQueue(sqs, url))],
      deliveries:
        cloud.deliveriesQueueUrl === undefined ? undefined : sqsQueue(sqs, cloud.deliveriesQueueUrl),
    },
    results: createResults(bucket),
    disabledDestinations,
    clock: systemClock,
  });
}

const MORE = "there may be more: a FIFO queue shows only the first of a group until they are gone";

const print = (text: string) => void process.stdout.write(`${text}\n`);
const warn = (text: string) =>
  void process.stderr.write(`${paint("red", "kamado", process.stderr)}: ${printable(text)}\n`);

async function list({ queues, found, disabledDestinations, flags }: Session): Promise<number> {
  if (flags.json === true) for (const dead of found) print(printableJson(factsOf(dead)));
  else print(viewList(found, flags.queue === "jobs" ? [] : await disabledDestinations.all()));
  if (queues.mayHaveMore) warn(MORE);
  return EXIT.ok;
}

async function show(session: Session, id: string): Promise<number> {
  const { found, deliveryLog, flags } = session;
  const isJson = flags.json === true;
  const called = found.filter((dead) => isCalled(dead, id));
  for (const dead of called) {
    const tries = await deliveryLog.all(dead.id).catch(() => []);
    const { body } = dead.message;
    print(isJson ? printableJson({ ...factsOf(dead), tries, body }) : viewDeadLetter(dead, tries));
  }
  if (called.length > 0) return EXIT.ok;
  // A job without a dead letter may have deliveries, which are worth showing.
  const tries = JobId.safeParse(id).success ? await deliveryLog.all(id) : [];
  if (tries.length === 0) return reportUnknown([id], session);
  print(isJson ? printableJson({ id, queue: null, tries }) : viewAlive(id, tries));
  return EXIT.ok;
}

async function redrive(session: Session, ids: string[]): Promise<number> {
  const { queues, found, disabledDestinations, flags } = session;
  const destination = typeof flags.destination === "string" ? flags.destination : undefined;
  const selection = selectionOf(ids, flags, destination);
  const before = await disabledDestinations.all();
  const code = await forEach(session, selection, "sent back", (dead) => queues.redrive(dead));
  if (destination !== undefined)
    for (const { key, to } of before) if (isMeant(destination, to)) await disabledDestinations.turnOn(key);
  const on = before.length - (await disabledDestinations.all()).length;
  if (destination !== undefined && on === 0 && !found.some((dead) => isSelected(dead, selection))) {
    warn(
      `no dead letter is for ${destination}, and no destination of that name is turned off; \`kamado dead list\` shows them all`,
    );
    return EXIT.failed;
  }
  if (on > 0 && flags.json !== true) print(`${plural(on, "destination")} turned on`);
  return code;
}

async function purge(session: Session, ids: string[]): Promise<number> {
  const { queues, flags } = session;
  if (flags.all === true && flags.yes !== true)
    throw new KamadoError("invalid_input", "--all deletes every dead letter for good; give --yes as well.");
  return forEach(session, selectionOf(ids, flags), "deleted", (dead) => queues.purge(dead));
}

type Selection = { ids: string[]; destination: string | undefined };

function selectionOf(ids: string[], { all }: Flags, destination?: string): Selection {
  if (ids.length === 0 && all !== true && destination === undefined)
    throw new KamadoError("invalid_input", "Give the ids of dead letters, or --all.");
  return { ids, destination };
}

const isCalled = ({ id, messageId }: DeadLetter, asked: string) => id === asked || messageId === asked;

const isSelected = (dead: DeadLetter, { ids, destination }: Selection): boolean =>
  (ids.length === 0 || ids.some((id) => isCalled(dead, id))) &&
  (destination === undefined ||
    (dead.to !== null &&
      dead.destination !== null &&
      isMeant(destination, dead.to, Object.values(dead.destination)[0])));

/** All that are selected. Those behind others in a FIFO group are found once the others are gone. */
async function* allOf(
  { queues, found, readAgain }: Session,
  selection: Selection,
): AsyncGenerator<DeadLetter> {
  const nameOf = ({ queue, id, to }: DeadLetter) => JSON.stringify([queue, id, to]);
  const met = new Set<string>();
  for (let seen = found; ; seen = await readAgain()) {
    // A job that was sent back and is dead again by now is not sent back twice.
    const page = seen.filter((dead) => isSelected(dead, selection) && !met.has(nameOf(dead)));
    yield* page;
    for (const dead of page) met.add(nameOf(dead));
    if (page.length === 0 || !queues.mayHaveMore) return;
  }
}

/** One after another: if a queue becomes unavailable, the rest stays as it was. */
async function forEach(
  session: Session,
  selection: Selection,
  done: string,
  act: (dead: DeadLetter) => Promise<string | undefined>,
): Promise<number> {
  const met: DeadLetter[] = [];
  const failed: { id: string; error: string }[] = [];
  for await (const dead of allOf(session, selection)) {
    met.push(dead);
    try {
      const remark = await act(dead);
      if (remark !== undefined) warn(`${dead.id}: ${remark}`);
    } catch (thrown) {
      const { code, message } = toKamadoError(thrown, "queue_unavailable");
      failed.push({ id: dead.id, error: `${code}: ${message}` });
    }
  }
  for (const { id, error } of failed) warn(`${id}: ${error}`);
  const unknown = selection.ids.filter((id) => !met.some((dead) => isCalled(dead, id)));
  const count = met.length - failed.length;
  const isJson = session.flags.json === true;
  print(isJson ? printableJson({ done: count, failed, unknown }) : viewDone(count, done));
  if (unknown.length > 0) return reportUnknown(unknown, session);
  return failed.length > 0 ? EXIT.failed : EXIT.ok;
}

function reportUnknown(ids: string[], { queues }: Session): number {
  const more = queues.mayHaveMore ? `; ${MORE}` : "";
  warn(`no dead letter has the id ${ids.join(", ")}; \`kamado dead list\` shows them all${more}`);
  return EXIT.failed;
}
