// What a check of `kamado doctor` found: one line for a person, one object for a script.
import type { KamadoError } from "../errors.ts";

export type Status = "ok" | "warn" | "fail";

export type Finding = {
  /** What was looked at; the same in every version. */
  check: string;
  status: Status;
  /** How it is. */
  found: string;
  /** What to do about it. */
  todo?: string;
};

export const ok = (check: string, found: string): Finding => ({ check, status: "ok", found });
export const warn = (check: string, found: string, todo: string): Finding => ({
  check,
  status: "warn",
  found,
  todo,
});
export const fail = (check: string, found: string, todo: string): Finding => ({
  check,
  status: "fail",
  found,
  todo,
});
export const failed = (check: string, { message, hint }: KamadoError): Finding => fail(check, message, hint);
