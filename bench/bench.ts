// npm run bench -- NAME [flags] [--json]: measures what Kamado claims about speed. Each table is one file; docs/bench.md says how
// to read them. This file finds the table, prints, and ends it cleanly on Ctrl-C.
import { toKamadoError } from "../worker/errors.ts";
import { prose } from "../worker/logging/terminal.ts";
import { type Bench, flagsOf } from "./arguments.ts";
import { Session } from "./session.ts";

// Only the requested table is loaded.
export const TABLES: Record<string, () => Promise<Bench>> = {
  engine: async () => (await import("./engine.ts")).engine,
  identity: async () => (await import("./identity.ts")).identity,
  concurrency: async () => (await import("./concurrency.ts")).concurrency,
  "end-to-end": async () => (await import("./end-to-end.ts")).endToEnd,
  memory: async () => (await import("./memory.ts")).memory,
  "prefix-files": async () => (await import("./prefix-files.ts")).prefixFiles,
  utilisation: async () => (await import("./utilisation.ts")).utilisation,
  idle: async () => (await import("./idle.ts")).idle,
  soak: async () => (await import("./soak.ts")).soak,
  batches: async () => (await import("./batches.ts")).batches,
  neighbours: async () => (await import("./neighbours.ts")).neighbours,
  pages: async () => (await import("./pages.ts")).pages,
  research: async () => (await import("./research.ts")).research,
  scale: async () => (await import("./scale.ts")).scale,
  articles: async () => (await import("./articles.ts")).articles,
  fairness: async () => (await import("./fairness.ts")).fairness,
};

const INTERRUPTED = 130;
const LINGER_MS = 1_000;

/** Runs one table. Resolves with the exit code. */
export async function bench([name, ...args]: readonly string[]): Promise<number> {
  const load = name === undefined ? undefined : TABLES[name];
  if (!load || args.includes("--help")) {
    const isAsked = load !== undefined || name === undefined || name === "--help";
    const text = load ? await usageOf(name!, load) : await usage();
    const stream = isAsked ? process.stdout : process.stderr;
    stream.write(`${prose(text, stream)}\n`);
    return isAsked ? 0 : 2;
  }
  const session = new Session((text) => void process.stdout.write(`${text}\n`));
  const interrupted = endAtSignals(session);
  try {
    const table = await load();
    const values = flagsOf(table, args);
    const figures = await table.run(values, session);
    if (values.json === true) session.print(JSON.stringify({ bench: name, ...figures }));
    return 0;
  } catch (thrown) {
    // Once the session has ended, everything else fails because of that.
    const why = session.signal.aborted ? session.signal.reason : thrown;
    const code = why === interrupted ? INTERRUPTED : explain(why);
    // Clients of a stopped server may still be retrying and keep the process alive.
    setTimeout(() => process.exit(code), LINGER_MS).unref();
    return code;
  }
}

/** The first signal unwinds the run, which stops what it started. After the second the guards and channels do that. */
function endAtSignals(session: Session): Error {
  const interrupted = new Error("interrupted");
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      if (session.signal.aborted) process.exit(INTERRUPTED);
      process.stderr.write("bench: stopping\n");
      session.end(interrupted);
    });
  return interrupted;
}

function explain(thrown: unknown): number {
  const error = toKamadoError(thrown, "handler_failed");
  // This code stands for every error that has no code of its own.
  const code = error.code === "handler_failed" ? "" : `${error.code}: `;
  process.stderr.write(`bench: ${code}${error.message}\n`);
  if (error !== thrown && thrown instanceof Error) process.stderr.write(`${thrown.stack}\n`);
  return error.code === "config_invalid" ? 2 : 1;
}

async function usage(): Promise<string> {
  const tables = await Promise.all(Object.entries(TABLES).map(([name, load]) => usageOf(name, load)));
  return ["npm run bench -- NAME [flags] [--json]", ...tables].join("\n\n");
}

async function usageOf(name: string, load: () => Promise<Bench>): Promise<string> {
  const { about, options } = await load();
  const flags = Object.entries(options).map(([flag, { type, default: preset }]) => {
    return `--${flag}${type === "boolean" ? "" : ` ${preset === undefined ? "…" : `[${preset}]`}`}`;
  });
  return `  ${name}: ${about}\n    ${[...flags, "--json"].join("  ")}`;
}

if (import.meta.main) process.exitCode = await bench(process.argv.slice(2));
