// Owns the cursor of a list: the place of the last row of a page, as a word that a client gives back and need not understand. Pure.
import { KamadoError } from "../errors.ts";

export type Place = { at: number; key: number };

export const encodeCursor = ({ at, key }: Place): string => Buffer.from(`${at}.${key}`).toString("base64url");

/** Throws `invalid_input`. */
export function decodeCursor(cursor: string): Place {
  const [, at, key] = /^(\d{1,15})\.(\d{1,15})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (at === undefined || key === undefined)
    throw new KamadoError("invalid_input", "cursor: expected the `next` of a page before.");
  return { at: Number(at), key: Number(key) };
}
