// What the worker in a container needs beside its unit: its settings, and the files and the folder that they name, as secrets and a mount of
// Podman; on a Mac its units inside the Podman machine.
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEnv } from "node:util";
import { KamadoError } from "../errors.ts";
import { call, type Doing } from "./changes.ts";
import { inMachine as ssh } from "./systemd.ts";
import { type Facts, type Mounts, QUADLETS, quadletOf } from "./units.ts";

const SECRET = "kamado.env";
/** Of a file that the settings name. */
const FILE_SECRET = "kamado.file.";
/** In the Podman machine, where systemd's user instance runs without a login. */
const FOLDER = ".config/containers/systemd";

/** What the settings in this file name outside of it, which a container does not see by itself. Throws `config_invalid`. */
export function mountsOf(envFile: string): Mounts {
  const variables = parseEnv(readSettings(envFile));
  const named = Object.entries(variables).filter(
    (one): one is [string, string] => (one[0] === "KAMADO_HANDLERS" || one[0].endsWith("_FILE")) && !!one[1],
  );
  for (const [name, path] of named) {
    const why = !isAbsolute(path)
      ? "is no absolute path"
      : /[:,"\\$%]/.test(path)
        ? 'has one of the signs : , " \\ $ % in it'
        : existsSync(path)
          ? undefined
          : "is not there";
    if (why === undefined) continue;
    throw new KamadoError(
      "config_invalid",
      `${name}: ${path} ${why}, so it cannot be given to a container.`,
      {
        hint: `Write the whole path of something that is there into ${envFile}, and run the command again.`,
      },
    );
  }
  return {
    folders: named.filter(([name]) => name === "KAMADO_HANDLERS").map(([, path]) => path),
    files: named
      .filter(([name]) => name !== "KAMADO_HANDLERS" && name !== "KAMADO_LOG_FILE")
      .map(([name, path]) => ({ secret: `${FILE_SECRET}${name}`, path })),
  };
}

/** Before the unit is started. The secrets are made again each time, so that they hold what the files hold now. */
export async function prepareContainer({ envFile, mounts }: Facts, doing: Doing): Promise<void> {
  await makeSecret(SECRET, readSettings(envFile), doing);
  for (const { secret, path } of mounts?.files ?? [])
    await makeSecret(secret, readFileSync(path, "utf8"), doing);
}

const makeSecret = (name: string, content: string, doing: Doing) =>
  call(["podman", "secret", "create", "--replace", name, "-"], doing, { input: content });

/** After the machine was started: only its own systemd sees the files. */
export async function installInMachine(facts: Facts, doing: Doing): Promise<void> {
  if (!doing.isDry) await machineRuns(doing);
  await prepareContainer(facts, doing);
  await call(ssh(`mkdir -p ${FOLDER}`), doing);
  for (const file of QUADLETS)
    await call(ssh(`cat > ${FOLDER}/${file}`), doing, { input: quadletOf(file, facts) });
  await call(ssh("systemctl --user daemon-reload"), doing);
  await call(ssh("systemctl --user restart kamado.service"), doing);
}

/** A machine takes a while to start; launchd does not wait for it. */
const MACHINE_STARTS_SECONDS = 180;

async function machineRuns({ machine, say }: Doing): Promise<void> {
  say({ did: true, what: "wait until the Podman machine answers" });
  const end = performance.now() + MACHINE_STARTS_SECONDS * 1_000;
  for (;;) {
    const { code, errors } = await machine.run(ssh("true"));
    if (code === 0) return;
    if (code === 127)
      throw new KamadoError("tool_missing", "podman is not here.", {
        hint: "brew install podman, then podman machine init.",
      });
    if (performance.now() > end)
      throw new KamadoError("service_failed", `The Podman machine does not answer: ${errors.trim()}`, {
        hint: "Make one with `podman machine init`; ~/Library/Logs/kamado/podman-machine.log says how its start went. Then run the command again.",
      });
    await sleep(1_000);
  }
}

/** A machine that is stopped or gone cannot be asked, and must not keep the rest from being removed. */
export async function removeFromMachine(doing: Doing): Promise<void> {
  if ((await doing.machine.run(ssh("true"))).code !== 0) {
    const files = QUADLETS.map((file) => `~/${FOLDER}/${file}`).join(" and ");
    doing.say({ did: false, what: `the Podman machine does not answer; ${files} stay in it` });
    return;
  }
  await call(ssh("systemctl --user stop kamado.service || true"), doing);
  await call(ssh(`rm -f ${QUADLETS.map((file) => `${FOLDER}/${file}`).join(" ")}`), doing);
  await call(ssh("systemctl --user daemon-reload"), doing);
}

/** Removing what is not there is no failure. */
export async function removeSecrets(doing: Doing): Promise<void> {
  const { code, out } = await doing.machine.run(["podman", "secret", "ls", "--format", "{{.Name}}"]);
  const own = out.split("\n").filter((name) => name === SECRET || name.startsWith(FILE_SECRET));
  if (code === 0 && own.length > 0) await call(["podman", "secret", "rm", ...own], doing);
}

const NEEDED = ["KAMADO_QUEUE_URL", "KAMADO_ENGINE_URL"];

function readSettings(path: string): string {
  const text = existsSync(path) ? readFileSync(path, "utf8") : undefined;
  const variables = parseEnv(text ?? "");
  const missing = NEEDED.filter((name) => !variables[name]);
  if (text !== undefined && missing.length === 0) return text;
  const what = text === undefined ? "is not there" : `has no ${missing.join(" and no ")}`;
  throw new KamadoError("config_invalid", `${path} ${what}: a container gets its settings from it.`, {
    hint: "Write KAMADO_QUEUE_URL, KAMADO_ENGINE_URL=http://host.containers.internal:4781 and KAMADO_ENGINE_TOKEN into it, each as NAME=value on a line of its own (docs/containers.md).",
  });
}
