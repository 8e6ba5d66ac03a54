// A life under a service manager, without one: what stands in the unit of systemd and in the property list of launchd is read as they read it
// and started in an otherwise empty environment, in a home with every sign that one of them could misread.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "plist";
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { type Facts, plistOf, stopSecondsOf, unitOf } from "../../worker/service/units.ts";
import { createResults } from "../../worker/storage/results.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const LONG = { timeout: 60_000, interval: 100 };
const DRAIN_SECONDS = 20;

type Start = { command: string[]; folder: string; variables: Record<string, string>; stopSeconds: number };

/** Words of a command line, as systemd splits it; only the program's name has no variables. */
function words(line: string): string[] {
  const all = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
  for (const word of all.slice(1)) expect(word.replaceAll("$$", "")).not.toContain("$");
  return all.map((word, at) => (at === 0 ? word : word.replaceAll("$$", "$")));
}

function asSystemd(text: string): Start {
  const settings = text.split("\n").flatMap((line) => {
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    expect((value ?? "").replaceAll("%%", "")).not.toContain("%");
    return key === undefined ? [] : [[key, value!.replaceAll("%%", "%")] as const];
  });
  const of = (name: string) => settings.filter(([key]) => key === name).map(([, value]) => value);
  return {
    command: words(of("ExecStart")[0]!),
    folder: of("WorkingDirectory")[0]!,
    variables: Object.fromEntries(of("Environment").map((one) => one.replace(/^"|"$/g, "").split(/=(.*)/s))),
    stopSeconds: Number(of("TimeoutStopSec")[0]),
  };
}

function asLaunchd(text: string): Start & { output: string } {
  const read = parse(text) as Record<string, never>;
  return {
    command: read.ProgramArguments!,
    folder: read.WorkingDirectory!,
    variables: read.EnvironmentVariables!,
    stopSeconds: read.ExitTimeOut!,
    output: read.StandardOutPath!,
  };
}

/** A home with a clone of Kamado, settings for a queue that is there, and a kind of its owner's. */
async function home() {
  const folder = join(mkdtempSync(join(tmpdir(), "kamado-life-")), "Jürgen & Ana <100%h> $HOME $$");
  const own = join(folder, "meine Kinds");
  for (const one of [own, join(folder, ".config/kamado"), join(folder, "Logs")])
    mkdirSync(one, { recursive: true });
  symlinkSync(ROOT, join(folder, "kamado"));
  writeFileSync(
    join(own, "greet.ts"),
    `import { defineHandler } from "kamado/handler";
    import { z } from "zod";
    export default defineHandler({
      kind: "greet",
      summary: "Greets.",
      input: z.object({ name: z.string() }),
      output: z.object({ text: z.string() }),
      run: async ({ name }, { model }) => ({ text: await model.ask({ instructions: "Greet.", content: name }) }),
    });`,
  );
  const aws = await startLocalAws({ port: 0 });
  onTestFinished(() => aws.stop());
  const clients = makeAwsClients(aws);
  onTestFinished(clients.destroy);
  const lines = {
    AWS_ENDPOINT_URL: aws.endpoint,
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "thing",
    KAMADO_QUEUE_URL: aws.resources.jobsQueueUrl,
    KAMADO_HANDLERS: `"${own}"`,
    KAMADO_BACKEND: "scripted",
    KAMADO_ENGINE_PORT: "0",
    KAMADO_WEB_PORT: "0",
    KAMADO_POLL_SECONDS: "1",
    KAMADO_DRAIN_SECONDS: String(DRAIN_SECONDS),
    KAMADO_SCRIPT: `'{"waitMs": 1500}'`,
  };
  writeFileSync(
    join(folder, ".config/kamado/kamado.env"),
    Object.entries(lines)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
    { mode: 0o600 },
  );
  const facts: Facts = {
    root: join(folder, "kamado"),
    node: join(folder, "kamado/node_modules/.bin/node"),
    home: folder,
    folder,
    envFile: join(folder, ".config/kamado/kamado.env"),
    logs: join(folder, "Logs"),
    stopSeconds: stopSecondsOf({ drainSeconds: DRAIN_SECONDS, pollSeconds: 1 }),
    image: "localhost/kamado-worker:latest",
    configHome: join(folder, ".config"),
  };
  const queue = sqsQueue(clients.sqs, aws.resources.jobsQueueUrl);
  const results = createResults(s3Bucket(clients.s3, aws.resources.bucket));
  return { facts, queue, results };
}

/** Starts it as a service manager does, with nothing of this process's environment. */
function start({ command: [program, ...list], folder, variables }: Start, output: string) {
  const file = openSync(output, "a", 0o600);
  const child = spawn(program!, list, {
    cwd: folder,
    env: variables,
    stdio: ["ignore", file, file],
    detached: true,
  });
  closeSync(file);
  const ended = once(child, "exit");
  onTestFinished(async () => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // It has ended in order.
    }
    await ended;
  });
  return { child, ended };
}

test("a unit and a property list start it with its settings and its owner's kinds, and a stop in the midst of a job loses nothing", async () => {
  const { facts, queue, results } = await home();
  const send = (id: string) => queue.send(JSON.stringify({ id, kind: "greet", input: { name: id } }));
  const unit = asSystemd(unitOf("worker", facts));
  const plist = asLaunchd(plistOf("worker", facts));
  // systemd gives every service of a user these.
  const lives = [
    {
      how: { ...unit, variables: { HOME: facts.home, PATH: "/usr/bin:/bin", ...unit.variables } },
      log: join(facts.logs, "journal"),
    },
    { how: plist, log: plist.output },
  ];
  for (const [at, { how, log }] of lives.entries()) {
    const said = () => readFileSync(log, "utf8");
    const { child, ended } = start(how, log);
    await send(`job-${at}`);
    await expect.poll(said, LONG).toContain('"stage":"received"');
    child.kill("SIGTERM");
    const inTime = AbortSignal.timeout(how.stopSeconds * 1_000);
    const end = await Promise.race([ended, once(inTime, "abort").then(() => ["late"])]);
    expect(end, said()).toEqual([0, null]);
    // It was finished within the drain, and not begun again.
    expect(await results.find(`job-${at}`)).toMatchObject({
      status: "succeeded",
      kind: "greet",
      receipt: { attempts: 1 },
    });
  }
}, 120_000);
