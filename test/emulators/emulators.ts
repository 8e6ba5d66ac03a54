// The Python programs that the tests use: three AWS emulators, a CalDAV server, what checks infra/template.yaml, and clients of the engine's
// API. Says what each requires, where it is installed and how it is started. install.ts installs them, start.ts starts them.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");

export type Pinned = {
  name: string;
  /** A file with all Python packages and their versions. */
  requirements: string;
  /** The oldest Python 3 that can run it, whatever its own metadata says. */
  python: number;
  /** Its own virtual environment. */
  folder: string;
};

export type Emulator = Pinned & {
  /** The arguments to Python that serve on this port of the loopback address. */
  serve(port: number): string[];
  variables(port: number, scratch: string): Record<string, string>;
  /** A path that answers 200 when calls can be made. */
  ready: string;
};

const pinned = (name: string, python: number): Pinned => ({
  name,
  python,
  requirements: join(import.meta.dirname, `${name}.txt`),
  folder: join(ROOT, "node_modules/.cache/kamado-emulators", name),
});

/** The official client, for the test that it works with our engine. */
export const OPENAI = pinned("openai", 11);

/** LangChain, LlamaIndex and instructor, for the test that they work with our engine. */
export const CLIENTS = pinned("clients", 11);

/** cfn-lint and checkov, which check infra/template.yaml. */
export const TEMPLATE_CHECKS = pinned("template-checks", 11);

/** A CalDAV server, for the test that todos in a calendar work with a real one. */
export const RADICALE: Emulator = {
  ...pinned("radicale", 10),
  serve: (port) => [
    ...["-m", "radicale", "--server-hosts", `127.0.0.1:${port}`, "--auth-type", "none"],
    ...["--storage-filesystem-folder", "collections"],
  ],
  variables: () => ({}),
  ready: "/.web/",
};

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
      // Its default server ignores GATEWAY_LISTEN and listens on every address.
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
  // Its own start listens on every address.
  ministack: {
    ...pinned("ministack", 11),
    serve: (port: number) => [
      ...["-m", "hypercorn", "--bind", `127.0.0.1:${port}`],
      // One process. A worker process would live on when the first one is killed.
      ...["--workers", "0", "ministack.app:app"],
    ],
    variables: (port: number) => ({ GATEWAY_PORT: String(port), MINISTACK_HOST: "127.0.0.1" }),
    ready: "/_ministack/health",
  },
} as const satisfies Record<string, Emulator>;
export type EmulatorName = keyof typeof EMULATORS;

export const pythonOf = ({ folder }: Pinned) => join(folder, "bin/python");
/** A copy of the requirements. It is written when the installation is complete. */
export const stampOf = ({ folder }: Pinned) => join(folder, "installed.txt");

/** Null when it can be started. Otherwise the reason, for a skipped test. */
export function whyNot(wanted: Pinned): string | null {
  const stamp = stampOf(wanted);
  const isCurrent =
    existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync(wanted.requirements, "utf8");
  // A virtual environment links to the Python that created it, which may have been removed since.
  if (isCurrent && existsSync(pythonOf(wanted))) return null;
  return `${wanted.name} is not installed; \`npm run emulators\` installs it where PyPI can be reached`;
}

/** For what takes too long for every run of the tests. */
export const whyNotAll = () =>
  process.env.KAMADO_TEST_INFRA === "1" ? null : "it takes long; set KAMADO_TEST_INFRA=1, as .ci/run does";
