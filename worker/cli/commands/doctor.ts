// `kamado doctor`: looks at everything that Kamado needs, on this machine and at AWS, and says how it is and what to do. What is looked at
// is in doctor/; here it is decided what to look at, which depends on what runs and on what is configured.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { systemClock } from "../../async/clock.ts";
import { makeAwsClients } from "../../aws/clients.ts";
import {
  type Config,
  configFilePath,
  HOME,
  loadConfig,
  loadServiceVariables,
  openSecretsIn,
  serviceEnvironment,
} from "../../config/config.ts";
import { cloudFindings } from "../../doctor/cloud.ts";
import { engineFinding } from "../../doctor/engine.ts";
import { type Finding, fail, failed, ok, warn } from "../../doctor/finding.ts";
import { macFindings } from "../../doctor/mac.ts";
import { diskFinding, gpuFinding, memoryFinding, memoryOf, nodeFinding } from "../../doctor/machine.ts";
import { modelFinding } from "../../doctor/model.ts";
import { policyFindings, troubleFindings } from "../../doctor/power.ts";
import { searchFindings } from "../../doctor/search.ts";
import {
  destinationFindings,
  lingersOn,
  podmanFinding,
  portFindings,
  serviceFindings,
} from "../../doctor/surroundings.ts";
import { openEngine } from "../../engine/supervisor/open-engine.ts";
import { toKamadoError } from "../../errors.ts";
import { silentLog } from "../../logging/log.ts";
import { EXIT } from "../../logging/terminal.ts";
import { printableJson } from "../../printable.ts";
import { type Machine, thisMachine } from "../../service/machine.ts";
import { installedServices, type Manager, type State } from "../../service/manager.ts";
import { PARTS } from "../../service/units.ts";
import { cloudHere } from "../cloud.ts";
import { engineOptions } from "../engine-options.ts";
import { examples, notes } from "../examples.ts";
import { flagsOf } from "../flags.ts";
import {
  engineErrorOf,
  type Found,
  findEngine,
  findService,
  type ServiceState,
  stateOf,
  tokenOf,
} from "../running-service.ts";
import { place } from "../service-place.ts";
import { viewFinding, viewSummary } from "./doctor-view.ts";

const EXAMPLES = [
  "doctor",
  "doctor --deep    # before anything runs: loads the model too",
  "doctor --json | jq '.checks[] | select(.status != \"ok\")'",
];

const NOTES =
  "It takes and sends no job. Settings are read as a service reads them: kamado.env too, and what is set here goes first.\n" +
  "Exit codes: 0 nothing fails (there may be warnings), 1 something fails, 2 wrong usage.";

export function doctorCommand(machine: Machine = thisMachine(serviceEnvironment())): Command {
  return notes(examples(new Command("doctor"), EXAMPLES), NOTES)
    .description("check this machine, the model, the queues and all else that Kamado needs")
    .option("--deep", "load the model where no engine runs, let it say a token, and end it")
    .option("--json", "print one JSON line")
    .action(async (_, command: Command) => {
      const { deep, json } = flagsOf(command);
      const findings: Finding[] = [];
      const groups = await checksOf(machine, command, deep === true);
      // All at once, and shown in their order.
      for (const group of groups)
        for (const finding of await group) {
          findings.push(finding);
          if (json !== true) process.stdout.write(`${viewFinding(finding)}\n`);
        }
      const isOk = findings.every(({ status }) => status !== "fail");
      process.stdout.write(
        json === true ? `${printableJson({ ok: isOk, checks: findings })}\n` : `\n${viewSummary(findings)}\n`,
      );
      process.exitCode = isOk ? EXIT.ok : EXIT.failed;
    });
}

type Group = Promise<Finding[]>;

async function checksOf(machine: Machine, command: Command, isDeep: boolean): Promise<Group[]> {
  const { engines } = JSON.parse(readFileSync(join(HOME, "package.json"), "utf8"));
  const node = group("Node", nodeFinding(machine, engines.node));
  const { config, findings: settings } = readSettings();
  const memory = memoryOf(machine, config?.engine.memoryLimit);
  const alone = [memoryFinding(memory), gpuFinding(machine)];
  const states = servicesOf(machine, command, config);
  const mac =
    machine.platform === "darwin"
      ? [
          group(
            "macOS",
            // Where it is not known, what is said of a LaunchAgent is true all the same.
            states.then((all) => macFindings(machine, all ? all.startsAt : "login", memory)),
          ),
        ]
      : [];
  if (config === undefined) return [node, Promise.resolve([...alone, ...settings]), ...mac];
  const found = await findService(config);
  const holdsQueue = config.queueUrl === undefined;
  return [
    node,
    Promise.resolve([diskFinding(config.dataDir, { holdsQueue }), ...alone, ...settings]),
    group("Kamado", kamadoFinding(config, found)),
    group("model", modelFinding(config, memory)),
    group("engine", whichEngine(config, found, isDeep)),
    group("queue", queues(config, found)),
    group("destinations", destinationFindings(config.destinationsFile)),
    group("pauses", policyFindings(config, machine)),
    group("trouble", troubleFindings(config)),
    group("search", searchFindings(config, systemClock)),
    group("ports", ports(config, found)),
    group("service", services(machine, states)),
    ...mac,
  ];
}

/** A check that breaks says so, and hides no other. */
const group = (check: string, finding: Promise<Finding | Finding[]>): Group =>
  finding.then(
    (found) => [found].flat(),
    (thrown) => [failed(check, toKamadoError(thrown, "service_failed"))],
  );

const SETTINGS = "settings";

function readSettings(): { config?: Config; findings: Finding[] } {
  const { path, findings } = readServiceVariables();
  try {
    const config = loadConfig();
    const files = [path, configFilePath()].filter((one) => one !== undefined);
    const where =
      files.length === 0 ? "from variables and defaults; there is no kamado.toml" : files.join(", ");
    const todo = "Correct what it names; docs/settings.md lists all settings.";
    const warnings = [...(path === undefined ? [] : openSecretsIn(path)), ...config.warnings];
    findings.push(...warnings.map((warning) => warn(SETTINGS, warning, todo)));
    return { config, findings: findings.length > 0 ? findings : [ok(SETTINGS, where)] };
  } catch (thrown) {
    return { findings: [...findings, failed(SETTINGS, toKamadoError(thrown, "config_invalid"))] };
  }
}

/** What a service has besides: without it the rest is looked at all the same. */
function readServiceVariables(): { path: string | undefined; findings: Finding[] } {
  try {
    return { path: loadServiceVariables(), findings: [] };
  } catch (thrown) {
    return { path: undefined, findings: [failed(SETTINGS, toKamadoError(thrown, "config_invalid"))] };
  }
}

async function kamadoFinding(config: Config, found: Found): Promise<Finding> {
  const check = "Kamado";
  const start = "Start it with `npm start`, or `kamado service install`.";
  if (found.is === "none") return warn(check, "does not run here", start);
  if (found.is === "stale")
    return warn(check, `does not run here any more: process ${found.pid} ended without a stop`, start);
  const { pid, web } = found.service;
  const state = await stateOf({ config, found });
  if (state === "silent")
    return fail(
      check,
      `process ${pid} does not answer at ${web.url}`,
      `It is stopped or has much to do (\`ps ${pid}\`).`,
    );
  if (state === null) return ok(check, `process ${pid} runs; its page asks for a token (KAMADO_WEB_TOKEN)`);
  if (state.status !== "UNHEALTHY") return ok(check, `${state.status}, process ${pid}, ${web.url}`);
  const { found: why, todo } = reasonOf(state);
  return fail(check, `process ${pid} pulls no jobs: ${why}`, todo);
}

function reasonOf({ startCheck, engine, queue, bucket, disk }: ServiceState): {
  found: string;
  todo: string;
} {
  const error = startCheck?.error ?? engine.error;
  if (error) return { found: `${error.code}: ${error.message}`, todo: error.hint };
  if (queue.hint) return { found: `its queue cannot be used (${queue.health})`, todo: queue.hint };
  if (bucket.hint) return { found: `its bucket cannot be used (${bucket.health})`, todo: bucket.hint };
  if (disk?.hint) return { found: "the disk of its queue is full", todo: disk.hint };
  return { found: "it says UNHEALTHY", todo: "`kamado status` may say more." };
}

/** That of what runs here, the one that is configured, or with --deep one of its own. */
async function whichEngine(config: Config, found: Found, isDeep: boolean): Promise<Finding> {
  const running = await findEngine(config, found);
  const { url, remoteModel: model, token } = config.engine;
  if (running)
    return engineFinding({
      url: running.url,
      token: tokenOf(running, token)?.reveal(),
      model,
      todo: "`kamado status` says what the worker knows of it; `kamado service restart` starts it again.",
      isOfWorker: true,
      trouble: await engineErrorOf({ config, found }),
    });
  const todo = "Start that server, or correct KAMADO_ENGINE_URL.";
  if (url !== undefined) return engineFinding({ url, token: token?.reveal(), model, todo });
  if (isDeep) return startedEngine(config);
  return warn(
    "engine",
    "none runs here, so whether the model loads is not known",
    "`kamado doctor --deep` loads it; Kamado starts its engine by itself.",
  );
}

/** A large model on a slow disk. */
const LOAD_MS = 600_000;

async function startedEngine(config: Config): Promise<Finding> {
  // One slot: how many suit the machine need not be measured for one token.
  const engine = await openEngine({ ...engineOptions(config), slots: 1, port: 0 }, silentLog);
  const { promise: over, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      reject(engine.trouble?.() ?? new Error(`The model has not loaded after ${LOAD_MS / 60_000} minutes.`)),
    LOAD_MS,
  );
  try {
    await Promise.race([engine.ready(), over]);
    const { url, token } = { url: engine.url, token: config.engine.token?.reveal() };
    return await engineFinding({ url, token, model: undefined, todo: "Run it again." });
  } finally {
    clearTimeout(timer);
    await engine.stop();
  }
}

/** Of each call, which is tried twice: somebody waits. */
const LOOK_TIMEOUTS = { connectionTimeout: 4_000, requestTimeout: 4_000, socketTimeout: 4_000 };

async function queues(config: Config, found: Found): Group {
  if (config.queueUrl === undefined && found.is !== "running")
    return [ok("queue", "the embedded one, which runs while Kamado does (KAMADO_QUEUE_URL names another)")];
  const isLocal = config.queueUrl === undefined && found.is === "running" && found.service.cloud.isLocal;
  if (isLocal && (await stateOf({ config, found })) === "silent")
    return [
      fail(
        "queue",
        `the embedded one is part of process ${found.service.pid}, which does not answer`,
        "See what is said of Kamado.",
      ),
    ];
  const here = await cloudHere(config);
  const clients = makeAwsClients(here.cloud.aws, LOOK_TIMEOUTS);
  try {
    return await cloudFindings({ clients, cloud: here.cloud, config: here.config, isLocal });
  } finally {
    clients.destroy();
  }
}

async function ports(config: Config, found: Found): Group {
  // What runs has them.
  if (found.is === "running") return [];
  const engine = await findEngine(config, found);
  const free = await portFindings(config);
  return free.filter(({ check }) => check !== "engine port" || engine === undefined);
}

/** What is installed, and when it starts: a LaunchDaemon needs nobody to log in. */
type Services = { installed: State[]; startsAt: "login" | "boot" | undefined };

/** Undefined where there is no manager of services that Kamado knows. */
async function servicesOf(
  machine: Machine,
  command: Command,
  config: Config | undefined,
): Promise<Services | undefined> {
  if (config === undefined) return undefined;
  try {
    const { manager, other: daemonManager, facts } = await place(machine, command, PARTS);
    const statesOf = async (one: Manager) =>
      (await installedServices(one, PARTS, facts, machine)).map(({ state }) => state);
    const own = await statesOf(manager);
    const daemons = daemonManager ? await statesOf(daemonManager) : [];
    const startsAt = daemons.length > 0 ? "boot" : own.length > 0 ? "login" : undefined;
    return { installed: [...own, ...daemons], startsAt };
  } catch {
    return undefined;
  }
}

async function services(machine: Machine, asked: Promise<Services | undefined>): Group {
  const known = await asked;
  if (known === undefined) return [];
  const lingers = machine.platform === "linux" ? await lingersOn(machine) : undefined;
  const findings = serviceFindings(known.installed, lingers);
  if (machine.platform !== "darwin") return findings;
  const isNeeded = known.installed.some(({ part }) => part === "podman-machine");
  return [...findings, await podmanFinding(machine, isNeeded)];
}
