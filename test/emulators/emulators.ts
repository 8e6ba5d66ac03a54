// What the tests use of Python: the emulators of AWS that are not ours, and OpenAI's client. What each is made of, where its
// files are kept, how an emulator's process is started. Installing is install.ts's, starting is start.ts's.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");

export type Pinned = {
  name: string;
  /** Of Python packages, every one of them with its version. */
  requirements: string;
  /** The oldest Python 3 its code can be read by, whatever it says itself. */
  python: number;
  /** A Python environment of its own. */
  folder: string;
};

export type Emulator = Pinned & {
  /** The arguments to Python that serve on this port of the loopback address. */
  serve(port: number): string[];
  variables(port: number, scratch: string): Record<string, string>;
  /** Answers 200 once calls can be made. */
  ready: string;
};

const pinned = (name: string, python: number): Pinned => ({
  name,
  python,
  requirements: join(import.meta.dirname, `${name}.txt`),
  folder: join(ROOT, "node_modules/.cache/kamado-emulators", name),
});

/** The official client, for the test that it works unchanged. */
export const OPENAI = pinned("openai", 11);

export const EMULATORS = {
  moto: {
    ...pinned("moto", 10),
    serve: (port: number) => ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
    variables: () => ({}),
    ready: "/moto-api/data.json",
  },
  localstack: {
    ...pinned("localstack", 12),
    serve: () => ["-m", "localstack.runtime.main"],
    variables: (port: number, scratch: string) => ({
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
  },
} as const satisfies Record<string, Emulator>;
export type EmulatorName = keyof typeof EMULATORS;

export const pythonOf = ({ folder }: Pinned) => join(folder, "bin/python");
/** Holds the requirements it was installed from, once everything is in place. */
export const stampOf = ({ folder }: Pinned) => join(folder, "installed.txt");

/** Null when it can be started; else why not, for a skipped test. */
export function whyNot(wanted: Pinned): string | null {
  const stamp = stampOf(wanted);
  const isCurrent =
    existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync(wanted.requirements, "utf8");
  // An environment leads to the Python it was made from, which may have gone since.
  if (isCurrent && existsSync(pythonOf(wanted))) return null;
  return `${wanted.name} is not installed; \`npm run emulators\` installs it where PyPI can be reached`;
}
