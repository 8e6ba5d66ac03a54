// The emulators of AWS that are not ours: what each is made of, how its process is started, where its files are kept.
// Installing is install.ts's, starting is start.ts's.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");

export type Emulator = {
  name: string;
  /** Of Python packages, every one of them with its version. */
  requirements: string;
  /** The oldest Python 3 its code can be read by, whatever it says itself. */
  python: number;
  /** A Python environment of its own. */
  folder: string;
  /** The arguments to Python that serve on this port of the loopback address. */
  serve(port: number): string[];
  variables(port: number, scratch: string): Record<string, string>;
  /** Answers 200 once calls can be made. */
  ready: string;
};

const define = (
  name: string,
  rest: Pick<Emulator, "python" | "serve" | "variables" | "ready">,
): Emulator => ({
  name,
  requirements: join(import.meta.dirname, `${name}.txt`),
  folder: join(ROOT, "node_modules/.cache/kamado-emulators", name),
  ...rest,
});

export const EMULATORS = {
  moto: define("moto", {
    python: 10,
    serve: (port) => ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
    variables: () => ({}),
    ready: "/moto-api/data.json",
  }),
  localstack: define("localstack", {
    python: 12,
    serve: () => ["-m", "localstack.runtime.main"],
    variables: (port, scratch) => ({
      GATEWAY_LISTEN: `127.0.0.1:${port}`,
      LOCALSTACK_HOST: `127.0.0.1:${port}`,
      // Its other server listens on every address, whatever the line above says.
      GATEWAY_SERVER: "hypercorn",
      SERVICES: "sqs,sns,s3",
      STRICT_SERVICE_LOADING: "1",
      FILESYSTEM_ROOT: scratch,
      // Nothing is looked up, downloaded or reported.
      DNS_ADDRESS: "0",
      DISABLE_EVENTS: "1",
      SKIP_SSL_CERT_DOWNLOAD: "1",
    }),
    ready: "/_localstack/health",
  }),
} as const satisfies Record<string, Emulator>;
export type EmulatorName = keyof typeof EMULATORS;

export const pythonOf = ({ folder }: Emulator) => join(folder, "bin/python");
/** Holds the requirements it was installed from, once everything is in place. */
export const stampOf = ({ folder }: Emulator) => join(folder, "installed.txt");

/** Null when it can be started; else why not, for a skipped test. */
export function whyNot(emulator: Emulator): string | null {
  const stamp = stampOf(emulator);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync(emulator.requirements, "utf8"))
    return null;
  return `${emulator.name} is not installed; \`npm run emulators\` installs it where PyPI can be reached`;
}
