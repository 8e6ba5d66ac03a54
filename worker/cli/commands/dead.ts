// `kamado dead`: what could not be dealt with, in a person's hands. What it looks like is in dead-view.ts.
import { Command } from "commander";
import { systemClock } from "../../async/clock.ts";
import { makeAwsClients } from "../../aws/clients.ts";
import { loadConfig } from "../../config/config.ts";
import { letterQueue } from "../../dead-letters/dead-letter-queue.ts";
import { type DeadLetter, isMeant } from "../../dead-letters/read.ts";
import { DeadLetterQueues } from "../../dead-letters/redrive.ts";
import { KamadoError, toKamadoError } from "../../errors.ts";
import { JobId } from "../../job/envelope.ts";
import { silentLog } from "../../logging/log.ts";
import { EXIT, paint } from "../../logging/terminal.ts";
import { createDeliveryLog, type DeliveryLog } from "../../outbox/delivery-log.ts";
import { DisabledDestinations } from "../../outbox/disabled-destinations.ts";
import { sqsQueue } from "../../queue/sqs.ts";
import { createResults } from "../../storage/results.ts";
import { s3Blobs } from "../../storage/s3.ts";
import { cloudOrLocal } from "../cloud.ts";
import { type Flags, flagsOf } from "../flags.ts";
import { factsOf, sayDone, viewAlive, viewDeadLetter, viewList } from "./dead-view.ts";

const HIDES = `
While a command runs, the dead letters are hidden from other readers of the queue. They are visible again when it ends; if it
is killed, after two minutes. It uses the queues of KAMADO_QUEUE_URL, or else of a \`kamado serve\` on this machine.
Exit codes: 0 done, 1 only partly done, 2 wrong usage, 3 a queue or the bucket is not available.`;

export function deadCommand(): Command {
  const dead = new Command("dead")
    .description("list dead letters, send them back, or delete them")
    .addHelpText("after", HIDES);
  dead
    .command("list", { isDefault: true })
    .description("list the dead letters and the destinations that are turned off")
    .option("--queue <name>", "only one of the two queues: jobs or deliveries")
    .option("--json", "print one JSON line for each dead letter")
    .action((_, command: Command) => run(command, list));
  dead
    .command("show <id>")
    .description(
      "show everything about one dead letter, by the id of its job or message; for any other job, its deliveries",
    )
    .option("--json", "print JSON with the body")
    .action((id: string, _, command: Command) => run(command, (dependencies) => show(dependencies, id)));
  selecting(dead.command("redrive"))
    .description(
      "send dead letters back to where they came from; this also turns their destinations on again",
    )
    .option(
      "--destination <where>",
      "the deliveries to this destination: its label, its host, or the beginning of its address",
    )
    .action((ids: string[], _, command: Command) =>
      run(command, (dependencies) => redrive(dependencies, ids)),
    );
  selecting(dead.command("purge"))
    .description("delete dead letters for good")
    .option("--yes", "confirm --all")
    .action((ids: string[], _, command: Command) => run(command, (dependencies) => purge(dependencies, ids)));
  return dead;
}

const selecting = (command: Command) =>
  command
    .argument("[ids...]", "ids of jobs or messages")
    .option("--all", "all dead letters")
    .option("--queue <name>", "only one of the two queues: jobs or deliveries")
    .option("--json", "print one JSON line");

const BEHIND =
  "there may be more: of a FIFO queue's group, only the first messages are visible until they are gone";

const print = (text: string) => void process.stdout.write(`${text}\n`);
const warn = (text: string) =>
  void process.stderr.write(`${paint("red", "kamado", process.stderr)}: ${text}\n`);

async function list({ box, letters, marks, flags }: Dependencies): Promise<number> {
  if (flags.json === true) for (const letter of letters) print(JSON.stringify(factsOf(letter)));
  else print(viewList(letters, flags.queue === "jobs" ? [] : await marks.all()));
  if (box.mayHoldMore) warn(BEHIND);
  return EXIT.ok;
}

async function show(dependencies: Dependencies, id: string): Promise<number> {
  const { letters, deliveryLog, flags } = dependencies;
  const isJson = flags.json === true;
  const found = letters.filter((letter) => isCalled(letter, id));
  for (const letter of found) {
    const tries = await deliveryLog.all(letter.id).catch(() => []);
    const { body } = letter.letter;
    print(isJson ? JSON.stringify({ ...factsOf(letter), tries, body }) : viewDeadLetter(letter, tries));
  }
  if (found.length > 0) return EXIT.ok;
  // Not dead, but perhaps on its way: what is known of that is worth showing.
  const tries = JobId.safeParse(id).success ? await deliveryLog.all(id) : [];
  if (tries.length === 0) return missing([id], dependencies);
  print(isJson ? JSON.stringify({ id, queue: null, tries }) : viewAlive(id, tries));
  return EXIT.ok;
}

async function redrive(dependencies: Dependencies, ids: string[]): Promise<number> {
  const { box, marks, flags } = dependencies;
  const destination = typeof flags.destination === "string" ? flags.destination : undefined;
  const wanted = wantedOf(ids, flags, destination);
  const before = await marks.all();
  const code = await each(dependencies, wanted, "sent back", (letter) => box.redrive(letter));
  if (destination !== undefined)
    for (const { key, to } of before) if (isMeant(destination, to)) await marks.turnOn(key);
  const on = before.length - (await marks.all()).length;
  if (on > 0 && flags.json !== true) print(`${on} destination${on === 1 ? "" : "s"} turned on`);
  return code;
}

async function purge(dependencies: Dependencies, ids: string[]): Promise<number> {
  const { box, flags } = dependencies;
  if (flags.all === true && flags.yes !== true)
    throw new KamadoError(
      "invalid_input",
      "--all deletes every dead letter for good; confirm it with --yes.",
    );
  return each(dependencies, wantedOf(ids, flags), "thrown away", (letter) => box.purge(letter));
}

type Wanted = { ids: string[]; destination: string | undefined };

function wantedOf(ids: string[], { all }: Flags, destination?: string): Wanted {
  if (ids.length === 0 && all !== true && destination === undefined)
    throw new KamadoError("invalid_input", "Name the dead letters by their ids, or say --all.");
  return { ids, destination };
}

const choose = (letters: DeadLetter[], { ids, destination }: Wanted): DeadLetter[] =>
  letters
    .filter((letter) => ids.length === 0 || ids.some((id) => isCalled(letter, id)))
    .filter(
      ({ to, destination: where }) =>
        destination === undefined ||
        (to !== null && where !== null && isMeant(destination, to, Object.values(where)[0])),
    );

const isCalled = ({ id, messageId }: DeadLetter, asked: string) => id === asked || messageId === asked;

/** All that are wanted; those that stand behind others are seen once those are gone. */
async function* allOf({ box, letters, lookAgain }: Dependencies, wanted: Wanted): AsyncGenerator<DeadLetter> {
  const nameOf = ({ queue, id, to }: DeadLetter) => JSON.stringify([queue, id, to]);
  const met = new Set<string>();
  for (let seen = letters; ; seen = await lookAgain()) {
    // A job that was sent back and has died again meanwhile is left for another time.
    const page = choose(seen, wanted).filter((letter) => !met.has(nameOf(letter)));
    yield* page;
    for (const letter of page) met.add(nameOf(letter));
    if (page.length === 0 || !box.mayHoldMore) return;
  }
}

/** One after another, so that a queue that goes away in the middle leaves the rest as it was. */
async function each(
  dependencies: Dependencies,
  wanted: Wanted,
  done: string,
  act: (letter: DeadLetter) => Promise<string | undefined>,
): Promise<number> {
  const met: DeadLetter[] = [];
  const failed: { id: string; error: string }[] = [];
  for await (const letter of allOf(dependencies, wanted)) {
    met.push(letter);
    try {
      const word = await act(letter);
      if (word !== undefined) warn(`${letter.id}: ${word}`);
    } catch (thrown) {
      const { code, message } = toKamadoError(thrown, "queue_unavailable");
      failed.push({ id: letter.id, error: `${code}: ${message}` });
    }
  }
  for (const { id, error } of failed) warn(`${id}: ${error}`);
  const unknown = wanted.ids.filter((id) => !met.some((letter) => isCalled(letter, id)));
  const count = met.length - failed.length;
  print(
    dependencies.flags.json === true
      ? JSON.stringify({ done: count, failed, unknown })
      : sayDone(count, done),
  );
  if (unknown.length > 0) return missing(unknown, dependencies);
  return failed.length > 0 ? EXIT.failed : EXIT.ok;
}

function missing(ids: string[], { box }: Dependencies): number {
  const behind = box.mayHoldMore ? `; ${BEHIND}` : "";
  warn(`no dead letter is called ${ids.join(", ")}; \`kamado dead list\` shows what there is${behind}`);
  return EXIT.failed;
}

// What the commands of `kamado dead` work with: both queues, the delivery log, the destinations that are off.
export type Dependencies = {
  box: DeadLetterQueues;
  letters: DeadLetter[];
  /** What is to be seen now that was not before. */
  lookAgain(): Promise<DeadLetter[]>;
  marks: DisabledDestinations;
  deliveryLog: DeliveryLog;
  flags: Flags;
};

/** Opens both queues for one command and gives back afterwards what it leaves. */
export async function run(
  command: Command,
  act: (dependencies: Dependencies) => Promise<number>,
): Promise<void> {
  const flags = flagsOf(command);
  const config = loadConfig();
  const cloud = cloudOrLocal(config);
  const { queue } = flags;
  if (queue !== undefined && queue !== "jobs" && queue !== "deliveries")
    throw new KamadoError("invalid_input", "--queue: give jobs or deliveries.");
  const clients = makeAwsClients(cloud.aws);
  const store = { blobs: s3Blobs(clients.s3), bucket: config.bucket };
  const marks = new DisabledDestinations({ ...store, clock: systemClock });
  const at = (url: string) => sqsQueue(clients.sqs, url);
  const others = (cloud.queues ?? []).filter(({ url }) => url !== cloud.queueUrl);
  const box = new DeadLetterQueues({
    ...store,
    dead: {
      jobs: letterQueue(clients.sqs, cloud.deadQueueUrl),
      deliveries: letterQueue(clients.sqs, cloud.deadDeliveriesQueueUrl),
    },
    origin: {
      jobs: [at(cloud.queueUrl), ...others.map(({ url }) => at(url))],
      deliveries: cloud.deliveriesQueueUrl === undefined ? undefined : at(cloud.deliveriesQueueUrl),
    },
    results: createResults(store),
    marks,
    clock: systemClock,
  });
  try {
    const lookAgain = () => box.open(queue);
    const letters = await lookAgain();
    const deliveryLog = createDeliveryLog({ ...store, log: silentLog });
    process.exitCode = await act({ box, letters, lookAgain, marks, deliveryLog, flags });
  } finally {
    await box.close();
    clients.destroy();
  }
}
