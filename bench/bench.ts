// npm run bench -- NAME [flags] [--json]: what is claimed about speed, measured here. One table a file; docs/bench.md says
// how to read them. This file finds the table and prints.
import { toKamadoError } from "../worker/errors.ts";
import { type Bench, flagsOf } from "./arguments.ts";

// Only the table that is called is loaded.
const TABLES: Record<string, () => Promise<Bench>> = {
  engine: async () => (await import("./engine.ts")).engine,
  concurrency: async () => (await import("./concurrency.ts")).concurrency,
  "end-to-end": async () => (await import("./end-to-end.ts")).endToEnd,
  identity: async () => (await import("./identity.ts")).identity,
  memory: async () => (await import("./memory.ts")).memory,
  pictures: async () => (await import("./pictures.ts")).pictures,
  scale: async () => (await import("./scale.ts")).scale,
  soak: async () => (await import("./soak.ts")).soak,
  utilisation: async () => (await import("./utilisation.ts")).utilisation,
};

/** Runs one table; resolves with the exit code. */
export async function bench([name, ...args]: readonly string[]): Promise<number> {
  const load = name === undefined ? undefined : TABLES[name];
  if (!load) {
    process.stderr.write(`${await usage()}\n`);
    return name === undefined || name === "--help" ? 0 : 2;
  }
  // What was started ends with this process: our engine by its channel, other programs by their guard.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  try {
    const table = await load();
    const values = flagsOf(table, args);
    const figures = await table.run(values, (text) => void process.stdout.write(`${text}\n`));
    if (values.json === true) process.stdout.write(`${JSON.stringify({ bench: name, ...figures })}\n`);
    return 0;
  } catch (thrown) {
    const error = toKamadoError(thrown, "handler_failed");
    process.stderr.write(`bench: ${error.code}: ${error.message}\n`);
    if (error !== thrown && thrown instanceof Error) process.stderr.write(`${thrown.stack}\n`);
    return error.code === "config_invalid" ? 2 : 1;
  }
}

async function usage(): Promise<string> {
  const lines = ["npm run bench -- NAME [flags] [--json]"];
  for (const [name, load] of Object.entries(TABLES)) {
    const { about, options } = await load();
    const flags = Object.entries(options).map(([flag, { type, default: preset }]) => {
      return `--${flag}${type === "boolean" ? "" : ` ${preset === undefined ? "…" : `[${preset}]`}`}`;
    });
    lines.push("", `  ${name}: ${about}`, `    ${flags.join("  ")}`);
  }
  return lines.join("\n");
}

if (import.meta.main) process.exitCode = await bench(process.argv.slice(2));
