// What the worker in a container needs beside its unit: its settings as a secret of Podman, and on a Mac its files inside the Podman machine.
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { KamadoError } from "../errors.ts";
import { call, type Doing, inMachine as ssh } from "./manager.ts";
import { type Facts, quadletOf } from "./units.ts";

const SECRET = "kamado.env";
const FILES = ["kamado.container", "kamado.network"] as const;
/** In the Podman machine, where systemd's user instance runs without a login. */
const FOLDER = ".config/containers/systemd";

/** Before the unit is started. The secret is made again each time, so that it holds what the file holds now. */
export async function prepareContainer({ envFile }: Facts, doing: Doing): Promise<void> {
  const settings = readSettings(envFile);
  await call(["podman", "secret", "create", "--replace", SECRET, "-"], doing, settings);
}

/** After the machine runs: only its own systemd sees the files. */
export async function installInMachine(facts: Facts, doing: Doing): Promise<void> {
  await prepareContainer(facts, doing);
  await call(ssh(`mkdir -p ${FOLDER}`), doing);
  for (const file of FILES) await call(ssh(`cat > ${FOLDER}/${file}`), doing, quadletOf(file, facts));
  await call(ssh("systemctl --user daemon-reload"), doing);
  await call(ssh("systemctl --user restart kamado.service"), doing);
}

/** A machine that is stopped or gone cannot be asked, and must not keep the rest from being removed. */
export async function removeFromMachine(doing: Doing): Promise<void> {
  if ((await doing.machine.run(ssh("true"))).code !== 0) {
    const files = FILES.map((file) => `~/${FOLDER}/${file}`).join(" and ");
    doing.say({ did: false, what: `the Podman machine does not answer; ${files} stay in it` });
    return;
  }
  await call(ssh("systemctl --user stop kamado.service || true"), doing);
  await call(ssh(`rm -f ${FILES.map((file) => `${FOLDER}/${file}`).join(" ")}`), doing);
  await call(ssh("systemctl --user daemon-reload"), doing);
}

/** Removing what is not there is no failure. */
export async function removeSecret(doing: Doing): Promise<void> {
  const { code, out } = await doing.machine.run(["podman", "secret", "ls", "--format", "{{.Name}}"]);
  if (code === 0 && out.split("\n").includes(SECRET)) await call(["podman", "secret", "rm", SECRET], doing);
}

function readSettings(path: string): string {
  if (existsSync(path)) return readFileSync(path, "utf8");
  throw new KamadoError("config_invalid", `${path} is not there: a container gets its settings from it.`, {
    hint: `Write KAMADO_QUEUE_URL, KAMADO_ENGINE_URL=http://host.containers.internal:4781 and KAMADO_ENGINE_TOKEN into ${basename(path)}, each as NAME=value on a line of its own (docs/containers.md).`,
  });
}
