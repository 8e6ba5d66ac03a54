// `kamado dead`: what could not be dealt with, in a person's hands. What it looks like is in dead-view.ts.
import { Command } from "commander";
import { KamadoError, toKamadoError } from "../errors.ts";
import { JobId } from "../job/envelope.ts";
import { type DeadLetter, isMeant } from "../run/dead-letter.ts";
import { type House, run } from "./dead-house.ts";
import { factsOf, sayDone, viewAlive, viewLetter, viewList } from "./dead-view.ts";
import type { Flags } from "./flags.ts";
import { EXIT, paint } from "./terminal.ts";

const HIDES = `
While it looks, it holds the dead letters: others do not see them for the moment. They are given back at its end; if it is
killed, after two minutes. Queues: those of KAMADO_QUEUE_URL, else of a \`kamado serve\` on this machine.
Exit codes: 0 done, 1 not all of it, 2 usage, 3 a queue or the bucket is not available.`;

export function deadCommand(): Command {
  const dead = new Command("dead")
    .description("look at dead letters, send them back, throw them away")
    .addHelpText("after", HIDES);
  dead
    .command("list", { isDefault: true })
    .description("what was put aside, and the destinations that are turned off")
    .option("--queue <name>", "only jobs, or only deliveries")
    .option("--json", "print one JSON line a dead letter")
    .action((_, command: Command) => run(command, list));
  dead
    .command("show <id>")
    .description(
      "all that is known about one, a job's id or a message's; of a job that is not dead, its deliveries",
    )
    .option("--json", "print JSON, the body included")
    .action((id: string, _, command: Command) => run(command, (house) => show(house, id)));
  selecting(dead.command("redrive"))
    .description("send them back to where they came from; a destination that was turned off is turned on")
    .option("--destination <where>", "deliveries to it: its label, its host, or the beginning of its address")
    .action((ids: string[], _, command: Command) => run(command, (house) => redrive(house, ids)));
  selecting(dead.command("purge"))
    .description("throw them away, for good")
    .option("--yes", "needed with --all")
    .action((ids: string[], _, command: Command) => run(command, (house) => purge(house, ids)));
  return dead;
}

const selecting = (command: Command) =>
  command
    .argument("[ids...]", "jobs' ids, or messages'")
    .option("--all", "all of them")
    .option("--queue <name>", "only jobs, or only deliveries")
    .option("--json", "print one JSON line");

const BEHIND =
  "there may be more than show now: of a FIFO queue's group only the first do, until they are gone";

const print = (text: string) => void process.stdout.write(`${text}\n`);
const warn = (text: string) =>
  void process.stderr.write(`${paint("red", "kamado", process.stderr)}: ${text}\n`);

async function list({ box, letters, marks, flags }: House): Promise<number> {
  if (flags.json === true) for (const letter of letters) print(JSON.stringify(factsOf(letter)));
  else print(viewList(letters, flags.queue === "jobs" ? [] : await marks.all()));
  if (box.mayHoldMore) warn(BEHIND);
  return EXIT.ok;
}

async function show(house: House, id: string): Promise<number> {
  const { letters, deliveryLog, flags } = house;
  const isJson = flags.json === true;
  const found = letters.filter((letter) => isCalled(letter, id));
  for (const letter of found) {
    const tries = await deliveryLog.all(letter.id).catch(() => []);
    const { body } = letter.letter;
    print(isJson ? JSON.stringify({ ...factsOf(letter), tries, body }) : viewLetter(letter, tries));
  }
  if (found.length > 0) return EXIT.ok;
  // Not dead, but perhaps on its way: what is known of that is worth showing.
  const tries = JobId.safeParse(id).success ? await deliveryLog.all(id) : [];
  if (tries.length === 0) return missing([id], house);
  print(isJson ? JSON.stringify({ id, queue: null, tries }) : viewAlive(id, tries));
  return EXIT.ok;
}

async function redrive(house: House, ids: string[]): Promise<number> {
  const { box, marks, flags } = house;
  const destination = typeof flags.destination === "string" ? flags.destination : undefined;
  const wanted = wantedOf(ids, flags, destination);
  const before = await marks.all();
  const code = await each(house, wanted, "sent back", (letter) => box.redrive(letter));
  if (destination !== undefined)
    for (const { key, to } of before) if (isMeant(destination, to)) await marks.turnOn(key);
  const on = before.length - (await marks.all()).length;
  if (on > 0 && flags.json !== true) print(`${on} destination${on === 1 ? "" : "s"} turned on`);
  return code;
}

async function purge(house: House, ids: string[]): Promise<number> {
  const { box, flags } = house;
  if (flags.all === true && flags.yes !== true)
    throw new KamadoError(
      "invalid_input",
      "--all throws every dead letter away for good; say --yes as well.",
    );
  return each(house, wantedOf(ids, flags), "thrown away", (letter) => box.purge(letter));
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
async function* allOf({ box, letters, lookAgain }: House, wanted: Wanted): AsyncGenerator<DeadLetter> {
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
  house: House,
  wanted: Wanted,
  done: string,
  act: (letter: DeadLetter) => Promise<string | undefined>,
): Promise<number> {
  const met: DeadLetter[] = [];
  const failed: { id: string; error: string }[] = [];
  for await (const letter of allOf(house, wanted)) {
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
  print(house.flags.json === true ? JSON.stringify({ done: count, failed, unknown }) : sayDone(count, done));
  if (unknown.length > 0) return missing(unknown, house);
  return failed.length > 0 ? EXIT.failed : EXIT.ok;
}

function missing(ids: string[], { box }: House): number {
  const behind = box.mayHoldMore ? `; ${BEHIND}` : "";
  warn(`no dead letter is called ${ids.join(", ")}; \`kamado dead list\` shows what there is${behind}`);
  return EXIT.failed;
}
