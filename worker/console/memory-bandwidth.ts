// How fast a processor reads its memory, for the ceiling of tokens a second: one answer reads the whole model once for each token. Apple's
// figures; where a chip comes in two, the faster one.

/** Gigabytes a second. */
const APPLE: Record<string, number> = {
  M1: 68,
  "M1 Pro": 200,
  "M1 Max": 400,
  "M1 Ultra": 800,
  M2: 100,
  "M2 Pro": 200,
  "M2 Max": 400,
  "M2 Ultra": 800,
  M3: 100,
  "M3 Pro": 150,
  "M3 Max": 400,
  "M3 Ultra": 819,
  M4: 120,
  "M4 Pro": 273,
  "M4 Max": 546,
  M5: 153,
};

/** Bytes a second; null for a processor that is not in the list. */
export function bandwidthOf(cpu: string | null | undefined): number | null {
  const chip = /^Apple (M\d+(?: (?:Pro|Max|Ultra))?)$/.exec(cpu ?? "")?.[1];
  const known = chip === undefined ? undefined : APPLE[chip];
  return known === undefined ? null : known * 1e9;
}
