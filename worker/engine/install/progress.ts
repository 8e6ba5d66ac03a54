// What a build tool prints, read for how far it is. Pure.

/** `done` of `total`: steps where the tool counts them, else percent. */
export type Steps = { done: number; total: number };

/** Ninja counts steps, `[12/330] …`; make tells percent, `[ 45%] …`. Undefined for every other line. */
export function stepsIn(line: string): Steps | undefined {
  const counted = /^\[(\d+)\/(\d+)\]/.exec(line);
  if (counted) return { done: Number(counted[1]), total: Number(counted[2]) };
  const percent = /^\[ *(\d+)%\]/.exec(line);
  return percent ? { done: Number(percent[1]), total: 100 } : undefined;
}

/** `▕█████     ▏ 45 %  149 of 330`; how many steps only where there are steps. */
export function barOf({ done, total }: Steps, width = 24): string {
  const share = Math.min(1, total === 0 ? 0 : done / total);
  const full = Math.floor(share * width);
  const bar = `▕${"█".repeat(full)}${" ".repeat(width - full)}▏`;
  const steps = total === 100 || total === 0 ? "" : `  ${done} of ${total}`;
  return `${bar} ${percentOf({ done, total })} %${steps}`;
}

export const percentOf = ({ done, total }: Steps) =>
  total === 0 ? 0 : Math.floor(Math.min(1, done / total) * 100);

/** 75 seconds are `1:15`. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
