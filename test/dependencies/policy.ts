// What we accept of what we depend on: licences, install scripts, known advisories. Pure rules over the lock file; every
// exception stands here with its reason.

export type Lock = {
  packages: Record<
    string,
    { version?: string; license?: string; hasInstallScript?: boolean; dev?: boolean; optional?: boolean }
  >;
};

const FREE = new Set(
  ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "Unlicense", "BlueOak-1.0.0"].map(
    (name) => name.toLowerCase(),
  ),
);

type Exception = { package: RegExp; why: string; version?: string; devOnly?: true };

/** Packages under another licence, or whose lock entry names none. */
export const LICENCE_EXCEPTIONS: readonly Exception[] = [
  {
    package: /^@img\/sharp-(libvips-|wasm32|win32-)/,
    why: "LGPL: libvips as a shared library of its own, which anyone may replace; we change nothing in it",
  },
  {
    package: /^libheif-js$/,
    why: "LGPL: libheif as a module of its own, which anyone may replace; we change nothing in it",
  },
  { package: /^lightningcss(-|$)/, why: "MPL: a part of vitest, used unchanged", devOnly: true },
  {
    package: /^axe-core$/,
    why: "MPL: run unchanged in tests of pages; no other engine finds as much",
    devOnly: true,
  },
  {
    package: /^(ssh2|cpu-features|buildcheck)$/,
    why: "MIT by its LICENSE file, in the old form; parts of testcontainers",
    devOnly: true,
  },
];

/** Install scripts stay off (install.mjs); these packages have one and work without it. */
export const SCRIPT_EXCEPTIONS: readonly Exception[] = [
  {
    package: /^@fugood\/llama\.node$/,
    why: "would build from source; the binaries are packages of their own",
  },
  { package: /^node-llama-cpp$/, why: "would build from source; the binaries are packages of their own" },
  {
    package: /^(ssh2|cpu-features)$/,
    why: "optional native speed for ssh, which we do not use",
    devOnly: true,
  },
  { package: /^protobufjs$/, why: "prints a warning about versions", devOnly: true },
];

/** Advisories we know and live with, by id. `until` is a date (2027-01-31) past which it fails again. */
export const ACCEPTED_ADVISORIES: readonly { id: string; why: string; until: string }[] = [];

const nameOf = (path: string) => path.replace(/^.*node_modules\//, "");

type Entry = Lock["packages"][string];
const isExcepted = (exceptions: readonly Exception[], name: string, entry: Entry) =>
  exceptions.some((one) => one.package.test(name) && (!one.devOnly || entry.dev === true));

/** Whether an SPDX expression leaves us a free choice: any of an OR, all of an AND. */
export function isFree(expression: string | undefined): boolean {
  const alternatives = (expression ?? "").replaceAll(/[()]/g, "").split(/\s+OR\s+/i);
  return alternatives.some((one) => one.split(/\s+AND\s+/i).every((name) => FREE.has(name.toLowerCase())));
}

/** What in the lock file is against the rules, one line a package. */
export function problemsOf({ packages }: Lock): string[] {
  const others = Object.entries(packages).filter(([path]) => path !== "");
  return others.flatMap(([path, entry]) => {
    const name = nameOf(path);
    const licensed = isFree(entry.license) || isExcepted(LICENCE_EXCEPTIONS, name, entry);
    const quiet = !entry.hasInstallScript || isExcepted(SCRIPT_EXCEPTIONS, name, entry);
    return [
      ...(licensed ? [] : [`${name}: the licence ${entry.license ?? "it does not name"} is not among ours`]),
      ...(quiet ? [] : [`${name}: has an install script that nobody looked at`]),
    ];
  });
}

/** Exceptions nothing needs any more. */
export function leftovers({ packages }: Lock): string[] {
  const names = Object.keys(packages).map(nameOf);
  return [...LICENCE_EXCEPTIONS, ...SCRIPT_EXCEPTIONS]
    .filter((one) => !names.some((name) => one.package.test(name)))
    .map((one) => `${one.package}: no package needs this exception any more`);
}

export type Audit = {
  vulnerabilities?: Record<string, { severity: string; via: (string | { url?: string; title?: string })[] }>;
};

/** Advisories of high or critical severity that were not accepted, or no longer are. */
export function advisoriesOf(
  { vulnerabilities = {} }: Audit,
  today: string,
  accepted = ACCEPTED_ADVISORIES,
): string[] {
  const known = accepted.filter(({ until }) => today <= until).map(({ id }) => id);
  return Object.entries(vulnerabilities)
    .filter(([, { severity }]) => severity === "high" || severity === "critical")
    .flatMap(([name, { severity, via }]) =>
      via
        .filter((one) => typeof one !== "string")
        .filter(({ url = "" }) => !known.includes(url.replace(/^.*\//, "")))
        .map(({ url, title }) => `${name}: ${severity}, ${title} (${url})`),
    );
}
