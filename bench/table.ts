// How the tables print numbers, shares and whether a target is met. Pure.
import type { Styled } from "../worker/logging/terminal.ts";

/** A dash stands for what could not be measured. */
export const digits = (value: number | undefined, count: number) =>
  value === undefined || Number.isNaN(value) ? "-" : value.toFixed(count);
export const percent = (share: number | undefined) =>
  share === undefined || Number.isNaN(share) ? "-" : `${(share * 100).toFixed(1)} %`;
export const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

export type Target = { at: "most" | "least"; value: number };
export const atMost = (value: number): Target => ({ at: "most", value });
export const atLeast = (value: number): Target => ({ at: "least", value });

/** NaN never meets a target. */
export const meets = (value: number, { at, value: target }: Target) =>
  at === "most" ? value <= target : value >= target;

/** A cell such as `✔ <= 0.87`, or an empty one where there is no target. */
export function mark(value: number, target: Target | undefined, of = ""): Styled {
  if (target === undefined) return "";
  const isMet = meets(value, target);
  const text = `${isMet ? "✔" : "✘"} ${target.at === "most" ? "<=" : ">="} ${target.value}${of}`;
  return { text, style: isMet ? "green" : "red" };
}
